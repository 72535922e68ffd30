//! What passed in each minute, as it moved: the figures behind `/api/metrics/history`.
//!
//! Unlike the rolling windows, which book a session to the minute in which it started, these are the
//! differences of the workers' counters, so a download of an hour shows in sixty minutes.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::rfc3339;

/// One minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Its beginning, milliseconds since the epoch; a multiple of 60 000.
    pub start_ms: i64,
    /// Sessions alive at its end.
    pub active: u64,
    /// Sessions that were given their permit.
    pub started: u64,
    /// Attempts that a rule or the guard refused.
    pub rejected: u64,
    /// Octets, client to target.
    pub bytes_sent: u64,
    /// Octets, target to client.
    pub bytes_received: u64,
}

impl Minute {
    /// Whether anything passed in it.
    pub(super) const fn has_moved(&self) -> bool {
        let Self { start_ms: _, active: _, started, rejected, bytes_sent, bytes_received } = *self;
        started != 0 || rejected != 0 || bytes_sent != 0 || bytes_received != 0
    }

    /// Adds what passed in the same minute later on.
    pub(super) const fn add(&mut self, later: &Self) {
        let Self { start_ms: _, active, started, rejected, bytes_sent, bytes_received } = *later;
        self.active = active;
        self.started = self.started.saturating_add(started);
        self.rejected = self.rejected.saturating_add(rejected);
        self.bytes_sent = self.bytes_sent.saturating_add(bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(bytes_received);
    }
}

/// One minute as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MinuteRecord {
    /// Its beginning, RFC 3339.
    #[schema(format = DateTime)]
    pub minute: String,
    /// Sessions alive at its end.
    pub active: u64,
    /// Sessions that were given their permit.
    pub started: u64,
    /// Attempts that a rule or the guard refused.
    pub rejected: u64,
    /// Octets, client to target.
    pub bytes_sent: u64,
    /// Octets, target to client.
    pub bytes_received: u64,
}

impl From<&Minute> for MinuteRecord {
    fn from(minute: &Minute) -> Self {
        let Minute { start_ms, active, started, rejected, bytes_sent, bytes_received } = *minute;
        let minute = rfc3339(start_ms);
        Self { minute, active, started, rejected, bytes_sent, bytes_received }
    }
}

/// The minutes, between the sampler, the writer and, in memory mode, the API. One that still runs comes
/// in parts, so that a crash takes no more of it than what moved in the last seconds.
#[derive(Debug)]
pub struct Minutes {
    kept: Mutex<Kept>,
    minutes_max: usize,
    /// Whether a writer takes them away.
    saving: bool,
}

#[derive(Debug, Default)]
struct Kept {
    ended: VecDeque<Minute>,
    /// How many of the last ones the writer has not stored yet.
    unsaved: usize,
    /// How many of those, the oldest, it is storing: nothing may be added to them.
    lent: usize,
    lost: u64,
}

impl Minutes {
    /// Room for the minutes of so many hours, which are kept here alone.
    #[must_use]
    pub fn new(hours: u32) -> Self {
        let minutes_max = (hours as usize).max(1) * 60;
        Self { kept: Mutex::default(), minutes_max, saving: false }
    }

    /// The same, for a writer to store.
    #[must_use]
    pub fn to_be_saved(self) -> Self {
        Self { saving: true, ..self }
    }

    /// How long minutes are kept, milliseconds.
    #[must_use]
    pub fn span_ms(&self) -> i64 {
        i64::try_from(self.minutes_max).unwrap_or(i64::MAX).saturating_mul(60_000)
    }

    /// Takes a minute, or a further part of the last one. The oldest one goes when there is no room; if
    /// it was not stored it is lost, and counted.
    pub fn push(&self, minute: Minute) {
        let mut kept = self.kept.lock();
        let free = !self.saving || kept.unsaved > kept.lent;
        if let Some(last) = kept.ended.back_mut()
            && free
            && last.start_ms == minute.start_ms
        {
            last.add(&minute);
            return;
        }
        if kept.ended.len() >= self.minutes_max {
            kept.ended.pop_front();
            if kept.unsaved > kept.ended.len() {
                kept.unsaved = kept.ended.len();
                kept.lent = kept.lent.saturating_sub(1);
                kept.lost += 1;
            }
        }
        kept.ended.push_back(minute);
        kept.unsaved += usize::from(self.saving);
    }

