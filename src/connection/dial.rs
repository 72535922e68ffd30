//! Address after address until one answers: at most two attempts at once, under one deadline
//! (RFC 8305).
//!
//! The next address is tried when the one before it failed, or alongside it when it has been silent
//! for the Connection Attempt Delay (§5). Two that are both silent do not keep the others out: the
//! older one gives way once it has had its fair part of the time that is left, so that every address
//! has its turn before the deadline. Addresses that come after dialling began are put among those
//! that have not been tried, so that the families go on alternating.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::acl::{Acl, Denial, Permit, RequestPermit};
use crate::resolve::{ADDRESSES_MAX, Addresses, Record, alternate};
use crate::session::Outcome;

/// The name of one of the two attempts that may be pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The first.
    A,
    /// The other.
    B,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The target refused (ECONNREFUSED).
    Refused,
    /// No route to its network (ENETUNREACH).
    NetworkUnreachable,
    /// No route to the host (EHOSTUNREACH, EHOSTDOWN).
    HostUnreachable,
    /// The kernel gave up waiting (ETIMEDOUT).
    TimedOut,
    /// We have no descriptor, memory or port for it.
    NoRoom,
    /// Anything else.
    Other,
}

impl From<&io::Error> for ConnectError {
    fn from(error: &io::Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a foreign, non-exhaustive enum; the rest is `Other` on purpose"
        )]
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                Self::NetworkUnreachable
            }
            io::ErrorKind::HostUnreachable => Self::HostUnreachable,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::OutOfMemory | io::ErrorKind::AddrInUse => Self::NoRoom,
            _ => match Errno::from_io_error(error) {
                Some(Errno::NFILE | Errno::MFILE | Errno::NOBUFS) => Self::NoRoom,
                // This host does not speak the family at all.
                Some(Errno::AFNOSUPPORT) => Self::NetworkUnreachable,
                Some(_) | None => Self::Other,
            },
        }
    }
}

impl ConnectError {
    /// How a session ends whose last address failed like this.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Refused => Outcome::ConnectionRefused,
            Self::NetworkUnreachable => Outcome::NetworkUnreachable,
            Self::HostUnreachable => Outcome::HostUnreachable,
            Self::TimedOut => Outcome::ConnectTimeout,
            Self::NoRoom => Outcome::ServerBusy,
            Self::Other => Outcome::ConnectFailed,
        }
    }

    /// A refusal says more about the target than a missing route of ours, and is what the client
    /// is told when addresses of a name failed in different ways.
    const fn weight(self) -> u8 {
        match self {
            Self::Other => 0,
            Self::NetworkUnreachable => 1,
            Self::HostUnreachable => 2,
            Self::NoRoom => 3,
            Self::TimedOut => 4,
            Self::Refused => 5,
        }
    }
}

/// The attempts of one connection.
#[derive(Debug)]
pub(super) struct Attempts {
    addresses: Addresses,
    tried: usize,
    permit: RequestPermit,
    /// When each attempt began that is pending.
    pending: [Option<Instant>; 2],
    worst: Option<ConnectError>,
    denial: Option<Denial>,
    pub(super) began: Instant,
    until: Instant,
    /// When the last attempt began.
    last: Instant,
    delay: Duration,
    /// More addresses may come.
    pub(super) more: bool,
}

impl Attempts {
    /// Attempts on `addresses`, in their order, until `until`; one that is silent is joined by the
    /// next after `delay`.
    pub(super) fn new(
        addresses: Addresses,
        permit: RequestPermit,
        now: Instant,
        (delay, until): (Duration, Instant),
    ) -> Self {
        Self {
            addresses,
            tried: 0,
            permit,
            pending: [None; 2],
            worst: None,
            denial: None,
            began: now,
            until,
            last: now,
            delay,
            more: false,
        }
    }

    /// Takes addresses that have come late; those that are known already are passed over.
    pub(super) fn add(&mut self, late: &[IpAddr]) {
        let (tried, untried) = self.addresses.split_at(self.tried);
        let new = late.iter().filter(|ip| !self.addresses.contains(ip));
        let leading = match tried.last() {
            Some(last) if Record::A.holds(*last) => Record::Aaaa,
            Some(_) | None => Record::A,
        };
        let rest = alternate(untried.iter().chain(new).copied(), leading);
        self.addresses.truncate(self.tried);
        let room = ADDRESSES_MAX.saturating_sub(self.tried);
        self.addresses.extend(rest.into_iter().take(room));
    }

