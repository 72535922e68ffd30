//! What keeps the timeline small and quick, a portion at a time.

use super::level::Level;
use super::span::Span;
use super::timeline::{DAY, SHORTEST, Timeline};
use super::total::Total;

impl Timeline {
    /// Does what is due at the minute `now`, but for [`Timeline::roll_up`].
    pub(super) fn keep_up(&mut self, now: i64) {
        let before = std::mem::replace(&mut self.now, now);
        if now.div_euclid(SHORTEST) != before.div_euclid(SHORTEST) {
            self.look_for_sums();
        }
        self.fold_warm();
        if self.unmeasured >= MEASURE_EVERY {
            self.measure();
        }
    }

    /// There may be spans that can be added up; those that no window reaches are not worth it.
    pub(super) fn look_for_sums(&mut self) {
        let start = self.now.saturating_sub(self.limits.minutes);
        self.levels.iter_mut().for_each(|level| level.look_from(start));
        self.roll_up_due = true;
    }

    /// Adds up one span that is over, of the shortest that can be: at most a few milliseconds.
    /// Answers whether there may be more of them.
    pub(super) fn roll_up(&mut self) -> bool {
        if !self.roll_up_due {
            return false;
        }
        let minutes = &self.minutes;
        let next = |from| minutes.range(from..).next().map(|(minute, _)| *minute);
        let mut levels = self.levels.iter_mut().enumerate();
        let found = levels
            .find_map(|(index, level)| level.next(self.now, next).map(|extent| (index, extent)));
        let Some((index, extent)) = found else {
            self.roll_up_due = false;
            return false;
        };
        let (start, mut total) = (extent.start, Total::default());
        self.cover(extent, |span| total.add(span));
        self.levels[index].insert(start, Span::of(&total));
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
        self.front.users.give_up(self.users.end());
        self.front.targets.give_up(self.targets.end());
        self.generation += 1;
    }

    /// Octets of everything, about.
    pub(super) fn memory(&self) -> usize {
        let spans = self.minutes.values().chain(self.levels.iter().flat_map(Level::spans));
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
