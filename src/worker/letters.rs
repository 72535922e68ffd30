//! What each letter does.

use std::sync::Arc;
use std::time::Instant;

use super::connection::{Connection, Fate};
use super::kit::Kit;
use super::worker::Worker;
use crate::key::Key;
use crate::mailbox::{Letter, Victim};
use crate::policy::Policy;
use crate::session::Outcome;

impl Worker {
    /// Reads a portion of letters.
    pub(super) fn read_letters(&mut self) {
        self.mailbox.open();
        let mut left = LETTERS_PER_TURN;
        while left > 0 {
            let Some(letter) = self.mailbox.next() else { return };
            left = left.saturating_sub(letter.weight());
            match letter {
                Letter::Resolved { id, record, answer } => {
                    self.kit.resolver.system_answered(id, record, answer);
                }
                Letter::Verdict { key, verdict } => {
                    self.with(key, |connection, kit| connection.verified(verdict, key, kit));
                }
                Letter::Kill { victims, from } => {
                    for Victim { key, id } in victims {
                        self.with(key, |connection, kit| connection.kill(id, from, kit));
                    }
                }
                Letter::Guest(guest) => {
                    self.kit.counters.taken_over.add(1);
                    self.door.take_in(guest, &mut self.slots, &mut self.kit);
                }
                Letter::Policy(policy) => self.take_policy(policy),
                Letter::QuotaUsedUp => self.recounted_to = Some(0),
                Letter::Chunk(chunk) => self.kit.share.add(chunk),
                Letter::Drain { until, leave_at } => self.drain(Drain { until, leave_at }),
            }
        }
    }

    /// Another policy is in force from here on: for new clients and for every further step of those who
    /// are here. Sessions that relay are judged once more, a portion of them in each turn.
    fn take_policy(&mut self, policy: Arc<Policy>) {
        if !Arc::ptr_eq(&self.kit.policy.users, &policy.users) {
            self.kit.recent.clear();
        }
        self.kit.counters.policy_generation.set(policy.generation);
        self.kit.policy = policy;
        self.judged_to = Some(0);
    }

    /// Judges a portion of those who are here by the policy in force.
    pub(super) fn judge_some(&mut self) {
        if let Some(first) = self.judged_to {
            self.judged_to = self.visit(first, Connection::renew);
        }
    }

    /// Looks at a portion of those who are here whether a quota that is used up ends them.
    pub(super) fn recount_some(&mut self) {
        if let Some(first) = self.recounted_to {
            let note =
                |connection: &mut Connection, _, kit: &mut Kit| connection.note_quotas(kit.now);
            self.recounted_to = self.visit(first, note);
        }
    }

    /// Does something with a portion of those who are here, from this place on; where the next portion
    /// begins, if there is one.
    fn visit(
        &mut self,
        first: u32,
        what: impl Fn(&mut Connection, Key, &mut Kit) -> Fate,
    ) -> Option<u32> {
        let end = self.slots.span().min(first.saturating_add(VISITED_PER_TURN));
        for slot in first..end {
            if let Some(key) = self.slots.key_at(slot) {
                self.with(key, |connection, kit| what(connection, key, kit));
            }
        }
        (end < self.slots.span()).then_some(end)
    }

    /// Hands finished look-ups to those who asked; there are no more than may be in flight.
    pub(super) fn read_answers(&mut self) {
        while let Some(answered) = self.kit.resolver.drain(self.kit.now.mono) {
            self.with(answered.key, |connection, kit| connection.resolved(answered, kit));
        }
        if let Some(tally) = self.kit.resolver.news() {
            self.kit.counters.lookups.show(tally);
        }
    }

    /// Takes no new clients; what lives may go on until the drain's time is over.
    fn drain(&mut self, drain: Drain) {
        if self.draining.is_none() {
            self.door.close(&mut self.slots, &mut self.kit);
        }
        let before = self.draining.unwrap_or(drain);
        self.draining = Some(Drain {
            until: before.until.min(drain.until),
            leave_at: before.leave_at.min(drain.leave_at),
        });
    }

    /// Ends everybody once the drain's time is over.
    pub(super) fn finish_draining(&mut self) {
        let Some(drain) = self.draining else { return };
        if self.kit.now.mono >= drain.until {
            self.cut_all();
        }
        if self.slots.is_empty() {
            self.door.record_all_refused(&mut self.kit);
        }
    }

    fn cut_all(&mut self) {
        for slot in 0..self.slots.span() {
            if let Some(key) = self.slots.key_at(slot) {
                if let Some(connection) = self.slots.get_mut(key) {
                    connection.cut(Outcome::Shutdown, &mut self.kit);
                }
                self.release(key);
            }
        }
    }

    /// Whether it has been told to drain, nobody is left, and every ending has been sent, or there is
    /// no more time for that: what is not sent waits in the ledger.
    pub(super) fn has_drained(&self) -> bool {
        self.draining.is_some_and(|drain| {
            let sent = self.kit.journal.backlog_len() == 0;
            self.slots.is_empty() && (sent || self.kit.now.mono >= drain.leave_at)
        })
    }

    /// When the drain next asks for something.
    pub(super) fn drain_due(&self) -> Option<Instant> {
        self.draining.map(|drain| if self.slots.is_empty() { drain.leave_at } else { drain.until })
    }
}

/// How a worker's last time is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// When those who still live are cut.
    until: Instant,
    /// When it leaves at the latest, once nobody is left.
    leave_at: Instant,
}

/// Places of connections looked at per turn when the policy has changed, or a quota is used up.
const VISITED_PER_TURN: u32 = 1024;
/// Letters read per turn, by their weight.
const LETTERS_PER_TURN: usize = 256;
