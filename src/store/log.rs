//! The care for the write-ahead log: SQLite copies it into the database by itself, but not past the
//! page that the oldest reader still needs, and its file never shrinks. A reader that stays for long
//! makes it grow without bound.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::location::{Location, WRITER_PATIENCE};

/// The log of one database.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    limit_bytes: u64,
    checkpoint_at: Instant,
    warn_at: Instant,
}

impl Log {
    pub(super) fn new(location: &Location, limit_bytes: u64, now: Instant) -> Self {
        let path = location.beside("-wal");
        Self { path, limit_bytes, checkpoint_at: now + CHECKPOINT_INTERVAL, warn_at: now }
    }

    /// Its octets.
    pub(super) fn bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Once a second: copies it into the database each minute, and each few seconds while it is too
    /// large. Answers its octets, and why they are too many, if they are.
    pub(super) fn tend(&mut self, connection: &Connection, now: Instant) -> (u64, Option<String>) {
        let bytes = self.bytes();
        let large = bytes > self.limit_bytes;
        if now < self.checkpoint_at {
            return (bytes, large.then(|| self.complaint(bytes)));
        }
        self.checkpoint_at = now + if large { LARGE_INTERVAL } else { CHECKPOINT_INTERVAL };
        // Only a truncating one shrinks the file; it has to wait for all readers.
        let sql = if large {
            "PRAGMA wal_checkpoint(TRUNCATE)"
        } else {
            "PRAGMA wal_checkpoint(PASSIVE)"
        };
        if let Err(error) =
            at_once(connection, |connection| connection.query_row(sql, [], |_| Ok(())))
        {
            tracing::debug!("the write-ahead log was not copied: {error}");
        }
        let bytes = self.bytes();
        if bytes <= self.limit_bytes {
            return (bytes, None);
        }
        let complaint = self.complaint(bytes);
        if now >= self.warn_at {
            self.warn_at = now + WARN_INTERVAL;
            tracing::warn!("{complaint}");
        }
        (bytes, Some(complaint))
    }

    fn complaint(&self, bytes: u64) -> String {
        format!(
            "{} has {} MiB of {} (sessions.wal_limit_mb): somebody has been reading the database \
             for long",
            self.path.display(),
            bytes / MIB,
            self.limit_bytes / MIB
        )
    }
}

/// Does something without waiting for anybody's lock.
fn at_once<T>(
    connection: &Connection,
    action: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.busy_timeout(Duration::ZERO)?;
    let done = action(connection);
    connection.busy_timeout(WRITER_PATIENCE)?;
    done
}

const MIB: u64 = 1024 * 1024;
const CHECKPOINT_INTERVAL: Duration = Duration::from_mins(1);
/// The same while the log is too large.
const LARGE_INTERVAL: Duration = Duration::from_secs(5);
/// Between two lines about one that stays too large.
const WARN_INTERVAL: Duration = Duration::from_mins(1);
