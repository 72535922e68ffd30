//! The table of minutes.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::clock::rfc3339;
use crate::stats::{Minute, MinuteRecord};

/// Stores minutes, and deletes those that began before `before_ms` (milliseconds since the epoch).
pub(super) fn keep(
    connection: &mut Connection,
    minutes: &[Minute],
    before_ms: i64,
) -> rusqlite::Result<()> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    {
        let mut statement =
            transaction.prepare_cached(include_str!("../../sql/query/keep_minute.sql"))?;
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for minute in minutes {
            statement.execute(params![
                rfc3339(minute.start_ms),
                signed(minute.active),
                signed(minute.started),
                signed(minute.rejected),
                signed(minute.bytes_sent),
                signed(minute.bytes_received),
            ])?;
        }
        transaction
            .prepare_cached(include_str!("../../sql/query/delete_minutes.sql"))?
            .execute([rfc3339(before_ms)])?;
    }
    transaction.commit()
}

/// The minutes from `since_ms` on and before `until_ms`, `limit` at most, oldest first.
pub(super) fn between(
    connection: &Connection,
    since_ms: i64,
    until_ms: i64,
    limit: usize,
) -> rusqlite::Result<Vec<MinuteRecord>> {
    connection
        .prepare_cached(include_str!("../../sql/query/minutes.sql"))?
        .query_map(
            params![rfc3339(since_ms), rfc3339(until_ms), i64::try_from(limit).unwrap_or(i64::MAX)],
            |row| {
                Ok(MinuteRecord {
                    minute: row.get(0)?,
                    active: row.get(1)?,
                    started: row.get(2)?,
                    rejected: row.get(3)?,
                    bytes_sent: row.get(4)?,
                    bytes_received: row.get(5)?,
                })
            },
        )?
        .collect()
}
