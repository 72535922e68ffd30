//! One worker's resolver: what is known already, what is being asked for, and by whom.
//!
//! IPv4 and IPv6 addresses of a name are two questions, which are asked at once and answered apart
//! (RFC 8305 §3). Whoever asked is not kept waiting for the slower one:
//!
//! ```text
//!   the leading family's addresses come  ──────────────▶ told at once, more to come
//!   the other family's come first ─ RESOLUTION_DELAY ──▶ told, more to come
//!   both are known ────────────────────────────────────▶ told all, or the rest
//! ```
//!
//! A name that is asked for already is not asked for again, whoever asks.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::cache::Cache;
#[cfg(feature = "dns-cares")]
use super::cares::Cares;
use super::hosts::Hosts;
use super::options::ResolverOptions;
use super::order::{Addresses, Family, LookupError, Record, interleave};
use super::shares::Shares;
use super::system::System;
use super::tally::{Finding, Origin, Tally};
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
    /// Another answer to the same question will come, about the other family: more addresses, or
    /// that there are none. Only behind addresses.
    pub more: bool,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The connection.
    pub key: Key,
    /// Which of its questions.
    pub query: u32,
    /// Whose share of the look-ups it takes.
    pub client: IpAddr,
}

/// The number of a look-up, never used twice.
pub type LookupId = u64;

/// What a source says of one half of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: LookupId,
    pub(super) record: Record,
    pub(super) answer: Result<Addresses, LookupError>,
    /// How long it may be kept, where that is known.
    pub(super) ttl: Option<Duration>,
}

/// Who is asked for names that are not known.
#[derive(Debug)]
pub enum Source {
    /// Name servers, on the worker's poll.
    #[cfg(feature = "dns-cares")]
    Cares(Cares),
    /// The system, by the pool.
    System(System),
}

/// One worker's resolver.
///
/// Each turn: [`on_event`](Self::on_event) for its descriptors, [`tend`](Self::tend) once, and
/// [`drain`](Self::drain) until nothing is left, after the last `ask`. The poll waits no longer
/// than [`timeout`](Self::timeout).
#[derive(Debug)]
pub struct Resolver {
    source: Source,
    family: Family,
    hosts: Arc<Hosts>,
    cache: Cache,
    shares: Shares,
    lookups: HashMap<LookupId, Lookup, foldhash::fast::RandomState>,
    by_name: HashMap<HostName, LookupId, foldhash::fast::RandomState>,
    next: LookupId,
    /// Look-ups of which only the family that does not lead is known, in the order of their time; no
    /// more than are begun within one delay.
    delays: VecDeque<(Instant, LookupId)>,
    ready: VecDeque<Answered>,
    tally: Tally,
    /// The tally has changed since it was last shown.
    counted: bool,
}

/// A name that is being asked for.
#[derive(Debug)]
struct Lookup {
    name: HostName,
    halves: [Half; 2],
    askers: SmallVec<[Asker; 1]>,
    /// What is known was told: one half is.
    told: bool,
}

/// What is known of one kind of records.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Half {
    /// Nobody wants them.
    Unwanted,
    /// They are asked for.
    Asked,
    /// They are these.
    Known(Result<Addresses, LookupError>),
}

impl Resolver {
    /// A resolver that asks `source`. Of the options it takes what is not the source's business.
    #[must_use]
    pub fn new(source: Source, options: &ResolverOptions) -> Self {
        Self {
            source,
            family: options.family,
            hosts: Arc::clone(&options.hosts),
            cache: Cache::new(options.cache_max_ttl, options.negative_max_ttl),
            shares: Shares::new(options.per_client_max),
            lookups: HashMap::default(),
            by_name: HashMap::default(),
            next: 0,
            delays: VecDeque::new(),
            ready: VecDeque::new(),
            tally: Tally::default(),
            counted: false,
        }
    }

    /// Asks for the addresses of a name. The answer comes out of [`drain`](Self::drain), perhaps at
    /// once, and exactly once but for what [`Answered::more`] announces.
    pub fn ask(&mut self, name: &HostName, asker: Asker, now: Instant) {
        if let Some(answer) = self.hosts.find(name, self.family) {
            return self.answer(&asker, Origin::Fixed, answer);
        }
        if name.as_str().len() > NAME_MAX {
            return self.answer(&asker, Origin::Fixed, Err(LookupError::NotFound));
        }
        if let Some(&id) = self.by_name.get(name) {
            if self.admit(&asker) {
                self.join(id, asker);
            }
            return;
        }
        let halves = self.cached(name, now);
        if !halves.contains(&Half::Asked) {
            let answer = known(&halves, self.family);
            return self.answer(&asker, Origin::Cache, answer);
        }
        if self.admit(&asker) {
            self.start(name, halves, asker, now);
        }
    }

