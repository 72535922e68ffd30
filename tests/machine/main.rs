//! The control machine without a socket: conversations, each whole, octet by octet and cut in two at
//! every place, with payload behind the request.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod conversations;
mod driven;
mod logins;
mod script;
mod world;

use std::sync::Arc;
use std::time::Duration;

use rustsocks::auth::{Identity, Verdict};
use rustsocks::connection::{Input, Next};
use rustsocks::policy::Policy;
use rustsocks::session::Outcome;
use rustsocks::socks::{Command, CommandSet};

use crate::conversations::{CONVERSATIONS, NAME, V4};
use crate::driven::{Driven, Policies};
use crate::script::Ends;

#[test]
fn conversations_hold_whole_octet_by_octet_and_at_every_split() {
    let policies = Policies::new();
    for conversation in CONVERSATIONS {
        let octets = conversation.octets();
        let early = b"early data";
        let all: Vec<u8> = octets.iter().chain(early).copied().collect();
        policies.hold(conversation, &[&all], early);
        policies.hold(conversation, &octets.chunks(1).collect::<Vec<_>>(), b"");
        for at in 1..octets.len() {
            policies.hold(conversation, &[&octets[..at], &octets[at..]], b"");
        }
    }
}

#[test]
fn early_data_stays_whole_and_in_order_wherever_it_is_cut() {
    let policies = Policies::new();
    for conversation in CONVERSATIONS.iter().filter(|it| it.ends == Ends::Relays) {
        let octets = conversation.octets();
        let all: Vec<u8> = octets.iter().chain(b"payload").copied().collect();
        for at in 1..all.len() {
            policies.hold(conversation, &[&all[..at], &all[at..]], b"payload");
        }
    }
}

#[test]
fn a_command_that_is_switched_off_is_refused_and_nat_is_advertised() {
    let change = |change: fn(&mut Policy)| {
        let mut policies = Policies::new();
        change(Arc::get_mut(&mut policies.open).unwrap());
        policies
    };
    let request = b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00";
    let off = change(|policy| policy.commands = CommandSet::NONE.with(Command::Connect));
    let (_, next) = off.asked(request);
    assert!(matches!(next, Next::Refuse(Outcome::UnsupportedCommand)), "{next:?}");
    let off = change(|policy| policy.commands = CommandSet::NONE.with(Command::UdpAssociate));
    let bind = b"\x05\x02\x00\x01\x5d\xb8\xd8\x22\x01\xbb";
    for request in [V4, bind] {
        let (driven, next) = off.asked(request);
        assert!(matches!(next, Next::Refuse(Outcome::UnsupportedCommand)), "{next:?}");
        assert!(driven.read.starts_with(b"\x05\x00\x05\x07"));
    }

    let nat = change(|policy| policy.associations.advertised = Some([203, 0, 113, 9].into()));
    let (mut driven, next) = nat.asked(request);
    assert!(matches!(next, Next::Associate { declared: 0 }), "{next:?}");
    let next = driven.tell(Input::Associated("10.0.0.1:4660".parse().unwrap()));
    assert!(matches!(next, Next::Flush), "{next:?}");
    assert!(driven.read.ends_with(b"\x05\x00\x00\x01\xcb\x00\x71\x09\x12\x34"));
}

#[test]
fn a_client_may_close_its_sending_side_behind_the_request_but_not_before_it() {
    let policies = Policies::new();
    let (mut driven, next) = policies.asked(NAME);
    assert!(matches!(next, Next::Resolve(_)), "{next:?}");
    let next = driven.tell(Input::Eof { early: false });
    assert!(matches!(next, Next::Wait), "{next:?}");
    let mut driven = policies.driven(None);
    driven.give(b"\x05\x01\x00");
    let next = driven.tell(Input::Eof { early: false });
    assert!(matches!(next, Next::End(Outcome::ClientGone)), "{next:?}");
}

