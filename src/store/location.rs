//! Where the database is, and how it is opened.
//!
//! A primer on a trap: the locks that SQLite holds on a file are POSIX record locks, which belong to
//! the process, and closing *any* descriptor of that file gives all of them up (fcntl(2)). SQLite
//! does not notice; another process then takes itself for the only one, and deletes the write-ahead
//! log under our hands. So nothing here opens a database's file but SQLite; it is looked at with
//! stat(2) and access(2), and made if it is missing, which is before anybody can have it open.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Access, access};

use super::error::StoreError;
use super::lock::Lock;
use super::schema::{bring_up_to_date, expect_ours};
use crate::linux::heir::{give_to_owner_of, make_directories};

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

    /// Whether an owner could use it, as far as that can be seen without changing anything. One that is
    /// missing would be made.
    ///
    /// # Errors
    /// What [`Claim::open`](super::Claim::open) would say.
    pub fn look(&self) -> Result<(), StoreError> {
        match fs::symlink_metadata(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Ok(_) | Err(_) => self.may_be_written()?,
        }
        // Without a log nobody has it open. SQLite makes one even to read, unless the file is said to stay
        // as it is.
        let unused = self.beside("-wal").symlink_metadata().is_err();
        let connection = match self.0.to_str().filter(|_| unused) {
            Some(path) => {
                let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
                // Behind two slashes stands a host in a URI, and no path begins.
                let path = match path.trim_start_matches('/') {
                    rest if rest.len() < path.len() => format!("/{rest}"),
                    relative => relative.to_owned(),
                };
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
                Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
                    .map_err(|error| StoreError::unusable(&self.0, &error))?
            }
            None => self.open_to_read()?,
        };
        expect_ours(&self.0, &connection)
    }

    /// The same for a command, which says in the system's words why the file cannot be opened.
    pub(super) fn open_existing(&self) -> Result<Connection, StoreError> {
        may(&self.0, Access::READ_OK)?;
        self.open_to_read()
    }

    /// Opens it for writing beside its owner, who may be at work.
    pub(super) fn open_beside(&self) -> Result<Connection, StoreError> {
        may(&self.0, Access::READ_OK | Access::WRITE_OK)?;
        let sqlite = |error: rusqlite::Error| StoreError::sqlite(&self.0, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0, flags).map_err(sqlite)?;
        connection.busy_timeout(GUEST_PATIENCE).map_err(sqlite)?;
        Ok(connection)
    }

    /// Takes its lock, for which it waits `patience` at most. Its directory is made if it is missing.
    ///
    /// # Errors
    /// [`StoreError::InUse`], or what the system says of directory and lock.
    pub fn lock(&self, patience: Duration) -> Result<Lock, StoreError> {
        self.lock_while(patience, &mut |_| true)
    }

    /// The same, as long as `go_on` says so, which is asked again and again while another process has it,
    /// and told which.
    ///
    /// # Errors
    /// As [`lock`](Self::lock); [`StoreError::InUse`] where it was not to go on, too.
    pub fn lock_while(
        &self,
        patience: Duration,
        go_on: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Lock, StoreError> {
        let directory = self.directory();
        make_directories(directory, DIRECTORY_MODE)
            .map_err(|error| StoreError::file(directory, error))?;
        Lock::take(&self.0, patience, go_on)
    }

    /// The process that writes it now, as far as that can be told.
    #[must_use]
    pub fn holder(&self) -> Option<String> {
        Lock::holder(&self.0)
    }

    /// Opens it for writing: the file is made if it is missing, and the schema is brought up to
    /// date. Its lock must be ours.
    pub(super) fn open_to_write(&self) -> Result<(Connection, usize), StoreError> {
        let path = &self.0;
        self.make_ready()?;
        let unusable = |error: rusqlite::Error| StoreError::sqlite(path, &error);
        let mut connection = Connection::open(path).map_err(unusable)?;
        connection.busy_timeout(WRITER_PATIENCE).map_err(unusable)?;
        expect_ours(path, &connection)?;
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

    /// Makes the file if it is missing, and says in the system's words what SQLite would only call
    /// "unable to open" or would notice with the first row.
    pub(super) fn make_ready(&self) -> Result<(), StoreError> {
        let path = &self.0;
        // SQLite would make it readable to all.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match made {
            Ok(file) => give_to_owner_of(self.directory(), &file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(StoreError::file(path, error)),
        }
        self.may_be_written()
    }

    /// What SQLite would only call "unable to open", in the system's words.
    fn may_be_written(&self) -> Result<(), StoreError> {
        may(&self.0, Access::READ_OK | Access::WRITE_OK)?;
        // The write-ahead log is made beside it.
        may(self.directory(), Access::WRITE_OK | Access::EXEC_OK)
    }

    /// The directory that it is in.
    pub(super) fn directory(&self) -> &Path {
        match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        }
    }

    /// A file that SQLite keeps beside it, such as `-wal`.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.0.as_os_str().to_owned();
        path.push(suffix);
        path.into()
    }
}

