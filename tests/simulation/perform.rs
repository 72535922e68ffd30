//! What a machine asks for, done: the same verbs as a worker's, with the agenda in place of the world.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustsocks::auth::{Credentials, Identity, User, Users, Verdict, verify};
use rustsocks::connection::{Attempt, ConnectError, Input, Next};
use rustsocks::key::Key;
use rustsocks::resolve::{Addresses, LookupError};
use rustsocks::session::Outcome;
use rustsocks::socks::Outbox;
use rustsocks::udp::Association;
use rustsocks::worker::passage::Passage;

use crate::agenda::{Answer, Happening};
use crate::association::Associated;
use crate::connection::{Connection, Dialling, Fate, Link, Parting, Relaying, set_late_facts};
use crate::dice::Dice;
use crate::line::{Line, Wire};
use crate::script::{Asked, OTHER, PASSWORD, PUBLIC};
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

    fn attempt_ended(&mut self, attempt: Attempt, kit: &mut Kit) -> Option<Next> {
        let Link::Front(front) = &mut self.link else { return None };
        let dialling = front.attempts[attempt as usize].as_ref()?;
        let (result, address) = (dialling.result?, dialling.address);
        match result {
            Ok(()) => {
                // The other one has lost.
                front.attempts = [None, None];
                front.peer = Some(connect(self.number, kit));
                let local = "192.0.2.1:4660".parse().unwrap();
                Some(front.ask(Input::Connected { attempt, peer: address, local }, kit))
            }
            Err(error) => {
                front.attempts[attempt as usize] = None;
                Some(front.ask(Input::Unreachable { attempt, error }, kit))
            }
        }
    }

    pub(crate) fn dialled(
        &mut self,
        attempt: Attempt,
        serial: u32,
        result: Result<(), ConnectError>,
        kit: &mut Kit,
    ) {
        let Link::Front(front) = &mut self.link else {
            kit.told.stale += 1;
            return;
        };
        match &mut front.attempts[attempt as usize] {
            Some(dialling) if dialling.serial == serial => dialling.result = Some(result),
            // It was dropped, and perhaps another has its name.
            Some(_) | None => kit.told.stale += 1,
        }
    }

    pub(crate) fn resolved(
        &mut self,
        number: usize,
        query: u32,
        (answer, more): Answer,
        key: Key,
        kit: &mut Kit,
    ) -> Fate {
        assert_eq!(self.number, number, "an answer reaches another generation");
        if let Some(fate) = self.renew_front(key, kit) {
            return fate;
        }
        match &mut self.link {
            Link::Front(front) if front.query == query => {
                if !more {
                    front.query = query.wrapping_add(1);
                }
                let party = &mut kit.parties[number];
                party.resolved.extend(answer.iter().flatten());
                let next = front.ask(Input::Resolved { answer, more }, kit);
                self.perform(next, key, kit)
            }
            Link::Associated(_) => {
                self.resolved_for_datagrams(query, (answer, more), key, kit);
                Fate::Wait
            }
            Link::Front(_) | Link::Relaying(_) | Link::Parting(_) => {
                kit.told.stale += 1;
                Fate::Wait
            }
        }
    }

    pub(crate) fn verified(
        &mut self,
        number: usize,
        verdict: Verdict,
        key: Key,
        kit: &mut Kit,
    ) -> Fate {
        assert_eq!(self.number, number, "an answer reaches another generation");
        if let Some(fate) = self.renew_front(key, kit) {
            return fate;
        }
        match &mut self.link {
            Link::Front(front) if front.verifying => {
                front.verifying = false;
                front.inbox.refresh();
                let next = front.ask(Input::Verdict(verdict), kit);
                kit.parties[number].logged_in = front.is_logged_in();
                self.perform(next, key, kit)
            }
            Link::Front(_) | Link::Relaying(_) | Link::Associated(_) | Link::Parting(_) => {
                kit.told.stale += 1;
                Fate::Wait
            }
        }
    }

    pub(crate) fn peer_comes(
        &mut self,
        number: usize,
        from: SocketAddr,
        key: Key,
        kit: &mut Kit,
    ) -> Fate {
        assert_eq!(self.number, number, "a peer reaches another generation");
        if let Some(fate) = self.renew_front(key, kit) {
            return fate;
        }
        let Link::Front(front) = &mut self.link else { return Fate::Wait };
        if !front.awaiting {
            return Fate::Wait;
        }
        let next = front.ask(Input::Accepted(from), kit);
        if matches!(next, Next::TurnAway) {
            return Fate::Wait;
        }
        self.check_address(from, kit);
        let Link::Front(front) = &mut self.link else { return Fate::Wait };
        front.awaiting = false;
        front.peer = Some(connect(number, kit));
        self.perform(next, key, kit)
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
                        front.ask(Input::NoSocket, kit)
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
                        front.ask(Input::NoSocket, kit)
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
        let passage = Passage::new(early, timeouts, kit.agenda.now, kit.carrier.pool());
        self.link = Link::Relaying(Box::new(Relaying { standing, upstream, passage }));
        Fate::Again
    }

    /// No dial without a permit for that very address, after the session was opened.
    fn check_dial(&self, address: SocketAddr, kit: &mut Kit) {
        assert!(self.session.is_some(), "dialled before there was a session");
        self.check_address(address, kit);
        let party = &mut kit.parties[self.number];
        assert!(party.asked_port().is_none_or(|port| port == address.port()), "another port");
        assert!(!party.dialled.contains(&address), "{address} is dialled twice");
        party.dialled.push(address);
    }

    fn check_address(&self, address: SocketAddr, kit: &Kit) {
        let Link::Front(front) = &self.link else { return };
        let party = &kit.parties[self.number];
        let asked = match party.script.asked {
            Asked::Address(ip) => ip.is_unspecified() || ip == address.ip(),
            Asked::Name(_) => party.resolved.contains(&address.ip()),
        };
        let noise = party.script.speech == crate::script::Speech::Noise;
        assert!(asked || noise, "{address} was not asked for");
        let client = party.client_address().ip();
        let machine = &front.machine;
        let guarded = machine.facts().target.as_ref().is_some_and(|target| {
            let far = SocketAddr::from(([127, 0, 0, 1], target.port));
            // What the guard says of one address tells whether it stands.
            let request = rustsocks::socks::Request {
                command: rustsocks::socks::Command::Connect,
                target: far.into(),
            };
            let nobody = IpAddr::from([198, 51, 100, 1]);
            let identity = Identity::anonymous("x");
            machine.policy().acl.on_request(&identity, nobody, &request, kit.agenda.now).is_err()
        });
        assert!(!guarded || may_reach(client, address.ip()), "{client} may not reach {address}");
        let policy = machine.policy();
        let open = policy.methods.choose(rustsocks::socks::MethodSet::NO_AUTH).is_some();
        assert!(open || party.logged_in, "served without the login that is wanted");
    }
}

