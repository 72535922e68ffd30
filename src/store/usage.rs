//! The table of what has been used of quotas: it grows by the difference that a commit makes to the rows
//! of sessions, in that commit, so that it says what they say, whenever the process ends.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::clock::{moment, rfc3339};
use crate::limit::Limits;
use crate::session::SessionView;
use crate::stats::Change;

/// What is to be added: by subject and by the beginning of its period (milliseconds since the epoch).
#[derive(Debug, Default)]
pub(super) struct Booked(BTreeMap<(String, i64), u64>);

impl Booked {
    /// What these rows add.
    pub(super) fn of(rows: &[Change], limits: &Limits) -> Self {
        let mut booked = Self::default();
        if limits.has_quotas() {
            for change in rows {
                let moved = change.moved();
                booked.add(&change.session, (moved.bytes_sent, moved.bytes_received), limits);
            }
        }
        booked
    }

    /// What sessions add that a killed process has left, against what their rows say.
    pub(super) fn of_left(
        sessions: &[SessionView],
        limits: &Limits,
        connection: &Connection,
    ) -> rusqlite::Result<Self> {
        let mut booked = Self::default();
        if limits.has_quotas() {
            for session in sessions {
                let (open, sent, received) = traffic(connection, session)?;
                if open {
                    let sent = session.traffic.bytes_sent.saturating_sub(sent);
                    let received = session.traffic.bytes_received.saturating_sub(received);
                    booked.add(session, (sent, received), limits);
                }
            }
        }
        Ok(booked)
    }

    fn add(&mut self, session: &SessionView, moved: (u64, u64), limits: &Limits) {
        if moved == (0, 0) {
            return;
        }
        // It moved at its last activity or before: a period that has begun since is not charged.
        for (subject, start_ms, octets) in
            limits.booked(&session.user, moved, session.last_activity_ms)
        {
            *self.0.entry((subject.to_string(), start_ms)).or_default() += octets;
        }
    }

    /// Writes it.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut statement =
            connection.prepare_cached(include_str!("../../sql/query/add_quota_usage.sql"))?;
        for ((subject, start_ms), octets) in &self.0 {
            let octets = i64::try_from(*octets).unwrap_or(i64::MAX);
            statement.execute(params![subject, rfc3339(*start_ms), octets])?;
        }
        Ok(())
    }
}

/// What the row of a session says: whether it may still grow, and its traffic.
fn traffic(connection: &Connection, session: &SessionView) -> rusqlite::Result<(bool, u64, u64)> {
    let row = connection
        .prepare_cached(include_str!("../../sql/query/session_traffic.sql"))?
        .query_row([session.id.encode(&mut [0; 36])], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    // Without a row all of it is new.
    Ok(row.unwrap_or((true, 0, 0)))
}

/// Tells the limits what has been used in the periods that run at `now_ms` (milliseconds since the
/// epoch).
pub(super) fn restore(
    connection: &Connection,
    limits: &Limits,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached(include_str!("../../sql/query/quota_usage.sql"))?;
    let mut rows = statement.query([rfc3339(now_ms.saturating_sub(LONGEST_MS))])?;
    while let Some(row) = rows.next()? {
        let (subject, start): (String, String) = (row.get(0)?, row.get(1)?);
        let octets: i64 = row.get(2)?;
        if let Some(start_ms) = moment(&start) {
            limits.restore(&subject, start_ms, octets.unsigned_abs(), now_ms);
        }
    }
    Ok(())
}

/// Deletes a slice of the periods that are long over.
pub(super) fn delete_old(connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(include_str!("../../sql/query/delete_quota_usage.sql"))?
        .execute(params![rfc3339(now_ms.saturating_sub(KEPT_MS)), SLICE_ROWS])?;
    Ok(())
}

const DAY_MS: i64 = 86_400_000;
/// A month, and a day for clocks that differ.
const LONGEST_MS: i64 = 32 * DAY_MS;
/// Long enough for a month's bill, whatever else is deleted.
const KEPT_MS: i64 = 100 * DAY_MS;
/// Deleted at a time.
const SLICE_ROWS: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_769_846_700_000;

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../sql/003_quota_usage.sql")).unwrap();
        connection
    }

    #[test]
    fn it_adds_up_and_what_is_long_over_goes() {
        let connection = table();
        let mut booked = Booked::default();
        booked.0.insert(("q/day/both/alice".to_owned(), NOW_MS), 5);
        booked.0.insert(("q/day/both/alice".to_owned(), NOW_MS - KEPT_MS - 1), 7);
        booked.write(&connection).unwrap();
        booked.write(&connection).unwrap();
        delete_old(&connection, NOW_MS).unwrap();
        let sum: i64 = connection
            .query_row("SELECT sum(octets) FROM quota_usage", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sum, 10);
    }
}
