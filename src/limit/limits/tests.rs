use std::sync::Arc;
use std::time::Duration;

use super::super::former::REMEMBERED_MS;
use super::*;
use crate::auth::{User, Users};
use crate::clock;
use crate::limit::{Counted, Period, Whom};

fn policy(terms: LimitTerms) -> LimitPolicy {
    LimitPolicy { terms: Arc::new(terms), limits: Arc::default() }
}

fn quota(per_user: bool) -> LimitTerms {
    let terms = QuotaTerms {
        name: "q".into(),
        whom: Whom { everybody: true, users: vec!["carol".into()], ..Whom::default() },
        per_user,
        period: Period::Month,
        counted: Counted::Download,
        octets: 1000,
        warn_octets: 800,
        brake: None,
    };
    LimitTerms { quotas: vec![Arc::new(terms)], ..LimitTerms::default() }
}

#[test]
fn places_are_given_back() {
    let terms =
        LimitTerms { connections_per_user: 2, connections_per_address: 1, ..LimitTerms::default() };
    let policy = policy(terms);
    let (alice, now) = (Identity::anonymous("alice"), clock::mono());
    let first = policy.enter(&alice, clock::utc_ms).unwrap();
    let second = policy.enter(&alice, clock::utc_ms).unwrap();
    assert_eq!(policy.enter(&alice, clock::utc_ms).unwrap_err(), Refusal::UserSessions);
    assert!(policy.enter(&Identity::anonymous("bob"), clock::utc_ms).unwrap().is_some());
    drop(second);
    assert!(policy.enter(&alice, clock::utc_ms).is_ok());
    drop(first);
    let door = |ip: &str| policy.at_door(ip.parse().unwrap(), now);
    let inside = door("2001:db8::1").unwrap();
    assert_eq!(door("2001:db8::ffff").unwrap_err(), Refusal::AddressConnections);
    let others = [door("2001:db8:0:1::1"), door("::ffff:192.0.2.1"), door("192.0.2.2")];
    assert!(others.iter().all(Result::is_ok));
    assert_eq!(door("192.0.2.1").unwrap_err(), Refusal::AddressConnections);
    drop(inside);
    assert!(door("2001:db8::2").is_ok());
    assert_eq!(policy.limits.refused(), [2, 0, 1, 0]);
}

#[test]
fn who_is_inside_already_is_counted_when_a_limit_comes() {
    let before = policy(LimitTerms::default());
    let alice = Identity::anonymous("alice");
    assert!(before.enter(&alice, clock::utc_ms).unwrap().is_none());
    let terms = LimitTerms { connections_per_user: 1, ..LimitTerms::default() };
    let after = LimitPolicy { terms: Arc::new(terms), limits: Arc::clone(&before.limits) };
    let two = [after.counted(&alice), after.counted(&alice)];
    assert_eq!(after.enter(&alice, clock::utc_ms).unwrap_err(), Refusal::UserSessions);
    drop(two);
    assert!(after.enter(&alice, clock::utc_ms).is_ok());
}

#[test]
fn an_address_that_comes_too_fast_waits() {
    let rate = Some(Rate { per_second: 1, burst: 2 });
    let policy = policy(LimitTerms { connection_rate: rate, ..LimitTerms::default() });
    let now = clock::mono();
    let door = |at| policy.at_door([192, 0, 2, 1].into(), at).is_ok();
    assert_eq!([door(now), door(now), door(now)], [true, true, false]);
    assert!(door(now + Duration::from_secs(1)));
}

#[test]
fn what_an_earlier_process_counted_counts_on() {
    let now = clock::now();
    let policy = policy(quota(true));
    policy.limits.adopt(&policy.terms, now.utc_ms);
    let alice = Identity::anonymous("alice");
    let booked = policy.limits.booked("alice", (5, 900), now.utc_ms);
    let [(subject, start_ms, octets)] = booked.try_into().unwrap();
    assert_eq!((subject.to_string().as_str(), octets), ("q/month/download/alice", 900));
    let text = subject.to_string();
    policy.limits.restore(&text, start_ms - 1, 1000, now.utc_ms);
    assert!(policy.enter(&alice, clock::utc_ms).is_ok(), "that was last month");
    policy.limits.restore(&text, start_ms, octets, now.utc_ms);
    policy.limits.restore(&text, start_ms, 100, now.utc_ms);
    assert_eq!(policy.enter(&alice, clock::utc_ms).unwrap_err(), Refusal::Quota);
    let states = policy.limits.quotas(now.utc_ms);
    let seen: Vec<_> = states.iter().map(|it| (it.user.as_deref(), it.used)).collect();
    assert_eq!(seen, [(Some("alice"), 1000), (Some("carol"), 0)]);
    assert!(states[0].is_exhausted() && !states[1].is_warned());
    policy.limits.restore("nonsense", start_ms, 1, now.utc_ms);
}