/// Whether a file may be used so, without opening it.
fn may(path: &Path, wanted: Access) -> Result<(), StoreError> {
    access(path, wanted).map_err(|error| StoreError::file(path, error.into()))
}

/// Of a directory that is made for it, but for what the mask takes away.
const DIRECTORY_MODE: u32 = 0o777;
/// The writer's page cache: the indexes' inner pages and the edges at which they grow. With 5 million
/// rows 2 MiB, SQLite's default, cost a fifth more CPU; 64 MiB saved nothing over this.
const CACHE_KIB: i64 = 16 * 1024;
/// Pages of the write-ahead log after which it is copied into the database: 16 MiB. The pages at the
/// edges are in each commit, and are copied once; SQLite's default of 1000 cost a tenth more CPU.
const AUTOCHECKPOINT_PAGES: i64 = 4000;
/// How long one statement of the writer waits for another process's lock. Short, because meanwhile it
/// hears nothing, not even that it is to stop; its retry does the rest.
pub(super) const WRITER_PATIENCE: Duration = Duration::from_millis(200);
/// The same of a command that writes beside the owner.
const GUEST_PATIENCE: Duration = Duration::from_secs(10);
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
    fn a_lock_that_leads_to_another_file_is_not_followed() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let location = Location(directory.path().join("s.db"));
        let (theirs, lock) = (directory.path().join("theirs"), location.beside(".lock"));
        fs::write(&theirs, "precious").unwrap();
        for hard in [false, true] {
            if hard { fs::hard_link(&theirs, &lock) } else { symlink(&theirs, &lock) }.unwrap();
            let error = location.lock(Duration::ZERO).unwrap_err().to_string();
            assert!(error.contains("s.db.lock: it is not what was expected"), "{error}");
            assert_eq!(location.holder(), None);
            assert_eq!(fs::read_to_string(&theirs).unwrap(), "precious");
            fs::remove_file(&lock).unwrap();
        }
        assert!(location.lock(Duration::ZERO).is_ok());
    }

    #[test]
    fn more_slashes_than_one_begin_the_same_path() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}/100%#.db", directory.path().display());
        let location = Location::parse(&url).unwrap();
        drop(location.open_to_write().unwrap());
        assert!(location.beside("-wal").symlink_metadata().is_err());
        location.look().unwrap();
    }

    #[test]
    fn a_database_that_somebody_has_locked_is_opened_later() {
        let directory = tempfile::tempdir().unwrap();
        let location = Location(directory.path().join("s.db"));
        drop(location.open_to_write().unwrap());
        let other = Connection::open(location.path()).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let options = crate::store::StoreOptions::default();
        let claim =
            Claim::new(location.clone(), location.lock(Duration::ZERO).unwrap(), Vec::new());
        let mut owner = claim.open(options, || {}).unwrap();
        assert!(!owner.is_open() && owner.commit(&[]).is_err());
        drop(other);
        assert!(owner.commit(&[]).is_ok() && owner.is_open());
    }

    #[test]
    fn nothing_is_written_while_another_has_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let location = Location(directory.path().join("s.db"));
        let claim =
            Claim::new(location.clone(), location.lock(Duration::ZERO).unwrap(), Vec::new());
        let mut owner = claim.open(crate::store::StoreOptions::default(), || {}).unwrap();
        fs::remove_file(location.beside(".lock")).unwrap();
        let other = location.lock(Duration::ZERO).unwrap();
        let error = owner.tend(crate::clock::mono()).unwrap_err();
        assert!(error.to_string().contains("taken by another"), "{error}");
        // What is tried next must not succeed either.
        assert!(owner.probe().is_err() && owner.commit(&[]).is_err());
        drop(other);
        assert!(owner.probe().is_ok() && owner.tend(crate::clock::mono()).is_ok());
        assert!(location.lock(Duration::ZERO).is_err(), "it is ours again");
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
