//! A connection up to its success reply: readiness becomes inputs of the machine, and what the
//! machine asks for is done, one arm per verb.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;

use super::binding::Awaiting;
use super::close::{self, set_late_facts};
use super::connection::{Connection, Fate, Link, Live};
use super::inbox::Inbox;
use super::kit::Kit;
use super::parting::Parting;
use super::relaying::Relaying;
use super::socket::Socket;
use super::token::{Role, Token};
use super::udp::{self, Associated};
use super::udp_end::UdpEnd;
use crate::acl::Permit;
use crate::auth::{Credentials, RecentKey, Verdict};
use crate::connection::{Attempt, ConnectError, Input, Machine, Next};
use crate::key::Key;
use crate::limit::{Bans, MayCheck};
use crate::linux;
use crate::linux::outgoing::Outgoing;
use crate::offload::Job;
use crate::policy::Policy;
use crate::resolve::{Answered, Asker};
use crate::session::Outcome;
use crate::socks::Outbox;
use crate::udp::Association;

/// The machine with its buffers, and the sockets that it is dialling.
pub(super) struct Front {
    pub(super) machine: Machine,
    inbox: Inbox,
    outbox: Outbox,
    attempts: [Option<Dialled>; 2],
    /// The look-up that is being waited for; answers to others are late.
    query: u32,
    /// What the verdict that is being waited for is remembered under.
    recent: Option<RecentKey>,
    /// The policy under which it was asked for.
    asked_under: u64,
    /// When it was first asked for.
    asked_at: Option<Instant>,
    /// What a login waits for that is no verdict.
    held: Held,
    /// BIND: where the peer is awaited.
    pub(super) awaiting: Option<Awaiting>,
    /// BIND: the peer that has come.
    pub(super) accepted: Option<Socket>,
    /// The association that is to begin, with its socket towards the client.
    association: Option<(UdpEnd, Association)>,
    /// The machine waits for the outbox to leave.
    flushing: bool,
}

/// A login that goes on by itself at a time.
enum Held {
    Nothing,
    /// Others from the same address are being checked.
    Unchecked {
        credentials: Credentials,
        until: Instant,
    },
    /// A failure is not answered at once.
    Answer {
        verdict: Verdict,
        until: Instant,
    },
}

impl Held {
    const fn until(&self) -> Option<Instant> {
        match self {
            Self::Nothing => None,
            Self::Unchecked { until, .. } | Self::Answer { until, .. } => Some(*until),
        }
    }
}

/// A socket that connects to `address`.
struct Dialled {
    socket: Socket,
    address: SocketAddr,
}

impl Front {
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            machine,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            attempts: [None, None],
            query: 0,
            recent: None,
            asked_under: 0,
            asked_at: None,
            held: Held::Nothing,
            awaiting: None,
            accepted: None,
            association: None,
            flushing: false,
        }
    }

    pub(super) fn note(&mut self, attempt: Attempt, event: &Event) {
        if let Some(dialled) = &mut self.attempts[attempt as usize] {
            dialled.socket.note(event);
        } else if let Some(peer) = &mut self.accepted {
            peer.note(event);
        }
    }

    /// The sockets that it is dialling, or has connected; the peer of a BIND, which dials nobody.
    pub(super) fn upstreams(&self) -> [Option<&Socket>; 2] {
        let [a, b] = self.attempts.each_ref().map(|attempt| Some(&attempt.as_ref()?.socket));
        [self.accepted.as_ref().or(a), b]
    }

    /// Sockets beside the client's.
    pub(super) fn sockets(&self) -> u32 {
        let attempts: u32 = self.attempts.iter().flatten().map(|_| 1).sum();
        attempts
            + u32::from(self.awaiting.is_some())
            + u32::from(self.accepted.is_some())
            + u32::from(self.association.is_some())
    }

    /// Judges by another policy from now on.
    fn renew(&mut self, policy: &Arc<Policy>, now: Instant) -> Option<Next> {
        self.machine.renew(policy, now, &mut self.outbox)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = self.machine.deadline()?;
        Some(self.held.until().map_or(until, |held| held.min(until)))
    }

    pub(super) fn ask(&mut self, input: Input<'_>, now: Instant) -> Next {
        self.machine.handle(input, now, &mut self.outbox).1
    }

    /// Shows the machine what the client sent.
    fn feed(&mut self, now: Instant) -> Next {
        let octets = Input::Bytes(self.inbox.show());
        let (used, next) = self.machine.handle(octets, now, &mut self.outbox);
        self.inbox.consume(used);
        next
    }

    /// The connection to the client broke. What it had said before is heard all the same, so that it is
    /// recorded; nothing of it is begun.
    fn broken(&mut self, outcome: Outcome, now: Instant) -> Next {
        if self.machine.wants_bytes() && self.inbox.is_fresh() {
            let next = self.feed(now);
            if matches!(next, Next::Refuse(_) | Next::End(_)) {
                return next;
            }
        }
        self.ask(Input::Gone(outcome), now)
    }

    /// Reads what the client sends, as far as there is room for it.
    fn fill(&mut self, client: &mut Socket) -> Result<(), Outcome> {
        while client.is_readable() && !self.inbox.has_ended() {
            let room = self.inbox.room();
            if room.is_empty() {
                // A reset is not to be read as long as octets are in front of it.
                return if client.is_broken() { Err(Outcome::ClientReset) } else { Ok(()) };
            }
            match client.read(room) {
                Ok(read) => self.inbox.filled(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Outcome::ClientReset);
                }
                Err(_) => return Err(Outcome::ClientLost),
            }
        }
        Ok(())
    }
}

