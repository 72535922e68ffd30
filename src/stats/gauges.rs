//! How the writer is doing.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::counters::Count;

/// Set by the writer, read by health and metrics.
#[derive(Debug, Default)]
pub struct WriterGauges {
    /// Rows committed, checkpoints included.
    pub rows: Count,
    /// Transactions committed.
    pub commits: Count,
    /// Microseconds spent in them.
    pub commit_us: Count,
    /// Commits that failed and were tried again.
    pub retries: Count,
    /// Entries that waited in the channel when the writer last looked.
    pub queue: Count,
    /// Rows deleted because their time was over.
    pub deleted: Count,
    /// Checkpoints of long sessions that were skipped or broken off, under pressure or for a failure.
    pub checkpoints_skipped: Count,
    /// Openings that were not written, too many being on their way.
    pub openings_left_out: Count,
    /// Endings that were not stored when the process had to end.
    pub lost: Count,
    last_commit_ms: AtomicI64,
    oldest_unsaved_ms: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl WriterGauges {
    /// A commit succeeded at `now_ms` (milliseconds since the epoch).
    pub fn committed(&self, now_ms: i64) {
        self.last_commit_ms.store(now_ms, Relaxed);
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

    /// The time of the last commit, milliseconds since the epoch; `None` before the first.
    #[must_use]
    pub fn last_commit_ms(&self) -> Option<i64> {
        Some(self.last_commit_ms.load(Relaxed)).filter(|ms| *ms != 0)
    }

    /// How long the oldest entry has been waiting, milliseconds.
    pub fn set_oldest_unsaved_ms(&self, ms: u64) {
        self.oldest_unsaved_ms.store(ms, Relaxed);
    }

    /// How long the oldest entry had been waiting when the writer last looked, milliseconds.
    #[must_use]
    pub fn oldest_unsaved_ms(&self) -> u64 {
        self.oldest_unsaved_ms.load(Relaxed)
    }
}
