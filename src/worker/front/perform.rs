//! What the machine asks for is done, one arm per verb.

use std::time::Instant;

use super::flush;
use super::login::verify;
use crate::connection::{ConnectError, Input, Next};
use crate::key::Key;
use crate::resolve::Asker;
use crate::session::Outcome;
use crate::worker::close::set_late_facts;
use crate::worker::connection::{Connection, Fate, Link, Live};
use crate::worker::kit::Kit;
use crate::worker::parting::Parting;
use crate::worker::relaying::Relaying;

impl Connection {
    /// Does what the machine asks, until it waits or is done.
    pub(in crate::worker) fn perform(&mut self, mut next: Next, key: Key, kit: &mut Kit) -> Fate {
        let now = kit.now.mono;
        loop {
            let Link::Front(front) = &mut self.link else { return Fate::Again };
            next = match next {
                Next::Wait => return self.flush_waiting(),
                Next::Read if front.inbox.is_fresh() => front.feed(now),
                Next::Read if front.inbox.has_ended() => {
                    front.ask(Input::Eof { early: false }, now)
                }
                Next::Read => {
                    // What found no room before has room now, and no event will tell of it.
                    let room = front.inbox.has_room() || front.inbox.grow();
                    let more = room && self.client.is_readable();
                    return if more { Fate::Again } else { Fate::Wait };
                }
                Next::Flush => {
                    if front.reached.is_some() {
                        front.count_ruling(kit);
                    }
                    match flush(&mut self.client, &mut front.outbox) {
                        Ok(true) => {
                            front.flushing = false;
                            front.ask(Input::Flushed, now)
                        }
                        Ok(false) => {
                            front.flushing = true;
                            return Fate::Wait;
                        }
                        Err(_) => front.ask(Input::Gone(Outcome::ClientGone), now),
                    }
                }
                Next::Verify(credentials) => {
                    match verify(front, credentials, key, self.seat.bans(), kit) {
                        Some(verdict) => {
                            front.inbox.refresh();
                            front.ask(Input::Verdict(verdict), now)
                        }
                        None => return self.flush_waiting(),
                    }
                }
                Next::Resolve(name) => {
                    front.query = front.query.wrapping_add(1);
                    let client = front.machine.client();
                    kit.resolver.ask(&name, Asker { key, query: front.query, client }, now);
                    return self.flush_waiting();
                }
                Next::Open => {
                    self.open(key, kit);
                    let Link::Front(front) = &mut self.link else { return Fate::Again };
                    front.ask(Input::Opened, now)
                }
                Next::Dial { attempt, permit } => match self.dial(&permit, attempt, key, kit) {
                    Ok(()) => return self.flush_waiting(),
                    Err(error) => self.ask_front(Input::Unreachable { attempt, error }, now),
                },
                Next::Associate { declared } => match self.make_association(declared, key, kit) {
                    Some(bound) => self.ask_front(Input::Associated(bound), now),
                    None => self.ask_front(Input::NoSocket(ConnectError::NoRoom), now),
                },
                Next::Listen { towards } => match self.listen_for_peer(towards, key, kit) {
                    Ok(bound) => self.ask_front(Input::Listening(bound), now),
                    Err(error) => self.ask_front(Input::NoSocket(error), now),
                },
                // Only a peer that has come can be turned away, and that is done where it came.
                Next::TurnAway => return Fate::Wait,
                Next::RelayDatagrams => return self.associate(key, kit),
                Next::Relay => return self.join(kit),
                Next::Refuse(outcome) => {
                    self.settle(outcome, kit);
                    let Link::Front(front) = &mut self.link else { return Fate::Again };
                    let outbox = std::mem::take(&mut front.outbox);
                    self.seat.forgo();
                    let linger = front.machine.policy().timeouts.linger;
                    let parting = Parting::refused(outbox, now, linger);
                    self.link = Link::Parting(Box::new(parting));
                    return Fate::Again;
                }
                Next::End(outcome) => {
                    self.settle(outcome, kit);
                    return Fate::Release;
                }
            };
        }
    }

    pub(super) fn ask_front(&mut self, input: Input<'_>, now: Instant) -> Next {
        match &mut self.link {
            Link::Front(front) => front.ask(input, now),
            Link::Relaying(_) | Link::Associated(_) | Link::Parting(_) => Next::Wait,
        }
    }

    /// Sends what is in the outbox while the machine waits for something else.
    pub(super) fn flush_waiting(&mut self) -> Fate {
        if let Link::Front(front) = &mut self.link {
            // A broken socket is noticed by the next read; nothing depends on this one write.
            let sent = flush(&mut self.client, &mut front.outbox);
            debug_assert!(sent.is_ok() || !front.outbox.pending().is_empty());
        }
        Fate::Wait
    }

    pub(super) fn open(&mut self, key: Key, kit: &mut Kit) {
        let Link::Front(front) = &self.link else { return };
        self.opened = true;
        let came = (self.address, self.accepted.utc_ms);
        let anonymous = &front.machine.policy().anonymous;
        self.session = Live::open(front.machine.facts(), anonymous, came, key, kit);
    }

    /// The success reply has left: the two sockets are joined, and the front is freed.
    pub(super) fn join(&mut self, kit: &mut Kit) -> Fate {
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        let Some(upstream) = front.reached.take() else {
            self.settle(Outcome::Internal, kit);
            return Fate::Release;
        };
        let facts = front.machine.facts();
        kit.counters.stages.observe(&facts.stages);
        if let Some(live) = &self.session {
            set_late_facts(&live.slot, facts);
        }
        let early = front.inbox.unused();
        let timeouts = front.machine.policy().timeouts;
        let standing = front.machine.standing();
        let throttle = front.machine.throttle(kit.now);
        let relaying = Relaying::new(upstream, early, &timeouts, (standing, throttle), kit);
        self.stays.add(front.machine.take_stays());
        self.link = Link::Relaying(Box::new(relaying));
        self.advance_relay(kit)
    }
}
