//! Whose a file is that root makes: that of whoever owns the directory. A command that root runs must
//! not leave a database that the service, which is somebody else, cannot open.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

/// Gives a file that was just made to the owner of its directory, where root has made it in somebody's.
/// SQLite does the same with what it makes beside a database.
pub(super) fn give_to_owner_of(directory: &Path, file: &File) {
    // A file that is named alone is in the working directory.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let (Ok(directory), Ok(ours)) = (fs::metadata(directory), file.metadata()) else { return };
    if ours.uid() != ROOT || directory.uid() == ROOT {
        return;
    }
    if let Err(error) = fchown(file, Some(directory.uid()), Some(directory.gid())) {
        tracing::warn!(
            "a file stays root's, in the directory of user {}: {error}",
            directory.uid()
        );
    }
}

const ROOT: u32 = 0;
