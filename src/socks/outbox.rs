//! Our octets that are not sent yet.

use std::fmt;

/// A small queue of octets to send, inline, so that it costs a connection 192 octets and no
/// allocation.
///
/// A handshake has few and short answers; the files that write them prove at compile time that all
/// of them fit at once.
#[derive(Clone)]
pub struct Outbox {
    octets: [u8; Self::CAPACITY],
    // What is pending lies in octets[start..end]; start <= end <= CAPACITY.
    start: u8,
    end: u8,
}

impl Outbox {
    /// The most octets that can be pending.
    pub const CAPACITY: usize = 190;

    /// An empty outbox.
    #[must_use]
    pub const fn new() -> Self {
        Self { octets: [0; Self::CAPACITY], start: 0, end: 0 }
    }

    /// Appends octets, all of them or, where they would not fit, none.
    ///
    /// The protocol's messages always fit, so the second case is a defect of the caller.
    pub fn push(&mut self, octets: &[u8]) {
        let (start, mut end) = (usize::from(self.start), usize::from(self.end));
        if start > 0 && end + octets.len() > Self::CAPACITY {
            self.octets.copy_within(start..end, 0);
            end -= start;
            self.start = 0;
        }
        match self.octets.get_mut(end..end + octets.len()) {
            Some(room) => {
                room.copy_from_slice(octets);
                self.end = narrow(end + octets.len());
            }
            None => {
                self.end = narrow(end);
                debug_assert!(false, "{} octets do not fit behind {end}", octets.len());
            }
        }
    }

    /// What is to be sent, in order.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        self.octets.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }

    /// Forgets the first `sent` of the pending octets, or all of them if they are fewer.
    pub fn consume(&mut self, sent: usize) {
        if sent >= self.pending().len() {
            (self.start, self.end) = (0, 0);
        } else {
            self.start += narrow(sent);
        }
    }

    /// Whether nothing is left to send.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox({:02x?})", self.pending())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "positions are at most CAPACITY")]
const fn narrow(position: usize) -> u8 {
    debug_assert!(position <= Outbox::CAPACITY);
    position as u8
}

const _: () = assert!(Outbox::CAPACITY <= u8::MAX as usize);
const _: () = assert!(size_of::<Outbox>() == 192);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn octets_leave_in_the_order_they_came() {
        let mut out = Outbox::new();
        assert!(out.is_empty());
        out.push(&[1, 2]);
        out.push(&[3]);
        assert_eq!(out.pending(), [1, 2, 3]);
        out.consume(1);
        assert_eq!(out.pending(), [2, 3]);
        out.push(&[4]);
        assert_eq!(out.pending(), [2, 3, 4]);
        out.consume(9);
        assert!(out.is_empty());
        assert!(out.pending().is_empty());
    }

    #[test]
    fn it_can_be_filled_to_the_last_octet() {
        let mut out = Outbox::new();
        out.push(&[7; Outbox::CAPACITY]);
        assert_eq!(out.pending().len(), Outbox::CAPACITY);
        out.push(&[]);
        out.consume(2);
        out.push(&[8, 9]);
        assert_eq!(out.pending().len(), Outbox::CAPACITY);
        assert!(out.pending().ends_with(&[7, 8, 9]));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "do not fit")]
    fn too_much_is_a_defect() {
        Outbox::new().push(&[0; Outbox::CAPACITY + 1]);
    }

    proptest! {
        #[test]
        fn it_is_a_queue(turns: Vec<(Vec<u8>, u8)>) {
            let (mut out, mut model) = (Outbox::new(), Vec::new());
            for (octets, sent) in turns {
                if model.len() + octets.len() <= Outbox::CAPACITY {
                    out.push(&octets);
                    model.extend(octets);
                }
                prop_assert_eq!(out.pending(), &model);
                out.consume(usize::from(sent));
                model.drain(..model.len().min(usize::from(sent)));
                prop_assert_eq!(out.pending(), &model);
                prop_assert_eq!(out.is_empty(), model.is_empty());
            }
        }
    }
}
