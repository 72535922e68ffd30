//! A change of the file of users: nobody else changes it meanwhile, and it is there as it was or as it
//! is to be.
//!
//! The lock is one on the folder (flock(2)), because the file itself is replaced, and so that no file is
//! left beside it. Comments and order stay as they are.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use super::failure::Failure;
use crate::auth::User;
use crate::clock;
use crate::config::parse_users;
use crate::linux::heir::{give_to_owner_of, make_directories};

/// A file of users that is being changed.
#[derive(Debug)]
pub(super) struct UsersEdit {
    path: PathBuf,
    folder: File,
    before: Option<fs::Metadata>,
    lines: Vec<Zeroizing<String>>,
    /// Each user with the place of his line in `lines`.
    users: Vec<(usize, User)>,
}

impl UsersEdit {
    /// Takes the lock and reads the file, which need not be there.
    pub(super) fn begin(path: &Path) -> Result<Self, Failure> {
        // A link stays, and what it leads to is changed.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        // As a start makes it, but for its owner alone.
        make_directories(parent, 0o700).map_err(|error| failure(parent, error))?;
        let folder = File::open(parent).map_err(|error| failure(parent, error))?;
        lock(&folder).map_err(|error| failure(&path, error))?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Zeroizing::default(),
            Err(error) => return Err(failure(&path, error)),
        };
        let users = parse_users(&path, &text)?.into_iter().map(|(line, user)| (line - 1, user));
        Ok(Self {
            before: fs::metadata(&path).ok(),
            lines: text.lines().map(|line| Zeroizing::new(line.to_owned())).collect(),
            users: users.collect(),
            folder,
            path,
        })
    }

    /// A user who is in it.
    pub(super) fn find(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|(_, user)| &*user.name() == name).map(|(_, user)| user)
    }

    /// Puts a user into the place of the one with the same name, or at the end.
    pub(super) fn put(&mut self, user: &User) {
        let line = Zeroizing::new(user.to_line());
        match self.place(user) {
            Some(place) => self.lines[place] = line,
            None => self.lines.push(line),
        }
    }

    /// Takes a user out who is in it.
    pub(super) fn remove(&mut self, user: &User) {
        if let Some(place) = self.place(user) {
            self.lines.remove(place);
        }
    }

    /// Writes it all under another name, brings that to the disk, and gives it its own name. Returns which
    /// file it is.
    pub(super) fn finish(self) -> Result<PathBuf, Failure> {
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        let written = self.write(&new).and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = written {
            fs::remove_file(&new).ok();
            return Err(failure(&self.path, error));
        }
        self.folder.sync_all().map_err(|error| failure(&self.path, error))?;
        Ok(self.path)
    }

    fn write(&self, new: &Path) -> io::Result<()> {
        match fs::remove_file(new) {
            // What was left by somebody who was killed: nobody else has the lock.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        if let Some(before) = &self.before {
            // Whoever reads it must still be able to; everybody must not.
            if (before.uid(), before.gid()) != (file.metadata()?.uid(), file.metadata()?.gid()) {
                fchown(&file, Some(before.uid()), Some(before.gid()))?;
            }
            file.set_permissions(Permissions::from_mode(before.mode() & 0o640))?;
        } else {
            give_to_owner_of(self.path.parent().unwrap_or(Path::new("")), &file);
        }
        let mut text = Zeroizing::new(String::new());
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    fn place(&self, user: &User) -> Option<usize> {
        self.users.iter().find(|(_, known)| known.name() == user.name()).map(|(place, _)| *place)
    }
}

fn lock(folder: &File) -> io::Result<()> {
    let until = clock::mono() + LOCK_PATIENCE;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::Error(error)) => return Err(error),
            Err(fs::TryLockError::WouldBlock) if clock::mono() < until => {
                thread::park_timeout(ASKED_EVERY);
            }
            Err(fs::TryLockError::WouldBlock) => {
                let message = "somebody else is changing it, or has locked its folder";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
            }
        }
    }
}

fn failure(path: &Path, error: io::Error) -> Failure {
    Failure::File { path: path.display().to_string(), error }
}

/// How long a lock is waited for that somebody has; a change takes milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked for.
const ASKED_EVERY: Duration = Duration::from_millis(20);
