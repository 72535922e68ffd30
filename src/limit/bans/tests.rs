use super::*;
use crate::clock;

const TERMS: BanTerms =
    BanTerms { max_failures: 3, ban_for: Duration::from_secs(60), answer_after: Duration::ZERO };

const PATIENCE: Duration = Duration::from_secs(10);
const HOST: Asked = Asked::Host { patience: PATIENCE };

fn fail(bans: &Arc<Bans>, client: IpAddr, now: Now) -> bool {
    match bans.check(client, Asked::Us, TERMS, now.mono) {
        MayCheck::Yes(check) => check.failed(now),
        other @ (MayCheck::Later | MayCheck::Banned) => panic!("{other:?}"),
    }
}

fn list(bans: &Bans, now: Instant) -> Vec<Ban> {
    let mut banned = Vec::new();
    bans.each(now, |ban| banned.push(ban));
    banned
}

fn later(now: Now, seconds: u64) -> Now {
    Now { mono: now.mono + Duration::from_secs(seconds), ..now }
}

#[test]
fn the_last_failure_bans_for_a_time_and_nobody_else() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let (client, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
    assert!(!fail(&bans, client, now) && !fail(&bans, client, now));
    assert!(!bans.is_banned(client, now.mono));
    assert!(fail(&bans, client, now));
    assert!(bans.is_banned(client, now.mono) && !bans.is_banned(other, now.mono));
    assert!(matches!(bans.check(client, Asked::Us, TERMS, now.mono), MayCheck::Banned));
    let until_ms = now.utc_ms + 60_000;
    assert_eq!(list(&bans, now.mono), [Ban { address: client, failures: 3, until_ms }]);
    let over = later(now, 60);
    assert_eq!(list(&bans, over.mono), []);
    assert_eq!((bans.count(now.mono), bans.count(over.mono)), (1, 0));
    assert!(!bans.is_banned(client, over.mono));
    assert!(!fail(&bans, client, over), "it begins anew");
    assert_eq!((bans.made(), bans.banned.load(Relaxed)), (1, 0));
}

#[test]
fn failures_are_forgotten_when_none_comes_for_as_long_as_a_ban() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let client = [192, 0, 2, 1].into();
    fail(&bans, client, now);
    fail(&bans, client, later(now, 59));
    assert!(!fail(&bans, client, later(now, 120)));
    assert!(!fail(&bans, client, later(now, 121)));
    assert!(fail(&bans, client, later(now, 122)));
}

#[test]
fn both_kinds_are_held_together_against_what_may_still_fail() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let client = [192, 0, 2, 1].into();
    let begin = |asked| bans.check(client, asked, TERMS, now.mono);
    let mut checks = Vec::new();
    for asked in [HOST, Asked::Us, HOST, Asked::Us, HOST, Asked::Us] {
        if let MayCheck::Yes(check) = begin(asked) {
            checks.push(check);
        }
    }
    assert_eq!((checks.len(), bans.put_off()), (3, 3));
    let banned: Vec<_> = checks.iter().map(|check| check.failed(now)).collect();
    assert_eq!(banned, [false, false, true]);
    assert_eq!(list(&bans, now.mono)[0].failures, 3);
    drop(checks);
    assert!(bans.by_block.lock()[&client].is_idle());
}

#[test]
fn what_hangs_at_the_host_holds_up_nobody_whom_we_check_for_longer_than_a_client_waits() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let client = [192, 0, 2, 1].into();
    let begin = |asked, now: Now| bans.check(client, asked, TERMS, now.mono);
    let held: Vec<_> = (0..3).map(|_| begin(HOST, now)).collect();
    let (before, after) = (later(now, PATIENCE.as_secs() - 1), later(now, PATIENCE.as_secs()));
    assert!(matches!(begin(Asked::Us, before), MayCheck::Later));
    assert!(matches!(begin(HOST, after), MayCheck::Later), "the host's wait for it for ever");
    let ours: Vec<_> = (0..3).map(|_| begin(Asked::Us, after)).collect();
    assert!(ours.iter().all(|check| matches!(check, MayCheck::Yes(_))), "{held:?}");
    assert!(matches!(begin(Asked::Us, after), MayCheck::Later));
    drop((ours, held));
    assert!(bans.by_block.lock().is_empty());
}

#[test]
fn without_bans_neither_kind_waits_for_the_other() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let terms = BanTerms { max_failures: 0, ..TERMS };
    let begin = |asked| bans.check([192, 0, 2, 1].into(), asked, terms, now.mono);
    let held: Vec<_> = (0..CHECKS_MAX).map(|_| begin(HOST)).collect();
    assert!(matches!(begin(HOST), MayCheck::Later));
    assert!(matches!(begin(Asked::Us), MayCheck::Yes(_)), "{held:?}");
}

#[test]
fn no_more_are_checked_at_once_than_may_fail() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let client = [192, 0, 2, 1].into();
    let begin = || bans.check(client, Asked::Us, TERMS, now.mono);
    let checks = [begin(), begin(), begin()];
    assert!(checks.iter().all(|check| matches!(check, MayCheck::Yes(_))));
    assert!(matches!(begin(), MayCheck::Later));
    drop(checks);
    assert!(bans.by_block.lock().is_empty());
    assert!(matches!(begin(), MayCheck::Yes(_)));
}

