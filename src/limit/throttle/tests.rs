use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::auth::Identity;
use crate::clock;
use crate::limit::{BandwidthTerms, LimitPolicy, LimitTerms, Per, Period, QuotaTerms, Rate, Whom};

fn everybody() -> Whom {
    Whom { everybody: true, ..Whom::default() }
}

fn bandwidth(per: Per, per_second: u64) -> LimitTerms {
    let rate = Some(Rate { per_second, burst: per_second / 10 });
    let terms = BandwidthTerms { name: "b".into(), whom: everybody(), per, rates: [rate, rate] };
    LimitTerms { bandwidths: vec![terms], ..LimitTerms::default() }
}

fn quota(octets: u64, brake: Option<Rate>) -> LimitTerms {
    let terms = QuotaTerms {
        name: "q".into(),
        whom: everybody(),
        per_user: true,
        period: Period::Day,
        counted: Counted::Both,
        octets,
        warn_octets: octets / 2,
        brake,
    };
    LimitTerms { quotas: vec![Arc::new(terms)], ..LimitTerms::default() }
}

fn policy(terms: LimitTerms) -> LimitPolicy {
    LimitPolicy { terms: Arc::new(terms), limits: Arc::default() }
}

fn throttle(policy: &LimitPolicy, user: &str, now: Now) -> Box<Throttle> {
    policy.throttle(&Identity::anonymous(user), None, now).unwrap()
}

/// Sources that always have more: what each session has read by the end.
fn run(sessions: &mut [Box<Throttle>], start: Now, lasts: Duration) -> Vec<u64> {
    let mut read = vec![0; sessions.len()];
    let mut now = start;
    while now.mono < start.mono + lasts {
        let mut next = now.mono + lasts;
        for (session, read) in sessions.iter_mut().zip(&mut read) {
            let [_, allowed] = session.allow(256 * 1024, [false, true], now).unwrap();
            session.charge([0, allowed], [false, true], now);
            *read += allowed;
            // One that may go on at once is asked again in the same moment.
            next = next.min(session.resumes_at(now.mono).unwrap_or(now.mono));
        }
        // As the poll does it: whole milliseconds, rounded up.
        let wait = next.saturating_duration_since(now.mono).as_nanos().div_ceil(1_000_000);
        now.mono += Duration::from_millis(u64::try_from(wait).unwrap());
    }
    read
}

#[test]
fn what_has_no_limit_has_no_throttle() {
    let now = clock::now();
    let alice = Identity::anonymous("alice");
    assert!(policy(LimitTerms::default()).throttle(&alice, None, now).is_none());
    let mut terms = bandwidth(Per::User, 1000);
    terms.bandwidths[0].whom = Whom { users: vec!["bob".into()], ..Whom::default() };
    let policy = policy(terms);
    assert!(policy.throttle(&alice, None, now).is_none());
    assert!(policy.throttle(&alice, Some("b"), now).is_some(), "a rule names it");
}

#[test]
fn sessions_of_a_user_share_his_rate_equally_and_other_users_have_theirs() {
    let now = clock::now();
    let policy = policy(bandwidth(Per::User, 1_250_000));
    let mut sessions: Vec<_> = (0..5).map(|_| throttle(&policy, "alice", now)).collect();
    sessions.push(throttle(&policy, "bob", now));
    let read = run(&mut sessions, now, Duration::from_secs(10));
    let alice: u64 = read[..5].iter().sum();
    for sum in [alice, read[5]] {
        assert!((12_500_000..=12_625_000).contains(&sum), "{read:?}");
    }
    for one in &read[..5] {
        assert!((one * 5).abs_diff(alice) <= 5 * 12_500, "{read:?}");
    }
}

#[test]
fn who_has_a_limit_of_his_own_and_one_with_others_keeps_to_both() {
    let now = clock::now();
    let mut terms = bandwidth(Per::All, 1_000_000);
    terms.bandwidths.extend(bandwidth(Per::Session, 300_000).bandwidths);
    terms.bandwidths[1].name = "s".into();
    let policy = policy(terms);
    let mut two: Vec<_> = (0..2).map(|_| throttle(&policy, "alice", now)).collect();
    let read = run(&mut two, now, Duration::from_secs(10));
    assert!(read.iter().all(|one| (3_000_000..=3_030_000).contains(one)), "{read:?}");
    drop(two);
    let later = Now { mono: now.mono + Duration::from_secs(20), ..now };
    let mut ten: Vec<_> = (0..10).map(|_| throttle(&policy, "alice", later)).collect();
    let read = run(&mut ten, later, Duration::from_secs(10));
    let sum: u64 = read.iter().sum();
    assert!((9_990_000..=10_100_000).contains(&sum), "{read:?}");
}

