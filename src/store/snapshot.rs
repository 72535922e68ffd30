//! The table as it was at one moment, for the windows of a process that has just started.
//!
//! It is taken when the rows of predecessors are settled and before the writer's first commit. What
//! the writer commits from then on is none of the snapshot, so the windows are the sum of both,
//! whichever comes first. In WAL mode neither side waits for the other; only the log cannot be
//! reused before the snapshot is dropped.

use std::path::PathBuf;

use rusqlite::{Connection, ErrorCode, Row, params};

use super::error::StoreError;
use super::location::Location;
use crate::clock::{moment, rfc3339};
use crate::session::Status;
use crate::stats::{Past, Windows};

/// A connection that sees the table as it was when the snapshot was taken.
#[derive(Debug)]
pub struct Snapshot {
    connection: Connection,
    path: PathBuf,
}

impl Snapshot {
    /// Takes a snapshot of this database.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take(location: &Location) -> Result<Self, StoreError> {
        let connection = location.open_to_read()?;
        let path = location.path().to_path_buf();
        // A transaction begins with its first read, whatever that is.
        connection
            .execute_batch("BEGIN; SELECT 1 FROM sessions LIMIT 1")
            .map_err(|error| StoreError::sqlite(&path, &error))?;
        Ok(Self { connection, path })
    }

    /// Loads the rows that started at or after `since_ms` (milliseconds since the Unix epoch) into
    /// the windows, in slices, until `stop` says so. Answers how many; `None` if it was stopped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(
        self,
        since_ms: i64,
        windows: &Windows,
        stop: impl Fn() -> bool + Send + 'static,
    ) -> Result<Option<u64>, StoreError> {
        let loaded = self
            .connection
            .progress_handler(STEPS_BETWEEN_LOOKS, Some(stop))
            .and_then(|()| self.load_rows(&rfc3339(since_ms), windows));
        match loaded {
            Ok(rows) => {
                windows.finish_loading();
                Ok(Some(rows))
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                Ok(None)
            }
            Err(error) => Err(StoreError::sqlite(&self.path, &error)),
        }
    }

    fn load_rows(&self, since: &str, windows: &Windows) -> rusqlite::Result<u64> {
        let first: Option<i64> = self
            .connection
            .prepare(include_str!("../../sql/query/window_first_row.sql"))?
            .query_row([since], |row| row.get(0))?;
        let Some(first) = first else { return Ok(0) };
        let mut statement =
            self.connection.prepare(include_str!("../../sql/query/window_rows.sql"))?;
        let mut rows = statement.query(params![first, since])?;
        let (mut past, mut minute, mut count) = (Past::default(), MinuteOf::default(), 0);
        while let Some(row) = rows.next()? {
            push(&mut past, &mut minute, row)?;
            count += 1;
            if past.is_full() {
                windows.load(&past);
                past.clear();
            }
        }
        windows.load(&past);
        Ok(count)
    }
}

/// Columns are looked at where SQLite has them: a row costs no allocation.
fn push(past: &mut Past, minute: &mut MinuteOf, row: &Row<'_>) -> rusqlite::Result<()> {
    let octets = |column| -> rusqlite::Result<&[u8]> {
        Ok(row.get_ref(column)?.as_bytes_or_null()?.unwrap_or_default())
    };
    let number = |column| -> rusqlite::Result<u64> {
        let number = row.get_ref(column)?.as_i64_or_null()?;
        Ok(number.and_then(|number| number.try_into().ok()).unwrap_or_default())
    };
    let status = match octets(6)? {
        b"closed" => Status::Closed,
        b"failed" => Status::Failed,
        b"rejected_by_acl" => Status::RejectedByAcl,
        _ => Status::Active,
    };
    let port = u16::try_from(number(3)?).unwrap_or_default();
    // Whoever wrote a start that is none has put the row into no minute.
    if let Some(minute) = minute.of(octets(0)?) {
        past.push(minute, octets(1)?, (octets(2)?, port), (number(4)?, number(5)?), status);
    }
    Ok(())
}

/// The minute of a start. Rows that follow each other mostly share it, so it is read once for all.
#[derive(Debug, Default)]
struct MinuteOf {
    text: [u8; MINUTE_LENGTH],
    minute: i64,
}

impl MinuteOf {
    fn of(&mut self, start: &[u8]) -> Option<i64> {
        let text = start.first_chunk()?;
        if *text != self.text {
            self.minute = moment(str::from_utf8(start).ok()?)?.div_euclid(MINUTE_MS);
            self.text = *text;
        }
        Some(self.minute)
    }
}

/// Of `2026-01-31T08:05`.
const MINUTE_LENGTH: usize = 16;
const MINUTE_MS: i64 = 60_000;
/// Virtual machine steps of SQLite between two questions whether to stop.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