/// The guard in other words, for the hosts of this world.
pub(crate) fn may_reach(client: IpAddr, host: IpAddr) -> bool {
    let class = |ip: IpAddr| match ip {
        IpAddr::V4(ip) if ip.is_loopback() => 0,
        IpAddr::V4(ip) if ip.is_private() => 1,
        IpAddr::V4(ip) if ip.is_link_local() || ip.is_unspecified() => 9,
        IpAddr::V6(ip) if ip.is_loopback() => 0,
        IpAddr::V4(_) | IpAddr::V6(_) => 2,
    };
    class(host) != 9 && class(client) <= class(host)
}

/// A target answers: its side of a new connection, and what it is going to do.
fn connect(number: usize, kit: &mut Kit) -> Wire {
    let Kit { dice, agenda, parties, .. } = kit;
    let line = Line::new(dice.pick(&[1, 16, 300, 30_000]), dice);
    let wire = Wire::new(&line);
    parties[number].upstream = Some(line);
    agenda.plan(dice.below(300), Happening::TargetReads(number));
    if dice.chance(95) {
        agenda.plan(dice.below(1_000), Happening::TargetSends(number));
    }
    if dice.chance(8) {
        agenda.plan(dice.below(5_000), Happening::TargetResets(number));
    }
    if dice.chance(6) {
        agenda.plan(dice.below(5_000), Happening::ClientResets(number));
    }
    wire
}