    /// The next permitted address that the way out `reaches`, with a name for its attempt; one of that
    /// name which is still pending gives way. `None` when none is left, or two are pending and both
    /// have time.
    pub(super) fn next(
        &mut self,
        acl: &Acl,
        reaches: impl FnMut(&Permit) -> bool,
        now: Instant,
    ) -> Option<(Attempt, Permit)> {
        let attempt = match self.pending {
            [None, _] => Attempt::A,
            [Some(_), None] => Attempt::B,
            [Some(_), Some(_)] if !self.may_join(now) => return None,
            [Some(a), Some(b)] if a <= b => Attempt::A,
            [Some(_), Some(_)] => Attempt::B,
        };
        let permit = self.next_permit(acl, reaches)?;
        if self.pending[attempt as usize].replace(now).is_some() {
            self.note(ConnectError::TimedOut);
        }
        self.last = now;
        Some((attempt, permit))
    }

    fn next_permit(
        &mut self,
        acl: &Acl,
        mut reaches: impl FnMut(&Permit) -> bool,
    ) -> Option<Permit> {
        while let Some(address) = self.addresses.get(self.tried).copied() {
            self.tried += 1;
            match acl.on_address(&self.permit, address) {
                Ok(permit) if reaches(&permit) => return Some(permit),
                // There is no address of its family to leave from.
                Ok(_) => self.note(ConnectError::NetworkUnreachable),
                Err(denial) => self.denial = Some(denial),
            }
        }
        None
    }

    /// The permit for the first address that may be dialled; if none may, the last denial.
    pub(super) fn any_permitted(&self, acl: &Acl) -> Result<Permit, Option<Denial>> {
        let mut last = None;
        for address in &self.addresses {
            match acl.on_address(&self.permit, *address) {
                Ok(permit) => return Ok(permit),
                Err(denial) => last = Some(denial),
            }
        }
        Err(last)
    }

    /// Goes on under other rules, which permit the target.
    pub(super) fn renew(&mut self, permit: RequestPermit) {
        self.permit = permit;
    }

    /// The permit for an attempt that has succeeded.
    ///
    /// # Errors
    /// When the rules have changed since it was dialled, and forbid it now.
    pub(super) fn permit(&self, acl: &Acl, address: IpAddr) -> Result<Permit, Denial> {
        acl.on_address(&self.permit, address)
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, attempt: Attempt, error: ConnectError) {
        self.pending[attempt as usize] = None;
        self.note(error);
    }

    fn note(&mut self, error: ConnectError) {
        if self.worst.is_none_or(|worst| worst.weight() < error.weight()) {
            self.worst = Some(error);
        }
    }

    /// Whether an attempt is pending.
    pub(super) const fn is_pending(&self) -> bool {
        self.pending[0].is_some() || self.pending[1].is_some()
    }

    /// Whether the one deadline over all addresses has come.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// Whether what is pending has been silent for long enough for the next address to be tried.
    pub(super) fn may_join(&self, now: Instant) -> bool {
        self.joined_at().is_some_and(|at| now >= at)
    }

    /// When the next address is tried though nothing has failed; `None` when none is left.
    fn joined_at(&self) -> Option<Instant> {
        let left = u32::try_from(self.addresses.len() - self.tried).unwrap_or(u32::MAX);
        if left == 0 {
            return None;
        }
        Some(match self.pending {
            [Some(a), Some(b)] => {
                let share = self.until.saturating_duration_since(self.last) / (left + 1);
                (self.last + share).max(a.min(b) + 2 * self.delay)
            }
            [Some(_), None] | [None, Some(_)] | [None, None] => self.last + self.delay,
        })
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Instant {
        match self.joined_at() {
            Some(at) => at.min(self.until),
            None => self.until,
        }
    }

    /// How the session ends now that nothing is left to try.
    pub(super) fn outcome(&self) -> Outcome {
        self.worst.map_or(Outcome::ConnectFailed, ConnectError::outcome)
    }

    /// How the session ends now that the time is over.
    pub(super) fn overdue(&self) -> Outcome {
        match self.worst {
            // It waited for nothing but the rest of the name.
            Some(worst) if !self.is_pending() => worst.outcome(),
            Some(_) | None => Outcome::ConnectTimeout,
        }
    }

    /// The address that a permitted request names literally, as a list of one.
    pub(super) fn literal(address: IpAddr) -> Addresses {
        let mut addresses = Addresses::new();
        addresses.push(address);
        addresses
    }
}
