//! A connection that is an association (RFC 1928 §7): its datagrams in portions, and their booking.
//!
//! The session is opened with the first datagram that is permitted, whose target is the session's.
//! Datagrams are lost wherever there is no room for them, as on any link; each one that is lost here is
//! counted, by reason.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;

use super::close;
use super::connection::{CLIENT_SOCKET, Connection, Fate, Link, Live};
use super::kit::Kit;
use super::passage::{Booking, moved};
use super::relaying::first_byte;
use super::socket::Socket;
use super::token::{Role, Token};
use super::udp_end::UdpEnd;
use super::udp_targets::{FAMILIES, Targets};
use crate::auth::Identity;
use crate::clock::Now;
use crate::connection::{Facts, Patience, Standing};
use crate::egress::Outlet;
use crate::key::Key;
use crate::limit::{Exhausted, Throttle};
use crate::policy::Policy;
use crate::relay::{Direction, Meter};
use crate::resolve::{ADDRESSES_MAX, Answered, Asker};
use crate::session::{Outcome, Traffic};
use crate::socks::{Command, DATAGRAM_HEADER_OCTETS_MAX, Datagram, Request};
use crate::stats::Counters;
use crate::udp::{Association, Dropped, Step};

/// An association with its sockets and what it has moved.
pub(super) struct Associated {
    association: Association,
    facts: Facts,
    policy: Arc<Policy>,
    client: UdpEnd,
    targets: Targets,
    traffic: Traffic,
    patience: Patience,
    /// Datagrams since the counters were last stored.
    unpublished: u32,
    /// When the first datagram left, until a target has answered.
    first_byte_since: Option<Instant>,
    /// When the kernel is asked next what it had no room for.
    overflow_at: Instant,
    /// What holds it back, if anything does, and when a direction that waits has its turn.
    throttle: Option<Box<Throttle>>,
    resumes_at: Option<Instant>,
}

impl Associated {
    pub(super) fn new(
        association: Association,
        client: UdpEnd,
        (facts, outlet): (Facts, Outlet),
        policy: Arc<Policy>,
        now: Instant,
    ) -> Self {
        let idle = policy.timeouts.idle;
        Self {
            association,
            facts,
            policy,
            client,
            targets: Targets::new(outlet),
            traffic: Traffic::default(),
            patience: Patience::new(now, idle, idle),
            unpublished: 0,
            first_byte_since: None,
            overflow_at: now + OVERFLOW_EVERY,
            throttle: None,
            resumes_at: None,
        }
    }

    /// Holds it back by this from now on, or by nothing.
    pub(super) fn set_throttle(&mut self, throttle: Option<Box<Throttle>>) {
        self.throttle = throttle;
        self.resumes_at = None;
    }

    pub(super) const fn is_throttled(&self) -> bool {
        self.throttle.is_some()
    }

    /// Where its client is, and who.
    pub(super) fn whose(&self) -> (IpAddr, &Identity) {
        let identity = self.facts.identity.as_ref().unwrap_or(&self.policy.anonymous);
        (self.association.client(), identity)
    }

    /// Octets of a portion, upload and download.
    fn allowed(&mut self, now: Now) -> Result<[u64; 2], Exhausted> {
        match &mut self.throttle {
            Some(throttle) => {
                let wants = [self.client.may_read(), self.targets.ends().any(|end| end.may_read())];
                throttle.allow(OCTETS_PER_TURN, wants, now)
            }
            None => Ok([OCTETS_PER_TURN; 2]),
        }
    }

    /// Pays for what has passed. A direction that has `more` and has to wait is left alone till its turn:
    /// the kernel keeps its datagrams, and drops those that it has no room for.
    fn charge(&mut self, passed: &Traffic, more: &mut [bool; 2], now: Now) {
        let Some(throttle) = &mut self.throttle else { return };
        throttle.charge([passed.bytes_sent, passed.bytes_received], *more, now);
        self.resumes_at = throttle.resumes_at(now.mono);
        for (way, more) in more.iter_mut().enumerate() {
            *more &= throttle.is_ready(way, now.mono);
        }
    }