#[test]
fn another_policy_leaves_the_bucket_of_a_session_as_full_as_it_was() {
    let now = clock::now();
    let before = policy(bandwidth(Per::Session, 1_000_000));
    let mut session = throttle(&before, "alice", now);
    let mut sum = 0;
    for reload in 1..=20 {
        loop {
            let [_, allowed] = session.allow(65_536, [false, true], now).unwrap();
            if allowed == 0 {
                break;
            }
            session.charge([0, allowed], [false, true], now);
            sum += allowed;
        }
        let after = policy(bandwidth(Per::Session, 1_000_000 + reload));
        let mut next = throttle(&after, "alice", now);
        next.take_over(&session);
        session = next;
    }
    assert!((90_000..=110_000).contains(&sum), "one burst, and not one for each reload: {sum}");
    // Under a limit of another name it begins as anybody does.
    let mut other = bandwidth(Per::Session, 1_000_000);
    other.bandwidths[0].name = "c".into();
    let mut next = throttle(&policy(other), "alice", now);
    next.take_over(&session);
    assert!(next.allow(65_536, [false, true], now).unwrap()[1] > 0);
}

#[test]
fn a_way_that_is_silent_keeps_nothing_from_others() {
    let now = clock::now();
    let policy = policy(bandwidth(Per::User, 1_250_000));
    let mut silent = throttle(&policy, "alice", now);
    for _ in 0..1000 {
        silent.allow(65_536, [true; 2], now).unwrap();
        silent.charge([0, 0], [false, false], now);
        assert_eq!(silent.resumes_at(now.mono), None);
    }
    let read = run(&mut [throttle(&policy, "alice", now)], now, Duration::from_secs(1));
    assert!(read[0] >= 1_250_000, "{read:?}");
}

#[test]
fn a_quota_is_told_of_cuts_and_is_nobody_elses() {
    let now = clock::now();
    let policy = policy(quota(100_000, None));
    let mut alice = throttle(&policy, "alice", now);
    assert_eq!(alice.allow(65_536, [true; 2], now), Ok([65_536, 65_536]));
    alice.charge([10_000, 65_536], [true, true], now);
    let news = policy.limits.news();
    assert_eq!(news.iter().map(|it| it.exhausted).collect::<Vec<_>>(), [false]);
    assert_eq!(alice.allow(65_536, [true; 2], now), Ok([24_464, 24_464]));
    alice.charge([0, 24_464], [true, true], now);
    assert_eq!(alice.allow(65_536, [true; 2], now), Err(Exhausted));
    let news = policy.limits.news();
    assert_eq!(news.iter().map(|it| it.exhausted).collect::<Vec<_>>(), [true]);
    assert_eq!((policy.limits.marks(), policy.limits.news()), ((1, 1), vec![]));
    assert_eq!(throttle(&policy, "bob", now).allow(9, [true; 2], now), Ok([9, 9]));
    let tomorrow = Now { utc_ms: now.utc_ms + 86_400_000, ..now };
    assert_eq!(alice.allow(9, [true; 2], tomorrow), Ok([9, 9]));
    alice.undelivered([1, 1]);
}

#[test]
fn one_that_slows_down_does_so_till_its_period_is_over() {
    let now = clock::now();
    let slow = Rate { per_second: 10_000, burst: 1000 };
    let policy = policy(quota(100_000, Some(slow)));
    let mut sessions = vec![throttle(&policy, "alice", now), throttle(&policy, "alice", now)];
    assert_eq!(
        sessions[0].allow(262_144, [true; 2], now),
        Ok([100_000; 2]),
        "no more than is left"
    );
    let read = run(&mut sessions, now, Duration::from_secs(10));
    let sum: u64 = read.iter().sum();
    assert!((190_000..=1_000_000).contains(&sum), "{read:?}");
    let more = run(
        &mut sessions,
        Now { mono: now.mono + Duration::from_secs(10), ..now },
        Duration::from_secs(10),
    );
    let sum: u64 = more.iter().sum();
    assert!((95_000..=105_000).contains(&sum), "{more:?}");
    let tomorrow =
        Now { utc_ms: now.utc_ms + 86_400_000, mono: now.mono + Duration::from_secs(30) };
    assert_eq!(sessions[0].allow(65_536, [true; 2], tomorrow), Ok([65_536, 65_536]));
}

proptest! {
    /// Whatever sessions do, together they never read more than their user may.
    #[test]
    fn together_never_more_than_the_rate_allows(
        steps in prop::collection::vec((0..4_usize, 0..30_u64, 0..=100_u64, any::<bool>()), 1..300),
    ) {
        let start = clock::now();
        let mut now = start;
        let policy = policy(bandwidth(Per::User, 1_000_000));
        let mut sessions: Vec<_> = (0..4).map(|_| throttle(&policy, "alice", now)).collect();
        let mut sum = 0;
        for (session, passes_ms, percent, more) in steps {
            now.mono += Duration::from_millis(passes_ms);
            let session = &mut sessions[session];
            let [upload, _] = session.allow(65_536, [true; 2], now).unwrap();
            let read = upload * percent / 100;
            session.charge([read, 0], [more && read == upload, false], now);
            sum += read;
            let time_us = (now.mono - start.mono).as_micros();
            prop_assert!(u128::from(sum) <= time_us + 100_000 + 4 * 10_000);
        }
    }
}
