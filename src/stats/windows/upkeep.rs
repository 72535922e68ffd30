//! What keeps the timeline small and quick, a portion at a time.

use super::level::Level;
use super::limits::Limits;
use super::span::Span;
use super::timeline::{DAY, SHORTEST, Timeline};
use super::total::Total;

/// Memory that is being made free, a portion of minutes at a time: whoever asks waits for a portion at
/// most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relief {
    /// How many names each list of a minute keeps.
    keep: usize,
    /// Minutes before this one were looked at already.
    from: i64,
    /// What had been dropped when they began to be looked at.
    dropped: u64,
}

impl Timeline {
    /// Does what is due at the minute `now`, but for [`Timeline::roll_up`]. Answers whether memory is
    /// still to be made free.
    pub(super) fn keep_up(&mut self, now: i64) -> bool {
        let before = std::mem::replace(&mut self.now, now);
        if now.div_euclid(SHORTEST) != before.div_euclid(SHORTEST) {
            self.look_for_sums();
        }
        self.fold_warm();
        if self.unmeasured >= MEASURE_EVERY {
            self.measure();
        }
        self.relieve_some()
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
        // What is added up while minutes are thinned does not last.
        if !self.roll_up_due || self.relief.is_some() {
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

    /// Measures memory, and begins to make some free if its bound is reached. Far beyond it, that is done
    /// at once, however long it takes.
    pub(super) fn measure(&mut self) {
        self.unmeasured = 0;
        if self.users.have_grown() || self.targets.have_grown() {
            self.sweep();
        }
        let Limits { memory: most, names_per_minute: keep, .. } = self.limits;
        let memory = self.memory();
        if memory <= most {
            return;
        }
        self.relief.get_or_insert(Relief { keep, from: i64::MIN, dropped: self.dropped });
        if memory > most + most / OVER_SHARE {
            while self.relieve_some() {}
        }
    }

    /// Thins a portion of minutes, and at last forgets the oldest, until a quarter of the memory is
    /// free. Answers whether there is more to do.
    fn relieve_some(&mut self) -> bool {
        let Some(relief) = self.relief else { return false };
        let Relief { keep, from, dropped } = relief;
        let (mut portion, mut names, mut next) = (Vec::new(), 0, None);
        for (minute, span) in self.minutes.range(from..) {
            if names >= NAMES_AT_A_TIME {
                next = Some(Relief { from: *minute, ..relief });
                break;
            }
            names += 1;
            if span.users.len() > keep || span.targets.len() > keep || span.recent_len() > 0 {
                names += span.len();
                portion.push(*minute);
            }
        }
        portion.into_iter().for_each(|minute| self.thin(minute, keep));
        self.relief = next.or_else(|| self.next_relief(keep, self.dropped != dropped));
        self.relief.is_some()
    }

    /// All minutes have been thinned to so many names: what is to be done next, if anything is.
    fn next_relief(&mut self, keep: usize, thinned: bool) -> Option<Relief> {
        let goal = self.limits.memory / 4 * 3;
        if thinned || keep == self.limits.names_per_minute {
            self.sweep();
        }
        if self.memory() <= goal || self.minutes.len() <= 1 {
            return None;
        }
        let relief = Relief { keep, from: i64::MIN, dropped: self.dropped };
        if keep / 2 >= NAMES_MIN {
            return Some(Relief { keep: keep / 2, ..relief });
        }
        for _ in 0..self.minutes.len().div_ceil(8) {
            self.forget_oldest();
        }
        self.sweep();
        (self.memory() > goal && self.minutes.len() > 1).then_some(relief)
    }

    /// Forgets the names that no minute speaks of. It reads every list: some seventy million entries at
    /// the bound on memory, a few tenths of a second.
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
/// The part of the bound on memory by which it may be passed while some is being made free.
const OVER_SHARE: usize = 8;
/// Names that are thinned at a time, about: some milliseconds.
const NAMES_AT_A_TIME: usize = 65_536;
/// Minutes that are kept beyond the longest window, for clocks that step.
const SLACK: i64 = DAY;
/// Names of a minute below which thinning it is of no more use.
const NAMES_MIN: usize = 16;
