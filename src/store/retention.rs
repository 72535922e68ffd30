//! Rows whose time is over, and the room that they leave behind.
//!
//! All is done in slices, each a transaction of its own, so that no commit waits for long. What a row
//! costs depends on how much of the indexes lies in the cache, so the clock is looked at every few
//! rows, and a slice ends when its time is over. Its commit comes on top; slices get smaller until
//! both fit.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::clock;

/// How large slices are.
#[derive(Debug)]
pub(super) struct Slices {
    rows: u32,
    pages: u32,
    /// What a slice may take.
    time: Duration,
}

impl Slices {
    pub(super) const fn new() -> Self {
        Self { rows: FIRST, pages: FIRST, time: SLICE_TIME }
    }

    /// Deletes a slice of the rows that started before `before` and are not alive. Answers how
    /// many; 0 means that none is left.
    pub(super) fn delete(
        &mut self,
        connection: &mut Connection,
        before: &str,
    ) -> rusqlite::Result<usize> {
        let began = clock::mono();
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        let mut deleted = 0;
        {
            let mut statement =
                transaction.prepare_cached(include_str!("../../sql/query/delete_old.sql"))?;
            for _ in 0..self.rows.div_ceil(SLICE_MIN) {
                let rows = statement.execute(params![before, SLICE_MIN])?;
                deleted += rows;
                if rows == 0 || self.is_over(began) {
                    break;
                }
            }
        }
        transaction.commit()?;
        adapt(&mut self.rows, began);
        Ok(deleted)
    }

    /// Gives a slice of free pages back to the file system, if there are more than new rows will
    /// soon use. Answers how many; 0 means that no more are to be given back.
    pub(super) fn shrink(&mut self, connection: &Connection) -> rusqlite::Result<u32> {
        let began = clock::mono();
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get(0));
        let (free, all): (u32, u32) = (number("freelist_count")?, number("page_count")?);
        let spare = free.saturating_sub((all / FREE_SHARE).max(FREE_MIN));
        let pages = spare.min(self.pages);
        if pages == 0 {
            return Ok(0);
        }
        // One step gives one page back.
        let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut steps = vacuum.query([])?;
        // What was done by then stays done.
        while steps.next()?.is_some() && !self.is_over(began) {}
        drop(steps);
        adapt(&mut self.pages, began);
        let left: u32 = number("freelist_count")?;
        // Nothing moves in a database that was made without it.
        Ok(free.saturating_sub(left))
    }

    fn is_over(&self, began: Instant) -> bool {
        clock::mono().saturating_duration_since(began) >= self.time
    }
}

/// Makes the next slice fit into its time.
fn adapt(size: &mut u32, began: Instant) {
    let took = clock::mono().saturating_duration_since(began);
    *size = next_size(*size, took);
}

fn next_size(size: u32, took: Duration) -> u32 {
    if took > SLICE_TIME {
        (size / 2).max(SLICE_MIN)
    } else if took < SLICE_TIME / 3 {
        (size * 2).min(SLICE_MAX)
    } else {
        size
    }
}

/// What a slice may take: half of what a commit may wait for it.
const SLICE_TIME: Duration = Duration::from_millis(25);
/// Rows or pages of a slice. The least is deleted between two looks at the clock.
const SLICE_MIN: u32 = 16;
const SLICE_MAX: u32 = 8192;
const FIRST: u32 = 256;
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
        let mut hurried = Slices { rows: 1000, pages: 1000, time: Duration::ZERO };
        assert_eq!(hurried.delete(&mut connection, "2026-02-01").unwrap(), SLICE_MIN as usize);
        let mut patient = Slices { rows: 1000, time: Duration::MAX, ..Slices::new() };
        assert_eq!(patient.delete(&mut connection, "2026-02-01").unwrap(), 1008);
        patient.rows = 100_000;
        let rest = 40_000 - 1008 - SLICE_MIN as usize;
        assert_eq!(patient.delete(&mut connection, "2026-02-01").unwrap(), rest);
        assert_eq!(patient.delete(&mut connection, "2026-02-01").unwrap(), 0);
        assert_eq!(hurried.shrink(&connection).unwrap(), 1);
        patient.pages = 100;
        assert_eq!(patient.shrink(&connection).unwrap(), 100);
    }

    #[test]
    fn slices_shrink_when_they_take_too_long_and_grow_when_they_do_not() {
        assert_eq!(next_size(256, Duration::from_millis(26)), 128);
        assert_eq!(next_size(256, Duration::from_millis(20)), 256);
        assert_eq!(next_size(256, Duration::from_millis(2)), 512);
        assert_eq!(next_size(SLICE_MIN, Duration::from_secs(9)), SLICE_MIN);
        assert_eq!(next_size(SLICE_MAX, Duration::ZERO), SLICE_MAX);
    }
}