    /// The minutes that are not stored yet. They stay as they are until [`saved`](Self::saved) or
    /// [`not_saved`](Self::not_saved).
    #[must_use]
    pub fn lend(&self) -> Vec<Minute> {
        let mut kept = self.kept.lock();
        kept.lent = kept.unsaved;
        let from = kept.ended.len() - kept.unsaved;
        kept.ended.range(from..).copied().collect()
    }

    /// What was lent is stored, and has gone from here.
    pub fn saved(&self) {
        let mut kept = self.kept.lock();
        kept.unsaved -= kept.lent;
        kept.lent = 0;
        let stored = kept.ended.len() - kept.unsaved;
        kept.ended.drain(..stored);
    }

    /// What was lent is not stored.
    pub fn not_saved(&self) {
        self.kept.lock().lent = 0;
    }

    /// Minutes that were never stored.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.kept.lock().lost
    }

    /// The minutes from `since_ms` on and before `until_ms`, `limit` at most, oldest first.
    #[must_use]
    pub fn between(&self, since_ms: i64, until_ms: i64, limit: usize) -> Vec<MinuteRecord> {
        // Sorted when the lock is free again: the writer and the daemon want it too.
        let mut found: Vec<Minute> = {
            let kept = self.kept.lock();
            let asked = |minute: &&Minute| (since_ms..until_ms).contains(&minute.start_ms);
            kept.ended.iter().filter(asked).copied().collect()
        };
        // A clock that was set back lets a minute come twice; the later one stays behind.
        found.sort_by_key(|minute| minute.start_ms);
        found.dedup_by(|later, earlier| {
            let same = later.start_ms == earlier.start_ms;
            if same {
                earlier.add(later);
            }
            same
        });
        found.iter().take(limit).map(MinuteRecord::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(number: i64) -> Minute {
        Minute { start_ms: number * 60_000, started: 1, active: 2, ..Minute::default() }
    }

    #[test]
    fn what_is_not_stored_waits_and_is_bounded() {
        let minutes = Minutes::new(1).to_be_saved();
        for number in 0..61 {
            minutes.push(minute(number));
        }
        let lent = minutes.lend();
        assert_eq!((lent.len(), lent[0], minutes.lost()), (60, minute(1), 1));
        minutes.saved();
        minutes.push(minute(61));
        assert_eq!((minutes.lend(), minutes.lost()), (vec![minute(61)], 1));
    }

    #[test]
    fn a_part_joins_its_minute_unless_that_is_just_being_stored() {
        let minutes = Minutes::new(1).to_be_saved();
        minutes.push(minute(1));
        minutes.push(minute(1));
        let started = |found: &[Minute]| found.iter().map(|it| it.started).collect::<Vec<_>>();
        assert_eq!(started(&minutes.lend()), [2]);
        minutes.push(minute(1));
        minutes.push(minute(1));
        minutes.saved();
        assert_eq!(started(&minutes.lend()), [2]);
        minutes.not_saved();
        minutes.push(minute(1));
        assert_eq!(started(&minutes.lend()), [3]);
        minutes.push(minute(2));
        minutes.saved();
        assert_eq!(minutes.lend(), [minute(2)]);
    }

    #[test]
    fn one_that_is_lost_while_it_is_stored_takes_no_other_with_it() {
        let minutes = Minutes::new(1).to_be_saved();
        (0..60).for_each(|number| minutes.push(minute(number)));
        assert_eq!(minutes.lend().len(), 60);
        minutes.push(minute(60));
        minutes.saved();
        assert_eq!(minutes.lend(), [minute(60)]);
    }

    #[test]
    fn without_a_writer_nothing_waits_and_the_oldest_goes_unmourned() {
        let minutes = Minutes::new(1);
        (0..61).for_each(|number| minutes.push(minute(number)));
        assert_eq!((minutes.lend(), minutes.lost()), (vec![], 0));
        assert_eq!(minutes.between(0, i64::MAX, 100).len(), 60);
    }

    #[test]
    fn a_minute_that_comes_twice_is_one_and_gaps_are_gaps() {
        let minutes = Minutes::new(1);
        for number in [5, 6, 9, 6] {
            minutes.push(minute(number));
        }
        let found = minutes.between(6 * 60_000, 10 * 60_000, 10);
        let seen: Vec<_> = found.iter().map(|it| (&*it.minute, it.started, it.active)).collect();
        let expected = [("1970-01-01T00:06:00.000Z", 2, 2), ("1970-01-01T00:09:00.000Z", 1, 2)];
        assert_eq!(seen, expected);
        assert_eq!(minutes.between(0, i64::MAX, 1).len(), 1);
    }
}
