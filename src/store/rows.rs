//! The owner's connection: rows in, old rows out.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::bind::{Checkpoint, Upsert};
use super::error::StoreError;
use super::schema::Location;
use crate::clock::rfc3339;
use crate::session::{Outcome, SessionView};
use crate::stats::Change;
use crate::writer::{Keep, KeepError};

/// How rows are kept.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Whether each commit reaches the disk before it returns (`synchronous = full`).
    pub full_sync: bool,
    /// Days that a row is kept; 0 is for ever.
    pub retention_days: u32,
    /// The name of this node; empty for none.
    pub node: String,
}

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    options: StoreOptions,
}

impl Store {
    /// Opens a database whose lock is ours, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`]: foreign, damaged, newer, not permitted, locked for too long.
    pub(super) fn open(location: &Location, options: StoreOptions) -> Result<Self, StoreError> {
        let (connection, _) = location.open_to_write()?;
        let synchronous = if options.full_sync { "FULL" } else { "NORMAL" };
        connection
            .pragma_update(None, "synchronous", synchronous)
            .map_err(|error| StoreError::sqlite(location.path(), &error))?;
        Ok(Self { connection, options })
    }

    /// Stores what a killed predecessor left: a row that it had finished stays as it is.
    pub(super) fn recover(&mut self, sessions: &[SessionView]) -> rusqlite::Result<()> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = Transaction::new(&mut self.connection, behavior)?;
        {
            let mut upsert = Upsert::new(&transaction, &self.options.node)?;
            for session in sessions {
                upsert.write(session)?;
            }
        }
        transaction.commit()
    }

    /// Settles the rows that are still active: their ledger is gone. Answers how many those were.
    pub(super) fn settle_crashed(&self) -> rusqlite::Result<usize> {
        self.connection.execute(
            include_str!("../../sql/query/settle_crashed.sql"),
            params![Outcome::Crash.close_code(), Outcome::Crash.close_reason()],
        )
    }

    fn insert(&mut self, rows: &[Change]) -> rusqlite::Result<()> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = Transaction::new(&mut self.connection, behavior)?;
        {
            let mut upsert = Upsert::new(&transaction, &self.options.node)?;
            let mut checkpoint = Checkpoint::new(&transaction)?;
            for Change { session, before } in rows {
                let written = session.ending.is_none()
                    && before.is_some()
                    // A row that is gone, with a lost file for example, is written anew.
                    && checkpoint.write(session)?;
                if !written {
                    upsert.write(session)?;
                }
            }
        }
        transaction.commit()
    }

    fn delete_old(&mut self, now_ms: i64) -> rusqlite::Result<usize> {
        let before = rfc3339(now_ms - i64::from(self.options.retention_days) * DAY_MS);
        let behavior = TransactionBehavior::Immediate;
        let transaction = Transaction::new(&mut self.connection, behavior)?;
        let deleted = transaction
            .prepare_cached(include_str!("../../sql/query/delete_old.sql"))?
            .execute(params![before, SLICE_ROWS])?;
        transaction.commit()?;
        if deleted > 0 {
            self.connection.execute_batch(&format!("PRAGMA incremental_vacuum({SLICE_PAGES})"))?;
        }
        Ok(deleted)
    }
}

impl Keep for Store {
    fn commit(&mut self, rows: &[Change]) -> Result<(), KeepError> {
        self.insert(rows).map_err(|error| KeepError(error.to_string()))
    }

    fn clean_up(&mut self, now_ms: i64) -> Result<usize, KeepError> {
        if self.options.retention_days == 0 {
            return Ok(0);
        }
        self.delete_old(now_ms).map_err(|error| KeepError(error.to_string()))
    }

    fn close(&mut self) {
        // Leaves one file instead of three where nobody else reads; with a reader it does less.
        let truncated =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = truncated {
            tracing::debug!("the write-ahead log was not truncated: {error}");
        }
    }
}

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3_600_000;
/// Rows deleted in one transaction, so that no commit waits for long.
const SLICE_ROWS: u32 = 1000;
/// Pages given back to the file system after each of them.
const SLICE_PAGES: u32 = 256;

#[cfg(test)]
mod tests;
