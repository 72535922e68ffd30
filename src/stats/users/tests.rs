use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::clock;

const MINUTE: Duration = Duration::from_secs(60);

fn traffic(octets: u64) -> Traffic {
    Traffic { bytes_sent: octets, bytes_received: 10 * octets, ..Traffic::default() }
}

fn of(sums: &UserSums) -> BTreeMap<String, UserSum> {
    let series = sums.snapshot();
    let count = series.len();
    let by_label: BTreeMap<_, _> =
        series.into_iter().map(|(label, sum)| (label.into(), sum)).collect();
    assert_eq!(by_label.len(), count, "a label is there twice");
    by_label
}

fn labels(sums: &UserSums) -> Vec<String> {
    of(sums).into_keys().filter(|label| !label.starts_with('_')).collect()
}

/// One user after the other moves so much.
fn add(sums: &UserSums, now: Instant, moved: &[(&str, u64)]) {
    for (user, octets) in moved {
        sums.add(user, true, &traffic(*octets), now);
    }
}

#[test]
fn the_first_hold_labels_and_the_rest_are_other() {
    let (sums, now) = (UserSums::new(2), clock::mono());
    add(&sums, now, &[("a", 1), ("b", 2), ("c", 3), ("a", 4), ("d", 5)]);
    let series = of(&sums);
    assert_eq!(labels(&sums), ["a", "b"]);
    assert_eq!(series["a"], UserSum { sessions: 2, bytes_sent: 5, bytes_received: 50 });
    assert_eq!(series[OTHER], UserSum { sessions: 2, bytes_sent: 8, bytes_received: 80 });
    assert!(
        !series.contains_key(GONE),
        "one series more than labels, as long as none was given up"
    );
    sums.add("a", false, &traffic(1), now);
    assert_eq!(of(&sums)["a"].sessions, 2);
}

#[test]
fn a_heavier_user_gets_a_label_after_the_lighter_was_outside_for_an_hour() {
    let (sums, start) = (UserSums::new(2), clock::mono());
    add(&sums, start, &[("a", 100), ("b", 10), ("c", 1000)]);
    for minute in 1..=60 {
        add(&sums, start + minute * MINUTE, &[("a", 1)]);
        assert_eq!(labels(&sums), ["a", "b"], "minute {minute}");
    }
    add(&sums, start + 61 * MINUTE, &[("c", 7)]);
    assert_eq!(labels(&sums), ["a", "c"]);
    let series = of(&sums);
    assert_eq!(series[GONE], UserSum { sessions: 1, bytes_sent: 10, bytes_received: 100 });
    assert_eq!(series["c"].bytes_sent, 7, "what it moved before stays where it was booked");
    assert_eq!(series[OTHER].bytes_sent, 1000);
    // Without a label it is one of the others again.
    add(&sums, start + 61 * MINUTE, &[("b", 3)]);
    let series = of(&sums);
    assert_eq!((series[OTHER].bytes_sent, series[GONE].bytes_sent), (1003, 10));
}

#[test]
fn who_comes_back_within_the_hour_keeps_its_label_and_its_value() {
    let (sums, start) = (UserSums::new(1), clock::mono());
    add(&sums, start, &[("a", 10), ("b", 20)]);
    add(&sums, start + MINUTE, &[("b", 1)]);
    add(&sums, start + 50 * MINUTE, &[("a", 100)]);
    for minute in 51..=100 {
        add(&sums, start + minute * MINUTE, &[("b", 1)]);
    }
    assert_eq!(labels(&sums), ["a"]);
    assert_eq!(of(&sums)["a"].bytes_sent, 110);
}

#[test]
fn old_octets_weigh_less_than_new_ones() {
    let (sums, start) = (UserSums::new(1), clock::mono());
    add(&sums, start, &[("old", 1000), ("new", 1)]);
    let later = start + 4 * HALF_LIFE;
    add(&sums, later, &[("new", 100)]);
    add(&sums, later + MINUTE, &[("new", 1)]);
    add(&sums, later + 62 * MINUTE, &[("new", 1)]);
    assert_eq!(labels(&sums), ["new"]);
}

#[test]
fn a_login_that_is_called_like_a_shared_label_holds_none() {
    let (sums, now) = (UserSums::new(8), clock::mono());
    add(&sums, now, &[("_other", 1), ("_gone", 2), ("_else", 3)]);
    let series = of(&sums);
    assert_eq!(series.keys().collect::<Vec<_>>(), ["_else", OTHER]);
    assert_eq!((series[OTHER].sessions, series[OTHER].bytes_sent), (2, 3));
}

#[test]
fn without_labels_there_are_only_the_shared_ones() {
    let (sums, now) = (UserSums::new(0), clock::mono());
    add(&sums, now, &[("a", 1), ("b", 2)]);
    add(&sums, now + 2 * OUTSIDE_MAX, &[("a", 1)]);
    assert_eq!(of(&sums).len(), 1);
    assert_eq!(of(&sums)[OTHER].bytes_sent, 4);
}

#[test]
fn the_memory_for_those_without_a_label_is_bounded() {
    let (sums, start) = (UserSums::new(1), clock::mono());
    for number in 0..10_000u32 {
        sums.add(&number.to_string(), true, &traffic(1), start);
    }
    let most = sums.0.lock().waiting_max();
    assert_eq!(sums.0.lock().waiting.len(), most);
    add(&sums, start + MINUTE, &[("heavy", 1_000_000)]);
    assert!(sums.0.lock().waiting.len() <= most / 2 + 1);
    assert!(sums.0.lock().waiting.contains_key("heavy"));
    assert_eq!(of(&sums)[OTHER].sessions, 10_000);
}

proptest! {
    /// Whatever users do and however time passes: the sum over the series is what was added, no
    /// series falls, one that vanishes has moved to `_gone`, and there are never too many.
    #[test]
    fn sums_are_exact_series_bounded_and_counters_never_fall(
        users_max in 0..4usize,
        steps in prop::collection::vec((0..9usize, 0..1000u64, any::<bool>(), 0..90u64), 1..300),
    ) {
        const USERS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", OTHER, GONE];
        let sums = UserSums::new(users_max);
        let mut now = clock::mono();
        let mut total = UserSum::default();
        let mut before = of(&sums);
        for (user, octets, first, minutes) in steps {
            now += Duration::from_secs(minutes * 60);
            sums.add(USERS[user], first, &traffic(octets), now);
            total.add(&UserSum {
                sessions: u64::from(first),
                bytes_sent: octets,
                bytes_received: 10 * octets,
            });
            let after = of(&sums);
            prop_assert!(after.len() <= users_max + 2);
            let mut sum = UserSum::default();
            after.values().for_each(|series| sum.add(series));
            prop_assert_eq!(sum, total);
            let mut moved = UserSum::default();
            for (label, was) in &before {
                match after.get(label) {
                    Some(is) => prop_assert!(
                        is.sessions >= was.sessions
                            && is.bytes_sent >= was.bytes_sent
                            && is.bytes_received >= was.bytes_received,
                        "{} fell", label
                    ),
                    None => moved.add(was),
                }
            }
            let gone = |series: &BTreeMap<_, _>| series.get(GONE).copied().unwrap_or_default();
            moved.add(&gone(&before));
            prop_assert_eq!(gone(&after), moved, "only what vanished goes there");
            before = after;
        }
    }
}
