//! Sums per user for the metrics: bounded in series, exact in sum.
//!
//! The heaviest users of late hold a label each, and what a user moves is booked to the label that
//! it holds at that moment, or to `_other`. A label is given up only after its user has been outside
//! the heaviest for an hour; its value then moves to `_gone`. So the sum over all series is exact at
//! any time, and each series only grows until it vanishes. What stands under `_gone` was counted
//! under a name before: rates are taken without it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::session::Traffic;

/// What one user, or several together, have used since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserSum {
    /// Accepted sessions.
    pub sessions: u64,
    /// Octets, client to target.
    pub bytes_sent: u64,
    /// Octets, target to client.
    pub bytes_received: u64,
}

/// The sums of all users, fed by the writer alone.
#[derive(Debug)]
pub struct UserSums(Mutex<Sums>);

#[derive(Debug)]
struct Sums {
    users_max: usize,
    holders: BTreeMap<Box<str>, Holder>,
    /// The weights of those who hold no label.
    waiting: BTreeMap<Box<str>, f64>,
    other: UserSum,
    gone: UserSum,
    judged: Option<Instant>,
}

/// A user that holds a label.
#[derive(Debug, Default)]
struct Holder {
    sum: UserSum,
    weight: f64,
    /// Since when others are heavier, at every judgement.
    outside_since: Option<Instant>,
}

impl UserSum {
    fn add(&mut self, more: &Self) {
        self.sessions += more.sessions;
        self.bytes_sent += more.bytes_sent;
        self.bytes_received += more.bytes_received;
    }
}

impl UserSums {
    /// No sums yet; `users_max` users hold a label at most.
    #[must_use]
    pub fn new(users_max: usize) -> Self {
        Self(Mutex::new(Sums {
            users_max,
            holders: BTreeMap::new(),
            waiting: BTreeMap::new(),
            other: UserSum::default(),
            gone: UserSum::default(),
            judged: None,
        }))
    }

    /// Adds what a user's session has used since it was last added; `first` for its first time.
    pub fn add(&self, user: &str, first: bool, traffic: &Traffic, now: Instant) {
        let Traffic { bytes_sent, bytes_received, packets_sent: _, packets_received: _ } = *traffic;
        let more = UserSum { sessions: u64::from(first), bytes_sent, bytes_received };
        let mut sums = self.0.lock();
        sums.judge_if_due(now);
        sums.add(user, &more);
    }

    /// The sum of each label, by label; `_other` is always among them, `_gone` once a label was given up.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(Box<str>, UserSum)> {
        let sums = self.0.lock();
        let gone = (sums.gone != UserSum::default()).then_some((GONE.into(), sums.gone));
        let shared = gone.into_iter().chain([(OTHER.into(), sums.other)]);
        let held = sums.holders.iter().map(|(user, holder)| (user.clone(), holder.sum));
        shared.chain(held).collect()
    }
}

impl Sums {
    fn add(&mut self, user: &str, more: &UserSum) {
        let weight = more.bytes_sent.saturating_add(more.bytes_received) as f64;
        if let Some(holder) = self.holders.get_mut(user) {
            holder.sum.add(more);
            holder.weight += weight;
        } else if [OTHER, GONE].contains(&user) {
            // A login of this name must not be taken for what the label means.
            self.other.add(more);
        } else if self.holders.len() < self.users_max {
            let weight = weight + self.waiting.remove(user).unwrap_or(0.0);
            let holder = Holder { sum: *more, weight, outside_since: None };
            self.holders.insert(user.into(), holder);
        } else {
            self.other.add(more);
            if let Some(known) = self.waiting.get_mut(user) {
                *known += weight;
            } else if self.waiting.len() < self.waiting_max() {
                self.waiting.insert(user.into(), weight);
            }
        }
    }

    /// Decides, now and then, who is among the heaviest.
    fn judge_if_due(&mut self, now: Instant) {
        let since = *self.judged.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since);
        if elapsed < JUDGED_EVERY || self.users_max == 0 {
            return;
        }
        self.judged = Some(now);
        self.fade(elapsed);
        let bar = self.bar();
        for holder in self.holders.values_mut() {
            if holder.weight >= bar {
                holder.outside_since = None;
            } else {
                holder.outside_since.get_or_insert(now);
            }
        }
        self.let_go(now);
        self.let_in();
    }

    /// Makes all weights lighter, so that they speak of late.
    fn fade(&mut self, elapsed: Duration) {
        let rest = 0.5f64.powf(elapsed.as_secs_f64() / HALF_LIFE.as_secs_f64());
        for holder in self.holders.values_mut() {
            holder.weight *= rest;
        }
        for weight in self.waiting.values_mut() {
            *weight *= rest;
        }
    }

    /// The least weight among the heaviest `users_max`; a holder wins against an equal weight.
    fn bar(&self) -> f64 {
        let holders = self.holders.values().map(|holder| holder.weight);
        let mut weights: Vec<f64> = holders.chain(self.waiting.values().copied()).collect();
        if weights.len() <= self.users_max {
            return 0.0;
        }
        let (_, least, _) =
            weights.select_nth_unstable_by(self.users_max - 1, |a, b| b.total_cmp(a));
        *least
    }

    fn let_go(&mut self, now: Instant) {
        let is_long_outside = |holder: &Holder| {
            let outside = holder.outside_since;
            outside.is_some_and(|since| now.saturating_duration_since(since) >= OUTSIDE_MAX)
        };
        for (user, holder) in self.holders.extract_if(.., |_, holder| is_long_outside(holder)) {
            self.gone.add(&holder.sum);
            self.waiting.insert(user, holder.weight);
        }
    }

    /// Gives free labels to the heaviest without one, and forgets the lightest of the others where
    /// they are too many.
    fn let_in(&mut self) {
        let mut waiting: Vec<_> = std::mem::take(&mut self.waiting).into_iter().collect();
        waiting.sort_by(|a, b| b.1.total_cmp(&a.1));
        let free = self.users_max.saturating_sub(self.holders.len()).min(waiting.len());
        for (user, weight) in waiting.drain(..free) {
            self.holders.insert(user, Holder { weight, ..Holder::default() });
        }
        // Half, so that there is room for newcomers until the next judgement.
        waiting.truncate(self.waiting_max() / 2);
        self.waiting = waiting.into_iter().collect();
    }

    const fn waiting_max(&self) -> usize {
        self.users_max.saturating_mul(WAITING_PER_LABEL).saturating_add(WAITING_MIN)
    }
}

/// The label of those who hold none of their own.
pub const OTHER: &str = "_other";
/// The label of what was counted under names that hold no label any more.
pub const GONE: &str = "_gone";
/// How long a user must be outside the heaviest before its label is free.
const OUTSIDE_MAX: Duration = Duration::from_hours(1);
/// Time between two judgements of who is among the heaviest.
const JUDGED_EVERY: Duration = Duration::from_secs(60);
/// After which an octet counts half in the judgement.
const HALF_LIFE: Duration = Duration::from_hours(24);
/// Users without a label that are weighed: so many, and so many for each label. Beyond it newcomers
/// are summed but not weighed until the next judgement.
const WAITING_MIN: usize = 1024;
const WAITING_PER_LABEL: usize = 8;

#[cfg(test)]
mod tests;
