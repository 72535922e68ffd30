//! What the writer asks of a place that keeps rows.

use std::time::Instant;

use crate::stats::{Change, Minute};

/// A place that keeps rows.
pub trait Keep: Send {
    /// Stores all of these, or none. A row that is finished stays as it is.
    ///
    /// # Errors
    /// [`KeepError`]; the same rows will be tried again.
    fn commit(&mut self, rows: &[Change]) -> Result<(), KeepError>;

    /// Stores something that changes nothing, to see whether rows could be stored.
    ///
    /// # Errors
    /// [`KeepError`].
    fn probe(&mut self) -> Result<(), KeepError>;

    /// Once a second: looks after the place itself.
    ///
    /// # Errors
    /// [`KeepError`]: rows cannot be stored; it will be tried again.
    fn tend(&mut self, now: Instant) -> Result<Tended, KeepError>;

    /// Deletes a slice of the rows whose time is over at `now_ms` (milliseconds since the epoch), or
    /// gives back a slice of the room that they have left.
    ///
    /// # Errors
    /// [`KeepError`]; it will be tried again.
    fn clean_up(&mut self, now_ms: i64) -> Result<Cleaned, KeepError>;

    /// Stores minutes, all or none; what is there of the same minute is added to. Those that began
    /// before `before_ms` (milliseconds since the epoch) are deleted.
    ///
    /// # Errors
    /// [`KeepError`]; the same minutes will be tried again.
    fn keep_minutes(&mut self, minutes: &[Minute], before_ms: i64) -> Result<(), KeepError>;

    /// The last word before the process ends: everything is committed.
    fn close(&mut self);
}

/// How a place that keeps rows is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Octets of its write-ahead log.
    pub wal_bytes: u64,
    /// Why those are too many, if they are.
    pub wal_trouble: Option<String>,
    /// When the oldest row began, milliseconds since the epoch.
    pub oldest_row_ms: Option<i64>,
}

/// What one slice of a cleaning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Rows deleted.
    pub rows: usize,
    /// Pages given back to the file system.
    pub pages: u32,
}

impl Cleaned {
    /// Whether there was nothing to do.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.rows == 0 && self.pages == 0
    }
}

/// Why rows could not be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeepError(pub String);
