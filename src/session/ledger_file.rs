//! The ledger's file: what makes the slots outlive the process.
//!
//! ```text
//! octet 0      Header: magic, layout, database, boot, run (the rest up to the first chunk is empty)
//! octet 65536  chunk 0: slots 0 …          a chunk that could not be added, or lies in another file,
//!      …       chunk 1: slots 16 384 …     is a hole, and a hole reads as free slots
//! ```
//!
//! It lies on tmpfs (`linux::mapping` says why) in a directory of its own, is locked by its process
//! and removed when everything in it is stored. One that is there and not locked is of a process
//! that was killed: a [`Wreck`](super::Wreck).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use blake2::{Blake2s256, Digest};
use uuid::Uuid;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::ledger::SLOTS_PER_CHUNK;
use super::slot::{LAYOUT, Session};
use crate::linux::mapping::map_shared;
use crate::linux::private::{PrivateDirectory, link_count};

/// Which database a ledger belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseIdentity {
    hash: [u8; 32],
    path: String,
}

impl DatabaseIdentity {
    /// That of the database at this path, which need not exist. Links in the directories above it
    /// are followed, so that one database has one identity.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let canonical = absolute
            .parent()
            .and_then(|parent| parent.canonicalize().ok())
            .zip(absolute.file_name())
            .map_or(absolute.clone(), |(parent, name)| parent.join(name));
        let hash = Blake2s256::digest(canonical.as_os_str().as_encoded_bytes()).into();
        Self { hash, path: canonical.display().to_string() }
    }

    /// What the names of its ledgers begin with.
    pub(super) fn prefix(&self) -> String {
        let [a, b, c, d, e, f, g, h, ..] = self.hash;
        format!("{:016x}-", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// The file of a running process.
#[derive(Debug)]
pub struct LedgerFile {
    directory: PrivateDirectory,
    database: DatabaseIdentity,
    name: String,
    file: File,
}

impl LedgerFile {
    /// Makes the file in this directory, which is made if it is missing.
    ///
    /// # Errors
    /// Whatever the system says of directory and file; a directory that is not ours alone.
    pub fn create(directory: &Path, database: &DatabaseIdentity) -> io::Result<Self> {
        let directory = PrivateDirectory::open(directory)?;
        let run = Uuid::now_v7();
        let name = format!("{}{}{SUFFIX}", database.prefix(), run.as_simple());
        let file = directory.create(&name)?;
        let header = Header::new(database, run);
        file.write_all_at(header.as_bytes(), 0)?;
        Ok(Self { directory, database: database.clone(), name, file })
    }

    /// Makes another file in the place of this one, which somebody has removed. Their directory is made
    /// anew if that is gone too.
    ///
    /// # Errors
    /// As with [`LedgerFile::create`].
    pub(super) fn successor(&self) -> io::Result<Self> {
        Self::create(self.directory.path(), &self.database)
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn path(&self) -> String {
        self.directory.path().join(&self.name).display().to_string()
    }

    /// Gives the chunk of this number its room, and maps it.
    pub(super) fn chunk(&self, number: u32) -> io::Result<&'static [Session]> {
        let octets = map_shared(&self.file, chunk_offset(number), CHUNK_OCTETS)?;
        let slots = <[Session]>::mut_from_bytes(octets)
            .map_err(|error| io::Error::other(format!("a mapping of the wrong shape: {error}")))?;
        Ok(&*slots)
    }

    /// Whether the file still has its name: one that somebody removed cannot be found after a crash.
    pub(super) fn has_name(&self) -> bool {
        link_count(&self.file).is_ok_and(|count| count > 0)
    }

    /// Lets go of the lock, as a kill does. Without that it lasts as long as the mappings, which are
    /// never undone.
    #[cfg(test)]
    pub(super) fn unlock(&self) -> io::Result<()> {
        Ok(rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock)?)
    }

    /// Removes the file, once everything in it is stored.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.directory.remove(&self.name)
    }
}

