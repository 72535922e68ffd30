//! Spans of one length that have been added up already.

use std::collections::BTreeMap;
use std::ops::Range;

use super::span::{Span, Step};

/// Spans of so many minutes, by number since the Unix epoch. Not every one need be there.
#[derive(Debug)]
pub(super) struct Level {
    length: i64,
    spans: BTreeMap<i64, Span>,
    /// All spans before this minute that can be added up have been.
    looked_at: i64,
}

impl Level {
    pub(super) const fn new(length: i64) -> Self {
        Self { length, spans: BTreeMap::new(), looked_at: i64::MIN }
    }

    /// Adds a difference to the span of its minute, if it is there.
    pub(super) fn add(&mut self, step: &Step) {
        if let Some(span) = self.spans.get_mut(&step.minute.div_euclid(self.length)) {
            span.add(step);
            if span.recent_len() > RECENT_MIN.max(span.len() / 8) {
                span.fold();
            }
        }
    }

    /// The span of this minute, if it is there and wholly within `range`, and the minute behind it.
    pub(super) fn within(&self, minute: i64, range: &Range<i64>) -> Option<(&Span, i64)> {
        let extent = self.extent(minute);
        if extent.start < range.start || extent.end > range.end {
            return None;
        }
        Some((self.spans.get(&minute.div_euclid(self.length))?, extent.end))
    }

    /// Takes away the span of this minute: what it was added up of has lost something.
    pub(super) fn remove(&mut self, minute: i64) {
        self.spans.remove(&minute.div_euclid(self.length));
    }

    /// Adds a span that begins at this minute.
    pub(super) fn insert(&mut self, minute: i64, span: Span) {
        self.spans.insert(minute.div_euclid(self.length), span);
    }

    /// Looks from `start` on for spans that can be added up.
    pub(super) const fn look_from(&mut self, start: i64) {
        self.looked_at = start;
    }

    /// The minutes of the next span that can be added up: it is over at `now`, is not there yet, and
    /// begins no earlier than it was looked from. `next` is the first minute with sessions at or
    /// after the one it is asked for.
    pub(super) fn next(
        &mut self,
        now: i64,
        next: impl Fn(i64) -> Option<i64>,
    ) -> Option<Range<i64>> {
        while let Some(minute) = next(self.looked_at) {
            let extent = self.extent(minute);
            if extent.end > now {
                return None;
            }
            let wanted = extent.start >= self.looked_at;
            self.looked_at = extent.end;
            if wanted && !self.spans.contains_key(&minute.div_euclid(self.length)) {
                return Some(extent);
            }
        }
        None
    }

    /// All that are there.
    pub(super) fn spans(&self) -> impl Iterator<Item = &Span> {
        self.spans.values()
    }

    const fn extent(&self, minute: i64) -> Range<i64> {
        let start = minute.div_euclid(self.length).saturating_mul(self.length);
        start..start.saturating_add(self.length)
    }
}

/// Recent additions to a span that are not packed yet, at least.
const RECENT_MIN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_found_once_when_they_are_over() {
        let minutes = [3, 12, 13, 45, 51, 77];
        let next = |from| minutes.into_iter().find(|minute| *minute >= from);
        let mut level = Level::new(10);
        level.look_from(5);
        // 0..10 begins too early, 20..40 has nothing, 50..60 is not over.
        assert_eq!(level.next(59, next), Some(10..20));
        level.insert(10, Span::default());
        assert_eq!(level.next(59, next), Some(40..50));
        assert_eq!(level.next(59, next), None);
        assert_eq!(level.next(60, next), Some(50..60));
        level.look_from(5);
        assert_eq!(level.next(60, next), Some(40..50), "the first is there");
        level.remove(19);
        level.look_from(i64::MIN);
        assert_eq!(level.next(60, next), Some(0..10));
        assert_eq!(level.next(60, next), Some(10..20));
    }

    #[test]
    fn a_span_serves_a_range_that_holds_all_of_it() {
        let mut level = Level::new(10);
        level.insert(20, Span::default());
        let end = |minute, range| level.within(minute, &range).map(|(_, end)| end);
        assert_eq!(end(25, 20..30), Some(30));
        assert_eq!((end(25, 21..99), end(25, 0..29), end(30, 0..99)), (None, None, None));
    }
}
