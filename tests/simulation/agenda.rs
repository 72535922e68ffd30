//! What is going to happen, and when.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustsocks::auth::Verdict;
use rustsocks::connection::{Attempt, ConnectError};
use rustsocks::key::Key;
use rustsocks::resolve::{Addresses, LookupError};
use rustsocks::session::SessionId;

/// An answer about a name, and whether more of it will come.
pub(crate) type Answer = (Result<Addresses, LookupError>, bool);

/// Something that happens outside the worker; a number names a party.
#[derive(Debug)]
pub(crate) enum Happening {
    Arrives(usize),
    ClientSends(usize),
    ClientReads(usize),
    ClientEnds(usize),
    ClientResets(usize),
    TargetSends(usize),
    TargetReads(usize),
    TargetEnds(usize),
    TargetResets(usize),
    ClientDatagram(usize),
    TargetDatagram(usize),
    Resolved {
        asker: (Key, usize),
        query: u32,
        answer: Answer,
    },
    Verified {
        asker: (Key, usize),
        verdict: Verdict,
    },
    Dialled {
        asker: (Key, usize),
        attempt: Attempt,
        serial: u32,
        result: Result<(), ConnectError>,
    },
    PeerComes {
        asker: (Key, usize),
        from: SocketAddr,
    },
    /// An operator ends a session that he saw in the table.
    Kill(Key, SessionId),
    /// An operator looks for somebody to end.
    LookForVictim,
    Reload,
    ClockSteps(i64),
    WriterRests(bool),
    Drain,
}

/// The virtual clock and the happenings to come.
pub(crate) struct Agenda {
    origin: Instant,
    pub(crate) now: Instant,
    /// What the wall clock has stepped, in milliseconds.
    pub(crate) stepped_ms: i64,
    to_come: BTreeMap<(Instant, u64), Happening>,
    serial: u64,
}

impl Agenda {
    pub(crate) fn new(origin: Instant) -> Self {
        Self { origin, now: origin, stepped_ms: 0, to_come: BTreeMap::new(), serial: 0 }
    }

    /// In so many milliseconds.
    pub(crate) fn plan(&mut self, in_ms: u64, what: Happening) {
        self.serial += 1;
        self.to_come.insert((self.now + Duration::from_millis(in_ms), self.serial), what);
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.to_come.first_key_value().map(|((at, _), _)| *at)
    }

    /// What happens now, one after the other.
    pub(crate) fn pop_due(&mut self) -> Option<Happening> {
        if self.next()? > self.now {
            return None;
        }
        self.to_come.pop_first().map(|(_, what)| what)
    }

    /// Both clocks.
    pub(crate) fn clocks(&self) -> rustsocks::clock::Now {
        let since = i64::try_from((self.now - self.origin).as_millis()).unwrap();
        let utc_ms = 1_769_846_709_000 + since + self.stepped_ms;
        rustsocks::clock::Now { mono: self.now, utc_ms }
    }
}
