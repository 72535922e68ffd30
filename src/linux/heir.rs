//! Whose a file or a directory is that root makes: that of whoever owns the directory it is made in. A
//! command that root runs must not leave what the service, which is somebody else, cannot open.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Gives a file that was just made to the owner of its directory, where root has made it in somebody's.
/// SQLite does the same with what it makes beside a database.
pub fn give_to_owner_of(directory: &Path, file: &File) {
    // A file that is named alone is in the working directory.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    if let Ok(owner) = fs::metadata(directory) {
        give(&owner, file);
    }
}

/// Makes a directory, and those above it that are missing. Root's are given to the owner of the nearest
/// one that was there.
///
/// # Errors
/// Whatever mkdir(2) and open(2) say.
pub fn make_directories(path: &Path, mode: u32) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let there = path.ancestors().find(|above| above.symlink_metadata().is_ok());
    // Whatever stands at the beginning of a relative path is below the working directory.
    let there = there.unwrap_or(Path::new(""));
    let missing = path.strip_prefix(there).map_err(io::Error::other)?;
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    // From one to the next: whoever owns the first could put a link in the place of any.
    let known = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut directory = File::from(open(there, known, Mode::empty())?);
    let owner = directory.metadata()?;
    let ours = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for component in missing.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => "..".as_ref(),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => continue,
        };
        let made = match mkdirat(&directory, name, Mode::from_raw_mode(mode)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        let flags = if made { ours } else { known | OFlags::NOFOLLOW };
        directory = File::from(openat(&directory, name, flags, Mode::empty())?);
        if made {
            give(&owner, &directory);
        }
    }
    Ok(())
}

/// Gives what root has made to this owner.
fn give(owner: &Metadata, made: &File) {
    let is_roots = made.metadata().is_ok_and(|made| made.uid() == ROOT);
    if !is_roots || !geteuid().is_root() || owner.uid() == ROOT {
        return;
    }
    if let Err(error) = fchown(made, Some(owner.uid()), Some(owner.gid())) {
        tracing::warn!("something stays root's, in the directory of user {}: {error}", owner.uid());
    }
}

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    #[test]
    fn directories_that_root_makes_are_the_owners_of_the_nearest_that_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let is_root = chown(directory.path(), Some(65_534), Some(65_533)).is_ok();
        make_directories(&at("a/b/../c/d"), 0o700).unwrap();
        for name in ["a", "a/b", "a/c", "a/c/d"] {
            let made = fs::metadata(at(name)).unwrap();
            assert_eq!(made.permissions().mode() & 0o777, 0o700, "{name}");
            if is_root {
                assert_eq!((made.uid(), made.gid()), (65_534, 65_533), "{name}");
            }
        }
        make_directories(&at("a/c/d"), 0o755).unwrap();
        assert_eq!(fs::metadata(at("a/c/d")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_no_directory_and_one_to_a_directory_is() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        symlink(at("nowhere"), at("dangling")).unwrap();
        assert!(make_directories(&at("dangling/data"), 0o700).is_err());
        assert!(make_directories(&at("dangling"), 0o700).is_err());
        assert!(!at("nowhere").exists());
        fs::create_dir(at("real")).unwrap();
        symlink(at("real"), at("link")).unwrap();
        make_directories(&at("link/data"), 0o700).unwrap();
        assert!(at("real/data").is_dir());
        fs::write(at("file"), "").unwrap();
        assert!(make_directories(&at("file"), 0o700).is_err());
        assert!(make_directories(&at("file/data"), 0o700).is_err());
    }
}
