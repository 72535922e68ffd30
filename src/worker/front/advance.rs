//! What happened becomes inputs of the machine: octets, attempts that ended, deadlines, answers.

use super::dialling::attempt_ended;
use super::login::Held;
use crate::connection::{Attempt, Input, Next};
use crate::key::Key;
use crate::resolve::Answered;
use crate::worker::binding::Awaiting;
use crate::worker::connection::{Connection, Fate, Link};
use crate::worker::kit::Kit;

impl Connection {
    /// No step is taken under a policy that is not in force any more. `None` when there is nothing more
    /// to it.
    pub(in crate::worker) fn renew_front(&mut self, key: Key, kit: &mut Kit) -> Option<Fate> {
        let Link::Front(front) = &mut self.link else { return None };
        if front.machine.policy().generation == kit.policy.generation {
            return None;
        }
        let next = front.renew(&kit.policy, kit.now.mono)?;
        Some(self.perform(next, key, kit))
    }

    pub(in crate::worker) fn advance_front(&mut self, key: Key, kit: &mut Kit) -> Fate {
        for attempt in [Attempt::A, Attempt::B] {
            // What has just become of it has had its portion.
            let Link::Front(front) = &mut self.link else { return Fate::Wait };
            if let Some(next) = attempt_ended(front, attempt, kit.now.mono) {
                match self.perform(next, key, kit) {
                    Fate::Wait => {}
                    fate @ (Fate::Again | Fate::Release) => return fate,
                }
            }
        }
        if let Some(fate) = self.peer_came(key, kit) {
            return fate;
        }
        let Link::Front(front) = &mut self.link else { return Fate::Wait };
        let eof_before = front.inbox.has_ended();
        let filled = front.fill(&mut self.client);
        if let Err(outcome) = filled {
            let next = front.broken(outcome, kit.now.mono);
            return self.perform(next, key, kit);
        }
        let next = if front.flushing || !front.outbox.pending().is_empty() {
            Next::Flush
        } else if front.machine.wants_bytes() && front.inbox.is_fresh() {
            front.feed(kit.now.mono)
        } else {
            Next::Wait
        };
        match self.perform(next, key, kit) {
            Fate::Wait => {}
            fate @ (Fate::Again | Fate::Release) => return fate,
        }
        let Link::Front(front) = &mut self.link else { return Fate::Wait };
        if front.inbox.has_ended() && !eof_before {
            let early = !front.inbox.unused().is_empty();
            let next = front.ask(Input::Eof { early }, kit.now.mono);
            return self.perform(next, key, kit);
        }
        Fate::Wait
    }

    pub(in crate::worker) fn expire_front(&mut self, key: Key, kit: &mut Kit) -> Fate {
        let now = kit.now.mono;
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        let over = front.machine.deadline().is_some_and(|until| until <= now);
        let paused = front.awaiting.as_ref().and_then(Awaiting::paused_until);
        if !over && paused.is_some_and(|until| until <= now) {
            return self.peer_came(key, kit).unwrap_or(Fate::Wait);
        }
        match std::mem::replace(&mut front.held, Held::Nothing) {
            // Its time has come, or there is no more time: this is what the client is to be told.
            Held::Answer { verdict, .. } => self.hear(verdict, key, kit),
            Held::Unchecked { credentials, .. } if !over => {
                self.perform(Next::Verify(credentials), key, kit)
            }
            Held::Unchecked { .. } | Held::Nothing => {
                let next = front.ask(Input::Deadline, now);
                self.perform(next, key, kit)
            }
        }
    }

    /// The answer to a look-up.
    pub(in crate::worker) fn resolved(&mut self, answered: Answered, kit: &mut Kit) -> Fate {
        if let Some(fate) = self.renew_front(answered.key, kit) {
            return fate;
        }
        match &mut self.link {
            Link::Front(front) if front.query == answered.query => {
                let Answered { key, query, answer, more } = answered;
                if !more {
                    // The query's number is used up: a further answer to it is late.
                    front.query = query.wrapping_add(1);
                }
                let next = front.ask(Input::Resolved { answer, more }, kit.now.mono);
                self.perform(next, key, kit)
            }
            Link::Associated(_) => self.resolved_for_datagrams(answered, kit),
            Link::Front(_) | Link::Relaying(_) | Link::Parting(_) => {
                kit.counters.stale.add(1);
                Fate::Wait
            }
        }
    }
}