    pub(super) fn note(&mut self, role: Role, event: &Event) {
        let end = match role {
            Role::UdpClient => Some(&mut self.client),
            Role::UdpV4 => self.targets.end(0),
            Role::UdpV6 => self.targets.end(1),
            Role::Client
            | Role::UpstreamA
            | Role::UpstreamB
            | Role::Awaiting
            | Role::Listener
            | Role::Waker
            | Role::Resolver => None,
        };
        if let Some(end) = end {
            end.note(event);
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.resumes_at.unwrap_or_else(|| self.patience.deadline())
    }

    /// Sockets for datagrams.
    pub(super) fn sockets(&self) -> u32 {
        1 + self.targets.count()
    }

    pub(super) const fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Judges the session by another policy: its client, and the target that it began with. Other targets
    /// are judged with the next datagram to them. Whether it may go on.
    pub(super) fn renew(&mut self, policy: &Arc<Policy>, now: Now) -> bool {
        let identity = self.facts.identity.as_ref().unwrap_or(&self.policy.anonymous);
        let mut ruling = None;
        let permitted = match (&self.facts.target, self.facts.resolved) {
            (Some(target), Some(address)) => {
                let mut standing = Standing {
                    identity: identity.clone(),
                    client: self.association.client(),
                    request: Request { command: Command::UdpAssociate, target: target.clone() },
                    address: Some(address),
                    ruling: None,
                };
                let permitted = standing.renew(policy, now.mono);
                ruling = standing.ruling;
                permitted
            }
            (_, _) => true,
        };
        let identity = policy.renewed(identity);
        let throttle =
            identity.and_then(|identity| policy.throttle(&identity, ruling.as_ref(), now));
        self.set_throttle(throttle);
        permitted && self.association.renew(policy)
    }

    /// Whether a quota is used up that ends it, though nothing passes.
    pub(super) fn is_exhausted(&self, now: Now) -> bool {
        self.throttle.as_ref().is_some_and(|throttle| throttle.is_exhausted(now))
    }

    /// Whether a datagram has passed, either way.
    pub(super) const fn has_relayed(&self) -> bool {
        self.traffic.packets_sent > 0 || self.traffic.packets_received > 0
    }

    /// Makes the facts say why nothing came of it; how it then ends, if there is more to say of that than
    /// that it ended.
    pub(super) fn refused(&mut self) -> Option<Outcome> {
        let refusal = self.association.refusal()?;
        self.facts.target = Some(refusal.target.clone());
        self.facts.ruling.clone_from(&refusal.ruling);
        Some(refusal.outcome)
    }

    /// Counts what the kernel had no room for.
    pub(super) fn count_overflow(&mut self, now: Instant, counters: &Counters) {
        self.overflow_at = now + OVERFLOW_EVERY;
        for end in self.targets.ends().chain([&mut self.client]) {
            counters.datagrams_dropped[Dropped::Overflow.index()].add(end.overflow().into());
        }
    }

    /// Books a datagram that passed.
    fn book(&mut self, direction: Direction, octets: usize, session: Option<&Live>, kit: &Kit) {
        Booking {
            traffic: &mut self.traffic,
            unpublished: &mut self.unpublished,
            publish_every: kit.publish_every,
            session: session.map(|live| live.slot.reference()),
            now_ms: kit.now.utc_ms,
        }
        .moved(direction, octets);
        self.patience.progressed(kit.now.mono);
        if direction == Direction::Download
            && let Some(since) = self.first_byte_since.take()
        {
            let session = session.map(|live| live.slot.reference());
            let waited = kit.now.mono.saturating_duration_since(since);
            first_byte(session, waited, &kit.counters);
        }
    }
}

impl Connection {
    pub(super) fn advance_association(&mut self, key: Key, kit: &mut Kit) -> Fate {
        let control = match drop_control(&mut self.client) {
            Ok(more) => more,
            Err(outcome) => {
                self.settle(outcome, kit);
                return Fate::Release;
            }
        };
        let Link::Associated(associated) = &mut self.link else { return Fate::Again };
        if !associated.association.renew(&kit.policy) {
            self.cut(Outcome::PolicyChanged, kit);
            return Fate::Release;
        }
        if associated.overflow_at <= kit.now.mono {
            associated.count_overflow(kit.now.mono, &kit.counters);
        }
        let Ok(allowed) = associated.allowed(kit.now) else {
            self.cut(Outcome::QuotaExceeded, kit);
            return Fate::Release;
        };
        let before = associated.traffic;
        let mut buffer = kit.datagrams.take();
        let upload = self.upload(allowed[0], &mut buffer.0, key, kit);
        let mut download = false;
        let mut left = allowed[1];
        for family in 0..FAMILIES {
            download |= self.download(family, &mut left, &mut buffer.0, kit);
        }
        kit.datagrams = buffer;
        let [upload, download] = self.publish(&before, [upload, download], kit);
        if control || upload || download { Fate::Again } else { Fate::Wait }
    }

