//! What the writer asks of a place that keeps rows.

use crate::stats::Change;

/// A place that keeps rows.
pub trait Keep: Send {
    /// Stores all of these, or none. A row that is finished stays as it is.
    ///
    /// # Errors
    /// [`KeepError`]; the same rows will be tried again.
    fn commit(&mut self, rows: &[Change]) -> Result<(), KeepError>;

    /// Deletes a slice of the rows whose time is over at `now_ms` (milliseconds since the epoch).
    /// Answers how many; fewer than a slice means that none is left.
    ///
    /// # Errors
    /// [`KeepError`]; it will be tried again.
    fn clean_up(&mut self, now_ms: i64) -> Result<usize, KeepError>;

    /// The last word before the process ends: everything is committed.
    fn close(&mut self);
}

/// Why rows could not be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeepError(pub String);
