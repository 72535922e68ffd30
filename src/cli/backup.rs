//! `rustsocks backup`

use std::path::PathBuf;

use clap::Args;

use super::database::Database;
use super::failure::Failure;
use super::new_file::NewFile;
use super::progress::Progress;
use crate::store;

/// Copy the database while the proxy writes it
///
/// The copy is the database at one moment, in one file that only its owner may read, and it is there
/// whole or not at all. To go back to it, stop the proxy, put the copy in the database's place,
/// remove the files -wal and -shm beside it, and start the proxy.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Backup {
    /// Where the copy goes
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    database: Database,
}

impl Backup {
    pub(super) fn backup(self) -> Result<(), Failure> {
        let location = self.database.location()?;
        let (new, file) = NewFile::begin(&self.file, self.force, location.path())?;
        // SQLite's locks on a file go with any other descriptor of it.
        drop(file);
        let mut progress = Progress::new(false);
        store::backup(&location, new.partial(), |done, all| {
            #[expect(clippy::cast_precision_loss, reason = "a share is shown in whole per cent")]
            let share = done as f64 / all.max(1) as f64;
            progress.show(share, format_args!("{done} of {all} pages"));
        })?;
        new.finish()
    }
}

const EXAMPLES: &str = "\
Examples:
  rustsocks backup --config /etc/rustsocks/rustsocks.toml /backup/sessions-$(date +%F).db
  rustsocks backup --database-url sqlite://data/sessions.db --force latest.db
  sqlite3 latest.db 'PRAGMA integrity_check'";
