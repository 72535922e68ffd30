//! Datagrams that wait for the address of a name.

use std::collections::VecDeque;

/// The waiting datagrams of one association, whole, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    datagrams: VecDeque<(u32, Box<[u8]>)>,
    octets: usize,
}

impl Waiting {
    /// Keeps a datagram until the answer to `query`; whether there was room.
    pub(super) fn keep(&mut self, query: u32, datagram: &[u8]) -> bool {
        let room = self.datagrams.len() < DATAGRAMS_MAX
            && self.octets + datagram.len() <= WAITING_OCTETS_MAX;
        if room {
            self.octets += datagram.len();
            self.datagrams.push_back((query, datagram.into()));
        }
        room
    }

    /// Takes out those that wait for `query`.
    pub(super) fn take(&mut self, query: u32) -> Vec<Box<[u8]>> {
        let (taken, left) =
            std::mem::take(&mut self.datagrams).into_iter().partition(|(of, _)| *of == query);
        self.datagrams = left;
        let taken: VecDeque<(u32, Box<[u8]>)> = taken;
        let datagrams: Vec<_> = taken.into_iter().map(|(_, datagram)| datagram).collect();
        self.octets -= datagrams.iter().map(|datagram| datagram.len()).sum::<usize>();
        datagrams
    }
}

/// Datagrams of one association that wait at most.
const DATAGRAMS_MAX: usize = 32;
/// Their octets at most: two of the longest.
const WAITING_OCTETS_MAX: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_one_query_come_out_in_their_order() {
        let mut waiting = Waiting::default();
        for (query, datagram) in [(1, b"a"), (2, b"b"), (1, b"c")] {
            assert!(waiting.keep(query, datagram));
        }
        assert_eq!(waiting.take(1), [Box::from(*b"a"), Box::from(*b"c")]);
        assert!(waiting.take(1).is_empty());
        assert_eq!(waiting.take(2), [Box::from(*b"b")]);
        assert_eq!(waiting.octets, 0);
    }

    #[test]
    fn number_and_octets_are_bounded() {
        let mut waiting = Waiting::default();
        assert!((0..DATAGRAMS_MAX).all(|_| waiting.keep(1, b"x")));
        assert!(!waiting.keep(2, b"x"));
        waiting.take(1);
        assert!(waiting.keep(1, &vec![0; WAITING_OCTETS_MAX]));
        assert!(!waiting.keep(1, b"x"));
    }
}
