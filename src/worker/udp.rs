//! A connection that is an association (RFC 1928 §7): what it holds, and how its datagrams are booked.
//!
//! The session is opened with the first datagram that is permitted, whose target is the session's.
//! Datagrams are lost wherever there is no room for them, as on any link; each one that is lost here is
//! counted, by reason.

use std::io::{self, Read};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;

use super::connection::{Connection, Fate, Link, Live};
use super::kit::Kit;
use super::passage::Booking;
use super::relaying::first_byte;
use super::socket::Socket;
use super::token::{Role, Token};
use super::udp_end::UdpEnd;
use super::udp_limits::UdpLimits;
use super::udp_targets::Targets;
use crate::auth::Identity;
use crate::clock::Now;
use crate::connection::{Facts, Patience, Standing};
use crate::egress::Outlet;
use crate::key::Key;
use crate::limit::{Exhausted, Throttle};
use crate::policy::Policy;
use crate::relay::{Direction, Meter};
use crate::session::{Outcome, Traffic};
use crate::socks::{Command, Request};
use crate::stats::Counters;
use crate::udp::{Association, Dropped};

/// An association with its sockets and what it has moved.
pub(super) struct Associated {
    pub(super) association: Association,
    pub(super) facts: Facts,
    pub(super) policy: Arc<Policy>,
    pub(super) client: UdpEnd,
    pub(super) targets: Targets,
    pub(super) traffic: Traffic,
    patience: Patience,
    /// Datagrams since the counters were last stored.
    pub(super) unpublished: u32,
    /// When the first datagram left, until a target has answered.
    pub(super) first_byte_since: Option<Instant>,
    /// When the kernel is asked next what it had no room for.
    pub(super) overflow_at: Instant,
    pub(super) limits: UdpLimits,
}

impl Associated {
    pub(super) fn new(
        association: Association,
        client: UdpEnd,
        (facts, outlet): (Facts, Outlet),
        policy: Arc<Policy>,
        now: Now,
    ) -> Self {
        let idle = policy.timeouts.idle;
        let limits = limits(&association, now);
        let now = now.mono;
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
            limits,
        }
    }

    pub(super) fn is_throttled(&self) -> bool {
        self.limits.hold()
    }

    /// Where its client is, and who, by the policy that it has last been judged by.
    pub(super) fn whose(&self) -> (IpAddr, &Identity) {
        (self.association.client(), self.association.identity())
    }

    /// Octets of a portion, upload and download.
    pub(super) fn allowed(&mut self, now: Now) -> Result<[u64; 2], Exhausted> {
        let wants = self.may_read();
        self.limits.allow(OCTETS_PER_TURN, wants, now)
    }

    /// Whether datagrams may have come from its client, and from targets.
    pub(super) fn may_read(&mut self) -> [bool; 2] {
        [self.client.may_read(), self.targets.ends().any(|end| end.may_read())]
    }

    /// Pays for what has passed. A direction that has `more` and has to wait is left alone till its turn:
    /// the kernel keeps its datagrams, and drops those that it has no room for.
    pub(super) fn charge(&mut self, passed: &Traffic, more: &mut [bool; 2], now: Now) {
        self.limits.charge([passed.bytes_sent, passed.bytes_received], more, now);
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
        self.limits.resumes_at().unwrap_or_else(|| self.patience.deadline())
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
        let permitted = match (&self.facts.target, self.facts.resolved) {
            (Some(target), Some(address)) => {
                let mut standing = Standing {
                    identity: self.association.identity().clone(),
                    client: self.association.client(),
                    request: Request { command: Command::UdpAssociate, target: target.clone() },
                    address: Some(address),
                    judged_at: self.facts.judged_at,
                };
                standing.renew(policy, now.mono).is_ok()
            }
            (_, _) => true,
        };
        permitted && self.follow(policy, now)
    }

    /// Judges datagrams by the policy in force, and is held back by its limits. Whether its client may
    /// go on.
    pub(super) fn follow(&mut self, policy: &Arc<Policy>, now: Now) -> bool {
        if self.association.policy().generation == policy.generation {
            return true;
        }
        let goes_on = self.association.renew(policy, now.mono);
        let before = std::mem::replace(&mut self.limits, limits(&self.association, now));
        self.limits.take_over(&before);
        goes_on
    }

    /// A rule has named a limit that none had named before.
    pub(super) fn name_limit(&mut self, name: &str, now: Now) {
        self.limits.name(named_limit(&self.association, name, now));
    }

    /// Whether a quota is used up that ends it, though nothing passes.
    pub(super) fn is_exhausted(&self, now: Now) -> bool {
        self.limits.are_exhausted(now)
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
        self.facts.policy_generation = refusal.policy_generation;
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
    pub(super) fn book(
        &mut self,
        direction: Direction,
        octets: usize,
        session: Option<&Live>,
        kit: &Kit,
    ) {
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
    pub(super) fn expire_association(&mut self, kit: &mut Kit) -> Fate {
        let Link::Associated(associated) = &mut self.link else { return Fate::Again };
        if associated.limits.take_turn() {
            return Fate::Again;
        }
        let outcome = associated.patience.outcome();
        self.cut(outcome, kit);
        Fate::Release
    }
}

/// What holds back an association that may go on.
fn limits(association: &Association, now: Now) -> UdpLimits {
    let (policy, identity) = (association.policy(), association.identity());
    let mut limits = UdpLimits::new(policy.throttle(identity, None, now));
    for name in association.limits() {
        limits.name(named_limit(association, name, now));
    }
    limits
}

/// What holds back an association where a rule has named a limit. It is under it by the same groups as by
/// those of the whole, or it would pay twice or not at all.
fn named_limit(association: &Association, name: &str, now: Now) -> Option<Box<Throttle>> {
    let limits = &association.policy().limits;
    limits.throttle_of_rule(association.identity(), name, now)
}

/// Reads and drops a portion of what the client says on the control connection; whether there may be
/// more, or how the connection has ended.
pub(super) fn drop_control(control: &mut Socket) -> Result<bool, Outcome> {
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
    // With its scope, which tells the link where it is link-local.
    let ours = control.stream().local_addr()?;
    let bind = |port| {
        let mut ours = ours;
        ours.set_port(port);
        UdpEnd::bind(ours, &kit.registry, Token::of(key, Role::UdpClient))
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

/// Octets after which no further datagram is begun in a turn, from each side.
const OCTETS_PER_TURN: u64 = 256 * 1024;
/// Between two questions of what the kernel had no room for, while datagrams come.
const OVERFLOW_EVERY: Duration = Duration::from_secs(1);
/// Ports of a range that are tried for one association.
const PORTS_TRIED_MAX: u32 = 256;
/// Octets of the control connection that are dropped at a time, and how often per turn.
const CONTROL_OCTETS: usize = 512;
const CONTROL_READS_PER_TURN: usize = 16;
