//! The owner's connection: rows in, old rows out, the file where it belongs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::bind::{Checkpoint, Upsert};
use super::error::StoreError;
use super::location::Location;
use super::log::Log;
use super::minutes;
use super::place::Place;
use super::retention::Slices;
use super::usage::{self, Booked};
use crate::clock::{self, moment, rfc3339};
use crate::limit::Limits;
use crate::session::{Outcome, SessionView};
use crate::stats::{Change, Minute};
use crate::writer::{Cleaned, Keep, KeepError, Tended};

/// How rows are kept.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Whether each commit reaches the disk before it returns (`synchronous = full`).
    pub full_sync: bool,
    /// Days that a row is kept; 0 is for ever.
    pub retention_days: u32,
    /// Octets of the write-ahead log from which on it is complained of.
    pub wal_limit_bytes: u64,
    /// The name of this node; empty for none.
    pub node: String,
    /// What is told how much has been used of quotas, and asked what rows count for.
    pub limits: Arc<Limits>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            full_sync: true,
            retention_days: 0,
            wal_limit_bytes: 64 * 1024 * 1024,
            node: String::new(),
            limits: Arc::default(),
        }
    }
}

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    location: Location,
    options: StoreOptions,
    place: Place,
    /// Since when the file has been missing: nothing is stored before it is back.
    lost_since: Option<Instant>,
    /// How long it stays missing at least: whoever took it may not be done.
    grace: Duration,
    log: Log,
    slices: Slices,
    /// Whether commits reach the disk before they return; those that delete need not.
    full_sync: bool,
    /// The start of the oldest row when it was last looked for.
    oldest_row_ms: Option<i64>,
    oldest_at: Instant,
}

impl Store {
    /// Opens a database whose lock is ours, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`]: foreign, damaged, newer, not permitted, locked for too long.
    pub(super) fn open(location: &Location, options: StoreOptions) -> Result<Self, StoreError> {
        let connection = connect(location, options.full_sync)?;
        let now = clock::mono();
        Ok(Self {
            place: Place::of(location)?,
            log: Log::new(location, options.wal_limit_bytes, now),
            full_sync: options.full_sync,
            connection,
            location: location.clone(),
            options,
            lost_since: None,
            grace: GRACE,
            slices: Slices::new(),
            oldest_row_ms: None,
            oldest_at: now,
        })
    }

    /// Stores what a killed predecessor left: a row that it had finished stays as it is.
    pub(super) fn recover(&mut self, sessions: &[SessionView]) -> rusqlite::Result<()> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = Transaction::new(&mut self.connection, behavior)?;
        Booked::of_left(sessions, &self.options.limits, &transaction)?.write(&transaction)?;
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

    /// Tells the limits what has been used of quotas.
    pub(super) fn restore_usage(&self) -> rusqlite::Result<()> {
        usage::restore(&self.connection, &self.options.limits, clock::utc_ms())
    }

    /// The greatest number of a policy among the rows that came last; 0 without any. The whole table is not
    /// looked at.
    pub(super) fn last_generation(&self) -> rusqlite::Result<u64> {
        let sql = include_str!("../../sql/query/last_generation.sql");
        let last: Option<i64> = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
    }

    fn set_full_sync(&mut self, full: bool) -> rusqlite::Result<()> {
        if self.full_sync != full {
            self.connection.pragma_update(None, "synchronous", synchronous(full))?;
            self.full_sync = full;
        }
        Ok(())
    }

    fn insert(&mut self, rows: &[Change]) -> rusqlite::Result<()> {
        self.set_full_sync(self.options.full_sync)?;
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
        Booked::of(rows, &self.options.limits).write(&transaction)?;
        transaction.commit()
    }

