//! The resolver before a source that answers when a test says so.

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::clock;
use crate::target::Host;

type Asked = Arc<Mutex<Vec<(String, Record, LookupId)>>>;

/// A resolver, what it asked the pool, and the time.
struct World {
    resolver: Resolver,
    asked: Asked,
    now: Instant,
}

impl World {
    fn new(options: &ResolverOptions) -> Self {
        let asked = Asked::default();
        let list = Arc::clone(&asked);
        let system = System::new(Box::new(move |name, record, id| {
            list.lock().push((name.to_string(), record, id));
            true
        }));
        let resolver = Resolver::new(Source::System(system), options);
        Self { resolver, asked, now: clock::mono() }
    }

    /// Asks as the connection in this slot; what is known at once.
    fn ask(&mut self, text: &str, slot: u32) -> Vec<Answered> {
        self.ask_from(text, slot, [192, 0, 2, 1])
    }

    fn ask_from(&mut self, text: &str, slot: u32, client: [u8; 4]) -> Vec<Answered> {
        let asker = Asker { key: key(slot), query: slot, client: client.into() };
        self.resolver.ask(&name(text), asker, self.now);
        self.drain()
    }

    /// The source answers the last question for this half of a name.
    fn answer(&mut self, text: &str, record: Record, answer: &[&str]) -> Vec<Answered> {
        let answer = if answer.is_empty() { Err(LookupError::NotFound) } else { found(answer) };
        self.answer_with(text, record, answer)
    }

    fn answer_with(
        &mut self,
        text: &str,
        record: Record,
        answer: Result<Addresses, LookupError>,
    ) -> Vec<Answered> {
        let of = |(name, of, _): &&(String, Record, LookupId)| name == text && *of == record;
        let id = self.asked.lock().iter().rfind(of).unwrap().2;
        self.resolver.system_answered(id, record, answer);
        self.drain()
    }

