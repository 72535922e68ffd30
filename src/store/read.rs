//! Readers' connections: read only, and never for longer than a time limit.

use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};

use super::schema::Location;
use crate::clock::{self, rfc3339};
use crate::session::SessionId;
use crate::stats::{
    History, Record, TopDestination, TopUser, Unavailable, WindowSums, destination,
};

/// A few connections that only read.
#[derive(Debug)]
pub struct Reader {
    location: Location,
    idle: Mutex<Vec<Connection>>,
}

impl Reader {
    /// A reader of this database; until it exists every question fails.
    #[must_use]
    pub fn new(location: &Location) -> Self {
        Self { location: location.clone(), idle: Mutex::default() }
    }

    /// Asks with a connection that is interrupted when the time limit is over.
    fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Unavailable> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self
                .location
                .open_to_read()
                .map_err(|error| Unavailable::Failed(error.to_string()))?,
        };
        let until = clock::mono() + TIME_LIMIT;
        let failed = |error: rusqlite::Error| {
            if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
                Unavailable::TooLong
            } else {
                Unavailable::Failed(error.to_string())
            }
        };
        connection
            .progress_handler(STEPS_BETWEEN_LOOKS, Some(move || clock::mono() >= until))
            .map_err(failed)?;
        let answer = question(&connection).map_err(failed);
        // A connection whose question failed may have a file that is gone: it is not kept.
        if answer.is_ok() {
            let mut idle = self.idle.lock();
            if idle.len() < CONNECTIONS_IDLE_MAX {
                idle.push(connection);
            }
        }
        answer
    }
}

impl History for Reader {
    fn one(&self, id: SessionId) -> Result<Option<Record>, Unavailable> {
        self.ask(|connection| {
            connection
                .prepare_cached(include_str!("../../sql/query/one_session.sql"))?
                .query_row([id.to_string()], record)
                .optional()
        })
    }

    fn sums(&self, window_start_ms: i64, top: u32) -> Result<WindowSums, Unavailable> {
        let start = rfc3339(window_start_ms);
        self.ask(|connection| {
            // One snapshot for the three questions.
            let snapshot = connection.unchecked_transaction()?;
            let mut sums = snapshot
                .prepare_cached(include_str!("../../sql/query/window_sums.sql"))?
                .query_row([&start], |row| {
                    Ok(WindowSums {
                        sessions: row.get(0)?,
                        bytes_sent: row.get(1)?,
                        bytes_received: row.get(2)?,
                        closed: row.get(3)?,
                        failed: row.get(4)?,
                        rejected: row.get(5)?,
                        complete: true,
                        ..WindowSums::default()
                    })
                })?;
            sums.top_users = snapshot
                .prepare_cached(include_str!("../../sql/query/top_users.sql"))?
                .query_map(params![start, top], |row| {
                    Ok(TopUser { user: row.get(0)?, sessions: row.get(1)?, bytes: row.get(2)? })
                })?
                .collect::<Result<_, _>>()?;
            sums.top_destinations = snapshot
                .prepare_cached(include_str!("../../sql/query/top_destinations.sql"))?
                .query_map(params![start, top], |row| {
                    let host: String = row.get(0)?;
                    Ok(TopDestination {
                        dest: destination(&host, row.get(1)?),
                        sessions: row.get(2)?,
                        bytes: row.get(3)?,
                    })
                })?
                .collect::<Result<_, _>>()?;
            Ok(sums)
        })
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        session_id: row.get("session_id")?,
        user: row.get("user")?,
        start_time: row.get("start_time")?,
        end_time: row.get("end_time")?,
        duration_secs: row.get("duration_secs")?,
        source_ip: row.get("source_ip")?,
        source_port: row.get("source_port")?,
        dest_ip: row.get("dest_ip")?,
        dest_port: row.get("dest_port")?,
        protocol: row.get("protocol")?,
        bytes_sent: row.get("bytes_sent")?,
        bytes_received: row.get("bytes_received")?,
        packets_sent: row.get("packets_sent")?,
        packets_received: row.get("packets_received")?,
        status: row.get("status")?,
        close_reason: row.get("close_reason")?,
        acl_rule_matched: row.get("acl_rule_matched")?,
        acl_decision: row.get("acl_decision")?,
        duration_ms: row.get("duration_ms")?,
        resolved_ip: row.get("resolved_ip")?,
        command: row.get("command")?,
        close_code: row.get("close_code")?,
        rule_id: row.get("rule_id")?,
        policy_generation: row.get("policy_generation")?,
        node: row.get("node")?,
        auth_us: row.get("auth_us")?,
        resolve_us: row.get("resolve_us")?,
        connect_us: row.get("connect_us")?,
        first_byte_us: row.get("first_byte_us")?,
        client_rtt_us: row.get("client_rtt_us")?,
        upstream_rtt_us: row.get("upstream_rtt_us")?,
        client_retransmits: row.get("client_retransmits")?,
        upstream_retransmits: row.get("upstream_retransmits")?,
        claimed_user: row.get("claimed_user")?,
    })
}

/// How long one question may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Virtual machine steps of SQLite between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// Connections kept for the next question.
const CONNECTIONS_IDLE_MAX: usize = 2;