/// The one who may log in, and who she is then.
pub(crate) fn alice() -> &'static (Arc<Users>, Identity) {
    static ALICE: OnceLock<(Arc<Users>, Identity)> = OnceLock::new();
    ALICE.get_or_init(|| {
        let hash = rustsocks::auth::hash(PASSWORD.as_bytes()).unwrap();
        let users = Users::new([User::new("alice", &hash, &[]).unwrap()]);
        let password = PASSWORD.as_bytes().to_vec();
        let login = Credentials::new(b"alice"[..].into(), password.into());
        match verify(&users, &login) {
            Verdict::Accepted(identity) => (Arc::new(users), identity),
            refused @ (Verdict::Rejected | Verdict::Banned | Verdict::Overloaded) => {
                panic!("{refused:?}")
            }
        }
    })
}

/// How long a password check takes, and what it says.
fn verdict(right: bool, dice: &mut Dice) -> (u64, Verdict) {
    let verdict = match right {
        true => Verdict::Accepted(alice().1.clone()),
        false => Verdict::Rejected,
    };
    match dice.below(20) {
        0..=5 => (0, verdict),
        6 => (0, Verdict::Overloaded),
        7 => (NEVER, verdict),
        8 => (dice.between(900, 12_000), verdict),
        _ => (dice.between(1, 300), verdict),
    }
}

/// Answers to a question about a name: late, twice, or never.
pub(crate) fn plan_answers(asker: (Key, usize), query: u32, kit: &mut Kit) {
    let Kit { dice, agenda, .. } = kit;
    for _ in 0..dice.pick(&[0, 1, 1, 1, 1, 1, 1, 1, 2, 2]) {
        let wait = match dice.below(8) {
            0 => 0,
            1 => dice.between(1_000, 12_000),
            _ => dice.between(1, 400),
        };
        let answer = answer(dice);
        // One family may be known before the other.
        if let Ok(all) = &answer
            && dice.chance(40)
        {
            let four = dice.chance(50);
            let half: Addresses = all.iter().filter(|ip| ip.is_ipv4() == four).copied().collect();
            if !half.is_empty() {
                let early = wait / 2;
                agenda.plan(early, Happening::Resolved { asker, query, answer: (Ok(half), true) });
            }
        }
        agenda.plan(wait, Happening::Resolved { asker, query, answer: (answer, false) });
    }
}

fn answer(dice: &mut Dice) -> Result<Addresses, LookupError> {
    match dice.below(16) {
        0 => return Err(LookupError::NotFound),
        1 => return Err(LookupError::TimedOut),
        2 => return Err(LookupError::Failed),
        3 => return Err(dice.pick(&[LookupError::Overloaded, LookupError::ClientOverloaded])),
        4 => return Ok(OTHER.iter().copied().take(3).collect()),
        _ => {}
    }
    let mut all: Vec<IpAddr> = PUBLIC.iter().chain(&OTHER[..2]).copied().collect();
    let count = dice.between(1, 4) as usize;
    let mut found = Addresses::new();
    for _ in 0..count {
        found.push(all.swap_remove(dice.below(all.len() as u64) as usize));
    }
    Ok(found)
}

fn attempt_result(dice: &mut Dice) -> Option<(u64, Result<(), ConnectError>)> {
    let wait = match dice.below(6) {
        0 => dice.between(300, 11_000),
        _ => dice.between(1, 200),
    };
    let result = match dice.below(20) {
        0 => return None,
        1 | 2 => Err(ConnectError::Refused),
        3 => Err(ConnectError::NetworkUnreachable),
        4 => Err(ConnectError::HostUnreachable),
        5 => Err(ConnectError::TimedOut),
        6 => Err(ConnectError::NoRoom),
        7 => Err(ConnectError::Other),
        _ => Ok(()),
    };
    Some((wait, result))
}

/// Who comes to the listener of a BIND.
fn plan_peers(asker: (Key, usize), towards: Option<IpAddr>, kit: &mut Kit) {
    let Kit { dice, agenda, .. } = kit;
    for _ in 0..dice.below(3) {
        let stranger = dice.pick(&OTHER[..3]);
        let from = SocketAddr::new(stranger, 20);
        agenda.plan(dice.below(2_000), Happening::PeerComes { asker, from });
    }
    if dice.chance(80) {
        let from = SocketAddr::new(towards.unwrap_or(PUBLIC[0]), 20);
        agenda.plan(dice.between(1, 3_000), Happening::PeerComes { asker, from });
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

/// Milliseconds that stand for an answer which does not come.
const NEVER: u64 = u64::MAX;
