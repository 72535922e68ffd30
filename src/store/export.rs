//! Takes rows out, in slices: between two of them nothing is read, so that whoever takes them slowly
//! does not keep the write-ahead log from being emptied.

use std::borrow::Cow;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::error::StoreError;
use super::location::Location;
use crate::clock::{self, rfc3339};

/// Which rows are taken out; `None` is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this user.
    pub user: Option<String>,
    /// Which started at this time or later, milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// Which started before this time, milliseconds since the epoch.
    pub until_ms: Option<i64>,
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// A text.
    Text(Cow<'a, str>),
}

/// Rows that are being taken out: live ones too, each once. By rowid; a selection by time and not by
/// user, by start.
#[derive(Debug)]
pub struct Export {
    location: Location,
    connection: Connection,
    selection: Selection,
    /// The names of the columns that are taken, and their places in the table.
    columns: Vec<(String, usize)>,
    /// The rows that were there at the start.
    extent: (i64, i64),
    /// The start and the number of the last row that was taken.
    at: (String, i64),
}

impl Export {
    /// Opens a database for reading. Without `columns` all are taken, in the order of the table.
    ///
    /// # Errors
    /// [`StoreError`]; a column that is not there is a [`StoreError::Column`].
    pub fn open(
        location: &Location,
        selection: Selection,
        columns: Option<&[String]>,
    ) -> Result<Self, StoreError> {
        let connection = location.open_existing()?;
        let sqlite = |error: rusqlite::Error| StoreError::sqlite(location.path(), &error);
        let known: Vec<String> = connection
            .prepare(EXPORT)
            .map(|statement| {
                statement.column_names().into_iter().skip(KEYS).map(str::to_owned).collect()
            })
            .map_err(sqlite)?;
        let columns = match columns {
            None => known.into_iter().zip(KEYS..).collect(),
            Some(wanted) => wanted
                .iter()
                .map(|name| match known.iter().position(|column| column == name) {
                    Some(place) => Ok((name.clone(), KEYS + place)),
                    None => Err(StoreError::Column { name: name.clone(), known: known.join(", ") }),
                })
                .collect::<Result<_, _>>()?,
        };
        let extent = connection
            .query_row(include_str!("../../sql/query/export_extent.sql"), [], |row| {
                Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
            })
            .map_err(sqlite)?;
        let extent = (extent.0.unwrap_or(0), extent.1.unwrap_or(0));
        let at = (selection.since_ms.map_or(String::new(), rfc3339), i64::MIN);
        Ok(Self { location: location.clone(), connection, selection, columns, extent, at })
    }

    /// The names of the columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// Hands out the next few rows. Answers how many; 0 is the end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn advance(&mut self, mut take: impl FnMut(&[Cell<'_>])) -> Result<usize, StoreError> {
        let (sql, parameters) = self.question();
        let sqlite = |error: rusqlite::Error| StoreError::sqlite(self.location.path(), &error);
        let mut statement = self.connection.prepare_cached(sql).map_err(sqlite)?;
        let mut rows = statement.query(params_from_iter(parameters)).map_err(sqlite)?;
        let mut taken = 0;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let cells = cells(row, &self.columns).map_err(sqlite)?;
            take(&cells);
            self.at.1 = row.get(0).map_err(sqlite)?;
            let start = row.get_ref(1).map_err(sqlite)?;
            start.as_str().map_err(|error| sqlite(error.into()))?.clone_into(&mut self.at.0);
            taken += 1;
        }
        Ok(taken)
    }

    /// How much of it is done, from 0 to 1, as far as it can be told.
    #[must_use]
    pub fn share_done(&self) -> f64 {
        let (first, last, at) = match self.by_time() {
            false => (self.extent.0, self.extent.1, self.at.1),
            true => {
                let Some(at) = clock::moment(&self.at.0) else { return 0.0 };
                let now = clock::utc_ms();
                let last = self.selection.until_ms.map_or(now, |until| until.min(now));
                (self.selection.since_ms.unwrap_or(at), last, at)
            }
        };
        if at < first {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share is shown in whole per cent")]
        let share = (at - first) as f64 / (last - first).max(1) as f64;
        share.min(1.0)
    }

    const fn by_time(&self) -> bool {
        let Selection { user, since_ms, until_ms } = &self.selection;
        user.is_none() && (since_ms.is_some() || until_ms.is_some())
    }

    fn question(&self) -> (&'static str, Vec<Value>) {
        let text = |ms: Option<i64>, otherwise: &str| -> Value {
            ms.map_or(otherwise.to_owned(), rfc3339).into()
        };
        let Selection { user, since_ms, until_ms } = &self.selection;
        let (start, row) = (self.at.0.clone(), self.at.1);
        let limit = Value::from(i64::try_from(SLICE_ROWS).unwrap_or(i64::MAX));
        let until = text(*until_ms, BEHIND_ALL);
        match user {
            Some(user) => (
                include_str!("../../sql/query/export_of_user.sql"),
                vec![
                    row.into(),
                    self.extent.1.into(),
                    limit,
                    user.clone().into(),
                    text(*since_ms, ""),
                    until,
                ],
            ),
            None if self.by_time() => (
                include_str!("../../sql/query/export_by_time.sql"),
                vec![start.into(), row.into(), until, limit],
            ),
            None => (EXPORT, vec![row.into(), self.extent.1.into(), limit]),
        }
    }
}

fn cells<'r>(row: &'r Row<'_>, columns: &[(String, usize)]) -> rusqlite::Result<Vec<Cell<'r>>> {
    columns
        .iter()
        .map(|(_, place)| {
            Ok(match row.get_ref(*place)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(number) => Cell::Integer(number),
                ValueRef::Real(number) => Cell::Real(number),
                ValueRef::Text(octets) | ValueRef::Blob(octets) => {
                    Cell::Text(String::from_utf8_lossy(octets))
                }
            })
        })
        .collect()
}

const EXPORT: &str = include_str!("../../sql/query/export.sql");
/// Columns that come before those of the table: the number of the row, and its start.
const KEYS: usize = 2;
/// Rows of a slice: about two megabytes at most.
const SLICE_ROWS: usize = 4096;
/// Sorts behind every time.
const BEHIND_ALL: &str = "~";
