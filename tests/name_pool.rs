//! Looking up names by the system, as a worker does: through the pool and the mailbox.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::IpAddr;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use rustsocks::clock;
use rustsocks::key::Key;
use rustsocks::mailbox::{Letter, mailbox};
use rustsocks::offload::{Job, Pool};
use rustsocks::resolve::{Addresses, Asker, Resolver, ResolverOptions, Source, System};
use rustsocks::target::{Host, HostName};

const KEY: Key = Key { slot: 1, generation: 7 };
const PATIENCE: Duration = Duration::from_secs(30);

fn name(text: &str) -> HostName {
    Host::from_name(text.as_bytes()).unwrap().name().unwrap().clone()
}

#[test]
fn the_pool_answers_a_worker_by_its_mailbox() {
    let mut poll = Poll::new().unwrap();
    let (post, mailbox) = mailbox(Waker::new(poll.registry(), Token(0)).unwrap(), 16);
    let pool = Pool::start("dns", 2, 16).unwrap();
    let desk = pool.desk();
    let submit = Box::new(move |name: &HostName, record, id| {
        let (name, post) = (name.clone(), post.clone());
        desk.submit(Job::Lookup { name, record, id, post }).is_ok()
    });
    let options = ResolverOptions::default();
    let mut resolver = Resolver::new(Source::System(System::new(submit)), &options);
    // The short form of an address: a name to us, known to the system without asking anyone.
    for query in [1, 2] {
        let asker = Asker { key: KEY, query, client: [127, 0, 0, 1].into() };
        resolver.ask(&name("127.1"), asker, clock::mono());
    }
    assert_eq!((resolver.drain(clock::mono()), resolver.in_flight()), (None, 2));

    let mut events = Events::with_capacity(4);
    let deadline = clock::mono() + PATIENCE;
    let mut letters = Vec::new();
    while letters.len() < 2 {
        mailbox.open();
        letters.extend(std::iter::from_fn(|| mailbox.next()));
        assert!(clock::mono() < deadline, "no answer");
        if letters.len() < 2 {
            poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
        }
    }
    // One for each kind of records.
    for letter in letters {
        let Letter::Resolved { id, record, answer } = letter else { panic!("{letter:?}") };
        resolver.system_answered(id, record, answer);
    }
    let loopback = Ok(Addresses::from_slice(&[IpAddr::from([127, 0, 0, 1])]));
    for query in [1, 2] {
        let answered = resolver.drain(clock::mono()).unwrap();
        assert_eq!((answered.key, answered.query, answered.answer), (KEY, query, loopback.clone()));
        assert!(!answered.more);
    }
    assert_eq!(resolver.in_flight(), 0);
    assert_eq!(pool.close(clock::mono() + PATIENCE), 0);
}
