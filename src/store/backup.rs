//! A copy of a database that others write meanwhile.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::StoreError;
use super::location::Location;
use super::schema;

/// Copies a database, as it is at one moment, into the empty file `to`. `progress` is told how many
/// pages of how many are done.
///
/// One reading transaction lasts from the first page to the last: without it SQLite begins anew
/// after each commit of the writer. Until it ends, the write-ahead log cannot shrink.
///
/// # Errors
/// [`StoreError`], also where there are no sessions to copy, as it is empty or somebody else's; `to` is then
/// of no use.
pub fn backup(
    location: &Location,
    to: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), StoreError> {
    let of = |error: rusqlite::Error| StoreError::sqlite(location.path(), &error);
    let source = location.open_existing()?;
    let snapshot = source.unchecked_transaction().map_err(of)?;
    // A transaction takes its snapshot with its first read.
    snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(of)?;
    // A copy of nothing must not take the place of one that is good.
    schema::expect_filled(location.path(), &snapshot)?;
    let on_copy = |error: rusqlite::Error| StoreError::sqlite(to, &error);
    let mut copy = Connection::open(to).map_err(on_copy)?;
    // Whoever asked brings it to the disk when it is whole.
    copy.pragma_update(None, "synchronous", "OFF").map_err(on_copy)?;
    {
        let backup = Backup::new(&snapshot, &mut copy).map_err(on_copy)?;
        loop {
            match backup.step(PAGES_AT_A_TIME).map_err(on_copy)? {
                StepResult::Done => break,
                StepResult::More => {
                    let pages = backup.progress();
                    let all = u64::try_from(pages.pagecount).unwrap_or(0);
                    progress(all.saturating_sub(u64::try_from(pages.remaining).unwrap_or(0)), all);
                }
                // Somebody recovers the log, or closes as the last one.
                StepResult::Busy | StepResult::Locked | _ => thread::park_timeout(PAUSE),
            }
        }
    }
    // A single file, which can be read where nothing can be written. Whoever runs on it switches to
    // a write-ahead log again.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(on_copy)?;
    copy.close().map_err(|(_, error)| on_copy(error))
}

/// Pages between two looks at the progress: 16 MiB.
const PAGES_AT_A_TIME: i32 = 4096;
/// How long to wait when the database is locked for a moment.
const PAUSE: Duration = Duration::from_millis(20);
