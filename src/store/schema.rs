//! Where the database is, and what is in it: migrations forward only.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::error::StoreError;
use super::lock::Lock;

/// A database's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location(PathBuf);

impl Location {
    /// The file of a URL such as `sqlite://data/sessions.db` (below the working directory) or
    /// `sqlite:///var/lib/rustsocks/sessions.db`.
    ///
    /// # Errors
    /// [`StoreError::Url`].
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        match url.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() && !path.contains('?') => Ok(Self(path.into())),
            Some(_) | None => Err(StoreError::Url(url.to_owned())),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens it for reading only.
    pub(super) fn open_to_read(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0, flags)
            .map_err(|error| StoreError::unusable(&self.0, &error))?;
        connection
            .pragma_update(None, "query_only", true)
            .and_then(|()| connection.busy_timeout(READER_PATIENCE))
            .map_err(|error| StoreError::unusable(&self.0, &error))?;
        Ok(connection)
    }

    /// The same for a command, which says in the system's words why the file cannot be opened. Not
    /// for a process that has it open already: closing any descriptor of a file gives up the locks
    /// that SQLite holds on it (fcntl(2)).
    pub(super) fn open_existing(&self) -> Result<Connection, StoreError> {
        File::open(&self.0).map_err(|error| StoreError::file(&self.0, error))?;
        self.open_to_read()
    }

    /// Takes its lock, for which it waits `patience` at most. Its directory is made if it is missing.
    ///
    /// # Errors
    /// [`StoreError::InUse`], or what the system says of directory and lock.
    pub fn lock(&self, patience: Duration) -> Result<Lock, StoreError> {
        let path = &self.0;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(|error| StoreError::file(parent, error))?;
        }
        Lock::take(path, patience)
    }

    /// Opens it for writing: the file is made if it is missing, and the schema is brought up to
    /// date. Its lock must be ours.
    pub(super) fn open_to_write(&self) -> Result<(Connection, usize), StoreError> {
        let path = &self.0;
        // SQLite would make it readable to all.
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| StoreError::file(path, error))?;
        let unusable = |error: rusqlite::Error| StoreError::sqlite(path, &error);
        let mut connection = Connection::open(path).map_err(unusable)?;
        connection.busy_timeout(WRITER_PATIENCE).map_err(unusable)?;
        // Only before the first table, so before WAL.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(unusable)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(unusable)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(unusable)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(unusable)?;
        connection
            .pragma_update(None, "wal_autocheckpoint", AUTOCHECKPOINT_PAGES)
            .map_err(unusable)?;
        let version = bring_up_to_date(path, &mut connection)?;
        Ok((connection, version))
    }
}

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

fn bring_up_to_date(path: &Path, connection: &mut Connection) -> Result<usize, StoreError> {
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| StoreError::sqlite(path, &error))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { path: path.display().to_string(), found, known });
    }
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

/// Forward only, by number.
const MIGRATIONS: [M<'static>; 1] = [M::up(include_str!("../../sql/001_sessions.sql"))];
/// The writer's page cache: the indexes' inner pages and the edges at which they grow. With 5 million
/// rows 2 MiB, SQLite's default, cost a fifth more CPU; 64 MiB saved nothing over this.
const CACHE_KIB: i64 = 16 * 1024;
/// Pages of the write-ahead log after which it is copied into the database: 16 MiB. The pages at the
/// edges are in each commit, and are copied once; SQLite's default of 1000 cost a tenth more CPU.
const AUTOCHECKPOINT_PAGES: i64 = 4000;
/// How long one statement of the writer waits for another process's lock. Short, because meanwhile it
/// hears nothing, not even that it is to stop; its retry does the rest.
const WRITER_PATIENCE: Duration = Duration::from_millis(200);
/// The same of a reader, which only waits while a log is recovered.
const READER_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Claim;
    use crate::writer::Keep;

    #[test]
    fn urls_name_files() {
        let path = |url| Location::parse(url).map(|location| location.0);
        assert_eq!(path("sqlite://data/s.db").unwrap(), Path::new("data/s.db"));
        assert_eq!(path("sqlite:///var/s.db").unwrap(), Path::new("/var/s.db"));
        for bad in ["", "data/s.db", "sqlite://", "sqlite:s.db", "mysql://x", "sqlite://s.db?a=b"] {
            assert!(matches!(path(bad), Err(StoreError::Url(url)) if url == bad), "{bad}");
        }
    }

    #[test]
    fn the_migrations_are_sound() {
        assert_eq!(Migrations::from_slice(&MIGRATIONS).validate(), Ok(()));
    }

    #[test]
    fn newer_foreign_and_damaged_files_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let location = |name: &str| Location(directory.path().join(name));
        let newer = location("newer.db");
        drop(newer.open_to_write().unwrap());
        let connection = Connection::open(newer.path()).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let error = newer.open_to_write().unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, known: 1, .. }), "{error}");

        let foreign = location("foreign.db");
        let connection = Connection::open(foreign.path()).unwrap();
        connection.execute_batch("CREATE TABLE cats (name TEXT)").unwrap();
        drop(connection);
        let error = foreign.open_to_write().unwrap_err();
        assert!(error.to_string().contains("foreign.db") && error.is_configuration(), "{error}");

        let damaged = location("damaged.db");
        fs::write(damaged.path(), [b'x'; 8192]).unwrap();
        let error = damaged.open_to_write().unwrap_err();
        assert!(error.to_string().contains("damaged.db") && error.is_configuration(), "{error}");
    }

    #[test]
    fn a_database_has_one_owner_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let location = Location(directory.path().join("deep/down/s.db"));
        let owner = location.lock(Duration::ZERO).unwrap();
        let error = location.lock(Duration::from_millis(60)).unwrap_err();
        let us = std::process::id().to_string();
        assert!(matches!(&error, StoreError::InUse { holder, .. } if *holder == us), "{error}");
        drop(owner);
        assert!(location.lock(Duration::ZERO).is_ok());
    }

    #[test]
    fn a_database_that_somebody_has_locked_is_opened_later() {
        let directory = tempfile::tempdir().unwrap();
        let location = Location(directory.path().join("s.db"));
        drop(location.open_to_write().unwrap());
        let other = Connection::open(location.path()).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let options =
            crate::store::StoreOptions { full_sync: true, retention_days: 0, node: String::new() };
        let claim =
            Claim::new(location.clone(), location.lock(Duration::ZERO).unwrap(), Vec::new());
        let mut owner = claim.open(options, || {}).unwrap();
        assert!(!owner.is_open() && owner.commit(&[]).is_err());
        drop(other);
        assert!(owner.commit(&[]).is_ok() && owner.is_open());
    }

    #[test]
    fn the_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let location = Location(directory.path().join("s.db"));
        drop(location.open_to_write().unwrap());
        let mode = fs::metadata(location.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