    fn pass(&mut self, time: Duration) -> Vec<Answered> {
        self.now += time;
        self.resolver.tend(self.now);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Answered> {
        std::iter::from_fn(|| self.resolver.drain(self.now)).collect()
    }

    fn questions(&self) -> usize {
        self.asked.lock().len()
    }
}

fn name(text: &str) -> HostName {
    Host::from_name(text.as_bytes()).unwrap().name().unwrap().clone()
}

const fn key(slot: u32) -> Key {
    Key { slot, generation: 1 }
}

fn found(texts: &[&str]) -> Result<Addresses, LookupError> {
    Ok(texts.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect())
}

/// What the connection in this slot is told.
fn told(slot: u32, answer: Result<Addresses, LookupError>, more: bool) -> Answered {
    Answered { key: key(slot), query: slot, answer, more }
}

const V4: &str = "192.0.2.1";
const V6: &str = "2001:db8::1";
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn both_families_are_asked_for_at_once_and_the_leading_one_does_not_wait() {
    let mut world = World::new(&ResolverOptions::default());
    assert!(world.ask("a.test", 1).is_empty());
    assert_eq!(world.questions(), 2);
    assert_eq!(world.answer("a.test", Record::Aaaa, &[V6]), [told(1, found(&[V6]), true)]);
    assert_eq!(world.resolver.in_flight(), 1);
    let all = told(1, found(&[V6, V4]), false);
    assert_eq!(world.answer("a.test", Record::A, &[V4]), [all]);
    assert_eq!(world.resolver.in_flight(), 0);
}

#[test]
fn the_other_family_waits_for_the_resolution_delay_and_no_longer() {
    for (family, first, second) in [
        (Family::Any, (Record::A, V4), (Record::Aaaa, V6)),
        (Family::PreferIpv4, (Record::Aaaa, V6), (Record::A, V4)),
    ] {
        let mut world = World::new(&ResolverOptions { family, ..ResolverOptions::default() });
        world.ask("a.test", 1);
        assert!(world.answer("a.test", first.0, &[first.1]).is_empty());
        assert_eq!(world.resolver.timeout(world.now), Some(RESOLUTION_DELAY));
        assert!(world.pass(RESOLUTION_DELAY - MOMENT).is_empty());
        assert_eq!(world.pass(MOMENT), [told(1, found(&[first.1]), true)]);
        assert_eq!(world.resolver.timeout(world.now), None);
        let all = told(1, found(&[second.1, first.1]), false);
        assert_eq!(world.answer("a.test", second.0, &[second.1]), [all]);
    }
}

#[test]
fn within_the_delay_the_leading_family_leads() {
    let mut world = World::new(&ResolverOptions::default());
    world.ask("a.test", 1);
    assert!(world.answer("a.test", Record::A, &[V4]).is_empty());
    world.pass(RESOLUTION_DELAY / 2);
    let all = told(1, found(&[V6, V4]), false);
    assert_eq!(world.answer("a.test", Record::Aaaa, &[V6]), [all]);
    assert!(world.pass(RESOLUTION_DELAY).is_empty());
}

#[test]
fn that_the_leading_family_has_nothing_ends_the_wait() {
    let mut world = World::new(&ResolverOptions::default());
    world.ask("a.test", 1);
    assert!(world.answer("a.test", Record::Aaaa, &[]).is_empty());
    assert_eq!(world.answer("a.test", Record::A, &[V4]), [told(1, found(&[V4]), false)]);
    world.ask("b.test", 2);
    assert!(world.answer("b.test", Record::A, &[V4]).is_empty());
    assert_eq!(world.answer("b.test", Record::Aaaa, &[]), [told(2, found(&[V4]), false)]);
}

#[test]
fn a_name_without_addresses_is_not_found_and_one_that_nobody_can_tell_of_has_failed() {
    let mut world = World::new(&ResolverOptions::default());
    world.ask("a.test", 1);
    world.answer("a.test", Record::A, &[]);
    let missed = told(1, Err(LookupError::NotFound), false);
    assert_eq!(world.answer("a.test", Record::Aaaa, &[]), [missed]);
    world.ask("b.test", 2);
    world.answer("b.test", Record::A, &[]);
    let timed_out = Err(LookupError::TimedOut);
    assert_eq!(
        world.answer_with("b.test", Record::Aaaa, timed_out.clone()),
        [told(2, timed_out, false)]
    );
}

#[test]
fn one_family_is_asked_for_alone_and_told_whole() {
    let mut world =
        World::new(&ResolverOptions { family: Family::Ipv4, ..ResolverOptions::default() });
    world.ask("a.test", 1);
    assert_eq!(world.questions(), 1);
    assert_eq!(world.answer("a.test", Record::A, &[V4]), [told(1, found(&[V4]), false)]);
    assert_eq!(world.ask("a.test", 2), [told(2, found(&[V4]), false)]);
}

#[test]
fn who_asks_for_a_name_that_is_asked_for_joins_in_and_is_told_what_the_others_were() {
    let mut world = World::new(&ResolverOptions::default());
    world.ask("a.test", 1);
    world.ask("a.test", 2);
    world.answer("a.test", Record::Aaaa, &[V6]);
    assert_eq!(world.ask("a.test", 3), [told(3, found(&[V6]), true)]);
    assert_eq!(world.questions(), 2);
    let all = |slot| told(slot, found(&[V6, V4]), false);
    assert_eq!(world.answer("a.test", Record::A, &[V4]), [all(1), all(2), all(3)]);
    let joined = world.resolver.tally.origins[Origin::Joined as usize];
    assert_eq!((joined, world.resolver.tally.unawaited), (2, 3));
}

#[test]
fn a_half_that_is_known_is_not_asked_for_again() {
    let mut world = World::new(&ResolverOptions::default());
    world.ask("a.test", 1);
    world.answer("a.test", Record::Aaaa, &[]);
    world.answer("a.test", Record::A, &[V4]);
    assert_eq!(world.ask("a.test", 2), [told(2, found(&[V4]), false)]);
    // The miss is forgotten sooner than the address.
    world.pass(Duration::from_secs(10));
    assert!(world.ask("a.test", 3).is_empty());
    assert_eq!(world.questions(), 3);
    assert_eq!(world.pass(RESOLUTION_DELAY), [told(3, found(&[V4]), true)]);
    assert_eq!(world.answer("a.test", Record::Aaaa, &[V6]), [told(3, found(&[V6, V4]), false)]);
    let tally = world.resolver.tally;
    assert_eq!((tally.origins[Origin::Cache as usize], tally.cached), (1, 1));
}

#[test]
fn a_client_that_asks_for_too_many_names_keeps_nobody_else_waiting() {
    let options = ResolverOptions { per_client_max: 3, ..ResolverOptions::default() };
    let mut world = World::new(&options);
    let greedy = [198, 51, 100, 7];
    for slot in 0..3 {
        assert!(world.ask_from(&format!("n{slot}.test"), slot, greedy).is_empty());
    }
    let refused = |slot| [told(slot, Err(LookupError::ClientOverloaded), false)];
    // Also where it would only join in.
    for (slot, text) in [(3, "n3.test"), (4, "n0.test")] {
        assert_eq!(world.ask_from(text, slot, greedy), refused(slot));
    }
    assert!(world.ask("n3.test", 5).is_empty());
    // What is known costs no share, and an answer gives its place back.
    assert_eq!(world.ask_from("localhost", 6, greedy).len(), 1);
    world.answer("n0.test", Record::A, &[V4]);
    assert_eq!(world.ask_from("n4.test", 7, greedy), refused(7));
    assert_eq!(world.answer("n0.test", Record::Aaaa, &[V6]).len(), 1);
    assert!(world.ask_from("n4.test", 8, greedy).is_empty());
    let news = world.resolver.news().unwrap();
    assert_eq!(news.findings[Finding::ClientOverloaded as usize], 3);
    assert_eq!((news.in_flight, world.resolver.news()), (4, None));
}

#[test]
fn questions_in_flight_are_bounded() {
    let options = ResolverOptions { per_client_max: usize::MAX, ..ResolverOptions::default() };
    let mut world = World::new(&options);
    let max = u32::try_from(IN_FLIGHT_MAX).unwrap();
    for slot in 0..max {
        assert!(world.ask(&format!("n{}.test", slot / 2), slot).is_empty());
    }
    let refused = [told(max, Err(LookupError::Overloaded), false)];
    assert_eq!(world.ask("n0.test", max), refused);
    world.answer("n0.test", Record::A, &[]);
    assert_eq!(world.answer("n0.test", Record::Aaaa, &[]).len(), 2);
    assert!(world.ask("new.test", max).is_empty());
}

#[test]
fn fixed_names_and_names_too_long_ask_nobody() {
    let fixed = [IpAddr::from([192, 0, 2, 9])];
    let hosts = Hosts::default().with_fixed([(&name("db.test"), &fixed[..])]);
    let hosts = Arc::new(hosts);
    let mut world = World::new(&ResolverOptions { hosts, ..ResolverOptions::default() });
    assert_eq!(world.ask("DB.test", 1), [told(1, found(&["192.0.2.9"]), false)]);
    assert_eq!(world.ask("db.localhost", 2)[0].answer.as_ref().unwrap().len(), 2);
    let long = format!("{}a", "a.".repeat(127));
    assert_eq!(world.ask(&long, 3), [told(3, Err(LookupError::NotFound), false)]);
    assert_eq!((world.questions(), world.resolver.in_flight()), (0, 0));
}