#[test]
fn without_bans_no_client_has_more_than_its_share_checked_at_once() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let client: IpAddr = [192, 0, 2, 1].into();
    for max_failures in [0, 1_000_000] {
        let terms = BanTerms { max_failures, ..TERMS };
        let begin = |client| bans.check(client, Asked::Us, terms, now.mono);
        let checks: Vec<_> = (0..CHECKS_MAX).map(|_| begin(client)).collect();
        assert!(checks.iter().all(|check| matches!(check, MayCheck::Yes(_))));
        let before = bans.put_off();
        assert!(matches!(begin(client), MayCheck::Later));
        assert_eq!(bans.put_off(), before + 1);
        assert!(matches!(begin([192, 0, 2, 2].into()), MayCheck::Yes(_)), "others are served");
        drop(checks);
        assert!(matches!(begin(client), MayCheck::Yes(_)));
    }
    assert!(bans.by_block.lock().is_empty());
}

#[test]
fn a_ban_is_lifted_and_a_block_of_ipv6_is_one() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let (a, b) = ("2001:db8::1".parse().unwrap(), "2001:db8::ffff:2".parse().unwrap());
    let beside = "2001:db8:0:1::1".parse().unwrap();
    for client in [a, b, a] {
        fail(&bans, client, now);
    }
    assert!(bans.is_banned(b, now.mono) && !bans.is_banned(beside, now.mono));
    assert!(bans.lift(b, now.mono) && !bans.lift(b, now.mono));
    assert!(!bans.is_banned(a, now.mono));
    assert!(!fail(&bans, a, now));
}

#[test]
fn mapped_addresses_are_their_ipv4_addresses_and_zero_bans_nobody() {
    assert_eq!(block("::ffff:192.0.2.1".parse().unwrap()), IpAddr::from([192, 0, 2, 1]));
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let terms = BanTerms { max_failures: 0, ..TERMS };
    for _ in 0..100 {
        let check = bans.check([192, 0, 2, 1].into(), Asked::Us, terms, now.mono);
        let MayCheck::Yes(check) = check else { panic!() };
        assert!(!check.failed(now));
    }
}

#[test]
fn the_bound_on_addresses_holds_and_makes_room_for_those_that_are_over() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() {
        fail(&bans, std::net::Ipv4Addr::from_bits(number).into(), now);
    }
    let more = [192, 0, 2, 1].into();
    // It is counted like everybody, and banned; those who have failed once make room.
    assert!(!fail(&bans, more, now) && !fail(&bans, more, now) && fail(&bans, more, now));
    assert_eq!((bans.uncounted(), bans.by_block.lock().len()), (0, ADDRESSES_MAX));
    let others = (0..5_u8).map(|last| IpAddr::from([192, 0, 3, last]));
    for other in others {
        fail(&bans, other, now);
    }
    assert!(bans.is_banned(more, now.mono), "a ban is worth more than a failure");
    fail(&bans, [192, 0, 4, 1].into(), later(now, 60));
    assert_eq!((bans.uncounted(), bans.by_block.lock().len()), (0, 1));
}

#[test]
fn who_is_banned_after_the_look_for_room_stays_banned() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let client = |bits: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(bits));
    for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() {
        fail(&bans, client(number), now);
    }
    fail(&bans, [192, 0, 2, 1].into(), now);
    // The first has gone, and of the others this one was to go next.
    assert!(!fail(&bans, client(1), now) && fail(&bans, client(1), now));
    fail(&bans, [192, 0, 2, 2].into(), now);
    assert!(bans.is_banned(client(1), now.mono));
    assert_eq!((bans.count(now.mono), bans.uncounted()), (1, 0));
}

#[test]
fn where_all_are_banned_the_ban_goes_that_is_over_first() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let client =
        |number: usize| IpAddr::from(std::net::Ipv4Addr::from_bits(u32::try_from(number).unwrap()));
    let terms = BanTerms { max_failures: 1, ..TERMS };
    let ban = |number, now: Now| match bans.check(client(number), Asked::Us, terms, now.mono) {
        MayCheck::Yes(check) => check.failed(now),
        MayCheck::Later | MayCheck::Banned => false,
    };
    assert!(ban(0, now));
    let soon = later(now, 1);
    for number in 1..ADDRESSES_MAX {
        assert!(ban(number, soon));
    }
    assert!(ban(ADDRESSES_MAX, soon));
    assert!(!bans.is_banned(client(0), soon.mono) && bans.is_banned(client(1), soon.mono));
}

#[test]
fn a_ban_that_is_over_costs_a_new_client_nothing() {
    let (bans, now) = (Arc::new(Bans::default()), clock::now());
    let client = [192, 0, 2, 1].into();
    for _ in 0..3 {
        fail(&bans, client, now);
    }
    let held = bans.by_block.lock();
    // It would wait for ever if it wanted the lock.
    assert!(!bans.is_banned([192, 0, 2, 2].into(), later(now, 60).mono));
    drop(held);
    assert!(bans.is_banned(client, now.mono));
}
