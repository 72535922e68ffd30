//! What a machine asks for, done: the same verbs as a worker's, with the agenda in place of the world.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustsocks::connection::{Attempt, ConnectError, Input, Next};
use rustsocks::key::Key;
use rustsocks::session::Outcome;
use rustsocks::socks::Outbox;
use rustsocks::udp::Association;
use rustsocks::worker::passage::Passage;

use crate::agenda::Happening;
use crate::association::Associated;
use crate::connection::{Connection, Dialling, Fate, Link, Parting, Relaying, set_late_facts};
use crate::line::Wire;
use crate::odds::{NEVER, attempt_result, plan_answers, plan_peers, verdict};
use crate::script::PASSWORD;
use crate::world::Kit;

impl Connection {
    pub(crate) fn advance_front(&mut self, key: Key, kit: &mut Kit) -> Fate {
        for attempt in [Attempt::A, Attempt::B] {
            let Some(next) = self.attempt_ended(attempt, kit) else { continue };
            match self.perform(next, key, kit) {
                Fate::Wait => {}
                fate @ (Fate::Again | Fate::Release) => return fate,
            }
            if !matches!(self.link, Link::Front(_)) {
                return Fate::Again;
            }
        }
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        let ended_before = front.inbox.has_ended();
        while !front.inbox.has_ended() {
            let room = front.inbox.room();
            if room.is_empty() {
                break;
            }
            match self.client.read(room) {
                Ok(read) => front.inbox.filled(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    let outcome = if error.kind() == ErrorKind::ConnectionReset {
                        Outcome::ClientReset
                    } else {
                        Outcome::ClientLost
                    };
                    // What it had said before is heard, and nothing of it begun.
                    if front.machine.wants_bytes() && front.inbox.is_fresh() {
                        let next = self.feed(kit);
                        if matches!(next, Next::Refuse(_) | Next::End(_)) {
                            return self.perform(next, key, kit);
                        }
                    }
                    let next = self.ask_front(Input::Gone(outcome), kit);
                    return self.perform(next, key, kit);
                }
            }
        }
        let next = if front.flushing || !front.outbox.is_empty() {
            Next::Flush
        } else if front.machine.wants_bytes() && front.inbox.is_fresh() {
            self.feed(kit)
        } else {
            Next::Wait
        };
        match self.perform(next, key, kit) {
            Fate::Wait => {}
            fate @ (Fate::Again | Fate::Release) => return fate,
        }
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        if front.inbox.has_ended() && !ended_before {
            let early = !front.inbox.unused().is_empty();
            let next = front.ask(Input::Eof { early }, kit);
            return self.perform(next, key, kit);
        }
        Fate::Wait
    }

    fn ask_front(&mut self, input: Input<'_>, kit: &Kit) -> Next {
        match &mut self.link {
            Link::Front(front) => front.ask(input, kit),
            Link::Relaying(_) | Link::Associated(_) | Link::Parting(_) => Next::Wait,
        }
    }

    fn feed(&mut self, kit: &Kit) -> Next {
        let Link::Front(front) = &mut self.link else { return Next::Wait };
        let octets = Input::Bytes(front.inbox.show());
        let (used, next) = front.machine.handle(octets, kit.agenda.now, &mut front.outbox);
        assert!(used <= front.inbox.unused().len(), "more is used than there is");
        front.inbox.consume(used);
        next
    }

