//! What is in the database: migrations, forward only.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use super::error::StoreError;
use super::location::Location;

/// Brings the schema of the database of this URL up to date; answers its version.
///
/// # Errors
/// [`StoreError`].
pub fn migrate(url: &str) -> Result<usize, StoreError> {
    let location = Location::parse(url)?;
    let _lock = location.lock(Duration::ZERO)?;
    let (_connection, version) = location.open_to_write()?;
    Ok(version)
}

pub(super) fn bring_up_to_date(
    path: &Path,
    connection: &mut Connection,
) -> Result<usize, StoreError> {
    let found = version(path, connection)?;
    let foreign: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| StoreError::sqlite(path, &error))?;
    if found == 0 && foreign > 0 {
        return Err(StoreError::unusable(path, &"it holds the tables of another program"));
    }
    Migrations::from_slice(&MIGRATIONS).to_latest(connection).map_err(|error| {
        if let rusqlite_migration::Error::RusqliteError { err, .. } = &error {
            StoreError::sqlite(path, err)
        } else {
            StoreError::unusable(path, &error)
        }
    })?;
    Ok(MIGRATIONS.len())
}

/// Whether the schema is the one that this binary's statements are made for.
pub(super) fn expect_current(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let found = version(path, connection)?;
    if usize::try_from(found) == Ok(MIGRATIONS.len()) {
        return Ok(());
    }
    let text =
        format!("it has schema version {found}, not {}: `rustsocks migrate`", MIGRATIONS.len());
    Err(StoreError::unusable(path, &text))
}

/// The version of the schema; one that is newer than this binary is an error.
fn version(path: &Path, connection: &Connection) -> Result<i64, StoreError> {
    let found = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| StoreError::sqlite(path, &error))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { path: path.display().to_string(), found, known });
    }
    Ok(found)
}

/// Forward only, by number.
const MIGRATIONS: [M<'static>; 2] = [
    M::up(include_str!("../../sql/001_sessions.sql")),
    M::up(include_str!("../../sql/002_minutes.sql")),
];
#[cfg(test)]
mod tests;
