//! The head of a slot: whose the slot is, and the order in which it is filled, read and freed.
//!
//! A sequence lock whose sequence is the head: generation in the high half, [`State`] in the low
//! octet. What it protects are relaxed atomics, so nothing here is undefined behaviour; the order is
//! what keeps a copy from being half of one session and half of another.
//!
//! - The owner sees *free* (Acquire), fences (Release), fills, then stores *open* (Release).
//! - A reader loads the head (Acquire), copies, fences (Acquire) and loads the head again: equal
//!   heads mean that the copy is of one session. The two fences pair: a reader that copied a word of
//!   the next session also sees that the head is no longer what it was.
//! - The writer stores *free* (Release), and that of a continued slot last: its owner takes the
//!   continuation back first, and may not fill it while the slot before it still looks settled.
//!
//! `tests/loom_slot.rs` runs this very file under loom in every order that the memory model allows,
//! and without its fences, where it must fail. So its atomics come from the folder's `mod.rs`.

use super::atomic::Ordering::{Acquire, Relaxed, Release};
use super::atomic::{AtomicU64, fence};

/// State of a slot, the low octet of its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum State {
    /// Nobody's; only its worker may fill it.
    Free = 0,
    /// A session that lives.
    Open = 1,
    /// A session that ended, and is not stored yet.
    Settled = 2,
    /// The rest of the text of another slot.
    Continued = 3,
}

/// The head of one slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a>(pub(crate) &'a AtomicU64);

impl Head<'_> {
    /// Owner: whether the slot may be filled.
    pub(crate) fn is_free(self) -> bool {
        state_is(self.0.load(Acquire), State::Free)
    }

    /// Owner: fills a free slot and hands it over as `state`; answers its new generation.
    pub(crate) fn fill(self, state: State, fill: impl FnOnce()) -> u32 {
        // Whoever sees one of the stores below also sees that the slot is no longer what it was.
        fence(Release);
        let generation = self.generation().wrapping_add(1);
        fill();
        self.0.store(word(generation, state), Release);
        generation
    }

    /// Owner: the session has ended; what its ending is was stored before.
    pub(crate) fn settle(self, generation: u32) {
        self.0.store(word(generation, State::Settled), Release);
    }

    /// Writer: the slot is nobody's again, and so is the one that continues it.
    pub(crate) fn free(self, rest: Option<Self>) {
        for head in [Some(self), rest].into_iter().flatten() {
            head.0.store(word(head.generation(), State::Free), Release);
        }
    }

    /// The generation of whatever is in the slot.
    pub(crate) fn generation(self) -> u32 {
        generation_of(self.0.load(Relaxed))
    }

    /// Reader: what `copy` takes out of the given use of the slot, told whether it has ended;
    /// `None` if the slot was another's, or the session ended under the copy.
    pub(crate) fn read<T>(self, generation: u32, copy: impl FnOnce(bool) -> T) -> Option<T> {
        let before = self.0.load(Acquire);
        if !holds(before, generation) {
            return None;
        }
        let copied = copy(state_is(before, State::Settled));
        fence(Acquire);
        (self.0.load(Relaxed) == before).then_some(copied)
    }

    /// Reader: whether the slot was still the given use of it after all that was loaded before.
    pub(crate) fn is_still(self, generation: u32) -> bool {
        fence(Acquire);
        holds(self.0.load(Relaxed), generation)
    }
}

const fn holds(head: u64, generation: u32) -> bool {
    generation_of(head) == generation
        && (state_is(head, State::Open) || state_is(head, State::Settled))
}

const fn word(generation: u32, state: State) -> u64 {
    ((generation as u64) << 32) | state as u64
}

const fn generation_of(head: u64) -> u32 {
    (head >> 32) as u32
}

const fn state_is(head: u64, state: State) -> bool {
    head & 0xff == state as u64
}