    /// Carries a portion of the client's datagrams, until so many octets have come; whether there may be
    /// more.
    fn upload(&mut self, allowed: u64, buffer: &mut [u8], key: Key, kit: &mut Kit) -> bool {
        let mut left = allowed;
        for _ in 0..DATAGRAMS_PER_TURN {
            let Link::Associated(associated) = &mut self.link else { return false };
            if left == 0 {
                return associated.client.may_read();
            }
            match associated.client.receive(buffer) {
                None => return false,
                Some(Ok((length, source))) => {
                    self.forward(Some(source), &buffer[..length], key, kit);
                    left = left.saturating_sub(length as u64);
                }
                // About one datagram that was lost, or sent by us.
                Some(Err(_)) => {}
            }
        }
        true
    }

    /// Carries a portion of what came from targets, until no octets are `left`; whether there may be more.
    fn download(&mut self, family: usize, left: &mut u64, buffer: &mut [u8], kit: &Kit) -> bool {
        for _ in 0..DATAGRAMS_PER_TURN {
            let Link::Associated(associated) = &mut self.link else { return false };
            let Some(end) = associated.targets.end(family) else { return false };
            if *left == 0 {
                return end.may_read();
            }
            let Some((room, payload)) = buffer.split_first_chunk_mut() else { return false };
            match end.receive(payload) {
                None => return false,
                Some(Ok((length, source))) => {
                    let start = Datagram::write_header(source, room);
                    let whole = &buffer[start..DATAGRAM_HEADER_OCTETS_MAX + length];
                    let sent = associated
                        .association
                        .download(source, kit.now.mono)
                        .and_then(|client| associated.client.send(whole, client));
                    match sent {
                        Ok(()) => {
                            kit.counters.datagrams_received.add(1);
                            let session = self.session.as_ref();
                            associated.book(Direction::Download, length, session, kit);
                        }
                        Err(dropped) => count(dropped, kit),
                    }
                    *left = left.saturating_sub(length as u64);
                }
                // About one datagram that was lost, or sent by us.
                Some(Err(_)) => {}
            }
        }
        true
    }

    /// Does what the association says about a datagram of the client: one that came from `source`, or
    /// one that it had kept.
    fn forward(&mut self, source: Option<SocketAddr>, octets: &[u8], key: Key, kit: &mut Kit) {
        let now = kit.now.mono;
        let Link::Associated(associated) = &mut self.link else { return };
        // Once for each address that a name can have.
        for _ in 0..ADDRESSES_MAX {
            let step = match source {
                Some(source) => associated.association.upload(source, octets, now),
                None => associated.association.upload_kept(octets, now),
            };
            let (permit, payload) = match step {
                Step::Send { permit, target, ruling, payload } => {
                    if !self.opened {
                        self.opened = true;
                        let facts = &mut associated.facts;
                        facts.target = Some(target.clone());
                        facts.ruling = Some(ruling.clone());
                        facts.resolved = Some(permit.address().ip());
                        facts.policy_generation = kit.policy.generation;
                        let came = (self.address, self.accepted.utc_ms);
                        let anonymous = &associated.policy.anonymous;
                        self.session = Live::open(facts, anonymous, came, key, kit);
                        if kit.policy.acl.bandwidth_of(ruling).is_some() {
                            let identity = facts.identity.as_ref().unwrap_or(anonymous);
                            associated.throttle =
                                kit.policy.throttle(identity, Some(ruling), kit.now);
                        }
                        if let Some(live) = &self.session {
                            close::set_late_facts(live.slot.reference(), facts);
                        }
                    }
                    (permit, payload)
                }
                Step::Ask { query, name } => {
                    let asker = Asker { key, query, client: associated.association.client() };
                    return kit.resolver.ask(&name, asker, now);
                }
                Step::Kept => return,
                Step::Drop(dropped) => return count(dropped, kit),
            };
            let to = permit.address();
            // The client's two have theirs.
            let seat = (&mut self.seat, CLIENT_SOCKET + 1);
            match associated.targets.send(permit, payload, seat, key, kit) {
                Ok(()) => {
                    let length = payload.len();
                    associated.association.wrote(to.ip(), now);
                    kit.counters.datagrams_sent.add(1);
                    if !associated.has_relayed() {
                        associated.first_byte_since = Some(now);
                    }
                    return associated.book(Direction::Upload, length, self.session.as_ref(), kit);
                }
                Err(Dropped::Unreachable) if associated.association.pass_over(octets, now) => {}
                Err(dropped) => return count(dropped, kit),
            }
        }
    }

