//! The only file that reads a clock. Everything else takes `now` as an argument, so that it can be
//! driven by a test and so that a turn of a worker's loop costs one reading, not one per event.
#![forbid(unsafe_code)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};

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

/// `utc_ms` as the text of the records: RFC 3339, UTC, milliseconds, fixed width
/// (`2026-01-31T08:05:09.123Z`), so that it sorts as text and SQLite's date functions read it.
#[must_use]
pub fn rfc3339(utc_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(utc_ms)
        .unwrap_or(DateTime::<Utc>::UNIX_EPOCH)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_time_is_fixed_width_utc_with_milliseconds() {
        assert_eq!(rfc3339(1_769_846_709_123), "2026-01-31T08:05:09.123Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    }
}
