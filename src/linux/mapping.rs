//! A part of a file as memory that lives as long as the process.
//!
//! The part is given its room first (fallocate(2)): a store past the end of a sparse file or into a
//! full file system is no error but a SIGBUS, and so is even a load past the end (mmap(2)). Then it
//! is mapped shared and populated, so that no later store faults. On tmpfs such pages outlive the
//! process and are never written back, so a store never waits for a disk either.

use std::fs::File;
use std::io;

use memmap2::{MmapMut, MmapOptions};
use rustix::fs::{FallocateFlags, fallocate};

/// Gives `octets` octets of `file`, from `offset` on, their room and maps them. The file grows as far
/// as is needed; octets that are new are 0. `offset` must be a multiple of the page size.
///
/// # Errors
/// Whatever fallocate(2) and mmap(2) say: no room (`StorageFull`), a file system without fallocate.
pub fn map_shared(file: &File, offset: u64, octets: usize) -> io::Result<&'static mut [u8]> {
    fallocate(file, FallocateFlags::empty(), offset, octets as u64)?;
    let map = map(file, offset, octets)?;
    // Leaked on purpose: what lies in it is referred to from other threads and never moves.
    Ok(&mut *Box::leak(Box::new(map)))
}

/// JUSTIFICATION: a mapping is the only memory that survives the process, and no crate offers one
/// without `unsafe`, because another process could shorten the file.
#[expect(unsafe_code, reason = "mmap has no safe wrapper")]
fn map(file: &File, offset: u64, octets: usize) -> io::Result<MmapMut> {
    // SAFETY: the file is ours alone (mode 0600, in a directory of mode 0700, locked), and nobody of
    // ours shortens it; its room was allocated above, so no access can fault. The same part is mapped
    // once in a process, so the exclusive slice has no alias in it.
    unsafe { MmapOptions::new().offset(offset).len(octets).populate().map_mut(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_in_the_mapping_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let first = map_shared(&file, 0, 4096).unwrap();
        let second = map_shared(&file, 4096, 8192).unwrap();
        assert!(first.iter().chain(&*second).all(|octet| *octet == 0));
        (first[7], second[8191]) = (1, 2);
        let read = std::fs::read(&path).unwrap();
        assert_eq!((read.len(), read[7], read[12_287]), (12_288, 1, 2));
    }

    #[test]
    fn no_room_is_an_error_and_not_a_signal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        assert!(map_shared(&file, 0, 1 << 60).is_err());
    }
}
