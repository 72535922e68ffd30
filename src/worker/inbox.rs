//! What a client has sent before its relay and the machine has not used. Pure.

use smallvec::SmallVec;
use zeroize::Zeroize;

use crate::http::HEAD_OCTETS_MAX;
use crate::socks::Handshake;

/// Octets of a client, in order, and whether there will be more.
pub struct Inbox {
    octets: SmallVec<[u8; INBOX_OCTETS]>,
    used: usize,
    filled: usize,
    /// Octets came, or a stage began, since the machine last saw them.
    fresh: bool,
    eof: bool,
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbox {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let octets = SmallVec::from([0; INBOX_OCTETS]);
        Self { octets, used: 0, filled: 0, fresh: false, eof: false }
    }

    /// What the machine has not used.
    #[must_use]
    pub fn unused(&self) -> &[u8] {
        &self.octets[self.used..self.filled]
    }

    /// The same, to be shown to the machine now.
    pub fn show(&mut self) -> &[u8] {
        self.fresh = false;
        self.unused()
    }

    /// Whether the machine has not seen all of it, or not since its stage began.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// A stage has begun: what is there is to be shown again.
    pub const fn refresh(&mut self) {
        self.fresh = true;
    }

    /// Whether the client has sent all it will.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.eof
    }

    /// Whether further octets may be put in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.filled < self.octets.len() || self.used > 0
    }

    /// Where further octets may be put; empty when there is no room.
    pub fn room(&mut self) -> &mut [u8] {
        if self.filled == self.octets.len() && self.used > 0 {
            self.octets.copy_within(self.used.., 0);
            self.filled -= self.used;
            self.used = 0;
        }
        &mut self.octets[self.filled..]
    }

    /// So many octets were put into [`room`](Self::room); 0 is the end of them.
    pub fn filled(&mut self, octets: usize) {
        match octets {
            0 => self.eof = true,
            _ => {
                self.filled = (self.filled + octets).min(self.octets.len());
                self.fresh = true;
            }
        }
    }

    /// Makes room where one message fills all of it, which only the head of an HTTP request can.
    /// Answers whether there is more room now.
    pub fn grow(&mut self) -> bool {
        let full = self.used == 0 && self.filled == self.octets.len();
        if !full || self.octets.len() >= HEAD_OCTETS_MAX {
            return false;
        }
        let mut grown = SmallVec::from_elem(0, HEAD_OCTETS_MAX);
        grown[..self.filled].copy_from_slice(&self.octets[..self.filled]);
        // It may hold a password.
        self.octets.zeroize();
        self.octets = grown;
        true
    }

    /// Forgets octets that were used. They may hold a password, so they are wiped.
    pub fn consume(&mut self, used: usize) {
        let end = (self.used + used).min(self.filled);
        self.octets[self.used..end].zeroize();
        self.used = end;
        if self.used == self.filled {
            (self.used, self.filled) = (0, 0);
        }
    }
}

/// Octets of a client that are held before its relay: the longest message of the handshake, and
/// room for some payload behind the request.
const INBOX_OCTETS: usize = 1024;
const _: () = assert!(INBOX_OCTETS >= Handshake::MESSAGE_OCTETS_MAX);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Puts in as many of `octets` as there is room for, and grows as a worker does when a message
    /// fills it.
    fn put(inbox: &mut Inbox, octets: &[u8]) -> usize {
        let room = inbox.room();
        let length = room.len().min(octets.len());
        room[..length].copy_from_slice(&octets[..length]);
        if length > 0 {
            inbox.filled(length);
        }
        length
    }

    #[test]
    fn it_grows_once_and_only_for_one_message_that_fills_it() {
        let mut inbox = Inbox::new();
        assert_eq!(put(&mut inbox, &[1; INBOX_OCTETS]), INBOX_OCTETS);
        inbox.consume(1);
        assert!(!inbox.grow(), "there is room already");
        assert_eq!(put(&mut inbox, &[2; 9]), 1);
        assert!(inbox.grow());
        assert_eq!(put(&mut inbox, &[3; HEAD_OCTETS_MAX]), HEAD_OCTETS_MAX - INBOX_OCTETS);
        assert!(!inbox.grow());
    }

    #[test]
    fn what_was_used_is_wiped() {
        let mut inbox = Inbox::new();
        put(&mut inbox, b"secret and payload");
        inbox.consume(6);
        assert_eq!((&inbox.octets[..6], inbox.unused()), (&[0; 6][..], &b" and payload"[..]));
    }

    proptest! {
        #[test]
        fn octets_come_out_as_they_went_in(
            steps in prop::collection::vec((0..1500_usize, 0..1500_usize, any::<bool>()), 1..40),
        ) {
            let mut coming = (0..=250_u8).cycle();
            let (mut inbox, mut model) = (Inbox::new(), Vec::new());
            for (put_in, take_out, grow) in steps {
                let octets: Vec<u8> = coming.by_ref().take(put_in).collect();
                let taken = put(&mut inbox, &octets);
                model.extend_from_slice(&octets[..taken]);
                prop_assert_eq!(inbox.unused(), model.as_slice());
                if grow {
                    inbox.grow();
                }
                let used = take_out.min(model.len());
                inbox.consume(used);
                model.drain(..used);
                prop_assert_eq!(inbox.unused(), model.as_slice());
            }
        }
    }
}
