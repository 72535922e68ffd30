//! One owner per database: flock(2) on a file beside it, which ends with the process however it
//! ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::error::StoreError;
use super::inode::Inode;
use crate::clock;
use crate::linux::heir::give_to_owner_of;
use crate::linux::private::link_count;

/// The right to write a database.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    inode: Inode,
    _file: File,
}

impl Lock {
    /// Takes the lock of `database`, for which it waits `patience` at most: a predecessor may still
    /// be draining. Asks `go_on` again and again meanwhile, which is told who holds it.
    pub(super) fn take(
        database: &Path,
        patience: Duration,
        go_on: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Self, StoreError> {
        let path = lock_path(database);
        let failure = |error| StoreError::file(&path, error);
        let mut file = open(&path).map_err(failure)?;
        let until = clock::mono() + patience;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(failure(error.into()));
            }
            let holder = text(&mut file);
            if clock::mono() < until && go_on(&holder) {
                thread::park_timeout(ASKED_EVERY);
                continue;
            }
            return Err(StoreError::InUse { path: path.display().to_string(), holder });
        }
        file.set_len(0).map_err(failure)?;
        file.rewind().map_err(failure)?;
        writeln!(file, "{}", std::process::id()).map_err(failure)?;
        let inode = Inode::of(&file.metadata().map_err(failure)?);
        Ok(Self { inode, path, _file: file })
    }

    /// Who holds the lock of `database`: the text of its file, which is a process id. `None` where nobody
    /// does, or where that cannot be told.
    pub(super) fn holder(database: &Path) -> Option<String> {
        let mut file = asked_for().open(lock_path(database)).ok()?;
        expect_plain(&file).ok()?;
        // Shared, so that two who ask at a time do not take each other for the holder.
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Some(text(&mut file)),
            Ok(()) | Err(_) => None,
        }
    }

    /// Whether others find it. What cannot be looked at may be where it was.
    pub(super) fn is_in_place(&self) -> bool {
        Inode::at(&self.path).map_or(true, |now| now == Some(self.inode))
    }
}

/// Opens the file, which is made if it is missing. Whoever owns the directory could have put a link there
/// to a file of somebody else: it is emptied only if it is a plain one of one name.
fn open(path: &Path) -> io::Result<File> {
    let mut options = asked_for();
    options.write(true).mode(0o600);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            give_to_owner_of(path.parent().unwrap_or(Path::new(".")), &file);
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Made anew if it is gone meanwhile.
            let file = options.create(true).truncate(false).open(path).map_err(|error| {
                let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
                if is_link { io::Error::other(NOT_PLAIN) } else { error }
            })?;
            expect_plain(&file).map(|()| file)
        }
        Err(error) => Err(error),
    }
}

/// How the file is opened: no link is followed, and no pipe waited for.
fn asked_for() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    options.read(true).custom_flags(flags.cast_signed());
    options
}

fn expect_plain(file: &File) -> io::Result<()> {
    // None is left of one that was deleted just now, which is noticed later.
    if file.metadata()?.is_file() && link_count(file)? <= 1 {
        return Ok(());
    }
    Err(io::Error::other(NOT_PLAIN))
}

fn lock_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    PathBuf::from(path)
}

/// What the holder has written.
fn text(file: &mut File) -> String {
    let mut holder = String::new();
    // From its beginning: it is read more than once.
    if file.rewind().is_err() {
        return "unknown".to_owned();
    }
    match file.take(HOLDER_OCTETS_MAX).read_to_string(&mut holder) {
        Ok(1..) => holder.trim().to_owned(),
        Ok(0) | Err(_) => "unknown".to_owned(),
    }
}

const NOT_PLAIN: &str = "it is not what was expected: a plain file with one name, and no link";
/// A process id has fewer.
const HOLDER_OCTETS_MAX: u64 = 64;
/// How often a lock that is taken is asked for.
const ASKED_EVERY: Duration = Duration::from_millis(50);
