//! What keeps the timeline small and quick, a portion at a time.

use super::span::Span;
use super::timeline::{DAY, HOUR, Timeline};
use super::total::Total;

impl Timeline {
    /// Does what is due at the minute `now`, but for [`Timeline::roll_up`].
    pub(super) fn keep_up(&mut self, now: i64) {
        if now.div_euclid(HOUR) != self.now.div_euclid(HOUR) {
            self.roll_up_due = true;
        }
        self.now = now;
        self.fold_warm();
        if self.unmeasured >= MEASURE_EVERY {
            self.measure();
        }
    }

    /// Adds up one hour, or one day, that is over: a few milliseconds. Answers whether there may be
    /// more of them.
    pub(super) fn roll_up(&mut self) -> bool {
        if !self.roll_up_due {
            return false;
        }
        let next = [HOUR, DAY]
            .into_iter()
            .find_map(|length| self.next_to_roll_up(length).map(|key| (key, length)));
        let Some((key, length)) = next else {
            self.roll_up_due = false;
            return false;
        };
        let mut total = Total::default();
        self.cover(key * length..(key + 1) * length, |span| total.add(span));
        let spans = if length == HOUR { &mut self.hours } else { &mut self.days };
        spans.insert(key, Span::of(&total));
        true
    }

    /// Packs warm minutes, the oldest first, until few are left.
    fn fold_warm(&mut self) {
        while self.warm.len() > WARM_MAX {
            if let Some(minute) = self.warm.pop_first()
                && let Some(span) = self.minutes.get_mut(&minute)
            {
                span.fold();
            }
        }
    }

    fn next_to_roll_up(&self, length: i64) -> Option<i64> {
        let spans = if length == HOUR { &self.hours } else { &self.days };
        let end = self.now.div_euclid(length) * length;
        let mut at = i64::MIN;
        while let Some((minute, _)) = self.minutes.range(at..end).next() {
            let key = minute.div_euclid(length);
            if !spans.contains_key(&key) {
                return Some(key);
            }
            at = (key + 1) * length;
        }
        None
    }

    /// Lets go of minutes that no window reaches any more: at most two for each new one, so that a
    /// clock that steps far ahead and back again takes little with it.
    pub(super) fn let_go(&mut self) {
        let horizon = self.now.saturating_sub(self.limits.minutes + SLACK);
        for _ in 0..2 {
            if self.minutes.first_key_value().is_some_and(|(minute, _)| *minute < horizon) {
                self.forget_oldest();
            }
        }
    }

    /// Measures memory, and sees to it that it stays within its bound.
    pub(super) fn measure(&mut self) {
        self.unmeasured = 0;
        if self.users.have_grown() || self.targets.have_grown() {
            self.sweep();
        }
        if self.memory() > self.limits.memory {
            self.relieve();
        }
    }

    /// Thins minutes, and at last forgets the oldest, until a quarter of the memory is free.
    fn relieve(&mut self) {
        let goal = self.limits.memory / 4 * 3;
        self.minutes.values_mut().for_each(Span::fold);
        self.warm.clear();
        let mut keep = self.limits.names_per_minute;
        loop {
            self.sweep();
            if self.memory() <= goal || keep < NAMES_MIN {
                break;
            }
            let minutes: Vec<_> = self.minutes.keys().copied().collect();
            minutes.into_iter().for_each(|minute| self.thin(minute, keep));
            keep /= 2;
        }
        while self.memory() > goal && self.minutes.len() > 1 {
            for _ in 0..self.minutes.len().div_ceil(8) {
                self.forget_oldest();
            }
            self.sweep();
        }
    }

    /// Forgets the names that no minute speaks of.
    fn sweep(&mut self) {
        let mut users = vec![false; self.users.end()];
        let mut targets = vec![false; self.targets.end()];
        for span in self.minutes.values() {
            span.users.weights().for_each(|(name, _)| users[name as usize] = true);
            span.targets.weights().for_each(|(name, _)| targets[name as usize] = true);
        }
        self.users.retain(&users);
        self.targets.retain(&targets);
        self.generation += 1;
    }

    /// Octets of everything, about.
    pub(super) fn memory(&self) -> usize {
        let spans = self.minutes.values().chain(self.hours.values()).chain(self.days.values());
        let spans: usize = spans.map(Span::memory).sum();
        spans + self.users.memory() + self.targets.memory() + self.front.memory()
    }
}

/// Warm minutes that are left as they are: those to which most is added.
const WARM_MAX: usize = 4;
/// Additions between two measurements of memory.
const MEASURE_EVERY: usize = 16_384;
/// Minutes that are kept beyond the longest window, for clocks that step.
const SLACK: i64 = DAY;
/// Names of a minute below which thinning it is of no more use.
const NAMES_MIN: usize = 16;