    /// Whether there is room for one more look-up; if not, that is the answer.
    fn admit(&mut self, asker: &Asker) -> bool {
        let refusal = if self.tally.in_flight >= IN_FLIGHT_MAX as u64 {
            LookupError::Overloaded
        } else if !self.shares.take(asker.client) {
            LookupError::ClientOverloaded
        } else {
            self.tally.in_flight += 1;
            return true;
        };
        self.answer(asker, Origin::Refused, Err(refusal));
        false
    }

    /// What the cache knows.
    fn cached(&self, name: &HostName, now: Instant) -> [Half; 2] {
        let mut cached = self.cache.find(name, now);
        Record::BOTH.map(|record| match cached[record.index()].take() {
            _ if !self.family.wants(record) => Half::Unwanted,
            Some(answer) => Half::Known(answer),
            None => Half::Asked,
        })
    }

    /// Waits with those who wait for this name already.
    fn join(&mut self, id: LookupId, asker: Asker) {
        self.count(Origin::Joined);
        let Some(lookup) = self.lookups.get_mut(&id) else { return };
        lookup.askers.push(asker);
        if lookup.told {
            let answer = known(&lookup.halves, self.family);
            self.tally.findings[Finding::of(&answer) as usize] += 1;
            self.tally.unawaited += 1;
            let Asker { key, query, .. } = asker;
            self.ready.push_back(Answered { key, query, answer, more: true });
        }
    }

    /// Asks for what is not known of a name.
    fn start(&mut self, name: &HostName, halves: [Half; 2], asker: Asker, now: Instant) {
        self.count(Origin::Asked);
        let id = self.next;
        self.next += 1;
        let unknown = Record::BOTH.map(|record| halves[record.index()] == Half::Asked);
        let askers = SmallVec::from_buf([asker]);
        self.lookups.insert(id, Lookup { name: name.clone(), halves, askers, told: false });
        self.by_name.insert(name.clone(), id);
        for record in Record::BOTH {
            if unknown[record.index()] {
                self.source.ask(name, record, id);
            }
        }
        // The other half may be known.
        self.weigh(id, now);
    }

    /// The next answer.
    #[must_use]
    pub fn drain(&mut self, now: Instant) -> Option<Answered> {
        while let Some(found) = self.source.drain() {
            self.take(found, now);
        }
        self.ready.pop_front()
    }

    /// Takes what the source says.
    fn take(&mut self, found: Found, now: Instant) {
        let Found { id, record, answer, ttl } = found;
        let Some(lookup) = self.lookups.get_mut(&id) else { return };
        self.counted = true;
        let evicted = self.cache.keep(&lookup.name, record, &answer, ttl, now);
        self.tally.evicted += u64::from(evicted);
        self.tally.cached = self.cache.len() as u64;
        lookup.halves[record.index()] = Half::Known(answer);
        if !lookup.halves.contains(&Half::Asked) {
            self.finish(id);
        } else {
            self.weigh(id, now);
        }
    }

    /// Tells what is known of a look-up if that is what it waits for most, or sees to it that it is
    /// told before long.
    fn weigh(&mut self, id: LookupId, now: Instant) {
        let Some(lookup) = self.lookups.get(&id) else { return };
        let has = |record: Record| matches!(lookup.halves[record.index()], Half::Known(Ok(_)));
        let leading = self.family.leading();
        if has(leading) {
            self.tell(id);
        } else if has(leading.other()) {
            self.delays.push_back((now + RESOLUTION_DELAY, id));
        }
    }

    /// Tells those who wait what is known, though more is to come.
    fn tell(&mut self, id: LookupId) {
        let Some(lookup) = self.lookups.get_mut(&id) else { return };
        if std::mem::replace(&mut lookup.told, true) {
            return;
        }
        self.counted = true;
        let answer = known(&lookup.halves, self.family);
        for Asker { key, query, .. } in &lookup.askers {
            self.tally.findings[Finding::of(&answer) as usize] += 1;
            self.tally.unawaited += 1;
            let (key, query, answer) = (*key, *query, answer.clone());
            self.ready.push_back(Answered { key, query, answer, more: true });
        }
    }

