//! How the writer is doing.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::counters::Count;
use super::histogram::Histogram;
use crate::clock;

/// Set by the writer, read by health and metrics. As with [`Counters`](super::Counters), a new field
/// does not compile until the metrics export it.
#[derive(Debug)]
pub struct WriterGauges {
    /// Rows committed, checkpoints included.
    pub rows: Count,
    /// Transactions committed.
    pub commits: Count,
    /// What they took, microseconds.
    pub commit_us: Histogram<{ COMMIT_BOUNDS_US.len() }>,
    /// Commits that failed and were tried again.
    pub retries: Count,
    /// Entries that waited in the channel when the writer last looked.
    pub queue: Count,
    /// Rows deleted because their time was over.
    pub deleted: Count,
    /// Pages of the database that they left and that were given back to the file system.
    pub freed_pages: Count,
    /// 1 while old rows are being deleted.
    pub cleaning: Count,
    /// How long each slice of that has kept everything else waiting, microseconds.
    pub slice_us: Histogram<{ COMMIT_BOUNDS_US.len() }>,
    /// Checkpoints of long sessions that were skipped or broken off, under pressure or for a failure.
    pub checkpoints_skipped: Count,
    /// Openings that were not written, too many being on their way.
    pub openings_left_out: Count,
    /// Endings that were not stored when the process had to end.
    pub lost: Count,
    /// Octets of the write-ahead log when the writer last looked; 0 without one.
    pub wal_bytes: Count,
    /// What turns are counted from.
    pub(crate) began: Instant,
    /// When the writer's last turn was, milliseconds after that.
    pub(crate) turn_ms: AtomicU64,
    pub(crate) last_commit_ms: AtomicI64,
    pub(crate) unsaved_since_ms: AtomicU64,
    pub(crate) oldest_row_ms: AtomicI64,
    pub(crate) trouble: Mutex<Option<String>>,
    pub(crate) wal_trouble: Mutex<Option<String>>,
}

impl Default for WriterGauges {
    fn default() -> Self {
        Self {
            rows: Count::default(),
            commits: Count::default(),
            commit_us: Histogram::new(&COMMIT_BOUNDS_US),
            retries: Count::default(),
            queue: Count::default(),
            deleted: Count::default(),
            freed_pages: Count::default(),
            cleaning: Count::default(),
            slice_us: Histogram::new(&COMMIT_BOUNDS_US),
            checkpoints_skipped: Count::default(),
            openings_left_out: Count::default(),
            lost: Count::default(),
            wal_bytes: Count::default(),
            began: clock::mono(),
            turn_ms: AtomicU64::default(),
            last_commit_ms: AtomicI64::default(),
            unsaved_since_ms: AtomicU64::new(NOTHING),
            oldest_row_ms: AtomicI64::new(NO_ROW),
            trouble: Mutex::default(),
            wal_trouble: Mutex::default(),
        }
    }
}

impl WriterGauges {
    /// A commit succeeded at `now_ms` (milliseconds since the epoch).
    pub fn committed(&self, now_ms: i64) {
        self.last_commit_ms.store(now_ms, Relaxed);
        self.recovered();
    }

    /// Rows can be stored again.
    pub fn recovered(&self) {
        let mut trouble = self.trouble.lock();
        if trouble.is_some() {
            *trouble = None;
        }
    }

    /// Rows cannot be stored, and this is why.
    pub fn failed(&self, why: String) {
        *self.trouble.lock() = Some(why);
    }

    /// Why rows cannot be stored; `None` while they can.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// The writer has looked after everything at `now`.
    pub fn turned(&self, now: Instant) {
        self.turn_ms.store(self.ms(now), Relaxed);
    }

    /// How long the writer has been held by one thing, the disk for example.
    #[must_use]
    pub fn held_for(&self, now: Instant) -> Duration {
        Duration::from_millis(self.ms(now).saturating_sub(self.turn_ms.load(Relaxed)))
    }

    fn ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    /// The write-ahead log is too large, and this is why; `None` when it is not.
    pub fn set_wal_trouble(&self, why: Option<String>) {
        *self.wal_trouble.lock() = why;
    }

    /// Why the write-ahead log is too large, if it is.
    #[must_use]
    pub fn wal_trouble(&self) -> Option<String> {
        self.wal_trouble.lock().clone()
    }

    /// When the oldest row began, milliseconds since the epoch; `None` without rows.
    pub fn set_oldest_row_ms(&self, ms: Option<i64>) {
        self.oldest_row_ms.store(ms.unwrap_or(NO_ROW), Relaxed);
    }

    /// When the oldest row began, as of the last minute.
    #[must_use]
    pub fn oldest_row_ms(&self) -> Option<i64> {
        Some(self.oldest_row_ms.load(Relaxed)).filter(|ms| *ms != NO_ROW)
    }

    /// The time of the last commit, milliseconds since the epoch; `None` before the first.
    #[must_use]
    pub fn last_commit_ms(&self) -> Option<i64> {
        Some(self.last_commit_ms.load(Relaxed)).filter(|ms| *ms != 0)
    }

    /// Since when the oldest entry has been waiting; `None` when nothing waits.
    pub fn set_unsaved_since(&self, since: Option<Instant>) {
        self.unsaved_since_ms.store(since.map_or(NOTHING, |since| self.ms(since)), Relaxed);
    }

    /// How long the oldest entry has been waiting at `now`, as far as the writer has taken it in. It
    /// grows while the writer is held by a commit.
    #[must_use]
    pub fn oldest_unsaved(&self, now: Instant) -> Duration {
        match self.unsaved_since_ms.load(Relaxed) {
            NOTHING => Duration::ZERO,
            since => Duration::from_millis(self.ms(now).saturating_sub(since)),
        }
    }
}

/// Stands for no entry that waits.
const NOTHING: u64 = u64::MAX;
/// A time that no row has.
const NO_ROW: i64 = i64::MIN;

/// Upper bounds of the commit buckets, microseconds: from memory's speed to a disk in trouble.
pub const COMMIT_BOUNDS_US: [u64; 13] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_grows_older_without_the_writer() {
        let gauges = WriterGauges::default();
        let second = |number| gauges.began + Duration::from_secs(number);
        assert_eq!(gauges.oldest_unsaved(second(9)), Duration::ZERO);
        gauges.set_unsaved_since(Some(second(2)));
        assert_eq!(gauges.oldest_unsaved(second(2)), Duration::ZERO);
        assert_eq!(gauges.oldest_unsaved(second(9)), Duration::from_secs(7));
        gauges.set_unsaved_since(None);
        assert_eq!(gauges.oldest_unsaved(second(9)), Duration::ZERO);
    }
}
