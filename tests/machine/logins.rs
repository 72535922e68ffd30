//! Logins that come to nothing, and those that are answered when another policy is in force.

use std::sync::Arc;

use base64ct::{Base64, Encoding};
use rustsocks::auth::{Credentials, User, Users, Verdict, verify};
use rustsocks::connection::{Input, Next};
use rustsocks::policy::Policy;
use rustsocks::session::Outcome;
use rustsocks::socks::{Command, CommandSet, MethodSet, Outbox};

use crate::driven::{Driven, Policies};

const LOGIN: (&str, &str) = ("alice", "secret");

fn head() -> Vec<u8> {
    let coded = Base64::encode_string(format!("{}:{}", LOGIN.0, LOGIN.1).as_bytes());
    format!("CONNECT 93.184.216.34:443 HTTP/1.0\r\nProxy-Authorization: Basic {coded}\r\n\r\n")
        .into()
}

/// A client of each protocol whose password is being checked, and how what it is told next begins
/// where that is this status.
fn verifying<'a>(policies: &'a Policies, status: &str) -> [(Driven<'a>, Vec<u8>); 2] {
    let ways = [
        (b"\x05\x01\x02\x01\x05alice\x06secret".to_vec(), b"\x05\x02\x01\x01".to_vec()),
        (head(), format!("HTTP/1.1 {status} ").into_bytes()),
    ];
    ways.map(|(octets, told)| {
        let mut driven = policies.driven(Some(LOGIN));
        let next = driven.give(&octets);
        assert!(matches!(next, Next::Verify(_)), "{next:?}");
        (driven, told)
    })
}

/// Alice is right, by the users of the first policy.
fn accepted(policies: &Policies) -> Verdict {
    let password = LOGIN.1.as_bytes().to_vec();
    let verdict = verify(
        &policies.login.users,
        &Credentials::new(LOGIN.0.as_bytes().into(), password.into()),
    );
    assert!(matches!(verdict, Verdict::Accepted(_)), "{verdict:?}");
    verdict
}

fn with_users(policies: &Policies, users: Users) -> Arc<Policy> {
    let methods = policies.login.methods;
    Arc::new(Policy { generation: 2, methods, users: Arc::new(users), ..Policy::plain() })
}

#[track_caller]
fn assert_refused(driven: &Driven<'_>, told: &[u8], next: &Next, expected: Outcome) {
    assert!(matches!(next, Next::Refuse(outcome) if *outcome == expected), "{next:?}");
    let read = String::from_utf8_lossy(&driven.read);
    assert!(driven.read.starts_with(told), "{expected:?}: {read:?}");
}

#[test]
fn a_login_that_fails_because_of_us_is_told_so() {
    let policies = Policies::new();
    for (verdict, status, outcome) in [
        (Verdict::Rejected, "407", Outcome::AuthFailed),
        (Verdict::Banned, "403", Outcome::Banned),
        (Verdict::Overloaded, "503", Outcome::ServerBusy),
    ] {
        for (mut driven, told) in verifying(&policies, status) {
            let next = driven.tell(Input::Verdict(verdict.clone()));
            assert_refused(&driven, &told, &next, outcome);
        }
    }
}

#[test]
fn a_login_that_is_not_answered_in_time_is_our_fault() {
    let policies = Policies::new();
    for (mut driven, told) in verifying(&policies, "503") {
        driven.now = driven.machine.deadline().unwrap();
        let next = driven.tell(Input::Deadline);
        assert_refused(&driven, &told, &next, Outcome::ServerBusy);
    }
}

#[test]
fn a_login_that_another_policy_makes_void_is_told_so() {
    let policies = Policies::new();
    // Its user is taken away while the password is checked.
    let without = with_users(&policies, Users::default());
    let verdict = accepted(&policies);
    for (mut driven, told) in verifying(&policies, "403") {
        let next = driven.machine.renew(&without, driven.now, &mut Outbox::new());
        assert!(next.is_none(), "{next:?}");
        let next = driven.tell(Input::Verdict(verdict.clone()));
        assert_refused(&driven, &told, &next, Outcome::PolicyChanged);
    }
    // Logins are not wanted any more.
    let open = Policy { generation: 2, methods: MethodSet::NO_AUTH, ..Policy::plain() };
    let open = Arc::new(open);
    for (mut driven, told) in verifying(&policies, "403") {
        let next = driven.machine.renew(&open, driven.now, &mut driven.outbox).unwrap();
        driven.collect();
        assert_refused(&driven, &told, &next, Outcome::PolicyChanged);
    }
    // It has been let in and has asked when its user is taken away.
    let [_, (mut driven, told)] = verifying(&policies, "403");
    driven.tell(Input::Verdict(verdict));
    let next = driven.tell(Input::Flushed);
    assert!(matches!(next, Next::Read), "{next:?}");
    let next = driven.give(b"");
    assert!(matches!(next, Next::Open), "{next:?}");
    let next = driven.machine.renew(&without, driven.now, &mut driven.outbox).unwrap();
    driven.collect();
    assert_refused(&driven, &told, &next, Outcome::PolicyChanged);
}

#[test]
fn connect_that_is_switched_off_is_forbidden_and_no_wrong_method() {
    let mut policies = Policies::new();
    let open = Arc::get_mut(&mut policies.open).unwrap();
    open.commands = CommandSet::NONE.with(Command::UdpAssociate);
    let mut driven = policies.driven(None);
    let next = driven.give(&head());
    assert_refused(&driven, b"HTTP/1.1 403 ", &next, Outcome::UnsupportedCommand);
}

#[test]
fn a_login_that_is_answered_after_a_reload_is_of_the_groups_that_are_in_force() {
    let policies = Policies::new();
    let alice = policies.alice.clone().in_groups(["staff".into()].into());
    let promoted = with_users(&policies, Users::new([alice]));
    let verdict = accepted(&policies);
    for (mut driven, _) in verifying(&policies, "200") {
        let next = driven.machine.renew(&promoted, driven.now, &mut Outbox::new());
        assert!(next.is_none(), "{next:?}");
        driven.tell(Input::Verdict(verdict.clone()));
        let identity = driven.machine.facts().identity.as_ref().unwrap();
        assert_eq!((identity.user(), identity.groups()), (LOGIN.0, &["staff".into()][..]));
    }
}

#[test]
fn a_login_is_void_whose_password_was_changed_while_the_old_one_was_checked() {
    let policies = Policies::new();
    let hash = rustsocks::auth::hash(b"another").unwrap();
    let changed = with_users(&policies, Users::new([User::new(LOGIN.0, &hash, &[]).unwrap()]));
    for (mut driven, told) in verifying(&policies, "403") {
        let next = driven.machine.renew(&changed, driven.now, &mut driven.outbox).unwrap();
        driven.collect();
        assert_refused(&driven, &told, &next, Outcome::PolicyChanged);
    }
}
