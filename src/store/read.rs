//! Readers' connections: read only, few at a time, and never for longer than a time limit.

mod history;
mod record;
mod sieve;
mod turns;
mod walk;

use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OptionalExtension};

use self::record::record;
use self::turns::Turns;
use super::inode::Inode;
use super::location::Location;
use super::minutes;
use crate::clock;
use crate::session::SessionId;
use crate::stats::{Filter, History, HistoryPage, HistoryQuery, MinuteRecord, Record, Unavailable};

/// A few connections that only read.
#[derive(Debug)]
pub struct Reader {
    location: Location,
    /// With the file that each has open: another may stand at its path by now.
    idle: Mutex<Vec<(Inode, Connection)>>,
    turns: Turns,
    patience: Patience,
}

/// How long questions may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Until a page is cut.
    page: Duration,
    /// Until counting is given up.
    total: Duration,
}

impl Reader {
    /// A reader of this database; until it exists every question fails.
    #[must_use]
    pub fn new(location: &Location) -> Self {
        let patience = Patience { page: PAGE_TIME_LIMIT, total: TOTAL_TIME_LIMIT };
        let (idle, turns) = (Mutex::default(), Turns::new());
        Self { location: location.clone(), idle, turns, patience }
    }

    /// Asks with a connection that is interrupted when the time limit is over.
    fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Unavailable> {
        self.ask_within(TIME_LIMIT, question)
    }

    fn ask_within<T>(
        &self,
        limit: Duration,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Unavailable> {
        let _turn = self.turns.take().ok_or(Unavailable::Busy)?;
        let (inode, connection) = self.connection()?;
        let until = clock::mono() + limit;
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
        if answer.is_ok() || answer.as_ref().is_err_and(|error| *error == Unavailable::TooLong) {
            let mut idle = self.idle.lock();
            if idle.len() < CONNECTIONS_IDLE_MAX {
                idle.push((inode, connection));
            }
        }
        answer
    }

    /// A connection to the file that stands at the path now.
    fn connection(&self) -> Result<(Inode, Connection), Unavailable> {
        let path = self.location.path();
        let failed = |error: &dyn ToString| Unavailable::Failed(error.to_string());
        let now = Inode::at(path).map_err(|error| failed(&error))?;
        let now = now.ok_or_else(|| failed(&format!("{} is missing", path.display())))?;
        {
            let mut idle = self.idle.lock();
            idle.retain(|(inode, _)| *inode == now);
            if let Some(connection) = idle.pop() {
                return Ok(connection);
            }
        }
        let connection = self.location.open_to_read().map_err(|error| failed(&error))?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(|error| failed(&error))?;
        Ok((now, connection))
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

    fn page(&self, query: &HistoryQuery) -> Result<HistoryPage, Unavailable> {
        let limit = self.patience.page;
        self.ask(|connection| history::page(connection, query, clock::mono() + limit))
    }

    fn minutes(
        &self,
        since_ms: i64,
        until_ms: i64,
        limit: usize,
    ) -> Result<Vec<MinuteRecord>, Unavailable> {
        self.ask(|connection| minutes::between(connection, since_ms, until_ms, limit))
    }

    fn total(&self, filter: &Filter) -> Result<Option<u64>, Unavailable> {
        let limit = self.patience.total;
        let answer = self.ask_within(limit, |connection| {
            history::total(connection, filter, clock::mono() + limit)
        });
        match answer {
            Err(Unavailable::TooLong) => Ok(None),
            other => other,
        }
    }
}

/// How long one question may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// How long a page may be searched for before what was found is the answer.
const PAGE_TIME_LIMIT: Duration = Duration::from_secs(1);
/// How long sessions may be counted.
const TOTAL_TIME_LIMIT: Duration = Duration::from_secs(2);
/// Virtual machine steps of SQLite between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// Page cache of one connection: the inner pages of a table of ten million rows. With less, each row
/// that an index finds costs two reads.
const CACHE_KIB: i64 = 16 * 1024;
/// Connections kept for the next question.
const CONNECTIONS_IDLE_MAX: usize = 2;