    /// Does what the machine asks, until it waits or is done.
    pub(crate) fn perform(&mut self, mut next: Next, key: Key, kit: &mut Kit) -> Fate {
        loop {
            let number = self.number;
            let Link::Front(front) = &mut self.link else { return Fate::Again };
            next = match next {
                Next::Wait | Next::TurnAway => return self.flush_waiting(kit),
                Next::Read if front.inbox.is_fresh() => self.feed(kit),
                Next::Read if front.inbox.has_ended() => {
                    front.ask(Input::Eof { early: false }, kit)
                }
                Next::Read => {
                    let room = front.inbox.has_room() || front.inbox.grow();
                    let more = room && self.client.line().is_readable();
                    return if more { Fate::Again } else { Fate::Wait };
                }
                Next::Flush => match flush(&mut self.client, &mut front.outbox) {
                    Ok((sent, done)) => {
                        kit.parties[number].replied += sent;
                        front.flushing = !done;
                        if !done {
                            return Fate::Wait;
                        }
                        front.ask(Input::Flushed, kit)
                    }
                    Err(_) => front.ask(Input::Gone(Outcome::ClientGone), kit),
                },
                Next::Verify(credentials) => {
                    let right = credentials.username() == b"alice"
                        && kit.parties[number].script.octets.windows(PASSWORD.len() + 1).any(
                            |it| it == [&[PASSWORD.len() as u8], PASSWORD.as_bytes()].concat(),
                        );
                    match verdict(right, &mut kit.dice) {
                        (0, verdict) => {
                            front.inbox.refresh();
                            let next = front.ask(Input::Verdict(verdict), kit);
                            kit.parties[number].logged_in = front.is_logged_in();
                            next
                        }
                        (wait, verdict) => {
                            front.verifying = true;
                            let asker = (key, number);
                            if wait < NEVER {
                                kit.agenda.plan(wait, Happening::Verified { asker, verdict });
                            }
                            return self.flush_waiting(kit);
                        }
                    }
                }
                Next::Resolve(_) => {
                    front.query = front.query.wrapping_add(1);
                    let query = front.query;
                    plan_answers((key, number), query, kit);
                    return self.flush_waiting(kit);
                }
                Next::Open => {
                    let facts = front.machine.facts().clone();
                    self.open(&facts, key, kit);
                    let Link::Front(front) = &mut self.link else { return Fate::Again };
                    front.ask(Input::Opened, kit)
                }
                Next::Dial { attempt, permit } => {
                    let address = permit.address();
                    self.check_dial(address, kit);
                    let room = self.may_open_socket(kit);
                    let Link::Front(front) = &mut self.link else { return Fate::Again };
                    if !room {
                        let error = ConnectError::NoRoom;
                        next = front.ask(Input::Unreachable { attempt, error }, kit);
                        continue;
                    }
                    front.serial += 1;
                    let (serial, asker) = (front.serial, (key, number));
                    front.attempts[attempt as usize] =
                        Some(Dialling { serial, address, result: None });
                    if let Some((wait, result)) = attempt_result(&mut kit.dice) {
                        let what = Happening::Dialled { asker, attempt, serial, result };
                        kit.agenda.plan(wait, what);
                    }
                    return self.flush_waiting(kit);
                }
                Next::Associate { declared } => {
                    let room = self.may_open_socket(kit);
                    let Link::Front(front) = &mut self.link else { return Fate::Again };
                    if !room || kit.dice.chance(4) {
                        front.ask(Input::NoSocket(ConnectError::NoRoom), kit)
                    } else {
                        let policy = front.machine.policy();
                        let identity = front.machine.facts().identity.clone();
                        let identity = identity.unwrap_or(policy.anonymous.clone());
                        let ip = self.address.ip();
                        let policy = Arc::clone(policy);
                        front.association = Some(Association::new(ip, declared, identity, policy));
                        front.ask(Input::Associated("192.0.2.1:4660".parse().unwrap()), kit)
                    }
                }
                Next::Listen { towards } => {
                    let room = self.may_open_socket(kit);
                    let Link::Front(front) = &mut self.link else { return Fate::Again };
                    if !room || kit.dice.chance(4) {
                        front.ask(Input::NoSocket(ConnectError::NoRoom), kit)
                    } else {
                        front.awaiting = true;
                        plan_peers((key, number), towards, kit);
                        front.ask(Input::Listening("192.0.2.1:4660".parse().unwrap()), kit)
                    }
                }
                Next::RelayDatagrams => return self.associate(kit),
                Next::Relay => return self.join(kit),
                Next::Refuse(outcome) => {
                    self.settle(outcome, true, kit);
                    let Link::Front(front) = &mut self.link else { return Fate::Again };
                    let outbox = std::mem::take(&mut front.outbox);
                    assert!(!outbox.is_empty(), "refused without a word");
                    kit.parties[number].replied += outbox.pending().len() as u64;
                    let (now, linger) = (kit.agenda.now, front.machine.policy().timeouts.linger);
                    let over_at = now + linger.max(Duration::from_secs(8));
                    self.seat.forgo();
                    let until = now + linger;
                    self.link =
                        Link::Parting(Box::new(Parting { outbox, shut: false, until, over_at }));
                    return Fate::Again;
                }
                Next::End(outcome) => {
                    self.settle(outcome, false, kit);
                    return Fate::Release;
                }
            };
        }
    }

    fn flush_waiting(&mut self, kit: &mut Kit) -> Fate {
        if let Link::Front(front) = &mut self.link
            && let Ok((sent, _)) = flush(&mut self.client, &mut front.outbox)
        {
            kit.parties[self.number].replied += sent;
        }
        Fate::Wait
    }

    fn associate(&mut self, kit: &Kit) -> Fate {
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        let association = front.association.take().expect("a socket was made");
        let facts = front.machine.facts().clone();
        let timeouts = front.machine.policy().timeouts;
        let associated = Associated::new(association, facts, timeouts.idle, kit.agenda.now);
        self.link = Link::Associated(Box::new(associated));
        Fate::Again
    }

    fn join(&mut self, kit: &mut Kit) -> Fate {
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        let upstream = front.peer.take().expect("a connection was made");
        let live = self.session.as_ref().expect("a permit opens a session");
        set_late_facts(&live.slot, front.machine.facts());
        let early = front.inbox.unused();
        let timeouts = front.machine.policy().timeouts;
        let standing = front.machine.standing();
        let clocks = kit.agenda.clocks();
        let throttle = front.machine.throttle(clocks);
        let passage =
            Passage::new(early, &timeouts, clocks.mono, kit.carrier.pool()).throttled(throttle);
        self.link = Link::Relaying(Box::new(Relaying { standing, upstream, passage }));
        Fate::Again
    }
}

/// Writes the outbox: how much of it was sent, and whether that was all.
pub(crate) fn flush(client: &mut Wire, outbox: &mut Outbox) -> io::Result<(u64, bool)> {
    let mut sent = 0;
    while !outbox.is_empty() {
        match client.write(outbox.pending()) {
            Ok(written) => {
                outbox.consume(written);
                sent += written as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((sent, false)),
            Err(error) => return Err(error),
        }
    }
    Ok((sent, true))
}

/// Drops what a refused client still sends; gone when it closes.
pub(crate) fn discard(client: &mut Wire) -> Fate {
    let mut dropped = [0; 64];
    loop {
        match client.read(&mut dropped) {
            Ok(0) => return Fate::Release,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Wait,
            Err(_) => return Fate::Release,
        }
    }
}