#[test]
fn a_quota_that_is_lowered_below_what_is_used_is_told_once() {
    let now = clock::now();
    let policy = policy(quota(true));
    let with = |octets: u64, users: &[&str]| {
        let mut quota = QuotaTerms::clone(&policy.terms.quotas[0]);
        (quota.octets, quota.warn_octets) = (octets, octets / 2);
        quota.whom =
            Whom { users: users.iter().map(|it| (*it).into()).collect(), ..Whom::default() };
        Arc::new(LimitTerms { quotas: vec![Arc::new(quota)], ..LimitTerms::default() })
    };
    let all = &["alice", "bob"];
    let told = |octets: u64, users: &[&str]| -> Vec<_> {
        policy.limits.adopt(&with(octets, users), now.utc_ms);
        let news = policy.limits.news().into_iter();
        news.map(|news| (news.subject.user.unwrap().to_string(), news.exhausted)).collect()
    };
    assert_eq!(told(1000, all), []);
    for (user, octets) in [("alice", 300), ("bob", 10)] {
        let mut throttle = policy.throttle(&Identity::anonymous(user), None, now).unwrap();
        throttle.charge([0, octets], [false; 2], now);
    }
    assert_eq!(told(900, all), []);
    assert_eq!(told(500, all), [("alice".to_owned(), false)]);
    assert_eq!(told(500, all), []);
    assert_eq!(told(300, all), [("alice".to_owned(), true)]);
    assert_eq!(told(200, all), []);
    assert_eq!(told(5, &["bob"]), [("bob".to_owned(), true)], "alice has none any more");
    assert_eq!(policy.limits.marks(), (1, 2));
}

#[test]
fn the_last_octets_of_who_is_taken_away_are_his_groups() {
    let hash = crate::auth::hash(b"x").unwrap();
    let users = |names: &[&str]| {
        let user = |name: &&str| User::new(name, &hash, &["staff".into()]).unwrap();
        Arc::new(Users::new(names.iter().map(user)))
    };
    let mut quota = QuotaTerms::clone(&quota(false).quotas[0]);
    quota.whom = Whom { groups: vec!["Staff".into()], ..Whom::default() };
    let quotas = vec![Arc::new(quota)];
    let (limits, now) = (Limits::default(), clock::now());
    let adopt = |names: &[&str]| {
        let (users, quotas) = (users(names), quotas.clone());
        let terms = LimitTerms { users, quotas, ..LimitTerms::default() };
        limits.adopt(&Arc::new(terms), now.utc_ms);
    };
    let booked_at = |user: &str, utc_ms| limits.booked(user, (1, 2), utc_ms).len();
    let booked = |user: &str| booked_at(user, now.utc_ms);
    adopt(&["alice", "bob"]);
    assert_eq!([booked("alice"), booked("bob"), booked("carol")], [1, 1, 0]);
    adopt(&["bob"]);
    adopt(&["bob", "carol"]);
    assert_eq!([booked("alice"), booked("bob"), booked("carol")], [1, 1, 1]);
    adopt(&["carol"]);
    assert_eq!([booked("alice"), booked("bob")], [1, 1], "of whichever reload");
    let later = now.utc_ms + REMEMBERED_MS;
    assert_eq!(booked_at("bob", later - 1), 1);
    assert_eq!(["alice", "bob", "carol"].map(|user| booked_at(user, later)), [0, 0, 1]);
}

#[test]
fn a_quota_for_all_is_one() {
    let now = clock::now();
    let policy = policy(quota(false));
    policy.limits.adopt(&policy.terms, now.utc_ms);
    for user in ["alice", "bob"] {
        let mut throttle = policy.throttle(&Identity::anonymous(user), None, now).unwrap();
        assert!(throttle.allow(1000, [true; 2], now).is_ok());
        throttle.charge([7, 500], [false, false], now);
    }
    let states = policy.limits.quotas(now.utc_ms);
    assert_eq!((states.len(), &states[0].user, states[0].used), (1, &None, 1000));
}
