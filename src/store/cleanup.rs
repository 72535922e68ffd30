//! `rustsocks cleanup`: what the owner does by itself, by hand, beside it or without it.

use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::error::StoreError;
use super::location::Location;
use super::retention::Slices;
use super::schema;
use crate::clock::rfc3339;

/// A database in which old rows are looked for. The owner may be at work: SQLite's own lock lets
/// one of the two write at a time, and each slice is short.
#[derive(Debug)]
pub struct Cleanup {
    connection: Connection,
    location: Location,
    before: String,
}

impl Cleanup {
    /// Looks for rows that started before `before_ms` (milliseconds since the Unix epoch).
    ///
    /// # Errors
    /// [`StoreError`]; also when the schema is not that of this binary.
    pub fn before(location: &Location, before_ms: i64) -> Result<Self, StoreError> {
        let connection = location.open_beside()?;
        schema::expect_current(location.path(), &connection)?;
        // What a power cut undoes is done again.
        connection
            .pragma_update(None, "synchronous", "NORMAL")
            .map_err(|error| StoreError::sqlite(location.path(), &error))?;
        Ok(Self { connection, location: location.clone(), before: rfc3339(before_ms) })
    }

    /// How many there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn count(&self) -> Result<u64, StoreError> {
        self.connection
            .query_row(include_str!("../../sql/query/count_old.sql"), [&self.before], |row| {
                row.get(0)
            })
            .map_err(|error| StoreError::sqlite(self.location.path(), &error))
    }

    /// Deletes them and gives their room back; `progress` is told how many are gone. Live sessions
    /// stay, whatever their age.
    ///
    /// # Errors
    /// [`StoreError`]; what is deleted by then stays so.
    pub fn run(&mut self, mut progress: impl FnMut(u64)) -> Result<u64, StoreError> {
        let sqlite = |error: rusqlite::Error| StoreError::sqlite(self.location.path(), &error);
        let (slices, mut deleted) = (Slices::new(), 0);
        loop {
            match slices.delete(&mut self.connection, &self.before).map_err(sqlite)? {
                0 => break,
                rows => deleted += rows as u64,
            }
            progress(deleted);
            thread::park_timeout(PAUSE);
        }
        while slices.shrink(&self.connection).map_err(sqlite)? > 0 {
            thread::park_timeout(PAUSE);
        }
        Ok(deleted)
    }
}

/// Between two slices, so that the owner gets its turn.
const PAUSE: Duration = Duration::from_millis(30);
