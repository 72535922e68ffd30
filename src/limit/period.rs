//! Periods of the UTC calendar over which a quota counts. Pure.

use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};

/// Over how long a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// From the full hour.
    Hour,
    /// From midnight.
    Day,
    /// From Monday, midnight (ISO 8601).
    Week,
    /// From the first, midnight.
    Month,
}

impl Period {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The word as it stands in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The number of the period that this moment is in (milliseconds since the epoch); the next one has
    /// the next number.
    #[must_use]
    pub fn number(self, utc_ms: i64) -> i64 {
        match self {
            Self::Hour => utc_ms.div_euclid(HOUR_MS),
            Self::Day => utc_ms.div_euclid(DAY_MS),
            Self::Week => (utc_ms.div_euclid(DAY_MS) + MONDAY).div_euclid(7),
            Self::Month => {
                let date = DateTime::<Utc>::from_timestamp_millis(utc_ms).unwrap_or_default();
                i64::from(date.year()) * 12 + i64::from(date.month0())
            }
        }
    }

    /// When the period of this number begins, milliseconds since the epoch.
    #[must_use]
    pub fn start_ms(self, number: i64) -> i64 {
        match self {
            Self::Hour => number.saturating_mul(HOUR_MS),
            Self::Day => number.saturating_mul(DAY_MS),
            Self::Week => (number.saturating_mul(7) - MONDAY).saturating_mul(DAY_MS),
            Self::Month => {
                let year = i32::try_from(number.div_euclid(12)).unwrap_or(i32::MAX);
                let month = u32::try_from(number.rem_euclid(12)).unwrap_or(0) + 1;
                let first = NaiveDate::from_ymd_opt(year, month, 1).unwrap_or_default();
                first.and_time(NaiveTime::MIN).and_utc().timestamp_millis()
            }
        }
    }
}

impl FromStr for Period {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|period| period.as_str() == word).ok_or(())
    }
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The epoch was a Thursday: so many days after a Monday.
const MONDAY: i64 = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{moment, rfc3339};

    fn bounds(period: Period, at: &str) -> [String; 2] {
        let number = period.number(moment(at).unwrap());
        [number, number + 1].map(|it| rfc3339(period.start_ms(it))[..16].to_owned())
    }

    #[test]
    fn they_are_those_of_the_calendar() {
        let at = "2026-01-31T23:59:59.999Z";
        assert_eq!(bounds(Period::Hour, at), ["2026-01-31T23:00", "2026-02-01T00:00"]);
        assert_eq!(bounds(Period::Day, at), ["2026-01-31T00:00", "2026-02-01T00:00"]);
        assert_eq!(bounds(Period::Week, at), ["2026-01-26T00:00", "2026-02-02T00:00"]);
        assert_eq!(bounds(Period::Month, at), ["2026-01-01T00:00", "2026-02-01T00:00"]);
    }

    #[test]
    fn years_end_and_leap_days_are_days() {
        let month = |at| bounds(Period::Month, at);
        assert_eq!(month("2026-12-31T23:59:59Z"), ["2026-12-01T00:00", "2027-01-01T00:00"]);
        assert_eq!(month("2028-02-29T12:00:00Z"), ["2028-02-01T00:00", "2028-03-01T00:00"]);
        assert_eq!(month("1969-12-31T12:00:00Z"), ["1969-12-01T00:00", "1970-01-01T00:00"]);
        let week = |at| bounds(Period::Week, at);
        assert_eq!(week("1970-01-01T00:00:00Z"), ["1969-12-29T00:00", "1970-01-05T00:00"]);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for period in Period::ALL {
            assert_eq!(period.as_str().parse(), Ok(period));
        }
        assert_eq!("year".parse::<Period>(), Err(()));
    }

    proptest! {
        /// Each moment is in one period, which begins at it or before and ends after it; and a period's
        /// first moment is in it, the one before in the period before.
        #[test]
        fn each_moment_is_in_one(ms in -2_000_000_000_000..10_000_000_000_000_i64, at in 0..4_usize) {
            let period = Period::ALL[at];
            let number = period.number(ms);
            let (start, end) = (period.start_ms(number), period.start_ms(number + 1));
            prop_assert!(start <= ms && ms < end);
            prop_assert_eq!(period.number(start), number);
            prop_assert_eq!(period.number(start - 1), number - 1);
            prop_assert_eq!(period.number(end), number + 1);
        }
    }
}
