//! Whether the database is still where it was opened, and its return if it is not.
//!
//! Somebody may delete the file, or put another in its place, while we have it open. SQLite goes on
//! with what it has, which nobody else can see and which is gone with the process. So the place is
//! looked at before each commit, and the open database is copied back to it. A stranger that stands
//! there is set aside, not overwritten: it may be a backup that somebody meant to go back to.
//!
//! ```text
//! sessions.db (ours) ──rm, mv──▶ nothing, or a stranger
//!       stranger, stranger-wal ─▶ sessions.db.replaced-2026-01-31T08:05:09.123Z, …-wal
//!       our log at its old name ─▶ unlinked: it belongs to the open file alone
//!       open file ─▶ sessions.db.copy ─▶ sessions.db, opened anew
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::StoreError;
use super::inode::Inode;
use super::location::Location;
use crate::clock::{Stamp, utc_ms};

/// The files of an open database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    database: Option<Inode>,
    log: Option<Inode>,
}

impl Place {
    /// The files as they are now, just after the database was opened.
    pub(super) fn of(location: &Location) -> Result<Self, StoreError> {
        let at = |path: &Path| Inode::at(path).map_err(|error| StoreError::file(path, error));
        Ok(Self { database: at(location.path())?, log: at(&location.beside(WAL))? })
    }

    /// What has become of the open database; `None` if it is where it was.
    pub(super) fn lost(&self, location: &Location) -> Option<&'static str> {
        let differs = |path: &Path, ours: Option<Inode>, missing, replaced| {
            // What cannot be looked at now may be where it was.
            match (Inode::at(path).ok()?, ours) {
                (now, ours) if now == ours => None,
                (None, _) => Some(missing),
                (Some(_), _) => Some(replaced),
            }
        };
        let (deleted, replaced) = ("was deleted while in use", "was replaced while in use");
        let (no_log, other_log) =
            ("has lost its write-ahead log", "has a write-ahead log that is not ours");
        differs(location.path(), self.database, deleted, replaced)
            .or_else(|| differs(&location.beside(WAL), self.log, no_log, other_log))
    }

    /// Puts what `open` holds where it was. Afterwards `open` is to be closed, and the database to
    /// be opened anew.
    pub(super) fn put_back(
        &self,
        location: &Location,
        open: &Connection,
    ) -> Result<(), StoreError> {
        let failure = |path: &Path, error| StoreError::file(path, error);
        let (path, copy) = (location.path(), location.beside(".copy"));
        let directory = location.directory();
        fs::create_dir_all(directory).map_err(|error| failure(directory, error))?;
        copy_to(open, &copy)?;
        self.make_room(location)?;
        fs::rename(&copy, path).map_err(|error| failure(path, error))?;
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| failure(directory, error))
    }

    /// Sets strangers aside, and unlinks what is of use to the open database alone.
    fn make_room(&self, location: &Location) -> Result<(), StoreError> {
        let aside = format!(".replaced-{}", Stamp::of(utc_ms()).as_str());
        // Without its database our own log is of no use, and with another it would be poison.
        let ours = [("", self.database), (WAL, self.log)];
        for (suffix, ours) in ours {
            let path = location.beside(suffix);
            let found = Inode::at(&path).map_err(|error| StoreError::file(&path, error))?;
            let done = match found {
                None => continue,
                found if found == ours => fs::remove_file(&path),
                Some(_) => {
                    let to = location.beside(&format!("{aside}{suffix}"));
                    tracing::error!("{} was set aside as {}", path.display(), to.display());
                    fs::rename(&path, to)
                }
            };
            done.map_err(|error| StoreError::file(&path, error))?;
        }
        // An index of the log, which SQLite makes anew.
        match fs::remove_file(location.beside(SHM)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::file(location.path(), error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn copy_to(open: &Connection, to: &Path) -> Result<(), StoreError> {
    let failure = |error: rusqlite::Error| StoreError::sqlite(to, &error);
    let file = |error| StoreError::file(to, error);
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file(error)),
        Ok(()) | Err(_) => {}
    }
    // SQLite would make it readable to all.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(file)?;
    let mut copy = Connection::open(to).map_err(failure)?;
    copy.pragma_update(None, "synchronous", "FULL").map_err(failure)?;
    {
        let backup = Backup::new(open, &mut copy).map_err(failure)?;
        // One step: nobody else writes this file, so nobody waits for it.
        let done = backup.step(ALL_PAGES).map_err(failure)?;
        if done != StepResult::Done {
            return Err(StoreError::unusable(to, &"the copy was not finished"));
        }
    }
    copy.close().map_err(|(_, error)| failure(error))
}

const WAL: &str = "-wal";
const SHM: &str = "-shm";
const ALL_PAGES: i32 = -1;

#[cfg(test)]
mod tests;
