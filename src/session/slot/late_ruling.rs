//! A ruling that comes after the session was opened, which has another in its place: the name's first
//! address was permitted by one rule, and the address that was reached by another.
//!
//! The first one stays where it is, so that no reader sees half of either. The late one is put down once,
//! behind the texts, and its bit after it (Release).
//!
//! ```text
//! word 0  decision · whether the rule has a number · octets of text · number
//! word 1  policy generation · rule on trial
//! word 2… text
//! ```

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::fill::floor_char_boundary;
use super::words::{decision_from, decision_number, judged_from, judged_word};
use super::{Session, TEXT_MAX, TEXT_OCTETS, TEXT_WORDS};
use crate::acl::Ruling;
use crate::session::facts::Decision;

/// A late ruling, as it was read.
pub(crate) struct LateRuling {
    pub(super) decision: Option<Decision>,
    pub(super) rule_id: Option<u32>,
    pub(super) policy_generation: u64,
    pub(super) shadow: Option<u32>,
    text: [u8; LATE_TEXT_MAX],
    length: u8,
}

impl LateRuling {
    /// The text of the rule.
    pub(crate) fn text(&self) -> &[u8] {
        self.text.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl Session {
    /// Puts a late ruling down, cut to the room that there is. `rest` is the slot that continues this one.
    pub(super) fn store_late_ruling(
        &self,
        rest: Option<&Self>,
        ruling: &Ruling,
        policy_generation: u64,
    ) {
        let at = self.late_at();
        let room = if rest.is_some() { TEXT_MAX } else { TEXT_OCTETS } / 8;
        let most = (room.saturating_sub(at + 2) * 8).min(LATE_TEXT_MAX);
        let text = &ruling.rule.as_bytes()[..floor_char_boundary(&ruling.rule, most)];
        let head = u64::from(decision_number(ruling.decision))
            | (u64::from(ruling.rule_id.is_some()) << 8)
            | ((text.len() as u64) << 16)
            | (u64::from(ruling.rule_id.unwrap_or(0)) << 32);
        let words = text.chunks(8).map(|octets| {
            let mut padded = [0; 8];
            padded[..octets.len()].copy_from_slice(octets);
            u64::from_le_bytes(padded)
        });
        let judged = judged_word(policy_generation, ruling.shadow);
        for (index, word) in [head, judged].into_iter().chain(words).enumerate() {
            if let Some(place) = self.text_word(rest, at + index) {
                place.store(word, Relaxed);
            }
        }
    }

    pub(super) fn load_late_ruling(&self, rest: Option<&Self>) -> LateRuling {
        let at = self.late_at();
        let word = |index| self.text_word(rest, at + index).map_or(0, |word| word.load(Relaxed));
        let head = word(0);
        let [decision, has_id, length, _, id @ ..] = head.to_le_bytes();
        let mut text = [0; LATE_TEXT_MAX];
        let used = usize::from(length).min(LATE_TEXT_MAX);
        for (index, octets) in text[..used].chunks_mut(8).enumerate() {
            octets.copy_from_slice(&word(2 + index).to_le_bytes()[..octets.len()]);
        }
        let (policy_generation, shadow) = judged_from(word(1));
        LateRuling {
            decision: decision_from(decision.into()),
            rule_id: (has_id != 0).then(|| u32::from_le_bytes(id)),
            policy_generation,
            shadow,
            text,
            length,
        }
    }

    /// The first word behind the texts.
    fn late_at(&self) -> usize {
        let lengths = self.lengths.load(Relaxed).to_le_bytes();
        lengths.iter().map(|length| usize::from(*length)).sum::<usize>().div_ceil(8)
    }

    fn text_word<'a>(&'a self, rest: Option<&'a Self>, index: usize) -> Option<&'a AtomicU64> {
        match index.checked_sub(TEXT_WORDS) {
            None => self.text.get(index),
            Some(further) => rest?.text.get(further),
        }
    }
}

/// Octets of text that a late ruling has at most.
const LATE_TEXT_MAX: usize = 255;
/// Octets that are kept free behind the texts of a session that may have one: its two words, and text to
/// know it by.
pub(super) const LATE_ROOM: usize = 8 + 16 + 56;
