//! The table of minutes.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::clock::rfc3339;
use crate::stats::{Minute, MinuteRecord};

/// Stores minutes, and deletes a slice of those that began before `before_ms` (milliseconds since the epoch).
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
            .execute(params![rfc3339(before_ms), SLICE_MINUTES])?;
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
        .prepare_cached(BETWEEN)?
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

const BETWEEN: &str = include_str!("../../sql/query/minutes.sql");
/// Minutes deleted at a time.
const SLICE_MINUTES: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Minute;

    const NOW_MS: i64 = 1_769_846_700_000;

    #[test]
    fn parts_of_a_minute_add_up_and_old_minutes_go() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../sql/002_minutes.sql")).unwrap();
        let next_ms = NOW_MS + 60_000;
        let minute = |start_ms, octets| Minute {
            start_ms,
            active: octets,
            started: 1,
            rejected: 2,
            bytes_sent: octets,
            bytes_received: 3,
        };
        let both = [minute(NOW_MS, 5), minute(next_ms, 7)];
        keep(&mut connection, &both, NOW_MS).unwrap();
        keep(&mut connection, &[minute(NOW_MS, 11)], NOW_MS).unwrap();
        let found = between(&connection, 0, next_ms + 1, 10).unwrap();
        let sum = Minute {
            start_ms: NOW_MS,
            active: 11,
            started: 2,
            rejected: 4,
            bytes_sent: 16,
            bytes_received: 6,
        };
        assert_eq!(found, [MinuteRecord::from(&sum), MinuteRecord::from(&both[1])]);
        assert_eq!(between(&connection, NOW_MS + 1, next_ms, 10).unwrap(), []);
        assert_eq!(between(&connection, 0, next_ms + 1, 1).unwrap().len(), 1);
        keep(&mut connection, &[], next_ms).unwrap();
        assert_eq!(
            between(&connection, 0, next_ms + 1, 10).unwrap(),
            [MinuteRecord::from(&both[1])]
        );
    }

    #[test]
    fn a_range_of_minutes_is_an_index_search() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../sql/002_minutes.sql")).unwrap();
        let plan: String = connection
            .query_row(&format!("EXPLAIN QUERY PLAN {BETWEEN}"), ["", "", "1"], |row| row.get(3))
            .unwrap();
        assert!(plan.starts_with("SEARCH traffic_minutes USING PRIMARY KEY"), "{plan}");
    }
}
