//! Address after address until one answers: at most two attempts at once, under one deadline.
//!
//! The next address is tried when the one before it failed, or alongside it when it has been
//! silent for a while (RFC 8305 §5).

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::acl::{Acl, Denial, Permit, RequestPermit};
use crate::resolve::Addresses;
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
    /// We have no descriptor or memory for it.
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
            io::ErrorKind::OutOfMemory => Self::NoRoom,
            _ => match error.raw_os_error() {
                // ENFILE, EMFILE (errno(3)).
                Some(23 | 24) => Self::NoRoom,
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
    pending: [bool; 2],
    worst: Option<ConnectError>,
    denial: Option<Denial>,
    pub(super) began: Instant,
    until: Instant,
    alongside_at: Option<Instant>,
}

impl Attempts {
    /// Attempts on `addresses`, in their order, until `until`.
    pub(super) fn new(
        addresses: Addresses,
        permit: RequestPermit,
        now: Instant,
        until: Instant,
    ) -> Self {
        Self {
            addresses,
            tried: 0,
            permit,
            pending: [false; 2],
            worst: None,
            denial: None,
            began: now,
            until,
            alongside_at: None,
        }
    }

    /// The next permitted address, with a name for its attempt; `None` when none is left or two
    /// are pending.
    pub(super) fn next(
        &mut self,
        acl: &Acl,
        now: Instant,
        patience: Duration,
    ) -> Option<(Attempt, Permit)> {
        let attempt = match self.pending {
            [false, _] => Attempt::A,
            [true, false] => Attempt::B,
            [true, true] => return None,
        };
        let Some(permit) = self.next_permit(acl) else {
            // Nothing is left to join in: only the deadline over all addresses counts.
            self.alongside_at = None;
            return None;
        };
        self.pending[attempt as usize] = true;
        self.alongside_at = (self.tried < self.addresses.len()).then(|| now + patience);
        Some((attempt, permit))
    }

    fn next_permit(&mut self, acl: &Acl) -> Option<Permit> {
        while let Some(address) = self.addresses.get(self.tried).copied() {
            self.tried += 1;
            match acl.on_address(&self.permit, address) {
                Ok(permit) => return Some(permit),
                Err(denial) => self.denial = Some(denial),
            }
        }
        None
    }

    /// Whether any address may be dialled at all; if not, the last denial.
    pub(super) fn any_permitted(&self, acl: &Acl) -> Result<(), Option<Denial>> {
        let mut last = None;
        for address in &self.addresses {
            match acl.on_address(&self.permit, *address) {
                Ok(_) => return Ok(()),
                Err(denial) => last = Some(denial),
            }
        }
        Err(last)
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, attempt: Attempt, error: ConnectError) {
        self.pending[attempt as usize] = false;
        if self.worst.is_none_or(|worst| worst.weight() < error.weight()) {
            self.worst = Some(error);
        }
    }

    /// Whether an attempt is pending.
    pub(super) const fn is_pending(&self) -> bool {
        self.pending[0] || self.pending[1]
    }

    /// Whether the one deadline over all addresses has come.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// Whether the pending attempt has been silent for long enough to be joined by another.
    pub(super) fn may_join(&self, now: Instant) -> bool {
        !(self.pending[0] && self.pending[1]) && self.alongside_at.is_some_and(|at| now >= at)
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Instant {
        match self.alongside_at {
            Some(at) if !(self.pending[0] && self.pending[1]) => at.min(self.until),
            Some(_) | None => self.until,
        }
    }

    /// How the session ends now that nothing is left to try.
    pub(super) fn outcome(&self) -> Outcome {
        self.worst.map_or(Outcome::ConnectFailed, ConnectError::outcome)
    }

    /// The address that a permitted request names literally, as a list of one.
    pub(super) fn literal(address: IpAddr) -> Addresses {
        let mut addresses = Addresses::new();
        addresses.push(address);
        addresses
    }
}
