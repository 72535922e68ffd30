//! What has been used of a quota in its running period. Shared by the workers: one atomic word, which
//! says of which period it speaks, so that a new one begins with nothing, whoever is the first to see it.
//!
//! What was used in the period before is kept beside it: a clock that was set forward, and back again, finds
//! it. What was used by the wrong clock counts for the period to which it comes back, too, once however often
//! it goes there. At a period's edge, where one worker's clock may be a little behind another's, each octet
//! counts for the period in which it passed alone.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::period::Period;

/// Which way octets count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Client to target.
    Upload,
    /// Target to client.
    Download,
    /// Both.
    Both,
}

impl Counted {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Upload, Self::Download, Self::Both];

    /// The word as it stands in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Both => "both",
        }
    }

    /// Whether octets of each way count: upload, download.
    #[must_use]
    pub const fn ways(self) -> [bool; 2] {
        match self {
            Self::Upload => [true, false],
            Self::Download => [false, true],
            Self::Both => [true, true],
        }
    }

    /// What counts of so many octets sent and received.
    #[must_use]
    pub const fn of(self, sent: u64, received: u64) -> u64 {
        match self {
            Self::Upload => sent,
            Self::Download => received,
            Self::Both => sent.saturating_add(received),
        }
    }
}

impl FromStr for Counted {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|counted| counted.as_str() == word).ok_or(())
    }
}

/// Of what is counted: a quota, and the user who has it for himself; or all together.
///
/// Its text is what the table has. A quota that counts otherwise than before is another one, and begins
/// anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The quota's name; without a slash.
    pub quota: Arc<str>,
    /// Over how long it counts.
    pub period: Period,
    /// What it counts.
    pub counted: Counted,
    /// Whose octets, where each user has the quota for himself.
    pub user: Option<Box<str>>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.quota, self.period.as_str(), self.counted.as_str())?;
        match &self.user {
            Some(user) => write!(f, "/{user}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Subject {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(4, '/');
        let mut next = || parts.next().ok_or(());
        Ok(Self {
            quota: next()?.into(),
            period: next()?.parse()?,
            counted: next()?.parse()?,
            user: parts.next().map(Into::into),
        })
    }
}

/// Octets of one subject.
#[derive(Debug)]
pub struct Usage {
    subject: Subject,
    /// The low bits of the period's number, and octets.
    word: AtomicU64,
    other: Mutex<Other>,
}

/// The period from which the clock has come.
#[derive(Clone, Copy, Debug)]
struct Other {
    /// As the running one's.
    word: u64,
    /// What of the newer of both periods counts for the older one, too.
    carried: u64,
}

impl Usage {
    /// Nothing yet, at this moment (milliseconds since the epoch).
    #[must_use]
    pub fn new(subject: Subject, utc_ms: i64) -> Self {
        let word = pack(tag(subject.period, utc_ms), 0);
        let other = Mutex::new(Other { word, carried: 0 });
        Self { subject, word: AtomicU64::new(word), other }
    }

    /// Of what.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Octets in the period of this moment (milliseconds since the epoch).
    #[must_use]
    pub fn used(&self, utc_ms: i64) -> u64 {
        let (word, now) = (self.word.load(Relaxed), self.tag(utc_ms));
        if tag_of(word) == now {
            octets_of(word)
        } else {
            self.begun(word, *self.other.lock(), utc_ms).0
        }
    }

    /// Adds octets at this moment: how many there were before, and are now.
    pub fn add(&self, octets: u64, utc_ms: i64) -> (u64, u64) {
        let now = self.tag(utc_ms);
        let sum = |before: u64| before.saturating_add(octets).min(OCTETS_MAX);
        let add = |word: u64| (tag_of(word) == now).then(|| pack(now, sum(octets_of(word))));
        loop {
            if let Ok(word) = self.word.fetch_update(Relaxed, Relaxed, add) {
                return (octets_of(word), sum(octets_of(word)));
            }
            self.turn_to(utc_ms);
        }
    }

    /// Another period runs.
    fn turn_to(&self, utc_ms: i64) {
        let (mut other, now) = (self.other.lock(), self.tag(utc_ms));
        let turn = |word: u64| {
            (tag_of(word) != now).then(|| pack(now, self.begun(word, *other, utc_ms).0))
        };
        if let Ok(before) = self.word.fetch_update(Relaxed, Relaxed, turn) {
            let (_, carried) = self.begun(before, *other, utc_ms);
            *other = Other { word: before, carried };
        }
    }

    /// What a period begins with that is not the word's: with what it had when the clock left it, and with
    /// what was used since by a clock that was ahead. And how much of that has been carried over by then.
    fn begun(&self, word: u64, other: Other, utc_ms: i64) -> (u64, u64) {
        let now = self.tag(utc_ms);
        let comes_back = tag_of(other.word) == now;
        let (had, carried) =
            if comes_back { (octets_of(other.word), other.carried) } else { (0, 0) };
        let at_edge = self.tag(utc_ms.saturating_add(EDGE_MS)) == tag_of(word);
        if at_edge || !is_newer(tag_of(word), now) {
            return (had, carried);
        }
        let ahead = octets_of(word).saturating_sub(carried);
        (had.saturating_add(ahead).min(OCTETS_MAX), octets_of(word))
    }

    /// Takes octets off again that were added at this moment and came to nothing.
    pub fn take_off(&self, octets: u64, utc_ms: i64) {
        let tag = self.tag(utc_ms);
        let less = |word: u64| {
            (tag_of(word) == tag).then(|| pack(tag, octets_of(word).saturating_sub(octets)))
        };
        if self.word.fetch_update(Relaxed, Relaxed, less).is_err() {
            let mut other = self.other.lock();
            other.word = less(other.word).unwrap_or(other.word);
        }
    }