#[test]
fn a_client_that_closes_and_leaves_nothing_is_given_a_moment_for_its_target() {
    let policies = Policies::new();
    let asking = || policies.asked(NAME).0;
    let ahead = |driven: &Driven<'_>| driven.machine.deadline().map(|until| until - driven.now);
    let mut hung_up = asking();
    hung_up.tell(Input::Eof { early: false });
    let gone_at = hung_up.machine.deadline();
    assert_eq!(gone_at, Some(hung_up.now + Duration::from_secs(1)));
    hung_up.now = gone_at.unwrap();
    let next = hung_up.tell(Input::Deadline);
    assert!(matches!(next, Next::Refuse(Outcome::ClientGone)), "{next:?}");
    assert!(hung_up.read.ends_with(b"\x05\x01\x00\x01\0\0\0\0\0\0"), "{:?}", hung_up.read);

    let mut half_closed = asking();
    half_closed.give(b"payload");
    half_closed.tell(Input::Eof { early: true });
    assert_eq!(ahead(&half_closed), ahead(&asking()));

    // The close is seen while the password is being checked, and the request is read after it.
    let mut driven = policies.driven(Some(("alice", "pw")));
    driven.give(b"\x05\x01\x02");
    driven.give(b"\x01\x05alice\x02pw");
    driven.give(NAME);
    driven.tell(Input::Eof { early: true });
    driven.tell(Input::Verdict(Verdict::Accepted(Identity::anonymous("alice"))));
    let next = driven.tell(Input::Flushed);
    assert!(matches!(next, Next::Resolve(_)), "{next:?}");
    assert_eq!(ahead(&driven), Some(Duration::from_secs(1)));
}

#[test]
fn the_look_up_of_a_bind_and_the_wait_for_its_peer_have_one_deadline() {
    let policies = Policies::new();
    let (mut driven, next) = policies.asked(b"\x05\x02\x00\x03\x0bexample.com\x00\x15");
    assert!(matches!(next, Next::Resolve(_)), "{next:?}");
    let deadline = driven.machine.deadline();
    driven.now += Duration::from_secs(3);
    let answer = Ok([[93, 184, 216, 34].into()].into_iter().collect());
    let next = driven.tell(Input::Resolved { answer, more: false });
    assert!(matches!(next, Next::Open), "{next:?}");
    let next = driven.tell(Input::Opened);
    assert!(matches!(next, Next::Listen { towards: Some(_) }), "{next:?}");
    driven.tell(Input::Listening("192.0.2.1:4660".parse().unwrap()));
    driven.tell(Input::Flushed);
    assert_eq!(driven.machine.deadline(), deadline);
}

#[test]
fn the_handshake_has_one_deadline_from_accept_that_octets_do_not_move() {
    let policies = Policies::new();
    let mut driven = policies.driven(None);
    let deadline = driven.machine.deadline().unwrap();
    assert_eq!(deadline, driven.now + Duration::from_secs(10));
    driven.now += Duration::from_secs(9);
    driven.give(b"\x05\x01\x00");
    assert_eq!(driven.machine.deadline(), Some(deadline));
    driven.now = deadline;
    let next = driven.tell(Input::Deadline);
    assert!(matches!(next, Next::End(Outcome::HandshakeTimeout)), "{next:?}");
    assert_eq!(driven.machine.deadline(), None);
}

#[test]
fn what_rules_said_that_are_not_in_force_any_more_is_no_hit_of_those_that_are() {
    let policies = Policies::new();
    let (mut driven, next) = policies.asked(V4);
    assert!(matches!(next, Next::Open), "{next:?}");
    let next = driven.tell(Input::Opened);
    assert!(matches!(next, Next::Dial { .. }), "{next:?}");
    let old = driven.policy.generation;
    assert!(driven.machine.facts().ruling_of(old).is_some());
    // It is being dialled when another policy comes.
    let policy = Arc::new(Policy { generation: old + 1, ..Policy::plain() });
    let now = driven.now;
    let next = driven.machine.renew(&policy, now, &mut driven.outbox);
    assert!(next.is_none(), "{next:?}");
    let facts = driven.machine.facts();
    assert!(facts.ruling.is_some() && facts.ruling_of(policy.generation).is_none());
}
