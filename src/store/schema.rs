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

/// Whether this is an empty database, or one that this version or an earlier one has made. Nothing in
/// it is changed: a stranger's file stays as it is.
pub(super) fn expect_ours(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let sqlite = |error: rusqlite::Error| StoreError::sqlite(path, &error);
    let found = version(path, connection)?;
    // Other programs number their schemas too.
    let question = if found == 0 {
        "SELECT count(*) = 0 FROM sqlite_schema"
    } else {
        "SELECT count(*) = 4 FROM pragma_table_info('sessions')
         WHERE name IN ('session_id', 'acl_decision', 'close_code', 'claimed_user')"
    };
    if connection.query_row(question, [], |row| row.get(0)).map_err(sqlite)? {
        Ok(())
    } else {
        Err(StoreError::unusable(path, &"it holds the tables of another program"))
    }
}

/// Whether this version or an earlier one has made its tables there.
pub(super) fn expect_filled(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    expect_ours(path, connection)?;
    match version(path, connection)? {
        0 => Err(StoreError::unusable(path, &"it is empty")),
        _ => Ok(()),
    }
}

/// Of a database that [`expect_ours`] lets pass.
pub(super) fn bring_up_to_date(
    path: &Path,
    connection: &mut Connection,
) -> Result<usize, StoreError> {
    let before = version(path, connection)?;
    Migrations::from_slice(&MIGRATIONS).to_latest(connection).map_err(|error| {
        if let rusqlite_migration::Error::RusqliteError { err, .. } = &error {
            StoreError::sqlite(path, err)
        } else {
            StoreError::unusable(path, &error)
        }
    })?;
    if usize::try_from(before) != Ok(MIGRATIONS.len()) {
        tracing::info!("{} has schema version {} now", path.display(), MIGRATIONS.len());
    }
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
const MIGRATIONS: [M<'static>; 3] = [
    M::up(include_str!("../../sql/001_sessions.sql")),
    M::up(include_str!("../../sql/002_minutes.sql")),
    M::up(include_str!("../../sql/003_quota_usage.sql")),
];
#[cfg(test)]
mod tests;
