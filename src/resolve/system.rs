//! The system's own resolver (getaddrinfo, with all of nsswitch), asked by the pool's threads: once
//! for each kind of records, so that the slower answer does not hold up the faster one.

use std::collections::VecDeque;
use std::fmt;

use dns_lookup::{AddrFamily, AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};
use hashbrown::HashSet;

use super::order::{ADDRESSES_MAX, Addresses, LookupError, Record};
use super::resolver::{Found, LookupId};
use crate::target::HostName;

/// Hands a question to the pool; `false` when the pool has no room for it. The pool answers with
/// the same number and kind of records.
pub type Submit = Box<dyn Fn(&HostName, Record, LookupId) -> bool + Send>;

/// Asks the system, by the pool. Belongs to one worker.
pub struct System {
    submit: Submit,
    /// What the pool was asked; no more than twice as many as look-ups may be in flight.
    asked: HashSet<(LookupId, Record), foldhash::fast::RandomState>,
    ready: VecDeque<Found>,
}

impl System {
    /// A source that asks by `submit`.
    #[must_use]
    pub fn new(submit: Submit) -> Self {
        Self { submit, asked: HashSet::default(), ready: VecDeque::new() }
    }

    /// Asks for one half of a name; exactly one answer comes out of [`drain`](Self::drain).
    pub(super) fn ask(&mut self, name: &HostName, record: Record, id: LookupId) {
        if (self.submit)(name, record, id) {
            self.asked.insert((id, record));
        } else {
            let answer = Err(LookupError::Overloaded);
            self.ready.push_back(Found { id, record, answer, ttl: None });
        }
    }

    /// Takes an answer of the pool; one to a question that was never asked is dropped.
    pub(super) fn answered(
        &mut self,
        id: LookupId,
        record: Record,
        answer: Result<Addresses, LookupError>,
    ) {
        if self.asked.remove(&(id, record)) {
            self.ready.push_back(Found { id, record, answer, ttl: None });
        }
    }

    /// The next answer.
    #[must_use]
    pub(super) fn drain(&mut self) -> Option<Found> {
        self.ready.pop_front()
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System").field("asked", &self.asked.len()).finish_non_exhaustive()
    }
}

/// Asks the system and waits, so long as it takes: for the pool's threads only.
///
/// # Errors
/// [`LookupError::NotFound`] when the name has no address of the kind, [`LookupError::Failed`]
/// when the system could not tell.
pub fn look_up(name: &HostName, record: Record) -> Result<Addresses, LookupError> {
    let family = match record {
        Record::A => AddrFamily::Inet,
        Record::Aaaa => AddrFamily::Inet6,
    };
    let hints = AddrInfoHints {
        address: family.into(),
        // One entry for each address, and not one for each kind of socket.
        socktype: SockType::Stream.into(),
        ..AddrInfoHints::default()
    };
    let found = getaddrinfo(Some(name.as_str()), None, Some(hints))
        .map_err(|error| lookup_error(error.kind(), error.error_num()))?;
    // The system has sorted them (RFC 6724). One that cannot be read is none.
    let ips = found.filter_map(Result::ok).map(|info| info.sockaddr.ip());
    let addresses: Addresses = ips.filter(|&ip| record.holds(ip)).take(ADDRESSES_MAX).collect();
    if addresses.is_empty() { Err(LookupError::NotFound) } else { Ok(addresses) }
}

fn lookup_error(kind: LookupErrorKind, number: i32) -> LookupError {
    match kind {
        LookupErrorKind::NoName | LookupErrorKind::NoData => LookupError::NotFound,
        LookupErrorKind::IO if number == EAI_ADDRFAMILY => LookupError::NotFound,
        LookupErrorKind::Memory => LookupError::Overloaded,
        LookupErrorKind::Again
        | LookupErrorKind::Badflags
        | LookupErrorKind::Fail
        | LookupErrorKind::Family
        | LookupErrorKind::IO
        | LookupErrorKind::Service
        | LookupErrorKind::Socktype
        | LookupErrorKind::System
        | LookupErrorKind::Unknown => LookupError::Failed,
    }
}

/// "The host has no address of this family" (netdb.h), which the crate has no word for.
const EAI_ADDRFAMILY: i32 = -9;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::target::Host;

    fn name(text: &str) -> HostName {
        Host::from_name(text.as_bytes()).unwrap().name().unwrap().clone()
    }

    #[test]
    fn a_full_pool_is_an_answer_and_the_next_question_tries_again() {
        let room = Arc::new(AtomicBool::new(false));
        let open = Arc::clone(&room);
        let mut system = System::new(Box::new(move |_, _, _| open.load(Ordering::SeqCst)));
        system.ask(&name("a.test"), Record::A, 1);
        assert_eq!(system.drain().unwrap().answer, Err(LookupError::Overloaded));
        room.store(true, Ordering::SeqCst);
        system.ask(&name("a.test"), Record::A, 2);
        assert_eq!(system.drain(), None);
        system.answered(2, Record::A, Err(LookupError::NotFound));
        assert_eq!(system.drain().unwrap().answer, Err(LookupError::NotFound));
    }

    #[test]
    fn an_answer_to_nobody_is_dropped() {
        let mut system = System::new(Box::new(|_, _, _| true));
        system.answered(7, Record::A, Err(LookupError::NotFound));
        system.ask(&name("a.test"), Record::A, 1);
        system.answered(1, Record::Aaaa, Err(LookupError::NotFound));
        assert_eq!(system.drain(), None);
    }

    #[test]
    fn the_system_knows_the_short_form_of_an_address_and_which_family_it_is_of() {
        let loopback = Ok(Addresses::from_slice(&[IpAddr::from([127, 0, 0, 1])]));
        assert_eq!(look_up(&name("127.1"), Record::A), loopback);
        assert_eq!(look_up(&name("127.1"), Record::Aaaa), Err(LookupError::NotFound));
    }

    #[test]
    fn what_getaddrinfo_says_of_a_name_is_told_apart_from_its_own_failure() {
        // EAI_NONAME, EAI_NODATA, EAI_AGAIN and EAI_FAIL (netdb.h).
        for (number, expected) in [
            (-2, LookupError::NotFound),
            (-5, LookupError::NotFound),
            (EAI_ADDRFAMILY, LookupError::NotFound),
            (-3, LookupError::Failed),
            (-4, LookupError::Failed),
        ] {
            assert_eq!(lookup_error(LookupErrorKind::new(number), number), expected, "{number}");
        }
    }
}
