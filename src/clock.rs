//! The only file that reads a clock. Everything else takes `now` as an argument, so that it can be
//! driven by a test and so that a turn of a worker's loop costs one reading, not one per event.
#![forbid(unsafe_code)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};

/// One reading of both clocks. Timeouts and durations use `mono`; `utc_ms` only labels records, so
/// a step of the wall clock fires no timeout and makes no negative duration.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic time.
    pub mono: Instant,
    /// Milliseconds since the Unix epoch, UTC.
    pub utc_ms: i64,
}

/// Reads both clocks.
#[must_use]
pub fn now() -> Now {
    Now { mono: mono(), utc_ms: utc_ms() }
}

/// Reads the monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub fn mono() -> Instant {
    Instant::now()
}

/// Reads the wall clock: milliseconds since the Unix epoch, UTC; negative before it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub fn utc_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// What the wall clock shows at a moment of the monotonic clock: milliseconds since the Unix epoch, UTC.
/// Reads both clocks, so that it follows a step of the wall clock.
#[must_use]
pub fn utc_ms_at(at: Instant) -> i64 {
    let now = now();
    let ms = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match at.checked_duration_since(now.mono) {
        Some(ahead) => now.utc_ms.saturating_add(ms(ahead)),
        None => now.utc_ms.saturating_sub(ms(now.mono.saturating_duration_since(at))),
    }
}

/// The number of the minute that this moment is in, counted from the Unix epoch; 0 before it.
#[must_use]
pub fn minute(utc_ms: i64) -> u32 {
    u32::try_from(utc_ms.div_euclid(60_000)).unwrap_or(0)
}

/// A moment as the text of the records: RFC 3339, UTC, milliseconds, fixed width
/// (`2026-01-31T08:05:09.123Z`), so that it sorts as text and SQLite's date functions read it. It
/// needs no memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp([u8; 24]);

impl Stamp {
    /// The text of `utc_ms` (milliseconds since the Unix epoch). What lies outside the years 0 to
    /// 9999, which four digits cannot tell, is written as the epoch.
    #[must_use]
    pub fn of(utc_ms: i64) -> Self {
        let time = DateTime::<Utc>::from_timestamp_millis(utc_ms)
            .filter(|time| (0..=9999).contains(&time.year()))
            .unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut write = |at: usize, digits: usize, mut value: u32| {
            for digit in text[at..at + digits].iter_mut().rev() {
                *digit = b'0' + (value % 10).to_le_bytes()[0];
                value /= 10;
            }
        };
        write(0, 4, time.year().unsigned_abs());
        write(5, 2, time.month());
        write(8, 2, time.day());
        write(11, 2, time.hour());
        write(14, 2, time.minute());
        write(17, 2, time.second());
        write(20, 3, time.timestamp_subsec_millis());
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // All of it is ASCII, so the other arm is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// [`Stamp`] as a text of its own.
#[must_use]
pub fn rfc3339(utc_ms: i64) -> String {
    Stamp::of(utc_ms).as_str().to_owned()
}

/// Reads a moment: RFC 3339 with any offset (`2026-01-31T08:05:09.123+01:00`), or a date, which is
/// its midnight UTC (`2026-01-31`). Milliseconds since the epoch, a fraction of one rounded up, so that
/// comparisons with whole milliseconds come out right. `None` for another text, or a year that
/// [`rfc3339`] has no four digits for.
#[must_use]
pub fn moment(text: &str) -> Option<i64> {
    let moment = match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => moment.to_utc(),
        Err(_) if text.len() == DATE_LENGTH => {
            text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN).and_utc()
        }
        Err(_) => return None,
    };
    let fraction = moment.timestamp_subsec_nanos() % 1_000_000;
    let ms = moment.timestamp_millis() + i64::from(fraction > 0);
    (FIRST_MS..=LAST_MS).contains(&ms).then_some(ms)
}

/// Of `2026-01-31`; a shorter spelling is no date of RFC 3339.
const DATE_LENGTH: usize = 10;
/// The years 0 to 9999.
const FIRST_MS: i64 = -62_167_219_200_000;
const LAST_MS: i64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_time_is_fixed_width_utc_with_milliseconds() {
        assert_eq!(rfc3339(1_769_846_709_123), "2026-01-31T08:05:09.123Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        for beyond in [253_402_300_800_000, i64::MAX, i64::MIN] {
            assert_eq!(rfc3339(beyond), rfc3339(0));
        }
    }

    #[test]
    fn moments_are_read_with_their_offset_and_dates_as_midnight() {
        assert_eq!(moment("2026-01-31T08:05:09.123Z"), Some(1_769_846_709_123));
        assert_eq!(moment("2026-01-31T09:05:09.123+01:00"), Some(1_769_846_709_123));
        assert_eq!(moment("2026-01-31T08:05:09.1230001Z"), Some(1_769_846_709_124));
        assert_eq!(moment("2026-01-31"), Some(1_769_817_600_000));
        assert_eq!(moment("1970-01-01").map(rfc3339), Some("1970-01-01T00:00:00.000Z".to_owned()));
        assert_eq!(rfc3339(FIRST_MS), "0000-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(LAST_MS), "9999-12-31T23:59:59.999Z");
        for bad in ["", "1769846709", "yesterday", "2026-01-31T08:05", "2026-02-30", "2026-1-31"] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }
}
