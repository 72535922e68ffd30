//! What each letter does.

use std::time::Instant;

use super::worker::Worker;
use crate::mailbox::Letter;
use crate::session::Outcome;

impl Worker {
    /// Reads a portion of letters.
    pub(super) fn read_letters(&mut self) {
        self.mailbox.open();
        for _ in 0..LETTERS_PER_TURN {
            let Some(letter) = self.mailbox.next() else { return };
            match letter {
                Letter::Resolved { key, query, answer } => {
                    self.kit.resolver.system_answered(key, query, answer, self.kit.now.mono);
                }
                Letter::Verdict { key, verdict } => {
                    self.with(key, |connection, kit| connection.verified(verdict, key, kit));
                }
                Letter::Chunk(chunk) => self.kit.share.add(chunk),
                Letter::Drain { until } => self.drain(until),
                Letter::Stop => self.drain(self.kit.now.mono),
            }
        }
    }

    /// Hands finished look-ups to those who asked; there are no more than may be in flight.
    pub(super) fn read_answers(&mut self) {
        while let Some(answered) = self.kit.resolver.drain() {
            let key = answered.key;
            self.with(key, |connection, kit| {
                connection.resolved(answered.query, answered.answer, key, kit)
            });
        }
    }

    /// Takes no new clients; what lives may go on until `until`.
    fn drain(&mut self, until: Instant) {
        if self.draining.is_none() {
            self.door.close(&mut self.slots, &mut self.kit);
        }
        self.draining = Some(self.draining.map_or(until, |before| before.min(until)));
    }

    /// Ends everybody once the drain's time is over.
    pub(super) fn finish_draining(&mut self) {
        if self.draining.is_none_or(|until| self.kit.now.mono < until) {
            return;
        }
        for slot in 0..self.slots.span() {
            if let Some(key) = self.slots.key_at(slot) {
                if let Some(connection) = self.slots.get_mut(key) {
                    connection.cut(Outcome::Shutdown, &mut self.kit);
                }
                self.release(key);
            }
        }
    }
}

/// Letters read per turn.
const LETTERS_PER_TURN: usize = 256;
