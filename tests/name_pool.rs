//! Looking up names by the system, as a worker does: through the pool and the mailbox.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::IpAddr;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use rustsocks::clock;
use rustsocks::key::Key;
use rustsocks::mailbox::{Letter, mailbox};
use rustsocks::offload::{Job, Pool};
use rustsocks::resolve::{Addresses, Family, Resolver, System};
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
    let pool = Pool::start("dns", 2, 16, Job::run).unwrap();
    let desk = pool.desk();
    let submit = Box::new(move |name: &HostName, key, query| {
        let (name, post) = (name.clone(), post.clone());
        desk.submit(Job::Lookup { name, family: Family::Ipv4, key, query, post }).is_ok()
    });
    let mut resolver = Resolver::System(System::new(Family::Ipv4, submit));
    // The short form of an address: a name to us, known to the system without asking anyone.
    resolver.ask(&name("127.1"), KEY, 1, clock::mono());
    resolver.ask(&name("127.1"), KEY, 2, clock::mono());
    assert_eq!((resolver.drain(), resolver.in_flight()), (None, 2));

    let mut events = Events::with_capacity(4);
    let deadline = clock::mono() + PATIENCE;
    let letter = loop {
        mailbox.open();
        if let Some(letter) = mailbox.next() {
            break letter;
        }
        assert!(clock::mono() < deadline, "no answer");
        poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
    };
    let Letter::Resolved { key, query, answer } = letter else { panic!("{letter:?}") };
    resolver.system_answered(key, query, answer, clock::mono());
    let loopback = Ok(Addresses::from_slice(&[IpAddr::from([127, 0, 0, 1])]));
    for query in [1, 2] {
        let answered = resolver.drain().unwrap();
        assert_eq!((answered.key, answered.query, answered.answer), (KEY, query, loopback.clone()));
    }
    assert_eq!(resolver.in_flight(), 0);
    assert_eq!(pool.close(clock::mono() + PATIENCE), 0);
}
