//! A token bucket that all workers draw from. One atomic word, touched once per portion, never per octet.
//!
//! The word is a time: up to when what was given out is paid for. Units that are asked for move it on by
//! what they cost, and may be used once it is no more than a burst ahead of now. So the sum of what may
//! be used by any time is never more than `rate × time + burst`, whoever asks; and whoever waits has a
//! turn of his own, behind those who asked before. Sessions that share a bucket ask for one
//! [quantum](Bucket::quantum) each at a time, so they get equal parts of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How much, and how much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units (octets, clients) per second; at least 1.
    pub per_second: u64,
    /// Units that may be used at once after a rest; 0 is a tenth of a second's, or a quantum.
    pub burst: u64,
}

/// The bucket.
#[derive(Debug)]
pub struct Bucket {
    /// Up to when all is paid for: nanoseconds since `origin`, plus [`ORIGIN_NS`].
    paid_to_ns: AtomicU64,
    per_second: AtomicU64,
    burst_ns: AtomicU64,
    quantum: AtomicU64,
    origin: Instant,
}

impl Bucket {
    /// A bucket that is full at `now`.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Self {
        let bucket = Self {
            paid_to_ns: AtomicU64::new(ORIGIN_NS),
            per_second: AtomicU64::new(1),
            burst_ns: AtomicU64::new(0),
            quantum: AtomicU64::new(1),
            origin: now,
        };
        bucket.change(rate);
        bucket
    }

    /// Another rate from now on, also for those who share it already.
    pub fn change(&self, rate: Rate) {
        let per_second = rate.per_second.max(1);
        let burst = match rate.burst {
            0 => (per_second / TENTH).max(quantum(per_second)),
            burst => burst,
        };
        self.per_second.store(per_second, Relaxed);
        self.quantum.store(quantum(per_second).min(burst), Relaxed);
        self.burst_ns.store(cost_ns(burst, per_second).min(BURST_NS_MAX), Relaxed);
    }

    /// Units that one session asks for at a time: what passes in about 10 ms, and no more than may be used
    /// at once, so that whoever has little to say after a rest need not wait for more than that.
    #[must_use]
    pub fn quantum(&self) -> u64 {
        self.quantum.load(Relaxed)
    }

    /// Gives out units, now or later: from when on they may be used.
    pub fn reserve(&self, units: u64, now: Instant) -> Instant {
        let cost = self.cost_ns(units);
        let now_ns = self.since_origin_ns(now);
        let move_on = |paid_to: u64| Some(paid_to.max(now_ns).saturating_add(cost));
        let before = self.paid_to_ns.fetch_update(Relaxed, Relaxed, move_on);
        let paid_to = before.unwrap_or_else(|same| same).max(now_ns).saturating_add(cost);
        let ahead = paid_to.saturating_sub(self.burst_ns.load(Relaxed)).saturating_sub(now_ns);
        now + Duration::from_nanos(ahead)
    }

    /// Takes units out if they may be used at once.
    #[must_use]
    pub fn take(&self, units: u64, now: Instant) -> bool {
        let cost = self.cost_ns(units);
        let now_ns = self.since_origin_ns(now);
        let most = now_ns.saturating_add(self.burst_ns.load(Relaxed));
        let move_on = |paid_to: u64| {
            let paid_to = paid_to.max(now_ns).saturating_add(cost);
            (paid_to <= most).then_some(paid_to)
        };
        self.paid_to_ns.fetch_update(Relaxed, Relaxed, move_on).is_ok()
    }

    /// Takes units back that were given out and will not be used.
    pub fn give_back(&self, units: u64) {
        if units > 0 {
            // Rounded down, as what they cost was rounded up.
            let cost = self.cost_ns(units).saturating_sub(1);
            let move_back = |paid_to: u64| Some(paid_to.saturating_sub(cost));
            // It always has a value to be stored.
            let moved = self.paid_to_ns.fetch_update(Relaxed, Relaxed, move_back);
            debug_assert!(moved.is_ok());
        }
    }

    /// Whether it is full, and so as good as a new one.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_in_ns(now) == 0
    }

    /// Nanoseconds until it is full again.
    #[must_use]
    pub fn full_in_ns(&self, now: Instant) -> u64 {
        self.paid_to_ns.load(Relaxed).saturating_sub(self.since_origin_ns(now))
    }

    fn cost_ns(&self, units: u64) -> u64 {
        cost_ns(units, self.per_second.load(Relaxed))
    }

    fn since_origin_ns(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.origin).as_nanos();
        ORIGIN_NS.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

/// What units cost, rounded up.
fn cost_ns(units: u64, per_second: u64) -> u64 {
    let cost = (u128::from(units) * SECOND_NS).div_ceil(u128::from(per_second.max(1)));
    u64::try_from(cost).unwrap_or(u64::MAX)
}

fn quantum(per_second: u64) -> u64 {
    (per_second / HUNDREDTH).clamp(QUANTUM_MIN, QUANTUM_MAX)
}

