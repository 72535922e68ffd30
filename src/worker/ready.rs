//! Who has something to do: small things first.
//!
//! A relay that moves much would have everybody else wait for its portion, and for those of all like it.
//! So connections that are heavy have a queue of their own, of which a bounded part is served per turn,
//! after everybody else; then the poll is asked again, and who has become ready meanwhile goes first.

use std::collections::VecDeque;

use crate::key::Key;

/// Both queues. A connection is in one of them at most, once; it knows itself whether it is.
#[derive(Default)]
pub(super) struct Ready {
    light: VecDeque<Key>,
    heavy: VecDeque<Key>,
}

impl Ready {
    pub(super) fn push(&mut self, key: Key, heavy: bool) {
        if heavy { self.heavy.push_back(key) } else { self.light.push_back(key) }
    }

    pub(super) fn pop_light(&mut self) -> Option<Key> {
        self.light.pop_front()
    }

    pub(super) fn pop_heavy(&mut self) -> Option<Key> {
        self.heavy.pop_front()
    }

    pub(super) fn light_len(&self) -> usize {
        self.light.len()
    }

    pub(super) fn heavy_len(&self) -> usize {
        self.heavy.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.light.is_empty() && self.heavy.is_empty()
    }
}
