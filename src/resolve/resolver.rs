//! One worker's resolver, whichever kind it is.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

#[cfg(feature = "dns-cares")]
use super::cares::Cares;
use super::order::{Addresses, LookupError};
use super::system::System;
use crate::key::Key;
use crate::target::HostName;

/// An answer, and whose question it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Who asked; perhaps gone since.
    pub key: Key,
    /// Which of its questions.
    pub query: u32,
    /// The addresses, in the order in which they are to be tried.
    pub answer: Result<Addresses, LookupError>,
}

/// One worker's resolver.
///
/// Each turn: [`on_event`](Self::on_event) for its descriptors, [`tend`](Self::tend) once, and
/// [`drain`](Self::drain) until nothing is left, after the last `ask`. The poll waits no longer
/// than [`timeout`](Self::timeout).
#[derive(Debug)]
pub enum Resolver {
    /// Asks name servers itself, on the worker's poll.
    #[cfg(feature = "dns-cares")]
    Cares(Cares),
    /// Asks the system, by the pool.
    System(System),
}

impl Resolver {
    /// Asks for the addresses of a name. The answer comes out of [`drain`](Self::drain), perhaps at
    /// once, and exactly once.
    pub fn ask(&mut self, name: &HostName, key: Key, query: u32, now: Instant) {
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(cares) => cares.ask(name, key, query),
            Self::System(system) => system.ask(name, key, query, now),
        }
    }

    /// The next answer.
    #[must_use]
    pub fn drain(&mut self) -> Option<Answered> {
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(cares) => cares.drain(),
            Self::System(system) => system.drain(),
        }
    }

    /// Questions that have no answer yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(cares) => cares.in_flight(),
            Self::System(system) => system.in_flight(),
        }
    }

    /// Takes readiness of a descriptor that was registered under this resolver's token.
    #[cfg_attr(
        not(feature = "dns-cares"),
        expect(unused_variables, reason = "only c-ares has descriptors")
    )]
    pub fn on_event(&mut self, fd: RawFd, readable: bool, writable: bool) {
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(cares) => cares.on_event(fd, readable, writable),
            // Has no descriptors.
            Self::System(_) => {}
        }
    }

    /// How long the poll may wait on this resolver's account; `None` is for ever.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(cares) => cares.timeout(),
            // The pool's answers ring the mailbox.
            Self::System(_) => None,
        }
    }

    /// Once each turn: fires what has waited too long. Costs next to nothing when nothing is in
    /// flight.
    pub fn tend(&mut self) {
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(cares) => cares.tend(),
            Self::System(_) => {}
        }
    }

    /// Takes an answer of the pool. The other kind asks no pool, and drops it.
    pub fn system_answered(
        &mut self,
        key: Key,
        query: u32,
        answer: Result<Addresses, LookupError>,
        now: Instant,
    ) {
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(_) => {}
            Self::System(system) => system.answered(key, query, &answer, now),
        }
    }
}

/// Questions in flight of one worker at most; what goes beyond is answered
/// [`LookupError::Overloaded`] at once. The worker's mailbox must have room for as many answers.
pub const IN_FLIGHT_MAX: usize = 4096;