impl Connection {
    /// No step is taken under a policy that is not in force any more. `None` when there is nothing more
    /// to it.
    pub(super) fn renew_front(&mut self, key: Key, kit: &mut Kit) -> Option<Fate> {
        let Link::Front(front) = &mut self.link else { return None };
        if front.machine.policy().generation == kit.policy.generation {
            return None;
        }
        let next = front.renew(&kit.policy, kit.now.mono)?;
        Some(self.perform(next, key, kit))
    }

    pub(super) fn advance_front(&mut self, key: Key, kit: &mut Kit) -> Fate {
        for attempt in [Attempt::A, Attempt::B] {
            // What has just become of it has had its portion.
            let Link::Front(front) = &mut self.link else { return Fate::Wait };
            if let Some(next) = attempt_ended(front, attempt, kit) {
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

    pub(super) fn expire_front(&mut self, key: Key, kit: &mut Kit) -> Fate {
        let now = kit.now.mono;
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        if front.held.until().is_none_or(|until| now < until) {
            let next = front.ask(Input::Deadline, now);
            return self.perform(next, key, kit);
        }
        match std::mem::replace(&mut front.held, Held::Nothing) {
            Held::Unchecked { credentials, .. } => {
                self.perform(Next::Verify(credentials), key, kit)
            }
            Held::Answer { verdict, .. } => self.hear(verdict, key, kit),
            Held::Nothing => Fate::Wait,
        }
    }

    /// The answer to a look-up.
    pub(super) fn resolved(&mut self, answered: Answered, kit: &mut Kit) -> Fate {
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
            Link::Associated(_) => {
                self.resolved_for_datagrams(answered, kit);
                Fate::Wait
            }
            Link::Front(_) | Link::Relaying(_) | Link::Parting(_) => {
                kit.counters.stale.add(1);
                Fate::Wait
            }
        }
    }

    /// The answer to a password check.
    pub(super) fn verified(&mut self, verdict: Verdict, key: Key, kit: &mut Kit) -> Fate {
        if let Some(fate) = self.renew_front(key, kit) {
            return fate;
        }
        match &mut self.link {
            Link::Front(front) if front.recent.is_some() => {
                if let (Some(recent), Verdict::Accepted(identity)) = (front.recent.take(), &verdict)
                    && front.asked_under == kit.policy.generation
                {
                    kit.recent.put(recent, identity.clone(), kit.now.mono);
                }
                let (now, delay) = (kit.now.mono, front.machine.policy().bans.answer_after);
                let until = front.asked_at.map_or(now, |asked| asked + delay);
                if verdict == Verdict::Rejected && now < until {
                    front.held = Held::Answer { verdict, until };
                    return Fate::Wait;
                }
                self.hear(verdict, key, kit)
            }
            Link::Front(_) | Link::Relaying(_) | Link::Associated(_) | Link::Parting(_) => {
                kit.counters.stale.add(1);
                Fate::Wait
            }
        }
    }

    /// Tells the machine the answer to a password check.
    fn hear(&mut self, verdict: Verdict, key: Key, kit: &mut Kit) -> Fate {
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        front.inbox.refresh();
        let next = front.ask(Input::Verdict(verdict), kit.now.mono);
        self.perform(next, key, kit)
    }

    fn ask_front(&mut self, input: Input<'_>, now: Instant) -> Next {
        match &mut self.link {
            Link::Front(front) => front.ask(input, now),
            Link::Relaying(_) | Link::Associated(_) | Link::Parting(_) => Next::Wait,
        }
    }

    /// Does what the machine asks, until it waits or is done.
    pub(super) fn perform(&mut self, mut next: Next, key: Key, kit: &mut Kit) -> Fate {
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
                Next::Flush => match flush(&mut self.client, &mut front.outbox) {
                    Ok(true) => {
                        front.flushing = false;
                        front.ask(Input::Flushed, now)
                    }
                    Ok(false) => {
                        front.flushing = true;
                        return Fate::Wait;
                    }
                    Err(_) => front.ask(Input::Gone(Outcome::ClientGone), now),
                },
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
                    None => self.ask_front(Input::NoSocket, now),
                },
                Next::Listen { towards } => match self.listen_for_peer(towards, key, kit) {
                    Some(bound) => self.ask_front(Input::Listening(bound), now),
                    None => self.ask_front(Input::NoSocket, now),
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
                    self.link = Link::Parting(Parting::refused(outbox, now, linger));
                    return Fate::Again;
                }
                Next::End(outcome) => {
                    self.settle(outcome, kit);
                    return Fate::Release;
                }
            };
        }
    }

    /// Sends what is in the outbox while the machine waits for something else.
    fn flush_waiting(&mut self) -> Fate {
        if let Link::Front(front) = &mut self.link {
            // A broken socket is noticed by the next read; nothing depends on this one write.
            let sent = flush(&mut self.client, &mut front.outbox);
            debug_assert!(sent.is_ok() || !front.outbox.pending().is_empty());
        }
        Fate::Wait
    }

    fn open(&mut self, key: Key, kit: &mut Kit) {
        let Link::Front(front) = &self.link else { return };
        self.opened = true;
        close::count_ruling(&front.machine, kit);
        let came = (self.address, self.accepted.utc_ms);
        let anonymous = &front.machine.policy().anonymous;
        self.session = Live::open(front.machine.facts(), anonymous, came, key, kit);
    }

    /// Begins to connect to the permitted address.
    fn dial(
        &mut self,
        permit: &Permit,
        attempt: Attempt,
        key: Key,
        kit: &Kit,
    ) -> Result<(), ConnectError> {
        if let Link::Front(front) = &mut self.link {
            // One of that name that is pending has had its time.
            front.attempts[attempt as usize] = None;
        }
        if !self.may_open_socket(kit) {
            return Err(ConnectError::NoRoom);
        }
        let Link::Front(front) = &mut self.link else { return Err(ConnectError::Other) };
        let Some(out) = front.machine.outlet().towards(permit.address().ip()) else {
            return Err(ConnectError::NetworkUnreachable);
        };
        match dial(permit, &out, attempt, key, kit) {
            Ok(socket) => {
                let address = permit.address();
                front.attempts[attempt as usize] = Some(Dialled { socket, address });
                Ok(())
            }
            Err(error) => {
                count_lost_source(&error, kit);
                Err(ConnectError::from(&error))
            }
        }
    }

    /// Makes the socket for the client's datagrams; its address.
    fn make_association(&mut self, declared: u16, key: Key, kit: &mut Kit) -> Option<SocketAddr> {
        if !self.may_open_socket(kit) {
            return None;
        }
        let Link::Front(front) = &mut self.link else { return None };
        let policy = front.machine.policy();
        let ports = policy.associations.ports.clone();
        let made = udp::bind_for_client(&self.client, ports.as_ref(), key, kit)
            .and_then(|end| Ok((end.local_addr()?, end)));
        match made {
            Ok((bound, end)) => {
                let identity =
                    front.machine.facts().identity.clone().unwrap_or(policy.anonymous.clone());
                let policy = Arc::clone(policy);
                let association =
                    Association::new(front.machine.client(), declared, identity, policy);
                front.association = Some((end, association));
                Some(bound)
            }
            Err(error) => {
                tracing::debug!("no socket for the datagrams of a client: {error}");
                None
            }
        }
    }

    /// The success reply has left: datagrams are carried from here on, and the front is freed.
    fn associate(&mut self, key: Key, kit: &mut Kit) -> Fate {
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        let Some((client, association)) = front.association.take() else {
            self.settle(Outcome::Internal, kit);
            return Fate::Release;
        };
        let facts = front.machine.facts().clone();
        kit.counters.stages.observe(&facts.stages);
        let policy = Arc::clone(front.machine.policy());
        let outlet = front.machine.outlet().clone();
        let associated =
            Associated::new(association, client, (facts, outlet), policy, kit.now.mono);
        self.link = Link::Associated(Box::new(associated));
        self.advance_association(key, kit)
    }

    /// The success reply has left: the two sockets are joined, and the front is freed.
    fn join(&mut self, kit: &mut Kit) -> Fate {
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        let mut dialled = front.attempts.iter_mut().filter_map(Option::take);
        let Some(upstream) =
            front.accepted.take().or_else(|| dialled.next().map(|dialled| dialled.socket))
        else {
            self.settle(Outcome::Internal, kit);
            return Fate::Release;
        };
        let facts = front.machine.facts();
        kit.counters.stages.observe(&facts.stages);
        if let Some(live) = &self.session {
            set_late_facts(live.slot.reference(), facts);
        }
        let early = front.inbox.unused();
        let timeouts = front.machine.policy().timeouts;
        let standing = front.machine.standing();
        let relaying = Relaying::new(upstream, early, timeouts, standing, kit);
        self.link = Link::Relaying(Box::new(relaying));
        self.advance_relay(kit)
    }
}

