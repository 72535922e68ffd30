//! What a world limits, the same from its beginning to its end, and what that means for what was moved.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustsocks::limit::{
    BandwidthTerms, Counted, LimitPolicy, LimitTerms, Limits, Per, Period, QuotaTerms, Rate, Whom,
};

use crate::dice::Dice;

/// What is limited, and what is counted.
pub(crate) struct Limited {
    terms: Arc<LimitTerms>,
    limits: Arc<Limits>,
    /// The first and the last hour that the wall clock has shown.
    hours: Option<(i64, i64)>,
    /// When the first relay was seen: its bucket was full.
    began: Option<Instant>,
}

impl Limited {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let mut terms = LimitTerms::default();
        let everybody = || Whom { everybody: true, ..Whom::default() };
        if dice.chance(40) {
            let mut rate = || {
                let per_second = dice.pick(&[60, 150, 600, 200_000]);
                let burst = dice.pick(&[100, 500, 2_048]);
                dice.chance(75).then_some(Rate { per_second, burst })
            };
            let rates = [rate(), rate()];
            let per = dice.pick(&[Per::All, Per::All, Per::User, Per::Session]);
            let (name, whom) = ("wide".into(), everybody());
            terms.bandwidths.push(BandwidthTerms { name, whom, per, rates });
        }
        if dice.chance(40) {
            let octets = dice.pick(&[300, 2_000, 8_000]);
            terms.quotas.push(Arc::new(QuotaTerms {
                name: "much".into(),
                whom: everybody(),
                per_user: false,
                period: Period::Hour,
                counted: Counted::Download,
                octets,
                warn_octets: octets / 2,
                brake: dice.chance(40).then_some(BRAKE),
            }));
        }
        Self { terms: Arc::new(terms), limits: Arc::default(), hours: None, began: None }
    }

    /// Whether anything is.
    pub(crate) fn is_any(&self) -> bool {
        !self.terms.bandwidths.is_empty() || !self.terms.quotas.is_empty()
    }

    /// As part of a policy.
    pub(crate) fn policy(&self) -> LimitPolicy {
        LimitPolicy { terms: Arc::clone(&self.terms), limits: Arc::clone(&self.limits) }
    }

    /// The wall clock shows this, milliseconds since the epoch.
    pub(crate) fn see(&mut self, utc_ms: i64) {
        let hour = Period::Hour.number(utc_ms);
        let (first, last) = self.hours.unwrap_or((hour, hour));
        self.hours = Some((first.min(hour), last.max(hour)));
    }

    /// A relay is there, or has been. Never more was read of targets than the bucket that all share has
    /// given since there was the first, nor more delivered of it than the quota.
    pub(crate) fn check(&mut self, read: u64, delivered: u64, now: Instant) {
        let since = now - *self.began.get_or_insert(now);
        let shared = self.terms.bandwidths.iter().filter(|limit| limit.per == Per::All);
        for rate in shared.filter_map(|limit| limit.rates[1]) {
            let most = within(rate, since);
            assert!(read <= most, "{read} octets through a bucket that has given {most}");
        }
        let (first, last) = self.hours.unwrap_or_default();
        let hours = last.abs_diff(first) + 1;
        for quota in &self.terms.quotas {
            // What is used after it is used up goes through the brake.
            let braked = quota.brake.map_or(0, |brake| within(brake, since));
            let most = hours * quota.octets + braked;
            assert!(delivered <= most, "{delivered} octets of a quota of {most}");
        }
    }

    /// Never more was written to targets than the bucket that all share has given, what so many clients have
    /// sent ahead of their replies included: that passes whole, also where it is more than a turn.
    pub(crate) fn check_upload(&self, written: u64, clients: u64, now: Instant) {
        let since = now - self.began.unwrap_or(now);
        let shared = self.terms.bandwidths.iter().filter(|limit| limit.per == Per::All);
        for rate in shared.filter_map(|limit| limit.rates[0]) {
            let whole = EARLY_MAX.saturating_sub(rate.burst);
            let most = within(rate, since) + clients * whole;
            assert!(written <= most, "{written} octets through a bucket that has given {most}");
        }
    }

    /// How long whoever waits may wait at most, beside so many others: each of them has asked for a
    /// quantum, and one more is his own.
    pub(crate) fn patience(&self, others: usize) -> Duration {
        let rates = self.terms.bandwidths.iter().flat_map(|limit| limit.rates).flatten();
        let brakes = self.terms.quotas.iter().filter_map(|quota| quota.brake);
        let slowest = rates.chain(brakes).map(|rate| rate.per_second).min().unwrap_or(u64::MAX);
        let quanta = (others as u64 + 1) * QUANTUM_MAX;
        Duration::from_millis(1 + quanta * 1_000 / slowest)
    }
}

/// What a bucket of this rate has given after so long, at most.
fn within(rate: Rate, since: Duration) -> u64 {
    // Rounded up once for each time that somebody has asked.
    rate.burst + (u128::from(rate.per_second) * since.as_nanos()).div_ceil(1_000_000_000) as u64
}

/// What a quota leaves to all who share it when it is used up.
const BRAKE: Rate = Rate { per_second: 2_000, burst: 2_048 };
/// The most that is taken ahead of a reply.
const EARLY_MAX: u64 = 1_024;
/// The most that anybody asks for at once at these rates: what passes in 10 ms, or 2 KiB.
const QUANTUM_MAX: u64 = 2_048;
