use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::target::Host;

fn name(text: &str) -> HostName {
    Host::from_name(text.as_bytes()).unwrap().name().unwrap().clone()
}

const fn key(slot: u32) -> Key {
    Key { slot, generation: 1 }
}

fn found() -> Result<Addresses, LookupError> {
    Ok(Addresses::from_slice(&[IpAddr::from([192, 0, 2, 1])]))
}

/// A resolver, what it asked the pool, and whether the pool has room.
struct World {
    system: System,
    submitted: Arc<Mutex<Vec<(String, Asker)>>>,
    room: Arc<AtomicBool>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let submitted = Arc::new(Mutex::new(Vec::new()));
        let room = Arc::new(AtomicBool::new(true));
        let (list, open) = (Arc::clone(&submitted), Arc::clone(&room));
        let submit: Submit = Box::new(move |name, key, query| {
            list.lock().push((name.to_string(), (key, query)));
            open.load(Ordering::SeqCst)
        });
        let system = System::new(Family::Any, submit);
        Self { system, submitted, room, now: crate::clock::mono() }
    }

    fn ask(&mut self, text: &str, slot: u32) -> Option<Answered> {
        self.system.ask(&name(text), key(slot), slot, self.now);
        self.system.drain()
    }

    fn answer(&mut self, slot: u32, answer: &Result<Addresses, LookupError>) -> Vec<Answered> {
        self.system.answered(key(slot), slot, answer, self.now);
        std::iter::from_fn(|| self.system.drain()).collect()
    }

    fn submissions(&self) -> usize {
        self.submitted.lock().len()
    }
}

#[test]
fn a_question_goes_to_the_pool_once_and_its_answer_to_all_who_asked() {
    let mut world = World::new();
    assert_eq!((world.ask("a.test", 1), world.ask("a.test", 2)), (None, None));
    assert_eq!(*world.submitted.lock(), [("a.test".to_owned(), (key(1), 1))]);
    assert_eq!(world.system.in_flight(), 2);
    let answers = world.answer(1, &found());
    assert_eq!(
        answers.iter().map(|a| (a.key, a.query)).collect::<Vec<_>>(),
        [(key(1), 1), (key(2), 2)]
    );
    assert!(answers.iter().all(|answered| answered.answer == found()));
    assert_eq!(world.system.in_flight(), 0);
}

#[test]
fn an_answer_is_remembered_for_its_time_a_miss_for_less_and_a_time_out_not_at_all() {
    let missed = Err(LookupError::NotFound);
    for (answer, kept) in
        [(found(), FOUND_KEPT), (missed, MISSED_KEPT), (Err(LookupError::TimedOut), Duration::ZERO)]
    {
        let mut world = World::new();
        assert_eq!(world.ask("a.test", 1), None);
        assert_eq!(world.answer(1, &answer).len(), 1);
        if !kept.is_zero() {
            world.now += kept - Duration::from_millis(1);
            assert_eq!(world.ask("a.test", 2).unwrap().answer, answer);
            world.now += Duration::from_millis(1);
        }
        assert_eq!(world.ask("a.test", 3), None);
        assert_eq!(world.submissions(), 2);
    }
}

#[test]
fn a_full_pool_is_an_answer_and_the_next_question_tries_again() {
    let mut world = World::new();
    world.room.store(false, Ordering::SeqCst);
    assert_eq!(world.ask("a.test", 1).unwrap().answer, Err(LookupError::Overloaded));
    assert_eq!(world.system.in_flight(), 0);
    world.room.store(true, Ordering::SeqCst);
    assert_eq!(world.ask("a.test", 2), None);
    assert_eq!(world.answer(2, &found()).len(), 1);
}

#[test]
fn questions_in_flight_are_bounded() {
    let mut world = World::new();
    let max = u32::try_from(IN_FLIGHT_MAX).unwrap();
    for slot in 0..max {
        assert_eq!(world.ask(&format!("n{}.test", slot / 2), slot), None);
    }
    assert_eq!(world.ask("n0.test", max).unwrap().answer, Err(LookupError::Overloaded));
    assert_eq!(world.answer(0, &found()).len(), 2);
    assert_eq!(world.ask("new.test", max), None);
}

#[test]
fn the_cache_keeps_no_more_than_its_bound_and_drops_the_oldest() {
    let mut cache = Cache::default();
    let now = crate::clock::mono();
    for number in 0..=CACHE_MAX {
        cache.keep(name(&format!("n{number}.test")), &found(), now);
    }
    assert_eq!((cache.answers.len(), cache.order.len()), (CACHE_MAX, CACHE_MAX));
    assert_eq!(cache.find(&name("n0.test"), now), None);
    assert!(cache.find(&name("n1.test"), now).is_some());
}

#[test]
fn an_answer_nobody_waits_for_is_dropped() {
    let mut world = World::new();
    assert!(world.answer(7, &found()).is_empty());
}

#[test]
fn localhost_needs_no_pool() {
    let mut world = World::new();
    let answered = world.ask("db.localhost", 1).unwrap();
    assert_eq!(answered.answer.unwrap().len(), 2);
    assert_eq!(world.submissions(), 0);
}

#[test]
fn the_system_knows_the_short_form_of_an_address() {
    let loopback = Ok(Addresses::from_slice(&[IpAddr::from([127, 0, 0, 1])]));
    assert_eq!(look_up(&name("127.1"), Family::Any), loopback);
    assert_eq!(look_up(&name("127.1"), Family::Ipv6), Err(LookupError::NotFound));
}

#[test]
fn what_getaddrinfo_says_of_a_name_is_told_apart_from_its_own_failure() {
    let said = |text: &str| lookup_error(&io::Error::other(text));
    let prefix = "failed to lookup address information: ";
    assert_eq!(said(&format!("{prefix}Name or service not known")), LookupError::NotFound);
    let temporary = format!("{prefix}Temporary failure in name resolution");
    assert_eq!(said(&temporary), LookupError::Failed);
}
