//! All spans of time, and the default window as a running sum.
//!
//! Every row is booked to the minute it started in. Ten minutes, hours, six hours and days that are
//! over are added up once more, so that any window is the sum of few spans:
//!
//! ```text
//!   from                                                       now, and whatever a clock once
//!    ▼                                                         said beyond
//!    m m m │ 10 m ‥ │ hour ‥ │ 6 hours ‥ │      day      │ ‥ │ hour ‥ │ 10 m ‥ │ m m ▶
//! ```
//!
//! They exist beside their minutes, never instead of them: a window begins at any minute. Whether a
//! span has been added up already is a matter of speed, never of the result.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::level::Level;
use super::limits::Limits;
use super::names::Names;
use super::span::{Span, Step};
use super::total::Total;
use super::upkeep::Relief;

/// Spans by minute since the Unix epoch, and sums of them.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) limits: Limits,
    pub(super) users: Names,
    pub(super) targets: Names,
    pub(super) minutes: BTreeMap<i64, Span>,
    /// Sums of minutes, shortest first; each is added up of shorter ones.
    pub(super) levels: [Level; LENGTHS.len()],
    /// The sum of the default window, which begins at this minute.
    pub(super) front: Total,
    front_from: i64,
    /// Minutes whose recent additions are worth packing.
    pub(super) warm: BTreeSet<i64>,
    /// All minutes before this one may be incomplete: some had to go.
    pub(super) forgotten: i64,
    /// The latest minute that upkeep was told of.
    pub(super) now: i64,
    pub(super) roll_up_due: bool,
    /// How far memory has been made free, while it is.
    pub(super) relief: Option<Relief>,
    /// Additions since memory was last measured.
    pub(super) unmeasured: usize,
    /// Times that numbers of names became free.
    pub(super) generation: u64,
    /// Entries of names that were dropped to stay within the limits.
    pub(super) dropped: u64,
}

impl Timeline {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            users: Names::default(),
            targets: Names::default(),
            minutes: BTreeMap::new(),
            levels: LENGTHS.map(Level::new),
            front: Total::default(),
            front_from: i64::MIN,
            warm: BTreeSet::new(),
            forgotten: i64::MIN,
            now: i64::MIN,
            roll_up_due: false,
            relief: None,
            unmeasured: 0,
            generation: 0,
            dropped: 0,
        }
    }

    /// Books a difference.
    pub(super) fn add(&mut self, step: &Step) {
        let minute = step.minute;
        let spans = self.minutes.len();
        let span = self.minutes.entry(minute).or_default();
        span.add(step);
        if !span.warm && span.recent_len() >= WARM_FROM {
            span.warm = true;
            self.warm.insert(minute);
        }
        let most = 2 * self.limits.names_per_minute;
        let crowded = span.users.len() > most || span.targets.len() > most;
        self.levels.iter_mut().for_each(|level| level.add(step));
        if minute >= self.front_from {
            self.front.step(step);
        }
        self.unmeasured += 1;
        if crowded {
            self.thin(minute, self.limits.names_per_minute);
        }
        if self.minutes.len() > spans {
            self.let_go();
        }
    }

    /// Calls `visit` with spans that together are all minutes of `range`.
    pub(super) fn cover(&self, range: Range<i64>, mut visit: impl FnMut(&Span)) {
        let mut at = range.start;
        while let Some((minute, span)) = self.minutes.range(at..range.end).next() {
            let longest = self.levels.iter().rev().find_map(|level| level.within(*minute, &range));
            let (span, end) = longest.unwrap_or((span, minute + 1));
            visit(span);
            at = end;
        }
    }

    /// Moves the beginning of the default window: adds the minutes that come in, subtracts those
    /// that leave.
    pub(super) fn move_front(&mut self, from: i64) {
        let before = std::mem::replace(&mut self.front_from, from);
        let (start, end) = (before.min(from), before.max(from));
        if self.minutes.range(start..end).nth(STEPS_MAX).is_some() {
            let mut front = Total::default();
            self.cover(from..i64::MAX, |span| front.add(span));
            self.front = front;
            return;
        }
        for (_, span) in self.minutes.range(start..end) {
            if from < before { self.front.add(span) } else { self.front.subtract(span) }
        }
    }

    /// Drops all but the first `keep` names of each list of a minute.
    pub(super) fn thin(&mut self, minute: i64, keep: usize) {
        let Some(span) = self.minutes.get_mut(&minute) else { return };
        let thinned = span.thin(keep);
        self.warm.remove(&minute);
        span.warm = false;
        if thinned.len() == 0 {
            return;
        }
        if minute >= self.front_from {
            self.front.forget(&thinned);
        }
        self.dropped += thinned.len() as u64;
        self.levels.iter_mut().for_each(|level| level.remove(minute));
        self.look_for_sums();
    }

    /// Forgets the oldest minute.
    pub(super) fn forget_oldest(&mut self) {
        let Some((minute, span)) = self.minutes.pop_first() else { return };
        if minute >= self.front_from {
            self.front.subtract(&span);
        }
        self.warm.remove(&minute);
        self.levels.iter_mut().for_each(|level| level.remove(minute));
        self.forgotten = self.forgotten.max(minute + 1);
    }
}

/// Minutes of the spans that are added up: each a multiple of the one before.
const LENGTHS: [i64; 4] = [SHORTEST, 60, 6 * 60, DAY];
pub(super) const SHORTEST: i64 = 10;
pub(super) const DAY: i64 = 24 * 60;
/// Recent additions that make a minute worth packing.
const WARM_FROM: usize = 64;
/// Minutes by which the default window is moved one at a time; beyond, it is added up anew.
const STEPS_MAX: usize = 120;
