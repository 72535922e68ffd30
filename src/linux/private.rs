//! Directories and files that are nobody's but ours, in places where others may write (/dev/shm).
//!
//! Whoever may write to the directory above can put a symbolic link, a directory or a file of their
//! own there first. So nothing is followed, and owner, mode and link count are checked on the open
//! descriptor before anything in it is believed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, mkdir, open, openat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

/// A directory of mode 0700 that is ours.
#[derive(Debug)]
pub struct PrivateDirectory {
    file: File,
    path: PathBuf,
}

impl PrivateDirectory {
    /// Opens the directory, which is made if it is missing; the one above it must exist.
    ///
    /// # Errors
    /// Whatever mkdir(2) and open(2) say; `PermissionDenied` if it is not ours alone.
    pub fn open(path: &Path) -> io::Result<Self> {
        match mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(open(path, flags, Mode::empty())?);
        if !is_ours_alone(&file, FileType::Directory)? {
            return Err(foreign("a directory of mode 0700 that belongs to this user"));
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file of mode 0600, which must not be there yet, and locks it.
    ///
    /// # Errors
    /// Whatever open(2) and flock(2) say.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&self.file, name, flags, Mode::RUSR | Mode::WUSR)?);
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// Opens a file that is there, and locks it. `None` if another process has it locked.
    ///
    /// # Errors
    /// Whatever open(2) says; `PermissionDenied` if it is not a plain file that is ours alone.
    pub fn take(&self, name: &str) -> io::Result<Option<File>> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&self.file, name, flags, Mode::empty())?);
        if !is_ours_alone(&file, FileType::RegularFile)? || link_count(&file)? != 1 {
            return Err(foreign("a file of mode 0600 with one name that belongs to this user"));
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Whatever unlink(2) says.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.file, name, AtFlags::empty())?)
    }

    /// Renames a file.
    ///
    /// # Errors
    /// Whatever rename(2) says.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.file, from, &self.file, to)?)
    }

    /// The names of what is in it, sorted; those that are no text are left out.
    ///
    /// # Errors
    /// Whatever readdir(3) says.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.file)? {
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Opens a plain file that is ours alone, to read it; `None` if there is none. A symbolic link is not
/// followed.
///
/// # Errors
/// Whatever open(2) says, ELOOP for a link; `PermissionDenied` if it is something else than a file of
/// mode 0600 (or less) that belongs to this user.
pub fn open_ours(path: &Path) -> io::Result<Option<File>> {
    // Without O_NONBLOCK somebody's pipe in its place would be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !is_ours_alone(&file, FileType::RegularFile)? {
        return Err(foreign("a file of mode 0600 that belongs to this user"));
    }
    Ok(Some(file))
}

/// Makes a file of mode 0600 with this content, whole or not at all; its directory must exist.
///
/// # Errors
/// Whatever the system says; `AlreadyExists` if something of that name is there, a dangling link
/// included.
pub fn create_ours(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    // Whatever is there under our process id is of a predecessor that died here.
    match std::fs::remove_file(&unfinished) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(open(&unfinished, flags, Mode::RUSR | Mode::WUSR)?);
    let made = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        // Unlike a renaming this leaves what is there alone.
        .and_then(|()| std::fs::hard_link(&unfinished, path));
    std::fs::remove_file(&unfinished)?;
    made
}

/// How many names an open file has; 0 means that somebody has removed it.
///
/// # Errors
/// Whatever fstat(2) says.
pub fn link_count(file: &impl AsFd) -> io::Result<u64> {
    // The type's width differs between architectures.
    #[allow(clippy::useless_conversion, reason = "not on every architecture")]
    Ok(u64::from(fstat(file)?.st_nlink))
}

/// The directory for what must outlive the process and not the boot: `$RUNTIME_DIRECTORY` where
/// systemd sets it, else `/dev/shm/rustsocks-<uid>`.
#[must_use]
pub fn default_directory() -> PathBuf {
    std::env::var_os("RUNTIME_DIRECTORY")
        .and_then(|listed| std::env::split_paths(&listed).next())
        .filter(|first| first.is_absolute())
        .map_or_else(
            || PathBuf::from(format!("/dev/shm/rustsocks-{}", geteuid().as_raw())),
            // The runtime directory itself may be readable to others.
            |runtime| runtime.join("ledger"),
        )
}

fn is_ours_alone(file: &File, kind: FileType) -> io::Result<bool> {
    let stat = fstat(file)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == kind
        && stat.st_uid == geteuid().as_raw()
        && stat.st_mode & 0o077 == 0)
}

fn foreign(expected: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("it is not what was expected: {expected}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn only_a_directory_of_ours_is_believed() {
        let above = tempfile::tempdir().unwrap();
        let path = |name: &str| above.path().join(name);
        let ours = PrivateDirectory::open(&path("ours")).unwrap();
        assert_eq!(fs::metadata(ours.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(PrivateDirectory::open(&path("ours")).is_ok(), "it may be there already");
        symlink(path("ours"), path("link")).unwrap();
        assert!(PrivateDirectory::open(&path("link")).is_err());
        fs::create_dir(path("open")).unwrap();
        fs::set_permissions(path("open"), fs::Permissions::from_mode(0o755)).unwrap();
        let error = PrivateDirectory::open(&path("open")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn only_a_file_of_ours_with_one_name_is_believed() {
        let above = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::open(&above.path().join("d")).unwrap();
        drop(directory.create("file").unwrap());
        assert!(directory.create("file").is_err(), "it is there already");
        let taken = directory.take("file").unwrap();
        assert!(taken.is_some());
        assert!(directory.take("file").unwrap().is_none(), "it is locked");
        drop(taken);
        let inside = |name: &str| directory.path().join(name);
        fs::hard_link(inside("file"), inside("twin")).unwrap();
        assert!(directory.take("file").is_err(), "it has two names");
        directory.remove("twin").unwrap();
        symlink(inside("file"), inside("link")).unwrap();
        assert!(directory.take("link").is_err());
        assert_eq!(directory.names().unwrap(), [".", "..", "file", "link"]);
    }

    #[test]
    fn a_file_of_ours_is_made_whole_once_and_read_only_while_it_is_ours_alone() {
        let above = tempfile::tempdir().unwrap();
        let path = |name: &str| above.path().join(name);
        assert!(open_ours(&path("file")).unwrap().is_none());
        create_ours(&path("file"), b"secret").unwrap();
        assert_eq!(fs::metadata(path("file")).unwrap().permissions().mode() & 0o777, 0o600);
        let mut content = String::new();
        open_ours(&path("file")).unwrap().unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "secret");
        let again = create_ours(&path("file"), b"other").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(path("file")).unwrap(), b"secret");
        assert_eq!(fs::read_dir(above.path()).unwrap().count(), 1, "nothing unfinished is left");
        symlink(path("file"), path("link")).unwrap();
        assert!(open_ours(&path("link")).is_err());
        symlink(path("nowhere"), path("dangling")).unwrap();
        assert!(create_ours(&path("dangling"), b"x").is_err());
        assert!(!path("nowhere").exists());
        assert!(open_ours(above.path()).is_err(), "a directory");
        fs::set_permissions(path("file"), fs::Permissions::from_mode(0o640)).unwrap();
        let error = open_ours(&path("file")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_removed_file_has_no_name() {
        let above = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::open(&above.path().join("d")).unwrap();
        let file = directory.create("file").unwrap();
        assert_eq!(link_count(&file).unwrap(), 1);
        directory.remove("file").unwrap();
        assert_eq!(link_count(&file).unwrap(), 0);
    }
}
