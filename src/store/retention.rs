//! Rows whose time is over, and the room that they leave behind.
//!
//! All is done in slices, each a transaction of its own, so that no commit waits for long. A slice
//! is as large as fits into its time: what a row costs depends on how many indexes lie in the cache.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::clock;

/// How large slices are.
#[derive(Debug)]
pub(super) struct Slices {
    rows: u32,
    pages: u32,
}

impl Slices {
    pub(super) const fn new() -> Self {
        Self { rows: FIRST, pages: FIRST }
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
        let deleted = transaction
            .prepare_cached(include_str!("../../sql/query/delete_old.sql"))?
            .execute(params![before, self.rows])?;
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
        while steps.next()?.is_some() {}
        adapt(&mut self.pages, began);
        let left: u32 = number("freelist_count")?;
        // Nothing moves in a database that was made without it.
        Ok(free.saturating_sub(left))
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
/// Rows or pages of a slice.
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
    fn slices_shrink_when_they_take_too_long_and_grow_when_they_do_not() {
        assert_eq!(next_size(256, Duration::from_millis(26)), 128);
        assert_eq!(next_size(256, Duration::from_millis(20)), 256);
        assert_eq!(next_size(256, Duration::from_millis(2)), 512);
        assert_eq!(next_size(SLICE_MIN, Duration::from_secs(9)), SLICE_MIN);
        assert_eq!(next_size(SLICE_MAX, Duration::ZERO), SLICE_MAX);
    }
}