    fn tag(&self, utc_ms: i64) -> u16 {
        tag(self.subject.period, utc_ms)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
fn tag(period: Period, utc_ms: i64) -> u16 {
    period.number(utc_ms) as u16
}

const fn octets_of(word: u64) -> u64 {
    word & OCTETS_MAX
}

const fn is_newer(tag: u16, than: u16) -> bool {
    let ahead = tag.wrapping_sub(than);
    ahead != 0 && ahead < 1 << 15
}

const fn tag_of(word: u64) -> u16 {
    (word >> OCTETS_BITS) as u16
}

const fn pack(tag: u16, octets: u64) -> u64 {
    (tag as u64) << OCTETS_BITS | octets
}

/// How far workers' clocks may be apart, and a clock be corrected by, at a period's edge. A worker reads its
/// clock once per turn.
const EDGE_MS: i64 = 10_000;
const OCTETS_BITS: u32 = 48;
/// The most that is counted: 256 TiB.
pub const OCTETS_MAX: u64 = (1 << OCTETS_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::moment;

    fn usage(period: Period) -> Usage {
        let subject = Subject { quota: "q".into(), period, counted: Counted::Both, user: None };
        Usage::new(subject, at("2026-05-01T00:00:00Z"))
    }

    fn at(text: &str) -> i64 {
        moment(text).unwrap()
    }

    #[test]
    fn a_new_period_begins_with_nothing_and_a_clock_set_back_takes_nothing_away() {
        for period in Period::ALL {
            let usage = usage(period);
            let (last, next) = (at("2026-05-31T23:59:59Z"), at("2026-06-01T00:00:00Z"));
            assert_eq!(usage.add(5, last), (0, 5));
            assert_eq!(usage.add(7, last), (5, 12));
            assert_eq!(usage.used(next), 0);
            assert_eq!(usage.add(1, next), (0, 1));
            let before = at("2026-05-31T23:59:00Z");
            assert_eq!((usage.used(next), usage.used(before)), (1, 13));
            assert_eq!(usage.add(1, before), (13, 14));
            assert_eq!(usage.used(next), 1);
            usage.take_off(1, last);
            assert_eq!((usage.used(before), usage.used(next)), (13, 1));
            usage.take_off(1, next);
            usage.take_off(9, at("2026-07-01T00:00:00Z"));
            assert_eq!((usage.used(before), usage.used(next)), (13, 0));
        }
    }

    #[test]
    fn at_a_periods_edge_each_octet_counts_once_whichever_worker_is_ahead() {
        for period in Period::ALL {
            let usage = usage(period);
            let (last, next) = (at("2026-05-31T23:59:59.999Z"), at("2026-06-01T00:00:00Z"));
            let mut sums = [0; 2];
            for turn in 0..10 {
                for (sum, now) in sums.iter_mut().zip([last, next]) {
                    assert_eq!(usage.used(now), *sum);
                    let octets = 5 + turn;
                    assert_eq!(usage.add(octets, now), (*sum, *sum + octets));
                    *sum += octets;
                }
            }
            assert_eq!([last, next].map(|now| usage.used(now)), sums);
        }
    }

    #[test]
    fn a_clock_that_goes_to_and_fro_gives_no_quota_twice_and_takes_none_twice() {
        for period in Period::ALL {
            let usage = usage(period);
            let (right, wrong) = (at("2026-05-10T12:00:00Z"), at("2026-08-20T12:00:00Z"));
            usage.add(100, right);
            for step in 1..=5 {
                assert_eq!(usage.add(7, wrong), (7 * (step - 1), 7 * step));
                assert_eq!(usage.used(right), 100 + 7 * step);
                assert_eq!(usage.add(0, right).1, 100 + 7 * step);
            }
            assert_eq!(usage.used(wrong), 35);
        }
    }

    #[test]
    fn a_step_of_the_clock_forward_and_back_forgets_nothing_and_the_next_period_comes_all_the_same()
    {
        for period in Period::ALL {
            let usage = usage(period);
            let (right, wrong) = (at("2026-05-10T12:00:00Z"), at("2026-08-20T12:00:00Z"));
            usage.add(100, right);
            assert_eq!(usage.used(wrong), 0);
            assert_eq!(usage.add(7, wrong), (0, 7));
            assert_eq!(usage.used(right), 107);
            assert_eq!(usage.add(1, right), (107, 108));
            let next = at("2026-06-10T12:00:00Z");
            assert_eq!(usage.used(next), 0);
            assert_eq!(usage.add(2, next), (0, 2));
        }
    }

    #[test]
    fn it_is_full_and_does_not_flow_over() {
        let usage = usage(Period::Month);
        let now = at("2026-05-31T23:59:59Z");
        usage.add(OCTETS_MAX - 1, now);
        assert_eq!(usage.add(9, now), (OCTETS_MAX - 1, OCTETS_MAX));
        assert_eq!(usage.used(now), OCTETS_MAX);
    }

    #[test]
    fn a_subject_is_read_as_it_is_written() {
        for user in [None, Some("alice"), Some("a/b /c"), Some("")] {
            let subject = Subject {
                quota: "monthly".into(),
                period: Period::Week,
                counted: Counted::Download,
                user: user.map(Into::into),
            };
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
        assert_eq!("monthly/year/both".parse::<Subject>(), Err(()));
        assert_eq!("monthly".parse::<Subject>(), Err(()));
    }
}
