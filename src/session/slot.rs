//! One slot of the ledger, which is the session itself.
//!
//! 512 octets, all of them atomics, so that a `&'static Session` may be shared by the worker that
//! owns it, the writer and the readers. There is no lock: the head says whose the slot is.
//!
//! ```text
//! line 0  head · id · start · client address · resolved address
//! line 1  counters · last activity · duration · policy and rule on trial · presence bits · next slot
//! line 2  ports · kinds · rule · text lengths · stage times · round trips · retransmits · detail
//! line 3… text: user, target, claimed user, rule, one behind the other (320 octets)
//! ```
//!
//! Text that does not fit goes on in the text lines of a second slot. Behind the text, at the next whole
//! word, is room for a ruling that comes late: that of an address which was reached after others failed.
//!
//! The order is that of [`Head`](super::head::Head). Late facts are stored first and their presence
//! bit after them (Release).

mod copy;
mod fill;
mod late_ruling;
mod reference;
mod words;

use std::mem::offset_of;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

pub(crate) use self::copy::Copied;
pub(super) use self::fill::needs_continuation;
pub use self::reference::SessionRef;
use super::SessionId;
use super::head::Head;

/// One session, in one slot of the ledger.
#[derive(FromBytes, IntoBytes, KnownLayout, Debug)]
#[repr(C, align(64))]
pub struct Session {
    head: AtomicU64,
    id: [AtomicU64; 2],
    start_ms: AtomicU64,
    client_ip: [AtomicU64; 2],
    resolved_ip: [AtomicU64; 2],

    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    packets_sent: AtomicU64,
    packets_received: AtomicU64,
    last_activity_ms: AtomicU64,
    duration_ms: AtomicU64,
    /// Policy generation and rule on trial.
    judged: AtomicU64,
    present: AtomicU32,
    more: AtomicU32,

    ports: AtomicU32,
    kinds: AtomicU32,
    rule_id: AtomicU32,
    lengths: AtomicU32,
    stages_us: [AtomicU32; 4],
    rtt_us: [AtomicU32; 2],
    retransmits: [AtomicU32; 2],
    detail: [AtomicU64; 2],

    text: [AtomicU64; TEXT_WORDS],
}

const _: () = assert!(size_of::<Session>() == 512);

/// Names the layout of a slot: a ledger with another one is not read. To be counted up when a field,
/// a number of an outcome or a bit changes its meaning; moved fields change it by themselves.
pub(super) const LAYOUT: u64 = {
    const MEANING: u64 = 2;
    let offsets = [
        offset_of!(Session, head),
        offset_of!(Session, id),
        offset_of!(Session, start_ms),
        offset_of!(Session, client_ip),
        offset_of!(Session, resolved_ip),
        offset_of!(Session, bytes_sent),
        offset_of!(Session, bytes_received),
        offset_of!(Session, packets_sent),
        offset_of!(Session, packets_received),
        offset_of!(Session, last_activity_ms),
        offset_of!(Session, duration_ms),
        offset_of!(Session, judged),
        offset_of!(Session, present),
        offset_of!(Session, more),
        offset_of!(Session, ports),
        offset_of!(Session, kinds),
        offset_of!(Session, rule_id),
        offset_of!(Session, lengths),
        offset_of!(Session, stages_us),
        offset_of!(Session, rtt_us),
        offset_of!(Session, retransmits),
        offset_of!(Session, detail),
        offset_of!(Session, text),
    ];
    // FNV-1a.
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ MEANING;
    let mut at = 0;
    while at < offsets.len() {
        hash = (hash ^ offsets[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
};

impl Session {
    pub(crate) fn is_free(&self) -> bool {
        self.head().is_free()
    }

    /// A reference to the session that is in it, live or ended, if one is.
    pub(crate) fn current_use(&'static self) -> Option<SessionRef> {
        let reference = SessionRef { session: self, generation: self.generation() };
        reference.is_current().then_some(reference)
    }

    /// Owner: the id of what is in the slot, or was last.
    pub(crate) fn last_id(&self) -> SessionId {
        SessionId::from_words(self.id[0].load(Relaxed), self.id[1].load(Relaxed))
    }

    /// Frees the slot, and the one that continues it.
    pub(crate) fn free(&self, rest: Option<&Self>) {
        self.head().free(rest.map(Self::head));
    }

    const fn head(&self) -> Head<'_> {
        Head(&self.head)
    }

    /// The generation of whatever is in the slot.
    pub(crate) fn generation(&self) -> u32 {
        self.head().generation()
    }

    pub(crate) fn continuation(&self) -> Option<u32> {
        self.more.load(Relaxed).checked_sub(1)
    }
}

/// Octets of text in the slot itself.
const TEXT_OCTETS: usize = TEXT_WORDS * 8;
const TEXT_WORDS: usize = 40;
/// Octets of text of a continuation slot: its own 320 and nothing else, so that one function
/// copies both.
const TEXT_MAX: usize = TEXT_OCTETS * 2;

const PRESENT_RESOLVED: u32 = 1;
const PRESENT_STAGE: u32 = 1 << 1; // four bits
const PRESENT_CLIENT_TCP: u32 = 1 << 5;
const PRESENT_UPSTREAM_TCP: u32 = 1 << 6;
const PRESENT_RULE_ID: u32 = 1 << 7;
const PRESENT_TARGET: u32 = 1 << 8;
const PRESENT_RULING: u32 = 1 << 9;
const PRESENT_RELAYED: u32 = 1 << 10;
const PRESENT_ACCEPTED: u32 = 1 << 11;
const PRESENT_CLIENTS: u32 = 1 << 12;
const PRESENT_ASKED_FROM: u32 = 1 << 13;
const PRESENT_LATE_RULING: u32 = 1 << 14;

const COMMAND_SHIFT: u32 = 0;
const DECISION_SHIFT: u32 = 8;
const OUTCOME_SHIFT: u32 = 16;