    /// Makes sure that the file is where it belongs. One that is not is an error for a while, so that
    /// everybody hears of it, and is then brought back, which takes its time.
    fn stay(&mut self) -> Result<(), StoreError> {
        let Some(lost) = self.place.lost(&self.location) else {
            self.lost_since = None;
            return Ok(());
        };
        let now = clock::mono();
        let since = *self.lost_since.get_or_insert(now);
        if now == since || now < since + self.grace {
            let path = self.location.path().display().to_string();
            return Err(StoreError::Lost { path, what: lost });
        }
        self.place.put_back(&self.location, &self.connection)?;
        // Its files are not ours any more: closing must leave alone what has their names now.
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(|error| StoreError::sqlite(self.location.path(), &error))?;
        self.connection = connect(&self.location, self.options.full_sync)?;
        self.full_sync = self.options.full_sync;
        self.place = Place::of(&self.location)?;
        self.lost_since = None;
        tracing::warn!("{} was put back as we had it open", self.location.path().display());
        Ok(())
    }

    fn clean(&mut self, now_ms: i64) -> rusqlite::Result<Cleaned> {
        let mut cleaned = Cleaned::default();
        usage::delete_old(&self.connection, now_ms)?;
        if self.options.retention_days > 0 {
            self.set_full_sync(false)?;
            let before = rfc3339(now_ms - i64::from(self.options.retention_days) * DAY_MS);
            cleaned.rows = self.slices.delete(&mut self.connection, &before)?;
            if cleaned.rows == 0 {
                cleaned.pages = self.slices.shrink(&self.connection)?;
            }
        }
        Ok(cleaned)
    }

    fn oldest_row_ms(&self) -> rusqlite::Result<Option<i64>> {
        let start: Option<String> = self
            .connection
            .prepare_cached(include_str!("../../sql/query/oldest_row.sql"))?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(start.as_deref().and_then(moment))
    }
}

impl Keep for Store {
    fn commit(&mut self, rows: &[Change]) -> Result<(), KeepError> {
        self.stay().map_err(keep_error)?;
        self.insert(rows).map_err(keep_error)
    }

    fn probe(&mut self) -> Result<(), KeepError> {
        self.stay().map_err(keep_error)?;
        // Changes nothing, and is written all the same.
        let version: i64 = self
            .connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(keep_error)?;
        self.connection.pragma_update(None, "user_version", version).map_err(keep_error)
    }

    fn tend(&mut self, now: Instant) -> Result<Tended, KeepError> {
        self.stay().map_err(keep_error)?;
        let (wal_bytes, wal_trouble) = self.log.tend(&self.connection, now);
        if now >= self.oldest_at {
            self.oldest_row_ms = self.oldest_row_ms().map_err(keep_error)?;
            self.oldest_at = now + OLDEST_INTERVAL;
        }
        Ok(Tended { wal_bytes, wal_trouble, oldest_row_ms: self.oldest_row_ms })
    }

    fn clean_up(&mut self, now_ms: i64) -> Result<Cleaned, KeepError> {
        let cleaned = self.clean(now_ms).map_err(keep_error)?;
        if cleaned.is_done() {
            self.oldest_at = clock::mono();
        }
        Ok(cleaned)
    }

    fn keep_minutes(&mut self, minutes: &[Minute], before_ms: i64) -> Result<(), KeepError> {
        self.set_full_sync(self.options.full_sync).map_err(keep_error)?;
        minutes::keep(&mut self.connection, minutes, before_ms).map_err(keep_error)
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

fn connect(location: &Location, full_sync: bool) -> Result<Connection, StoreError> {
    let (connection, _) = location.open_to_write()?;
    connection
        .pragma_update(None, "synchronous", synchronous(full_sync))
        .map_err(|error| StoreError::sqlite(location.path(), &error))?;
    Ok(connection)
}

const fn synchronous(full: bool) -> &'static str {
    if full { "FULL" } else { "NORMAL" }
}

fn keep_error(error: impl ToString) -> KeepError {
    KeepError(error.to_string())
}

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3_600_000;
/// How long a file that is lost stays so at least: somebody may be replacing several, one by one.
const GRACE: Duration = Duration::from_secs(1);
/// Between two looks for the oldest row.
const OLDEST_INTERVAL: Duration = Duration::from_mins(1);

#[cfg(test)]
pub(super) mod tests;