const SECOND_NS: u128 = 1_000_000_000;
/// Parts of a second.
const TENTH: u64 = 10;
const HUNDREDTH: u64 = 100;
/// A session that waits is woken once per quantum: not for less than this.
const QUANTUM_MIN: u64 = 2048;
/// A relay moves no more in one turn.
const QUANTUM_MAX: u64 = 256 * 1024;
/// Where the bucket's time begins, so that it may be behind its origin.
const ORIGIN_NS: u64 = 1 << 62;
/// 36 years.
const BURST_NS_MAX: u64 = 1 << 60;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const MBIT: u64 = 125_000;

    #[test]
    fn a_full_one_gives_its_burst_at_once_and_then_its_rate() {
        let start = clock::mono();
        let bucket = Bucket::new(Rate { per_second: MBIT, burst: 10_000 }, start);
        assert!(bucket.take(10_000, start));
        assert!(!bucket.take(1, start));
        assert!(!bucket.take(1251, start + Duration::from_millis(10)));
        assert!(bucket.take(1250, start + Duration::from_millis(10)));
        assert!(bucket.is_full(start + Duration::from_secs(1)));
    }

    #[test]
    fn those_who_wait_have_turns_of_equal_length() {
        let start = clock::mono();
        let bucket = Bucket::new(Rate { per_second: 10 * MBIT, burst: 12_500 }, start);
        let quantum = bucket.quantum();
        assert_eq!(quantum, 12_500);
        let turns: Vec<_> = (0..5).map(|_| bucket.reserve(quantum, start) - start).collect();
        assert_eq!(turns, [0, 10, 20, 30, 40].map(Duration::from_millis));
    }

    #[test]
    fn whoever_rests_need_not_wait_for_his_next_turn_however_small_the_burst() {
        let start = clock::mono();
        for rate in
            [Rate { per_second: 125, burst: 1024 }, Rate { per_second: 100 * MBIT, burst: 1024 }]
        {
            let bucket = Bucket::new(rate, start);
            assert_eq!(bucket.reserve(bucket.quantum(), start), start);
        }
    }

    #[test]
    fn what_is_given_back_is_there_for_the_next() {
        let start = clock::mono();
        let bucket = Bucket::new(Rate { per_second: 10 * MBIT, burst: 12_500 }, start);
        assert_eq!(bucket.reserve(12_500, start), start);
        bucket.give_back(12_500);
        assert!(bucket.reserve(12_500, start) - start <= Duration::from_nanos(2));
    }

    #[test]
    fn another_rate_holds_at_once() {
        let start = clock::mono();
        let bucket = Bucket::new(Rate { per_second: MBIT, burst: 0 }, start);
        assert_eq!(bucket.reserve(12_500, start), start);
        bucket.change(Rate { per_second: 10 * MBIT, burst: 12_500 });
        let second = bucket.reserve(12_500, start) - start;
        assert_eq!(second, Duration::from_millis(100));
    }

    /// What somebody does at a time: rests for so long, asks for so much, uses this part of it.
    fn steps() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
        prop::collection::vec((0..50_000_u64, 1..300_000_u64, 0..=100_u64), 1..200)
    }

    proptest! {
        /// Whoever uses what he reserved, when he may, never makes the sum more than the rate and the
        /// burst allow; and to reserve is never to wait for longer than that takes.
        #[test]
        fn never_more_than_rate_times_time_and_burst(
            per_second in 1_000..5_000_000_000_u64,
            burst in 0..3_000_000_u64,
            steps in steps(),
        ) {
            let start = clock::mono();
            let bucket = Bucket::new(Rate { per_second, burst }, start);
            let least = (per_second / TENTH).max(bucket.quantum());
            let burst = if burst == 0 { least } else { burst };
            let (mut now, mut used) = (start, 0_u64);
            // Since when it has not been full, and what was used since: a rest longer than that fills it
            // no further.
            let (mut since, mut used_since) = (start, 0_u64);
            // Each step is rounded twice.
            let rounded = 2 * per_second * (steps.len() as u64 + 1) / 1_000_000_000 + 2;
            for (rest_us, asked, percent) in steps {
                now += Duration::from_micros(rest_us);
                if bucket.is_full(now) {
                    (since, used_since) = (now, 0);
                }
                now = now.max(bucket.reserve(asked, now));
                let uses = asked * percent / 100;
                bucket.give_back(asked - uses);
                used += uses;
                used_since += uses;
                let time = (now - start).as_nanos() + 1;
                let most = u128::from(per_second) * time / SECOND_NS + u128::from(burst);
                prop_assert!(u128::from(used) <= most + 1, "{used} of {most}");
            }
            // And that much can be had: nobody waits for longer than what was used must be paid for.
            if bucket.is_full(now) {
                (since, used_since) = (now, 0);
            }
            let at = bucket.reserve(1, now);
            let paid = u128::from(per_second) * (at - since).as_nanos() / SECOND_NS;
            let all = u128::from(used_since + rounded);
            prop_assert!(at == now || paid <= all, "{paid} of {all}");
        }

        #[test]
        fn what_is_taken_at_once_is_never_more_either(
            per_second in 1..1_000_u64,
            burst in 1..5_000_u64,
            rests in prop::collection::vec(0..30_000_u64, 1..300),
        ) {
            let start = clock::mono();
            let bucket = Bucket::new(Rate { per_second, burst }, start);
            let (mut now, mut taken) = (start, 0_u64);
            for rest in rests {
                now += Duration::from_micros(rest);
                taken += u64::from(bucket.take(1, now));
                let most = u128::from(per_second) * (now - start).as_nanos() / SECOND_NS;
                prop_assert!(u128::from(taken) <= most + u128::from(burst));
            }
        }
    }
}
