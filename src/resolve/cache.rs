//! Recent answers of one worker, so that a name is not asked for at every session.
//!
//! What is kept is what one server said of one kind of records: the two halves of a name have times
//! of their own. An answer is kept for the time that came with it, up to a ceiling; that a name has
//! no address, for the time of its zone's SOA (RFC 2308 §5), up to a lower one; that the servers
//! failed, for a moment (RFC 9520 §3.2), so that a storm of questions does not add to their trouble.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::order::{Addresses, LookupError, Record};
use crate::target::HostName;

/// Recent answers, the name that was kept first dropped first when there is no room.
#[derive(Debug)]
pub(super) struct Cache {
    names: HashMap<HostName, [Option<Kept>; 2], foldhash::fast::RandomState>,
    /// The names, each once, in the order in which they came.
    order: VecDeque<HostName>,
    /// Addresses are kept no longer than this.
    found_max: Duration,
    /// Misses are kept no longer than this.
    missed_max: Duration,
}

#[derive(Debug)]
struct Kept {
    answer: Result<Addresses, LookupError>,
    until: Instant,
}

impl Cache {
    /// An empty one with these ceilings; zero keeps nothing of the kind.
    pub(super) fn new(found_max: Duration, missed_max: Duration) -> Self {
        Self { names: HashMap::default(), order: VecDeque::new(), found_max, missed_max }
    }

    /// What is known of a name, for each kind of records.
    pub(super) fn find(
        &self,
        name: &HostName,
        now: Instant,
    ) -> [Option<Result<Addresses, LookupError>>; 2] {
        let Some(halves) = self.names.get(name) else { return [None, None] };
        let fresh = |half: &Option<Kept>| match half {
            Some(kept) if now < kept.until => Some(kept.answer.clone()),
            Some(_) | None => None,
        };
        [fresh(&halves[0]), fresh(&halves[1])]
    }

    /// Keeps an answer that came with this time to live, if any came. Answers whether a name that was
    /// kept had to make room.
    pub(super) fn keep(
        &mut self,
        name: &HostName,
        record: Record,
        answer: &Result<Addresses, LookupError>,
        ttl: Option<Duration>,
        now: Instant,
    ) -> bool {
        let lifetime = match answer {
            Ok(_) => ttl.unwrap_or(FOUND_KEPT).min(self.found_max),
            Err(LookupError::NotFound) => ttl.unwrap_or(MISSED_KEPT).min(self.missed_max),
            Err(LookupError::Failed | LookupError::TimedOut) => FAILED_KEPT.min(self.missed_max),
            Err(LookupError::Overloaded | LookupError::ClientOverloaded) => return false,
        };
        if lifetime.is_zero() {
            return false;
        }
        let kept = Some(Kept { answer: answer.clone(), until: now + lifetime });
        if let Some(halves) = self.names.get_mut(name) {
            halves[record.index()] = kept;
            return false;
        }
        let full = self.order.len() >= NAMES_MAX;
        if full && let Some(oldest) = self.order.pop_front() {
            self.names.remove(&oldest);
        }
        let mut halves = [None, None];
        halves[record.index()] = kept;
        self.order.push_back(name.clone());
        self.names.insert(name.clone(), halves);
        full
    }

    /// Names that are kept, though perhaps not for long.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

/// Names of one worker that are kept at most.
const NAMES_MAX: usize = 4096;
/// How long addresses are kept that came without a time: the system tells none.
const FOUND_KEPT: Duration = Duration::from_secs(30);
/// The same of a miss.
const MISSED_KEPT: Duration = Duration::from_secs(5);
/// How long it is kept that the servers failed.
const FAILED_KEPT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::clock;
    use crate::target::Host;

