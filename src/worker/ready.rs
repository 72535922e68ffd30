//! Who has something to do: small things first.
//!
//! A relay that moves much would have everybody else wait for its portion, and for those of all like it.
//! So connections that are heavy have a queue of their own, of which a bounded part is served per turn,
//! after everybody else; then the poll is asked again, and who has become ready meanwhile goes first.
//! They get about as long as the others took, so that neither starves the other when there is not
//! enough for both.

use std::collections::VecDeque;

use crate::key::Key;
use crate::relay::HEAVY_BYTES_PER_TURN;

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

/// Octets that heavy connections may move in a turn in which so many others were `served`; the portion
/// that reaches it is the last.
pub(super) fn heavy_octets(served: usize) -> u64 {
    HEAVY_OCTETS_PER_TURN + HEAVY_OCTETS_PER_LIGHT * served as u64
}

/// One portion of one of them: 1 MiB made no difference to what a GiB costs (8 streams 1.04, 64 streams
/// 0.92), and everybody else waits for it.
const HEAVY_OCTETS_PER_TURN: u64 = HEAVY_BYTES_PER_TURN as u64;
/// What is spliced in about the time that one small thing takes, 6 µs at 0.2 s for a GiB.
const HEAVY_OCTETS_PER_LIGHT: u64 = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heavy_wait_apart_and_each_queue_keeps_its_order() {
        let key = |slot| Key { slot, generation: 1 };
        let mut ready = Ready::default();
        for (slot, heavy) in [(1, true), (2, false), (3, true), (4, false)] {
            ready.push(key(slot), heavy);
        }
        assert_eq!((ready.light_len(), ready.heavy_len()), (2, 2));
        let light: Vec<_> = std::iter::from_fn(|| ready.pop_light()).collect();
        assert_eq!(light, [key(2), key(4)]);
        assert!(!ready.is_empty());
        let heavy: Vec<_> = std::iter::from_fn(|| ready.pop_heavy()).collect();
        assert_eq!(heavy, [key(1), key(3)]);
        assert!(ready.is_empty());
    }

    #[test]
    fn the_heavy_are_given_a_portion_at_least_and_more_beside_many_others() {
        assert_eq!(heavy_octets(0), 256 * 1024);
        assert_eq!(heavy_octets(1024), (256 + 32 * 1024) * 1024);
    }
}
