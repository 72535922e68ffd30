//! The file systems that our files are on: whether we may write there, and how much room is left.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

/// What a file system has left for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Octets, without those that are kept for root.
    pub octets: u64,
    /// Files; `u64::MAX` where they are not counted.
    pub files: u64,
}

/// What is left on the file system that `path` is on.
///
/// # Errors
/// Whatever statvfs(3) says.
pub fn room(path: &Path) -> io::Result<Room> {
    let volume = statvfs(path)?;
    // Some file systems make their files' records as they are needed, and say 0 of 0.
    let files = if volume.f_files == 0 { u64::MAX } else { volume.f_favail };
    Ok(Room { octets: volume.f_bavail.saturating_mul(volume.f_frsize), files })
}

/// Whether this process may make files in a directory; by its rights, not by trying.
///
/// # Errors
/// Whatever access(2) says: `PermissionDenied`, `ReadOnlyFilesystem`, `NotFound`.
pub fn may_write_to(directory: &Path) -> io::Result<()> {
    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Whether this process may write at the end of a file that is there.
///
/// # Errors
/// Whatever access(2) says.
pub fn may_append_to(path: &Path) -> io::Result<()> {
    Ok(access(path, Access::WRITE_OK)?)
}

/// Whether this process may read a file.
///
/// # Errors
/// Whatever access(2) says.
pub fn may_read(path: &Path) -> io::Result<()> {
    Ok(access(path, Access::READ_OK)?)
}

/// The directory itself if it is there, else the nearest one above it that is.
#[must_use]
pub fn nearest_there(directory: &Path) -> PathBuf {
    let whole = std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf());
    whole.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_room_and_one_that_is_missing_has_its_parents() {
        let above = tempfile::tempdir().unwrap();
        let here = room(above.path()).unwrap();
        assert!(here.octets > 0 && here.files > 0, "{here:?}");
        may_write_to(above.path()).unwrap();
        let missing = above.path().join("a/b");
        assert_eq!(may_write_to(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(nearest_there(&missing), above.path());
        assert_eq!(nearest_there(above.path()), above.path());
        std::fs::write(above.path().join("f"), "x").unwrap();
        may_read(&above.path().join("f")).unwrap();
        assert!(may_read(&missing).is_err());
    }
}
