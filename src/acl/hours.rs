//! Hours of the week.
//!
//! Written as days, hours, or both: `mon-fri 08:00-18:00`, `sat,sun`, `22:00-06:00`. Hours that end
//! before they begin go on into the next day; the last minute is not one of them.

use std::fmt;

/// Some minutes of the week, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hours {
    /// Minutes from Monday 00:00, the last not included; sorted, apart from each other. None is all.
    ranges: Vec<(u16, u16)>,
}

impl Hours {
    /// Reads what rules say of hours; without a text, all.
    ///
    /// # Errors
    /// The text that says nothing.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let mut minutes: Vec<(u16, u16)> = Vec::new();
        for text in texts {
            minutes.extend(parse_one(text).ok_or(text)?);
        }
        minutes.sort_unstable();
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for (first, end) in minutes {
            match ranges.last_mut() {
                Some((_, before)) if first <= *before => *before = (*before).max(end),
                Some(_) | None => ranges.push((first, end)),
            }
        }
        Ok(Self { ranges })
    }

    /// Whether they are all.
    #[must_use]
    pub const fn are_all(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether this minute of the week is among them.
    #[must_use]
    pub fn contain(&self, minute: u16) -> bool {
        self.ranges.is_empty()
            || self.ranges.iter().any(|(first, end)| (*first..*end).contains(&minute))
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ranges.is_empty() {
            return f.write_str("any");
        }
        for (index, (first, end)) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} to {}", Moment(*first), Moment(*end))?;
        }
        Ok(())
    }
}

/// A minute of the week, as people write it.
pub(super) struct Moment(pub(super) u16);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, minute) = (self.0 / DAY, self.0 % DAY);
        let day = DAYS.get(usize::from(day)).unwrap_or(&"sun");
        // The end of the week is written as such.
        let hour = if self.0 == WEEK { 24 } else { minute / 60 };
        write!(f, "{day} {hour:02}:{:02}", minute % 60)
    }
}

/// The minute of the week of a moment in milliseconds since the epoch, so many minutes east of UTC.
#[must_use]
pub(super) fn minute_of_week(utc_ms: i64, offset_minutes: i32) -> u16 {
    // The epoch was a Thursday.
    let minutes = utc_ms.div_euclid(60_000) + i64::from(offset_minutes) + 3 * i64::from(DAY);
    u16::try_from(minutes.rem_euclid(i64::from(WEEK))).unwrap_or(0)
}

fn parse_one(text: &str) -> Option<Vec<(u16, u16)>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (days, hours) = match words.as_slice() {
        [days, hours] => (parse_days(days)?, parse_hours(hours)?),
        [word] => match parse_hours(word) {
            Some(hours) => ((0..7).collect(), hours),
            None => (parse_days(word)?, (0, DAY)),
        },
        _ => return None,
    };
    let (first, end) = hours;
    let mut ranges = Vec::new();
    for day in days {
        let midnight = day * DAY;
        if first < end {
            ranges.push((midnight + first, midnight + end));
        } else {
            let next = (midnight + DAY) % WEEK;
            ranges.push((midnight + first, midnight + DAY));
            if end > 0 {
                ranges.push((next, next + end));
            }
        }
    }
    Some(ranges)
}

/// `mon`, `mon-fri`, `sat,sun`, `fri-mon`.
fn parse_days(text: &str) -> Option<Vec<u16>> {
    let mut days = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => days.push(day(part)?),
            Some((first, last)) => {
                let (first, last) = (day(first)?, day(last)?);
                let count = (last + 7 - first) % 7;
                days.extend((0..=count).map(|step| (first + step) % 7));
            }
        }
    }
    days.sort_unstable();
    days.dedup();
    Some(days)
}

fn day(text: &str) -> Option<u16> {
    let at = DAYS.iter().position(|day| text.eq_ignore_ascii_case(day))?;
    u16::try_from(at).ok()
}

/// `08:00-18:00`, both up to `24:00`, not the same.
fn parse_hours(text: &str) -> Option<(u16, u16)> {
    let (first, end) = text.split_once('-')?;
    let (first, end) = (clock_time(first)?, clock_time(end)?);
    (first != end && first < DAY).then_some((first, end))
}

fn clock_time(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| -> Option<u16> {
        let two = text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_digit());
        two.then(|| text.parse().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Minutes of a day, and of a week.
const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::moment;

    #[track_caller]
    fn at(hours: &str, when: &str) -> bool {
        let hours = Hours::parse([hours]).unwrap();
        hours.contain(minute_of_week(moment(when).unwrap(), 0))
    }

    #[test]
    fn days_hours_and_both() {
        // 2026-01-30 was a Friday.
        assert!(at("mon-fri 08:00-18:00", "2026-01-30T08:00:00Z"));
        assert!(at("mon-fri 08:00-18:00", "2026-01-30T17:59:59Z"));
        assert!(!at("mon-fri 08:00-18:00", "2026-01-30T18:00:00Z"));
        assert!(!at("mon-fri 08:00-18:00", "2026-01-31T12:00:00Z"));
        assert!(at("sat,sun", "2026-01-31T00:00:00Z") && at("SAT,Sun", "2026-02-01T23:59:00Z"));
        assert!(!at("sat,sun", "2026-02-02T00:00:00Z"));
        assert!(at("00:00-24:00", "2026-02-02T23:59:00Z"));
        assert!(at("fri-mon", "2026-02-01T05:00:00Z") && !at("fri-mon", "2026-02-03T05:00:00Z"));
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_that_they_begin_in() {
        assert!(at("fri 22:00-06:00", "2026-01-30T22:00:00Z"));
        assert!(at("fri 22:00-06:00", "2026-01-31T05:59:00Z"));
        assert!(!at("fri 22:00-06:00", "2026-01-30T05:59:00Z"));
        assert!(at("sun 22:00-06:00", "2026-02-02T01:00:00Z"), "into the next week");
    }

    #[test]
    fn an_offset_moves_the_week() {
        let hours = Hours::parse(["mon 00:00-01:00"]).unwrap();
        let when = moment("2026-02-01T23:30:00Z").unwrap();
        assert!(hours.contain(minute_of_week(when, 60)));
        assert!(!hours.contain(minute_of_week(when, 0)));
        assert_eq!(minute_of_week(0, 0), 3 * DAY);
        assert_eq!(minute_of_week(-60_000, 0), 3 * DAY - 1);
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for text in ["", "noon", "8:00-18:00", "08:00", "08:00-08:00", "25:00-26:00", "08:60-09:00"]
        {
            assert_eq!(Hours::parse([text]), Err(text));
        }
        for text in ["mon tue", "mon-", "mon 08:00-18:00 tue", "24:00-06:00", "mon,,tue"] {
            assert_eq!(Hours::parse([text]), Err(text));
        }
        assert!(Hours::parse([]).unwrap().are_all());
    }

    #[test]
    fn they_are_shown_as_people_write_them() {
        let hours = Hours::parse(["mon-tue 08:00-18:00", "sun"]).unwrap();
        assert_eq!(
            hours.to_string(),
            "mon 08:00 to mon 18:00, tue 08:00 to tue 18:00, sun 00:00 to sun 24:00"
        );
    }
}
