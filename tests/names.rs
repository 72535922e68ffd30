//! Looking up names by c-ares, as a worker does: real sockets, a real poll, a real server on the
//! loopback.
#![cfg(feature = "dns-cares")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustsocks::clock;
use rustsocks::resolve::{
    ADDRESSES_MAX, Addresses, Family, Hosts, IN_FLIGHT_MAX, LookupError, ResolverOptions,
};

use crate::server::{Kind, NameServer, Reply};
use crate::worker::{PATIENCE, Worker, found, impatient, ips, options};

#[path = "harness/names.rs"]
mod server;
#[path = "names/worker.rs"]
mod worker;

#[test]
fn both_families_are_asked_for_and_alternate_ipv6_first() {
    let all = ips(&["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]);
    let server = NameServer::start(move |_, _| Reply::Addresses(all.clone()));
    let mut worker = Worker::new(&options(&server));
    let expected = found(&["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]);
    assert_eq!(worker.look_up("both.test"), expected);
    assert_eq!(server.questions(), 2);
}

#[test]
fn one_family_is_asked_for_alone() {
    let all = ips(&["192.0.2.1", "2001:db8::1"]);
    let server = NameServer::start(move |_, _| Reply::Addresses(all.clone()));
    for (family, only) in [(Family::Ipv4, "192.0.2.1"), (Family::Ipv6, "2001:db8::1")] {
        let asked = server.questions();
        let mut worker = Worker::new(&ResolverOptions { family, ..options(&server) });
        assert_eq!(worker.look_up("one.test"), found(&[only]));
        assert_eq!(server.questions(), asked + 1);
    }
}

#[test]
fn a_name_of_one_family_only_has_its_addresses() {
    let server = NameServer::start(|_, _| Reply::Addresses(ips(&["192.0.2.1"])));
    let mut worker = Worker::new(&options(&server));
    assert_eq!(worker.look_up("v4.test"), found(&["192.0.2.1"]));
}

#[test]
fn a_name_that_does_not_exist_or_has_no_address_is_not_found() {
    let server = NameServer::start(|name, _| match name {
        "nothing.test" => Reply::Addresses(Vec::new()),
        _ => Reply::NoSuchName,
    });
    let mut worker = Worker::new(&options(&server));
    assert_eq!(worker.look_up("missing.test"), Err(LookupError::NotFound));
    assert_eq!(worker.look_up("nothing.test"), Err(LookupError::NotFound));
}

#[test]
fn a_server_that_fails_or_refuses_is_a_failure() {
    let server = NameServer::start(|name, _| match name {
        "refused.test" => Reply::Refused,
        _ => Reply::ServerFailure,
    });
    let mut worker = Worker::new(&options(&server));
    assert_eq!(worker.look_up("broken.test"), Err(LookupError::Failed));
    assert_eq!(worker.look_up("refused.test"), Err(LookupError::Failed));
}

#[test]
fn a_port_where_nobody_listens_is_a_failure_and_no_wait() {
    // Not the address of the other tests' servers: one of them may be given the port.
    let closed = UdpSocket::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    // One question alone learns it by an event, the second of two already when it is sent.
    for family in [Family::Ipv4, Family::Any] {
        let servers = vec![closed];
        let options = ResolverOptions { servers, family, ..ResolverOptions::default() };
        assert_eq!(Worker::new(&options).look_up("a.test"), Err(LookupError::Failed));
    }
}

#[test]
fn a_silent_server_times_out() {
    let server = NameServer::start(|_, _| Reply::Silence);
    let mut worker = Worker::new(&impatient(&server));
    assert_eq!(worker.look_up("silent.test"), Err(LookupError::TimedOut));
    assert_eq!(worker.resolver.timeout(clock::mono()), None);
}

#[test]
fn a_lost_question_is_asked_again() {
    let lost = AtomicBool::new(false);
    let server = NameServer::start(move |_, _| {
        if lost.swap(true, Ordering::SeqCst) {
            Reply::Addresses(ips(&["192.0.2.1"]))
        } else {
            Reply::Silence
        }
    });
    let options = ResolverOptions { tries: 4, family: Family::Ipv4, ..impatient(&server) };
    assert_eq!(Worker::new(&options).look_up("lost.test"), found(&["192.0.2.1"]));
}

#[test]
fn silence_about_one_family_does_not_hide_the_other() {
    for (silent, expected) in [(Kind::Aaaa, "192.0.2.1"), (Kind::A, "2001:db8::1")] {
        let server = NameServer::start(move |_, kind| {
            if kind == silent {
                Reply::Silence
            } else {
                Reply::Addresses(ips(&["192.0.2.1", "2001:db8::1"]))
            }
        });
        assert_eq!(Worker::new(&impatient(&server)).look_up("half.test"), found(&[expected]));
    }
}

#[test]
fn the_faster_family_is_told_while_the_other_is_still_silent() {
    // So long that waiting for it would fail the test.
    let patient = |server: &_| ResolverOptions { timeout: PATIENCE * 2, ..options(server) };
    for (silent, expected) in [(Kind::Aaaa, "192.0.2.1"), (Kind::A, "2001:db8::1")] {
        let server = NameServer::start(move |_, kind| {
            if kind == silent {
                Reply::Silence
            } else {
                Reply::Addresses(ips(&["192.0.2.1", "2001:db8::1"]))
            }
        });
        let mut worker = Worker::new(&patient(&server));
        worker.ask("half.test", 1);
        let first = worker.first_answer();
        assert_eq!((first.answer, first.more), (found(&[expected]), true));
        // Whoever asks now need not wait, either.
        worker.ask("half.test", 2);
        assert_eq!(worker.first_answer().answer, found(&[expected]));
        assert_eq!(server.questions(), 2);
    }
}

#[test]
fn a_second_question_is_answered_from_the_cache_before_ask_returns() {
    let server = NameServer::start(|name, _| match name {
        "missing.test" => Reply::NoSuchNameFor { ttl: 60, minimum: 60 },
        _ => Reply::Addresses(ips(&["192.0.2.1", "2001:db8::1"])),
    });
    let mut worker = Worker::new(&options(&server));
    for (name, questions) in [("again.test", 2), ("missing.test", 4)] {
        let first = worker.look_up(name);
        worker.ask(&name.to_uppercase(), 2);
        let second = worker.resolver.drain(clock::mono()).unwrap();
        assert_eq!((second.query, &second.answer), (2, &first));
        assert_eq!(server.questions(), questions);
    }

    let uncached = ResolverOptions {
        cache_max_ttl: Duration::ZERO,
        negative_max_ttl: Duration::ZERO,
        ..options(&server)
    };
    let mut worker = Worker::new(&uncached);
    for name in ["again.test", "missing.test"] {
        assert_eq!(worker.look_up(name), worker.look_up(name));
    }
    assert_eq!(server.questions(), 12);
}

#[test]
fn a_miss_is_kept_for_the_lesser_of_the_two_times_of_its_soa() {
    let server = NameServer::start(|name, _| match name {
        "ttl.test" => Reply::NoSuchNameFor { ttl: 0, minimum: 60 },
        "minimum.test" => Reply::NoSuchNameFor { ttl: 60, minimum: 0 },
        _ => Reply::NoSuchNameFor { ttl: 60, minimum: 60 },
    });
    let mut worker = Worker::new(&options(&server));
    for (name, asked_again) in [("ttl.test", true), ("minimum.test", true), ("both.test", false)] {
        let before = server.questions();
        for _ in 0..2 {
            assert_eq!(worker.look_up(name), Err(LookupError::NotFound));
        }
        assert_eq!(server.questions(), before + if asked_again { 4 } else { 2 }, "{name}");
    }
}

#[test]
fn an_answer_too_long_for_udp_is_fetched_by_tcp_and_cut() {
    let many: Vec<IpAddr> = (1..=200).map(|last| IpAddr::from([192, 0, 2, last])).collect();
    let server =
        NameServer::start(move |_, _| Reply::Truncated(Box::new(Reply::Addresses(many.clone()))));
    let answer = Worker::new(&options(&server)).look_up("many.test").unwrap();
    assert_eq!(answer.len(), ADDRESSES_MAX);
    assert_eq!(server.tcp_questions(), 2);
}

#[test]
fn a_thousand_names_at_once_have_each_its_own_answer() {
    let server = NameServer::start(|name, _| {
        let number: u16 = name.strip_prefix('n').unwrap().parse().unwrap();
        let [high, low] = number.to_be_bytes();
        let address = Reply::Addresses(vec![IpAddr::from([10, 0, high, low])]);
        // Answers overtake each other.
        let delay = Duration::from_millis(u64::from(number % 7));
        if number.is_multiple_of(2) { address } else { Reply::Delayed(delay, Box::new(address)) }
    });
    // A burst of two thousand datagrams is more than a socket's buffer holds: some are lost, and
    // asked again.
    let timeout = Duration::from_secs(1);
    let mut worker = Worker::new(&ResolverOptions { timeout, tries: 8, ..options(&server) });
    for number in 0..1000 {
        worker.ask(&format!("n{number}"), number);
    }
    assert_eq!(worker.resolver.in_flight(), 1000);
    let answers = worker.answers(1000);
    let by_query: HashMap<_, _> =
        answers.into_iter().map(|answered| (answered.query, answered.answer)).collect();
    assert_eq!((by_query.len(), worker.resolver.in_flight()), (1000, 0));
    for number in 0..1000_u32 {
        let [.., high, low] = number.to_be_bytes();
        let expected = Ok(Addresses::from_slice(&[IpAddr::from([10, 0, high, low])]));
        assert_eq!(by_query[&number], expected, "n{number}");
    }
}

#[test]
fn the_longest_name_of_the_system_is_asked_for_and_what_is_longer_is_not_found() {
    let server = NameServer::start(|_, _| Reply::Addresses(ips(&["192.0.2.1"])));
    let mut worker = Worker::new(&options(&server));
    let label = "a".repeat(61);
    // 4 × 61 and 3 dots are 247; DNS takes 253.
    let body = [label.as_str(); 4].join(".");
    assert_eq!(worker.look_up(&format!("{body}.{}", "b".repeat(5))), found(&["192.0.2.1"]));
    let asked = server.questions();
    for text in [
        format!("{body}.{}", "b".repeat(6)),
        format!("{body}.{}", "b".repeat(7)),
        "a".repeat(255),
        format!("{}.test", "a".repeat(64)),
        format!("{}a", "a.".repeat(127)),
    ] {
        worker.ask(&text, 1);
        let answered = worker.resolver.drain(clock::mono());
        assert_eq!(
            answered.map(|answered| answered.answer),
            Some(Err(LookupError::NotFound)),
            "{text}"
        );
    }
    assert_eq!((server.questions(), worker.resolver.in_flight()), (asked, 0));
}

#[test]
fn the_hosts_file_and_localhost_ask_no_server() {
    let server = NameServer::start(|_, _| Reply::NoSuchName);
    let hosts = Arc::new(Hosts::parse(b"192.0.2.9 intra\n"));
    let mut worker = Worker::new(&ResolverOptions { hosts, ..options(&server) });
    assert_eq!(worker.look_up("Intra"), found(&["192.0.2.9"]));
    assert_eq!(worker.look_up("web.localhost"), found(&["::1", "127.0.0.1"]));
    assert_eq!(server.questions(), 0);
}

#[test]
fn questions_beyond_the_bound_are_answered_at_once() {
    let server = NameServer::start(|_, _| Reply::Silence);
    let mut worker = Worker::new(&ResolverOptions { family: Family::Ipv4, ..options(&server) });
    let max = u64::try_from(IN_FLIGHT_MAX).unwrap();
    for number in 0..u32::try_from(IN_FLIGHT_MAX).unwrap() {
        worker.ask(&format!("n{number}.test"), number);
    }
    assert_eq!((worker.resolver.drain(clock::mono()), worker.resolver.in_flight()), (None, max));
    worker.ask("more.test", 1);
    assert_eq!(worker.resolver.drain(clock::mono()).unwrap().answer, Err(LookupError::Overloaded));
    assert_eq!(worker.resolver.in_flight(), max);
}

#[test]
fn an_event_of_a_descriptor_that_is_not_ours_changes_nothing() {
    let server = NameServer::start(|_, _| Reply::Addresses(ips(&["192.0.2.1"])));
    let mut worker = Worker::new(&options(&server));
    for fd in [0, 1, 999_999] {
        worker.resolver.on_event(fd, true, true);
    }
    worker.resolver.tend(clock::mono());
    assert_eq!(worker.resolver.drain(clock::mono()), None);
    assert_eq!(worker.look_up("a.test"), found(&["192.0.2.1"]));
}
