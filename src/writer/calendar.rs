//! The wall clock, as far as deleting may trust it. Pure.
//!
//! What is older than its retention is deleted, and is gone. A wall clock that somebody sets three
//! months ahead by mistake would make everything old at once. So a step forward is believed only when
//! it has lasted; until then time goes on from where it was, by the monotonic clock. A step back
//! deletes nothing, and is believed at once.

use std::time::{Duration, Instant};

use crate::clock::Now;

/// By which time rows are old.
#[derive(Debug)]
pub(super) struct Calendar {
    /// When the wall clock was believed last.
    believed: Now,
    /// Since when it has been ahead, and by how much then.
    doubted: Option<(Instant, Duration)>,
}

impl Calendar {
    /// One that believes this reading.
    pub(super) const fn new(now: Now) -> Self {
        Self { believed: now, doubted: None }
    }

    /// The time, milliseconds since the epoch. To be asked often: a step that nobody has seen is not
    /// waited for.
    pub(super) fn utc_ms(&mut self, now: Now) -> i64 {
        let passed = now.mono.saturating_duration_since(self.believed.mono).as_millis();
        let passed_ms = i64::try_from(passed).unwrap_or(i64::MAX);
        let expected_ms = self.believed.utc_ms.saturating_add(passed_ms);
        let ahead_ms = u64::try_from(now.utc_ms.saturating_sub(expected_ms)).unwrap_or(0);
        let ahead = Duration::from_millis(ahead_ms);
        if ahead <= TOLERANCE || self.has_lasted(now.mono, ahead) {
            *self = Self::new(now);
        }
        match self.doubted {
            Some(_) => expected_ms,
            None => now.utc_ms,
        }
    }

    /// Whether the clock has been ahead for long, by so much or little less.
    fn has_lasted(&mut self, now: Instant, ahead: Duration) -> bool {
        let (since, first) = *self.doubted.get_or_insert((now, ahead));
        if ahead > first + BELIEVED_AFTER {
            // It has been set once more.
            self.doubted = Some((now, ahead));
            return false;
        }
        now.saturating_duration_since(since) >= BELIEVED_AFTER
    }
}

/// How long a step forward must last to be believed.
const BELIEVED_AFTER: Duration = Duration::from_hours(24);
/// What is no step: the clock was put right a little, or this was not asked for a while.
const TOLERANCE: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const HOUR: Duration = Duration::from_hours(1);
    const HOUR_MS: i64 = 3_600_000;
    const START_MS: i64 = 1_769_846_709_123;

    /// A calendar at its start, and readings of both clocks so many hours later, the wall clock being
    /// ahead by so many.
    fn scene() -> (Calendar, impl Fn(u32, i64) -> Now) {
        let began = clock::mono();
        let at = move |hours: u32, ahead: i64| Now {
            mono: began + HOUR * hours,
            utc_ms: START_MS + (i64::from(hours) + ahead) * HOUR_MS,
        };
        (Calendar::new(at(0, 0)), at)
    }

    fn hours(calendar: &mut Calendar, now: Now) -> i64 {
        (calendar.utc_ms(now) - START_MS) / HOUR_MS
    }

    #[test]
    fn a_step_forward_is_believed_when_it_has_lasted_for_a_day() {
        let (mut calendar, at) = scene();
        assert_eq!(hours(&mut calendar, at(1, 0)), 1);
        for hour in 2..26 {
            assert_eq!(hours(&mut calendar, at(hour, 2000)), i64::from(hour));
        }
        assert_eq!(hours(&mut calendar, at(26, 2000)), 2026);
        assert_eq!(hours(&mut calendar, at(27, 2000)), 2027);
    }

    #[test]
    fn one_that_is_taken_back_is_forgotten() {
        let (mut calendar, at) = scene();
        assert_eq!(hours(&mut calendar, at(1, 2000)), 1);
        assert_eq!(hours(&mut calendar, at(20, 0)), 20);
        assert_eq!(hours(&mut calendar, at(30, 2000)), 30, "doubted anew");
    }

    #[test]
    fn a_greater_one_is_doubted_anew() {
        let (mut calendar, at) = scene();
        assert_eq!(hours(&mut calendar, at(1, 2)), 1);
        assert_eq!(hours(&mut calendar, at(24, 2000)), 24);
        assert_eq!(hours(&mut calendar, at(26, 2000)), 26);
        assert_eq!(hours(&mut calendar, at(48, 2000)), 2048);
    }

    #[test]
    fn a_step_back_and_a_small_one_are_believed_at_once() {
        let (mut calendar, at) = scene();
        assert_eq!(hours(&mut calendar, at(1, -2000)), -1999);
        assert_eq!(hours(&mut calendar, at(2, -2000)), -1998);
        let now = at(3, -2000);
        let little_ahead = Now { utc_ms: now.utc_ms + 60_000, ..now };
        assert_eq!(calendar.utc_ms(little_ahead), little_ahead.utc_ms);
    }
}
