//! The owner's connection: rows in, old rows out.

use std::net::IpAddr;

use rusqlite::{Connection, Statement, Transaction, TransactionBehavior, params};

use super::error::StoreError;
use super::schema::Location;
use crate::clock::rfc3339;
use crate::session::{Outcome, SessionView};
use crate::stats::Change;
use crate::writer::{Keep, KeepError};

/// How rows are kept.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Whether each commit reaches the disk before it returns (`synchronous = full`).
    pub full_sync: bool,
    /// Days that a row is kept; 0 is for ever.
    pub retention_days: u32,
    /// The name of this node; empty for none.
    pub node: String,
}

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    options: StoreOptions,
}

impl Store {
    /// Opens a database whose lock is ours, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`]: foreign, damaged, newer, not permitted, locked for too long.
    pub(super) fn open(location: &Location, options: StoreOptions) -> Result<Self, StoreError> {
        let (connection, _) = location.open_to_write()?;
        let synchronous = if options.full_sync { "FULL" } else { "NORMAL" };
        connection
            .pragma_update(None, "synchronous", synchronous)
            .map_err(|error| StoreError::sqlite(location.path(), &error))?;
        Ok(Self { connection, options })
    }

    /// Stores what a killed predecessor left: a row that it had finished stays as it is.
    pub(super) fn recover(&mut self, sessions: &[SessionView]) -> rusqlite::Result<()> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = Transaction::new(&mut self.connection, behavior)?;
        {
            let mut statement = transaction.prepare_cached(UPSERT)?;
            for session in sessions {
                upsert(&mut statement, session, &self.options.node)?;
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

    fn insert(&mut self, rows: &[Change]) -> rusqlite::Result<()> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = Transaction::new(&mut self.connection, behavior)?;
        {
            let mut statement = transaction.prepare_cached(UPSERT)?;
            for row in rows {
                upsert(&mut statement, &row.session, &self.options.node)?;
            }
        }
        transaction.commit()
    }

    fn delete_old(&mut self, now_ms: i64) -> rusqlite::Result<usize> {
        let before = rfc3339(now_ms - i64::from(self.options.retention_days) * DAY_MS);
        let behavior = TransactionBehavior::Immediate;
        let transaction = Transaction::new(&mut self.connection, behavior)?;
        let deleted = transaction
            .prepare_cached(include_str!("../../sql/query/delete_old.sql"))?
            .execute(params![before, SLICE_ROWS])?;
        transaction.commit()?;
        if deleted > 0 {
            self.connection.execute_batch(&format!("PRAGMA incremental_vacuum({SLICE_PAGES})"))?;
        }
        Ok(deleted)
    }
}

impl Keep for Store {
    fn commit(&mut self, rows: &[Change]) -> Result<(), KeepError> {
        self.insert(rows).map_err(|error| KeepError(error.to_string()))
    }

    fn clean_up(&mut self, now_ms: i64) -> Result<usize, KeepError> {
        if self.options.retention_days == 0 {
            return Ok(0);
        }
        self.delete_old(now_ms).map_err(|error| KeepError(error.to_string()))
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

fn upsert(statement: &mut Statement<'_>, row: &SessionView, node: &str) -> rusqlite::Result<()> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let ip = |ip: IpAddr| ip.to_string();
    let ended = row.ending;
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    statement.execute(params![
        row.id.to_string(),
        &*row.user,
        rfc3339(row.start_ms),
        row.end_ms().map(rfc3339),
        ended.map(|ending| signed(ending.duration_ms / 1000)),
        ip(row.client.ip()),
        row.client.port(),
        &*row.target_host,
        row.target_port,
        row.protocol(),
        signed(row.traffic.bytes_sent),
        signed(row.traffic.bytes_received),
        signed(row.traffic.packets_sent),
        signed(row.traffic.packets_received),
        row.status().as_str(),
        row.close_reason(),
        row.decision.and_then(|_| text(&row.rule)),
        row.decision.map(|decision| decision.as_str()),
        ended.map(|ending| signed(ending.duration_ms)),
        row.resolved.map(ip),
        row.command_word(),
        ended.map(|ending| ending.outcome.close_code()),
        row.rule_id,
        row.decision.map(|_| signed(row.policy_generation)),
        text(node),
        row.stages.auth_us,
        row.stages.resolve_us,
        row.stages.connect_us,
        row.stages.first_byte_us,
        row.client_tcp.map(|(rtt, _)| rtt),
        row.upstream_tcp.map(|(rtt, _)| rtt),
        row.client_tcp.map(|(_, retransmits)| retransmits),
        row.upstream_tcp.map(|(_, retransmits)| retransmits),
        text(&row.claimed_user),
    ])?;
    Ok(())
}

const UPSERT: &str = include_str!("../../sql/query/upsert_session.sql");
/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3_600_000;
/// Rows deleted in one transaction, so that no commit waits for long.
const SLICE_ROWS: u32 = 1000;
/// Pages given back to the file system after each of them.
const SLICE_PAGES: u32 = 256;
