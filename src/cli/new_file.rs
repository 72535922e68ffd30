//! A file that is there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// A file that is being written under another name beside its own, for its owner alone. Unless it is
/// finished, nothing of it remains.
#[derive(Debug)]
pub(super) struct NewFile {
    path: PathBuf,
    partial: PathBuf,
    force: bool,
    named: bool,
}

impl NewFile {
    /// Begins the file `path`; one that is there is replaced with `force` only, and not before the
    /// new one is whole. It cannot be the `database` that it is made from.
    pub(super) fn begin(
        path: &Path,
        force: bool,
        database: &Path,
    ) -> Result<(Self, File), Failure> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        for target in [path, &partial] {
            if belongs_to(target, database) {
                return Err(Failure::Usage(format!("{} is the database itself", target.display())));
            }
        }
        if !force && fs::symlink_metadata(path).is_ok() {
            return Err(failure(path, already_there("it is there already; --force replaces it")));
        }
        if force {
            // What a killed predecessor left; there need be none.
            fs::remove_file(&partial).ok();
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .map_err(|error| {
                if error.kind() == io::ErrorKind::AlreadyExists {
                    let what =
                        "it is being written, or whoever wrote it was killed; --force starts anew";
                    failure(&partial, already_there(what))
                } else {
                    // Nobody has asked for the other name.
                    failure(path, error)
                }
            })?;
        Ok((Self { path: path.to_owned(), partial, force, named: false }, file))
    }

    /// Where it is until it is finished.
    pub(super) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Brings it to the disk, and gives it its name.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        File::open(&self.partial)
            .and_then(|file| file.sync_all())
            .map_err(|error| failure(&self.partial, error))?;
        let named = if self.force {
            fs::rename(&self.partial, &self.path)
        } else {
            self.name_what_is_not_there()
        };
        named.map_err(|error| failure(&self.path, error))?;
        self.named = true;
        let path = &self.path;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failure(folder, error))
    }

    /// A link does not replace what has come to be there meanwhile; where a file system has none, a
    /// look must do.
    fn name_what_is_not_there(&self) -> io::Result<()> {
        match fs::hard_link(&self.partial, &self.path) {
            Ok(()) => fs::remove_file(&self.partial),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            Err(_) if fs::symlink_metadata(&self.path).is_ok() => {
                Err(already_there("it has come to be there meanwhile"))
            }
            Err(_) => fs::rename(&self.partial, &self.path),
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.named {
            fs::remove_file(&self.partial).ok();
        }
    }
}

/// Whether it is the database, or a file without which that is damaged.
fn belongs_to(path: &Path, database: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    ["", "-wal", "-shm", "-journal", ".lock"].into_iter().any(|suffix| {
        let mut part = database.as_os_str().to_owned();
        part.push(suffix);
        PathBuf::from(part).canonicalize().is_ok_and(|part| part == path)
    })
}

fn failure(path: &Path, error: io::Error) -> Failure {
    Failure::File { path: path.display().to_string(), error }
}

fn already_there(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, what)
}