    const HOUR: Duration = Duration::from_hours(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn name(text: &str) -> HostName {
        Host::from_name(text.as_bytes()).unwrap().name().unwrap().clone()
    }

    fn found() -> Result<Addresses, LookupError> {
        Ok(Addresses::from_slice(&[IpAddr::from([192, 0, 2, 1])]))
    }

    /// How long an answer is found again that came with this time.
    fn lasts(answer: &Result<Addresses, LookupError>, ttl: Option<Duration>) -> Duration {
        let now = clock::mono();
        let mut cache = Cache::new(HOUR, MINUTE);
        cache.keep(&name("a.test"), Record::A, answer, ttl, now);
        let until = cache.names.get(&name("a.test")).and_then(|halves| halves[0].as_ref());
        let Some(until) = until.map(|kept| kept.until) else { return Duration::ZERO };
        let just_before = until - Duration::from_millis(1);
        assert_eq!(cache.find(&name("a.test"), just_before), [Some(answer.clone()), None]);
        assert_eq!(cache.find(&name("a.test"), until), [None, None]);
        until - now
    }

    #[test]
    fn an_answer_lasts_for_its_own_time_up_to_a_ceiling() {
        let second = Duration::from_secs(1);
        assert_eq!(lasts(&found(), Some(second)), second);
        assert_eq!(lasts(&found(), Some(2 * HOUR)), HOUR);
        assert_eq!(lasts(&found(), Some(Duration::ZERO)), Duration::ZERO);
        assert_eq!(lasts(&found(), None), FOUND_KEPT);
    }

    #[test]
    fn a_miss_has_a_ceiling_of_its_own_and_a_failure_lasts_a_moment() {
        let missed = Err(LookupError::NotFound);
        assert_eq!(lasts(&missed, Some(Duration::from_secs(9))), Duration::from_secs(9));
        assert_eq!(lasts(&missed, Some(HOUR)), MINUTE);
        assert_eq!(lasts(&missed, None), MISSED_KEPT);
        assert_eq!(lasts(&Err(LookupError::Failed), Some(HOUR)), FAILED_KEPT);
        assert_eq!(lasts(&Err(LookupError::TimedOut), None), FAILED_KEPT);
        assert_eq!(lasts(&Err(LookupError::Overloaded), None), Duration::ZERO);
        assert_eq!(lasts(&Err(LookupError::ClientOverloaded), None), Duration::ZERO);
    }

    #[test]
    fn the_two_halves_of_a_name_are_kept_apart() {
        let now = clock::mono();
        let mut cache = Cache::new(HOUR, MINUTE);
        let missed = Err(LookupError::NotFound);
        cache.keep(&name("a.test"), Record::A, &found(), Some(MINUTE), now);
        cache.keep(&name("a.test"), Record::Aaaa, &missed, Some(MINUTE / 2), now);
        assert_eq!(cache.find(&name("a.test"), now), [Some(found()), Some(missed)]);
        assert_eq!(cache.find(&name("a.test"), now + MINUTE / 2), [Some(found()), None]);
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn ceilings_of_zero_keep_nothing() {
        let now = clock::mono();
        let mut cache = Cache::new(Duration::ZERO, Duration::ZERO);
        for answer in [found(), Err(LookupError::NotFound), Err(LookupError::Failed)] {
            cache.keep(&name("a.test"), Record::A, &answer, Some(HOUR), now);
        }
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn it_keeps_no_more_than_its_bound_and_drops_the_oldest() {
        let now = clock::mono();
        let mut cache = Cache::new(HOUR, MINUTE);
        let mut made_room = 0;
        for number in 0..=NAMES_MAX {
            let name = name(&format!("n{number}.test"));
            for record in Record::BOTH {
                made_room += u32::from(cache.keep(&name, record, &found(), None, now));
            }
        }
        assert_eq!((cache.names.len(), cache.order.len(), made_room), (NAMES_MAX, NAMES_MAX, 1));
        assert_eq!(cache.find(&name("n0.test"), now), [None, None]);
        assert!(cache.find(&name("n1.test"), now)[0].is_some());
    }
}
