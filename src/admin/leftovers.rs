//! Directories of the API's own socket that killed processes have left: whoever is killed removes nothing,
//! and where the directory above outlives all processes (`/tmp`) they would be more with each kill.

use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};

use super::socket::{PREFIX, SOCKET};
use crate::clock;

/// Removes those of ours below `parent` on whose socket nobody listens. A directory that is not ours, or in
/// which is anything else, stays.
pub(super) fn remove_leftovers(parent: &Path) -> usize {
    let Ok(entries) = fs::read_dir(parent) else { return 0 };
    let names =
        |entry: &DirEntry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
    let found = entries.flatten().filter(names).take(LOOKED_AT_MAX);
    found.filter(|entry| is_left(entry) && remove(&entry.path()).is_ok()).count()
}

fn is_left(entry: &DirEntry) -> bool {
    // That of the entry itself: a link is followed nowhere.
    let Ok(directory) = entry.metadata() else { return false };
    directory.is_dir()
        && directory.uid() == geteuid().as_raw()
        && match answers(&entry.path().join(SOCKET)) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => true,
            // It may be about to be made.
            Err(error) => error.kind() == io::ErrorKind::NotFound && is_old(&directory),
        }
}

/// Whether somebody listens there. Not waited for: where the queue is full, somebody does.
fn answers(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        answer => answer,
    }
}

fn is_old(directory: &Metadata) -> bool {
    directory.mtime() < clock::utc_ms() / 1000 - MADE_WITHIN.as_secs().cast_signed()
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => fs::remove_dir(directory),
    }
}

/// Leftovers that are looked at in one start; the next one takes the rest.
const LOOKED_AT_MAX: usize = 1024;
/// Between its directory and its socket a process needs no longer than this.
const MADE_WITHIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_nobody_listens_on_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        for name in
            ["rustsocks-api-dead", "rustsocks-api-living", "rustsocks-api-new", "other-dead"]
        {
            fs::create_dir(path(name)).unwrap();
        }
        let listen = |name: &str| UnixListener::bind(path(name).join(SOCKET)).unwrap();
        drop((listen("rustsocks-api-dead"), listen("other-dead")));
        let living = listen("rustsocks-api-living");
        fs::create_dir(path("rustsocks-api-full")).unwrap();
        drop(listen("rustsocks-api-full"));
        fs::write(path("rustsocks-api-full").join("mine"), "x").unwrap();
        symlink(path("other-dead"), path("rustsocks-api-link")).unwrap();
        assert_eq!(remove_leftovers(parent.path()), 1);
        for name in ["rustsocks-api-living", "rustsocks-api-new", "rustsocks-api-link"] {
            assert!(path(name).exists(), "{name}");
        }
        assert!(!path("rustsocks-api-dead").exists());
        assert!(path("other-dead").join(SOCKET).exists());
        assert!(path("rustsocks-api-full").join("mine").exists());
        drop(living);
        assert_eq!(remove_leftovers(parent.path()), 1);
    }
}