/// The beginning of the file.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Header {
    magic: [u8; 8],
    layout: u64,
    slot_octets: u64,
    slots_per_chunk: u64,
    database: [u8; 32],
    boot: [u8; 16],
    run: [u8; 16],
    pid: u64,
    path_octets: u64,
    path: [u8; PATH_OCTETS],
}

const _: () = assert!(size_of::<Header>() == 512);

impl Header {
    fn new(database: &DatabaseIdentity, run: Uuid) -> Self {
        let mut header = Self::new_zeroed();
        header.magic = MAGIC;
        header.layout = LAYOUT;
        header.slot_octets = SLOT_OCTETS;
        header.slots_per_chunk = u64::from(SLOTS_PER_CHUNK);
        header.database = database.hash;
        header.boot = boot_id();
        header.run = run.into_bytes();
        header.pid = std::process::id().into();
        // For whoever looks at the file; the hash is what counts.
        let path = &database.path.as_bytes()[..database.path.len().min(PATH_OCTETS)];
        header.path[..path.len()].copy_from_slice(path);
        header.path_octets = path.len() as u64;
        header
    }

    /// Reads the header of a file, and says whether its slots can be read as what they are.
    pub(super) fn check(file: &File, database: &DatabaseIdentity) -> Result<(), Unreadable> {
        let mut header = Self::new_zeroed();
        file.read_exact_at(header.as_mut_bytes(), 0).map_err(|error| {
            // Killed between making the file and its header: no session was ever in it.
            let empty = error.kind() == io::ErrorKind::UnexpectedEof;
            if empty { Unreadable::Empty } else { Unreadable::Io(error) }
        })?;
        if header.magic != MAGIC {
            Err(Unreadable::Foreign)
        } else if header.layout != LAYOUT
            || header.slot_octets != SLOT_OCTETS
            || header.slots_per_chunk != u64::from(SLOTS_PER_CHUNK)
        {
            Err(Unreadable::Layout)
        } else if header.database != database.hash {
            Err(Unreadable::Database)
        } else if header.boot != boot_id() {
            Err(Unreadable::Boot)
        } else {
            Ok(())
        }
    }
}

/// Why a file that bears the name of a ledger cannot be read as one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// It ends before its header does.
    #[error("it is empty")]
    Empty,
    /// It does not begin like a ledger.
    #[error("it is not a ledger")]
    Foreign,
    /// Another version of the program wrote it.
    #[error(
        "its layout is that of another version of rustsocks; to recover it, take `.unreadable` off its \
         name and start that version once"
    )]
    Layout,
    /// The names agree by chance.
    #[error("it belongs to another database")]
    Database,
    /// A power cut may have torn it: pages of a disk are written in any order.
    #[error("it was left by an earlier boot of this machine")]
    Boot,
    /// The system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

pub(super) const fn chunk_offset(number: u32) -> u64 {
    HEADER_OCTETS + number as u64 * CHUNK_OCTETS as u64
}

/// The kernel's name for this boot; zeros where it has none.
fn boot_id() -> [u8; 16] {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| Uuid::parse_str(text.trim()).ok())
        .map_or([0; 16], Uuid::into_bytes)
}

/// What the name of every ledger ends with.
pub(super) const SUFFIX: &str = ".ledger";
const MAGIC: [u8; 8] = *b"rsledger";
/// What stands before the first chunk: mappings begin at a page's edge, on any page size in use.
const HEADER_OCTETS: u64 = 65_536;
const SLOT_OCTETS: u64 = size_of::<Session>() as u64;
const CHUNK_OCTETS: usize = SLOTS_PER_CHUNK as usize * size_of::<Session>();
const PATH_OCTETS: usize = 512 - 112;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_database_has_one_identity_however_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, directory.path().join("link")).unwrap();
        let one = DatabaseIdentity::of(&real.join("s.db"));
        assert_eq!(DatabaseIdentity::of(&directory.path().join("link/s.db")), one);
        assert_ne!(DatabaseIdentity::of(&real.join("t.db")), one);
        assert_eq!(one.prefix().len(), 17);
    }
}