    /// The answer to a look-up of the association.
    pub(super) fn resolved_for_datagrams(&mut self, answered: Answered, kit: &mut Kit) {
        let Answered { key, query, answer, more } = answered;
        let Link::Associated(associated) = &mut self.link else { return };
        // What was kept is judged by the policy in force, by which this one may not have been judged yet;
        // whoever may not go on is ended when it is.
        if !associated.association.renew(&kit.policy) {
            return;
        }
        let before = associated.traffic;
        for kept in associated.association.answered(query, answer, more, kit.now.mono) {
            self.forward(None, &kept, key, kit);
        }
        // Whether more has come is seen when that is looked for.
        let [_, _] = self.publish(&before, [false; 2], kit);
    }

    /// At the end of each portion in which anything moved, so that a session that has gone quiet never
    /// shows old figures. Which directions have `more` that need not wait.
    fn publish(&mut self, before: &Traffic, mut more: [bool; 2], kit: &Kit) -> [bool; 2] {
        let Link::Associated(associated) = &mut self.link else { return more };
        let passed = moved(before, &associated.traffic);
        close::count_traffic(&kit.counters, &passed);
        associated.charge(&passed, &mut more, kit.now);
        let shadowed = associated.association.count_judged(kit.index);
        if shadowed > 0 {
            kit.counters.shadow_blocks.add(shadowed);
        }
        if associated.unpublished > 0 {
            associated.unpublished = 0;
            if let Some(live) = &self.session {
                live.slot.reference().publish(associated.traffic, kit.now.utc_ms);
            }
        }
        more
    }

    pub(super) fn expire_association(&mut self, kit: &mut Kit) -> Fate {
        let Link::Associated(associated) = &mut self.link else { return Fate::Again };
        if associated.resumes_at.take().is_some() {
            return Fate::Again;
        }
        let outcome = associated.patience.outcome();
        self.cut(outcome, kit);
        Fate::Release
    }
}

/// Reads and drops a portion of what the client says on the control connection; whether there may be
/// more, or how the connection has ended.
fn drop_control(control: &mut Socket) -> Result<bool, Outcome> {
    let mut dropped = [0; CONTROL_OCTETS];
    for _ in 0..CONTROL_READS_PER_TURN {
        match control.read(&mut dropped) {
            Ok(0) => return Err(Outcome::ClientClosed),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(Outcome::ClientReset);
            }
            Err(_) => return Err(Outcome::ClientLost),
        }
    }
    Ok(true)
}

/// A socket for a client's datagrams at the address at which it reached us.
pub(super) fn bind_for_client(
    control: &Socket,
    ports: Option<&RangeInclusive<u16>>,
    key: Key,
    kit: &mut Kit,
) -> io::Result<UdpEnd> {
    let ours = control.stream().local_addr()?.ip();
    let bind = |port| {
        let token = Token::of(key, Role::UdpClient);
        UdpEnd::bind(SocketAddr::new(ours, port), &kit.registry, token)
    };
    let Some(ports) = ports else { return bind(0) };
    let count = u32::from(ports.end() - ports.start()) + 1;
    let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..count.min(PORTS_TRIED_MAX) {
        let offset = kit.next_port % count;
        kit.next_port = kit.next_port.wrapping_add(1);
        let port = u16::try_from(u32::from(*ports.start()) + offset).unwrap_or(*ports.end());
        match bind(port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => refused = error,
            bound => return bound,
        }
    }
    Err(refused)
}

fn count(dropped: Dropped, kit: &Kit) {
    kit.counters.datagrams_dropped[dropped.index()].add(1);
}

/// The buffer of a worker through which all datagrams go, one at a time. Empty while it is in use.
#[derive(Default)]
pub(super) struct DatagramBuffer(Vec<u8>);

impl DatagramBuffer {
    /// Takes it out for a portion of work; one that a panic has lost is made anew.
    fn take(&mut self) -> Self {
        let mut taken = std::mem::take(self);
        taken.0.resize(BUFFER_OCTETS, 0);
        taken
    }
}

/// Datagrams of one association carried per turn, from each side.
const DATAGRAMS_PER_TURN: usize = 64;
/// Octets after which no further datagram is begun in a turn, from each side.
const OCTETS_PER_TURN: u64 = 256 * 1024;
/// The longest datagram that there can be (RFC 768), and room in front for the header of an answer, so
/// that none is copied.
const BUFFER_OCTETS: usize = DATAGRAM_HEADER_OCTETS_MAX + 65_536;
/// Between two questions of what the kernel had no room for, while datagrams come.
const OVERFLOW_EVERY: Duration = Duration::from_secs(1);
/// Ports of a range that are tried for one association.
const PORTS_TRIED_MAX: u32 = 256;
/// Octets of the control connection that are dropped at a time, and how often per turn.
const CONTROL_OCTETS: usize = 512;
const CONTROL_READS_PER_TURN: usize = 16;
