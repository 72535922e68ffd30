//! The system's own resolver (getaddrinfo, with all of nsswitch), asked by the pool's threads, and
//! a small cache before it: the system tells no time to live.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::hosts::Hosts;
use super::order::{Addresses, Family, LookupError, interleave};
use super::resolver::{Answered, IN_FLIGHT_MAX};
use crate::key::Key;
use crate::target::HostName;

/// Hands a question to the pool; `false` when the pool has no room for it. The pool answers with
/// the same key and query.
pub type Submit = Box<dyn Fn(&HostName, Key, u32) -> bool + Send>;

/// Asks the system, by the pool. Belongs to one worker.
pub struct System {
    submit: Submit,
    family: Family,
    localhost: Hosts,
    /// The name that the pool was asked for, by the question that was the first to ask for it.
    asked: HashMap<Asker, HostName>,
    /// All who wait for a name.
    waiting: HashMap<HostName, SmallVec<[Asker; 1]>>,
    in_flight: usize,
    cache: Cache,
    ready: VecDeque<Answered>,
}

type Asker = (Key, u32);

impl System {
    /// A resolver that asks by `submit`.
    #[must_use]
    pub fn new(family: Family, submit: Submit) -> Self {
        Self {
            submit,
            family,
            localhost: Hosts::default(),
            asked: HashMap::new(),
            waiting: HashMap::new(),
            in_flight: 0,
            cache: Cache::default(),
            ready: VecDeque::new(),
        }
    }

    /// See [`Resolver::ask`](super::Resolver::ask). A name that is asked for already is not asked
    /// for again.
    pub fn ask(&mut self, name: &HostName, key: Key, query: u32, now: Instant) {
        if let Some(addresses) = self.localhost.find(name, self.family) {
            self.ready.push_back(Answered { key, query, answer: Ok(addresses) });
        } else if let Some(answer) = self.cache.find(name, now) {
            self.ready.push_back(Answered { key, query, answer });
        } else if self.in_flight >= IN_FLIGHT_MAX {
            self.ready.push_back(Answered { key, query, answer: Err(LookupError::Overloaded) });
        } else if let Some(askers) = self.waiting.get_mut(name) {
            askers.push((key, query));
            self.in_flight += 1;
        } else if (self.submit)(name, key, query) {
            self.asked.insert((key, query), name.clone());
            self.waiting.insert(name.clone(), SmallVec::from_buf([(key, query)]));
            self.in_flight += 1;
        } else {
            self.ready.push_back(Answered { key, query, answer: Err(LookupError::Overloaded) });
        }
    }

    /// Takes an answer of the pool; one to a question that was never asked is dropped.
    pub fn answered(
        &mut self,
        key: Key,
        query: u32,
        answer: &Result<Addresses, LookupError>,
        now: Instant,
    ) {
        let Some(name) = self.asked.remove(&(key, query)) else { return };
        let askers = self.waiting.remove(&name).unwrap_or_default();
        self.in_flight -= askers.len();
        for (key, query) in askers {
            self.ready.push_back(Answered { key, query, answer: answer.clone() });
        }
        self.cache.keep(name, answer, now);
    }

    /// The next answer.
    #[must_use]
    pub fn drain(&mut self) -> Option<Answered> {
        self.ready.pop_front()
    }

    /// Questions that have no answer yet.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("family", &self.family)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// Recent answers, the oldest dropped first when there is no room.
#[derive(Debug, Default)]
struct Cache {
    answers: HashMap<HostName, Kept>,
    /// The names of `answers`, each once, in the order in which they were kept.
    order: VecDeque<HostName>,
}

#[derive(Debug)]
struct Kept {
    answer: Result<Addresses, LookupError>,
    until: Instant,
}

impl Cache {
    fn find(&self, name: &HostName, now: Instant) -> Option<Result<Addresses, LookupError>> {
        let kept = self.answers.get(name)?;
        (now < kept.until).then(|| kept.answer.clone())
    }

    fn keep(&mut self, name: HostName, answer: &Result<Addresses, LookupError>, now: Instant) {
        let lifetime = match answer {
            Ok(_) => FOUND_KEPT,
            // A failing server is spared like a missing name: a moment.
            Err(LookupError::NotFound | LookupError::Failed) => MISSED_KEPT,
            Err(LookupError::TimedOut | LookupError::Overloaded) => return,
        };
        let kept = Kept { answer: answer.clone(), until: now + lifetime };
        if let Some(earlier) = self.answers.get_mut(&name) {
            *earlier = kept;
            return;
        }
        if self.order.len() >= CACHE_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
        self.order.push_back(name.clone());
        self.answers.insert(name, kept);
    }
}

/// Asks the system and waits, so long as it takes: for the pool's threads only.
///
/// # Errors
/// [`LookupError::NotFound`] when the name has no address of the family, [`LookupError::Failed`]
/// when the system could not tell.
pub fn look_up(name: &HostName, family: Family) -> Result<Addresses, LookupError> {
    #[expect(clippy::disallowed_methods, reason = "this is the function that may block")]
    let found = (name.as_str(), 0).to_socket_addrs();
    match found {
        // The system has sorted (RFC 6724): the family of its first address leads.
        Ok(addresses) => interleave(addresses.map(|address: SocketAddr| address.ip()), family),
        Err(error) => Err(lookup_error(&error)),
    }
}

/// The standard library hands on what getaddrinfo says as a text only. The text is the C library's
/// untranslated one (glibc's two, then musl's), because this process never sets a locale.
fn lookup_error(error: &io::Error) -> LookupError {
    const NO_SUCH_NAME: [&str; 3] = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
    ];
    let text = error.to_string();
    if NO_SUCH_NAME.iter().any(|known| text.contains(known)) {
        LookupError::NotFound
    } else {
        LookupError::Failed
    }
}

/// Answers of one worker that are kept at most.
const CACHE_MAX: usize = 4096;
/// How long addresses are kept.
const FOUND_KEPT: Duration = Duration::from_secs(30);
/// How long a miss is kept.
const MISSED_KEPT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