    /// Tells those who wait all, or the rest.
    fn finish(&mut self, id: LookupId) {
        let Some(lookup) = self.lookups.remove(&id) else { return };
        self.by_name.remove(&lookup.name);
        // All of it also where half of it was told: whoever asked knows what is new to it.
        let answer = known(&lookup.halves, self.family);
        for Asker { key, query, client } in lookup.askers {
            self.shares.give_back(client);
            self.tally.in_flight -= 1;
            if !lookup.told {
                self.tally.findings[Finding::of(&answer) as usize] += 1;
            }
            self.ready.push_back(Answered { key, query, answer: answer.clone(), more: false });
        }
    }

    fn answer(&mut self, asker: &Asker, origin: Origin, answer: Result<Addresses, LookupError>) {
        self.count(origin);
        self.tally.findings[Finding::of(&answer) as usize] += 1;
        let Asker { key, query, .. } = *asker;
        self.ready.push_back(Answered { key, query, answer, more: false });
    }

    const fn count(&mut self, origin: Origin) {
        self.tally.origins[origin as usize] += 1;
        self.counted = true;
    }

    /// Questions that have no answer yet, or half of one.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.tally.in_flight
    }

    /// What it has counted so far, if that is more than when it was last asked.
    pub fn news(&mut self) -> Option<&Tally> {
        std::mem::take(&mut self.counted).then_some(&self.tally)
    }

    /// Takes readiness of a descriptor that was registered under this resolver's token.
    #[cfg_attr(
        not(feature = "dns-cares"),
        expect(unused_variables, reason = "only c-ares has descriptors")
    )]
    pub fn on_event(&mut self, fd: RawFd, readable: bool, writable: bool) {
        match &mut self.source {
            #[cfg(feature = "dns-cares")]
            Source::Cares(cares) => cares.on_event(fd, readable, writable),
            // Has no descriptors.
            Source::System(_) => {}
        }
    }

    /// How long the poll may wait on this resolver's account; `None` is for ever.
    #[must_use]
    pub fn timeout(&self, now: Instant) -> Option<Duration> {
        let source = match &self.source {
            #[cfg(feature = "dns-cares")]
            Source::Cares(cares) => cares.timeout(),
            // The pool's answers ring the mailbox.
            Source::System(_) => None,
        };
        let delay = self.delays.front().map(|(until, _)| until.saturating_duration_since(now));
        [source, delay].into_iter().flatten().min()
    }

    /// Once each turn: fires what has waited too long. Costs next to nothing when nothing is in
    /// flight.
    pub fn tend(&mut self, now: Instant) {
        while let Some(&(until, id)) = self.delays.front()
            && until <= now
        {
            self.delays.pop_front();
            self.tell(id);
        }
        match &mut self.source {
            #[cfg(feature = "dns-cares")]
            Source::Cares(cares) => cares.tend(),
            Source::System(_) => {}
        }
    }

    /// Takes an answer of the pool. The other source asks no pool, and drops it.
    pub fn system_answered(
        &mut self,
        id: LookupId,
        record: Record,
        answer: Result<Addresses, LookupError>,
    ) {
        match &mut self.source {
            #[cfg(feature = "dns-cares")]
            Source::Cares(_) => {}
            Source::System(system) => system.answered(id, record, answer),
        }
    }
}

impl Source {
    fn ask(&mut self, name: &HostName, record: Record, id: LookupId) {
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(cares) => cares.ask(name, record, id),
            Self::System(system) => system.ask(name, record, id),
        }
    }

    fn drain(&mut self) -> Option<Found> {
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(cares) => cares.drain(),
            Self::System(system) => system.drain(),
        }
    }
}

/// What is known by now: the addresses of both halves, or why there are none.
fn known(halves: &[Half; 2], family: Family) -> Result<Addresses, LookupError> {
    let mut addresses = Addresses::new();
    let mut failure = LookupError::NotFound;
    for half in halves {
        match half {
            Half::Known(Ok(found)) => addresses.extend_from_slice(found),
            Half::Known(Err(error)) => failure = failure.joined(*error),
            Half::Unwanted | Half::Asked => {}
        }
    }
    if addresses.is_empty() { Err(failure) } else { interleave(addresses, family) }
}

/// Questions in flight of one worker at most; what goes beyond is answered
/// [`LookupError::Overloaded`] at once. The worker's mailbox must have room for twice as many
/// answers.
pub const IN_FLIGHT_MAX: usize = 4096;

/// How long the addresses of the family that does not lead are held back, in case those of the one
/// that leads come after all (RFC 8305 §3 and §8).
pub const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// Octets of a name that DNS can carry, written without the root's dot (RFC 1035 §3.1: 255 on the
/// wire, the first length and the root's included).
const NAME_MAX: usize = 253;

#[cfg(test)]
mod tests;
