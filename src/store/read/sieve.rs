//! Which rows pass a filter: the same rule as [`Filter::passes`], on the columns of a candidate.

use rusqlite::Row;

use crate::clock::{self, rfc3339};
use crate::stats::{Filter, Place};

/// A filter with everything as text that is text in the table.
#[derive(Debug)]
pub(super) struct Sieve<'f> {
    filter: &'f Filter,
    source: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl<'f> Sieve<'f> {
    pub(super) fn new(filter: &'f Filter) -> Self {
        Self {
            filter,
            source: filter.source.map(|address| address.to_string()),
            since: filter.since_ms.map(rfc3339),
            until: filter.until_ms.map(rfc3339),
        }
    }

    /// Whether a candidate has ended and passes.
    pub(super) fn passes(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let text = |column: usize| -> rusqlite::Result<&[u8]> {
            Ok(row.get_ref(column)?.as_bytes_or_null()?.unwrap_or_default())
        };
        let is = |column: usize, wanted: Option<&str>| -> rusqlite::Result<bool> {
            Ok(match wanted {
                Some(wanted) => text(column)? == wanted.as_bytes(),
                None => true,
            })
        };
        let filter = self.filter;
        let status = text(STATUS)?;
        if status == b"active" || filter.status.is_some_and(|it| it.as_str().as_bytes() != status) {
            return Ok(false);
        }
        if let Some(dest) = &filter.dest
            && !(text(DEST_IP)? == dest.host.as_bytes()
                && dest.port.is_none_or(|port| row.get(DEST_PORT) == Ok(port)))
        {
            return Ok(false);
        }
        if let Some(since) = &self.since
            && text(START_TIME)? < since.as_bytes()
        {
            return Ok(false);
        }
        if let Some(until) = &self.until
            && text(START_TIME)? >= until.as_bytes()
        {
            return Ok(false);
        }
        Ok(is(USER, filter.user.as_deref())?
            && is(SOURCE_IP, self.source.as_deref())?
            && is(CLOSE_CODE, filter.outcome.map(|outcome| outcome.close_code()))?)
    }
}

/// Where a candidate stands.
pub(super) fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    let start: &str = row.get_ref(START_TIME)?.as_str()?;
    let start_ms = clock::moment(start).ok_or_else(|| {
        let what = format!("`{start}` is no time of RFC 3339");
        rusqlite::Error::FromSqlConversionFailure(
            START_TIME,
            rusqlite::types::Type::Text,
            what.into(),
        )
    })?;
    Ok(Place { start_ms, row: row.get(ROW)? })
}

/// The columns of a candidate, as all `sql/query/history_*.sql` of walks have them.
const ROW: usize = 0;
const START_TIME: usize = 1;
const USER: usize = 2;
const SOURCE_IP: usize = 3;
const DEST_IP: usize = 4;
const DEST_PORT: usize = 5;
const STATUS: usize = 6;
const CLOSE_CODE: usize = 7;