/// Whether an attempt has succeeded or failed by now, and what the machine says to it.
fn attempt_ended(front: &mut Front, attempt: Attempt, kit: &Kit) -> Option<Next> {
    let Dialled { socket, address } = front.attempts[attempt as usize].as_ref()?;
    let peer = *address;
    let result = socket.connected()?.and_then(|()| socket.stream().local_addr());
    Some(match result {
        Ok(local) => {
            // The other attempt, if there is one, has lost.
            let other = match attempt {
                Attempt::A => Attempt::B,
                Attempt::B => Attempt::A,
            };
            front.attempts[other as usize] = None;
            front.ask(Input::Connected { attempt, peer, local }, kit.now.mono)
        }
        Err(error) => {
            front.attempts[attempt as usize] = None;
            let error = ConnectError::from(&error);
            front.ask(Input::Unreachable { attempt, error }, kit.now.mono)
        }
    })
}

/// A verdict that is known at once, or `None` when the pool was asked, or is to be asked later.
fn verify(
    front: &mut Front,
    credentials: Credentials,
    key: Key,
    bans: &Arc<Bans>,
    kit: &Kit,
) -> Option<Verdict> {
    let now = kit.now.mono;
    let recent = kit.recent.key(&credentials);
    if let Some(identity) = kit.recent.get(&recent, now) {
        return Some(Verdict::Accepted(identity));
    }
    front.asked_at.get_or_insert(now);
    let policy = Arc::clone(front.machine.policy());
    let check = match bans.check(front.machine.client(), policy.bans, now) {
        MayCheck::Yes(check) => check,
        MayCheck::Later => {
            front.held = Held::Unchecked { credentials, until: now + CHECKED_AGAIN };
            return None;
        }
        MayCheck::Banned => return Some(Verdict::Banned),
    };
    front.asked_under = policy.generation;
    front.recent = Some(recent);
    let users = Arc::clone(&policy.users);
    let job = Job::Verify { check, users, credentials, key, post: kit.post.clone() };
    match kit.hashes.submit(job) {
        Ok(()) => None,
        Err(_) => {
            front.recent = None;
            Some(Verdict::Overloaded)
        }
    }
}

/// Counts that an address of ours could not be had: it is gone from this host, or has no port left.
pub(super) fn count_lost_source(error: &io::Error, kit: &Kit) {
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        kit.counters.sources_lost.add(1);
    }
}

fn dial(
    permit: &Permit,
    out: &Outgoing<'_>,
    attempt: Attempt,
    key: Key,
    kit: &Kit,
) -> io::Result<Socket> {
    let stream = linux::socket::dial(permit.address(), out)?;
    let role = match attempt {
        Attempt::A => Role::UpstreamA,
        Attempt::B => Role::UpstreamB,
    };
    let mut socket = Socket::dialled(stream);
    socket.register(&kit.registry, Token::of(key, role))?;
    Ok(socket)
}

/// Writes the outbox; whether it is empty now.
pub(super) fn flush(client: &mut Socket, outbox: &mut Outbox) -> io::Result<bool> {
    while !outbox.pending().is_empty() {
        match client.write(outbox.pending()) {
            Ok(written) => outbox.consume(written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// When a login is looked at again that waits for others from its address.
const CHECKED_AGAIN: Duration = Duration::from_millis(100);
