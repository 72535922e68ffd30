//! A free slot is filled with the facts that are fixed when a session opens.

use std::sync::atomic::Ordering::Relaxed;

use super::late_ruling::LATE_ROOM;
use super::words::{command_number, decision_number, judged_word, store_ip, store_words};
use super::{
    COMMAND_SHIFT, DECISION_SHIFT, PRESENT_ACCEPTED, PRESENT_RULE_ID, PRESENT_RULING,
    PRESENT_TARGET, Session, SessionRef, TEXT_MAX, TEXT_OCTETS,
};
use crate::session::facts::Opening;
use crate::session::head::State;

/// Whether `opening` needs a second slot for its text.
pub(crate) fn needs_continuation(opening: &Opening<'_>) -> bool {
    let [user, target, claimed, rule] = texts(opening);
    // A late ruling may be as long as the first.
    let late = if opening.accepted { LATE_ROOM.max(24 + rule.len()) } else { 0 };
    user.len() + target.len() + claimed.len() + rule.len() + late > TEXT_OCTETS
}

impl Session {
    /// Fills a free slot and opens it. `rest` is the free slot for text that does not fit, with
    /// its index in the ledger.
    pub(crate) fn open(
        &'static self,
        opening: &Opening<'_>,
        rest: Option<(&'static Self, u32)>,
    ) -> SessionRef {
        let generation = self.head().fill(State::Open, || {
            let (high, low) = opening.id.to_words();
            self.id[0].store(high, Relaxed);
            self.id[1].store(low, Relaxed);
            self.start_ms.store(opening.start_ms.cast_unsigned(), Relaxed);
            store_ip(&self.client_ip, opening.client.ip());
            for counter in
                [&self.bytes_sent, &self.bytes_received, &self.packets_sent, &self.packets_received]
            {
                counter.store(0, Relaxed);
            }
            self.last_activity_ms.store(opening.start_ms.cast_unsigned(), Relaxed);
            self.duration_ms.store(0, Relaxed);
            let shadow = opening.ruling.and_then(|ruling| ruling.shadow);
            self.judged.store(judged_word(opening.policy_generation, shadow), Relaxed);
            self.store_kinds(opening);
            self.store_texts(opening, rest);
        });
        SessionRef { session: self, generation }
    }

    fn store_kinds(&self, opening: &Opening<'_>) {
        let mut present = if opening.accepted { PRESENT_ACCEPTED } else { 0 };
        let mut kinds = 0;
        let mut target_port = 0;
        if let Some((_, port)) = opening.target {
            present |= PRESENT_TARGET;
            target_port = port;
        }
        if let Some(command) = opening.command {
            kinds |= command_number(command) << COMMAND_SHIFT;
        }
        if let Some(ruling) = opening.ruling {
            present |= PRESENT_RULING;
            kinds |= decision_number(ruling.decision) << DECISION_SHIFT;
            if let Some(rule_id) = ruling.rule_id {
                present |= PRESENT_RULE_ID;
                self.rule_id.store(rule_id, Relaxed);
            }
        }
        let ports = (u32::from(opening.client.port()) << 16) | u32::from(target_port);
        self.ports.store(ports, Relaxed);
        self.kinds.store(kinds, Relaxed);
        self.present.store(present, Relaxed);
    }

    fn store_texts(&self, opening: &Opening<'_>, rest: Option<(&'static Self, u32)>) {
        let mut buffer = [0u8; TEXT_MAX];
        let mut used = 0;
        let mut lengths = 0u32;
        let late = if opening.accepted { LATE_ROOM } else { 0 };
        let room = if rest.is_some() { TEXT_MAX } else { TEXT_OCTETS } - late;
        for (index, text) in texts(opening).into_iter().enumerate() {
            let length = floor_char_boundary(text, room - used);
            buffer[used..used + length].copy_from_slice(&text.as_bytes()[..length]);
            used += length;
            #[expect(clippy::cast_possible_truncation, reason = "texts() cuts at 255")]
            let length = length as u32;
            lengths |= length << (8 * index);
        }
        self.lengths.store(lengths, Relaxed);
        let (own, further) = buffer.split_at(TEXT_OCTETS);
        store_words(&self.text, &own[..used.min(TEXT_OCTETS)]);
        match rest {
            Some((slot, index)) => {
                slot.head().fill(State::Continued, || {
                    store_words(&slot.text, &further[..used.saturating_sub(TEXT_OCTETS)]);
                });
                self.more.store(index + 1, Relaxed);
            }
            None => self.more.store(0, Relaxed),
        }
    }
}

fn texts<'a>(opening: &Opening<'a>) -> [&'a str; 4] {
    [
        opening.user,
        opening.target.map_or("", |(host, _)| host),
        opening.claimed_user.unwrap_or(""),
        opening.ruling.map_or("", |ruling| &ruling.rule),
    ]
    .map(|text| &text[..floor_char_boundary(text, 255)])
}

/// The longest prefix of at most `max` octets that ends between two characters.
pub(super) fn floor_char_boundary(text: &str, max: usize) -> usize {
    if text.len() <= max {
        return text.len();
    }
    (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
