//! Rows whose time is over, and the room that they leave behind.
//!
//! All is done in slices, each a transaction of its own, so that no commit waits for long. What a row
//! costs depends on how much of the indexes lies in the cache, so the clock is looked at every few
//! rows, and a slice ends when its time is over.
//!
//! A slice does not wait for the disk: one that a power cut undoes is done once more, and the next
//! commit of new rows brings it to the disk with them.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::clock;

/// How long slices are.
#[derive(Debug)]
pub(super) struct Slices {
    time: Duration,
}

impl Slices {
    pub(super) const fn new() -> Self {
        Self { time: SLICE_TIME }
    }

    /// Deletes a slice of the rows that started before `before` and are not alive. Answers how
    /// many; 0 means that none is left.
    pub(super) fn delete(
        &self,
        connection: &mut Connection,
        before: &str,
    ) -> rusqlite::Result<usize> {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        // Not before: somebody else may have been writing.
        let began = clock::mono();
        let mut deleted = 0;
        {
            let mut statement =
                transaction.prepare_cached(include_str!("../../sql/query/delete_old.sql"))?;
            for _ in 0..SLICE_MAX / ROWS_AT_A_TIME {
                let rows = statement.execute(params![before, ROWS_AT_A_TIME])?;
                deleted += rows;
                if rows == 0 || self.is_over(began) {
                    break;
                }
            }
        }
        transaction.commit()?;
        Ok(deleted)
    }

    /// Gives a slice of free pages back to the file system, if there are more than new rows will
    /// soon use. Answers how many; 0 means that no more are to be given back.
    pub(super) fn shrink(&self, connection: &Connection) -> rusqlite::Result<u32> {
        let began = clock::mono();
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get(0));
        let (free, all): (u32, u32) = (number("freelist_count")?, number("page_count")?);
        let spare = free.saturating_sub((all / FREE_SHARE).max(FREE_MIN));
        let pages = spare.min(SLICE_MAX);
        if pages == 0 {
            return Ok(0);
        }
        // One step gives one page back, and what was done stays done.
        let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut steps = vacuum.query([])?;
        while steps.next()?.is_some() && !self.is_over(began) {}
        drop(steps);
        let left: u32 = number("freelist_count")?;
        // Nothing moves in a database that was made without it.
        Ok(free.saturating_sub(left))
    }

    fn is_over(&self, began: Instant) -> bool {
        clock::mono().saturating_duration_since(began) >= self.time
    }
}

/// What a slice may take, its commit left out: a commit of new rows may wait 50 ms for both.
const SLICE_TIME: Duration = Duration::from_millis(20);
/// Rows or pages of a slice at most.
const SLICE_MAX: u32 = 8192;
/// Rows deleted between two looks at the clock.
const ROWS_AT_A_TIME: u32 = 16;
/// Free pages that stay for the rows to come: a twentieth of the file, and at least 4 MiB.
const FREE_SHARE: u32 = 20;
const FREE_MIN: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_ends_when_its_time_is_over_however_large_it_was_meant_to_be() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").unwrap();
        connection.execute_batch(include_str!("../../sql/001_sessions.sql")).unwrap();
        let add = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
            INSERT INTO sessions (session_id, user, start_time, source_ip, source_port, dest_ip,
            dest_port, protocol, bytes_sent, bytes_received, packets_sent, packets_received, status)
            SELECT hex(randomblob(18)), 'u', '2026-01-01', '', 1, '', 1, 'tcp', 1, 1, 1, 1, 'closed'
            FROM n";
        connection.execute(add, []).unwrap();
        let (hurried, patient) = (Slices { time: Duration::ZERO }, Slices { time: Duration::MAX });
        let deleted = |slices: &Slices, connection: &mut Connection| {
            u32::try_from(slices.delete(connection, "2026-02-01").unwrap()).unwrap()
        };
        assert_eq!(deleted(&hurried, &mut connection), ROWS_AT_A_TIME);
        let mut left = 40_000 - ROWS_AT_A_TIME;
        while left > 0 {
            assert_eq!(deleted(&patient, &mut connection), left.min(SLICE_MAX));
            left = left.saturating_sub(SLICE_MAX);
        }
        assert_eq!(deleted(&patient, &mut connection), 0);
        assert_eq!(hurried.shrink(&connection).unwrap(), 1);
        assert!(patient.shrink(&connection).unwrap() > 1000);
        assert_eq!(patient.shrink(&connection).unwrap(), 0);
    }
}
