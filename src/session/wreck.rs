//! What a killed process left in its ledger.
//!
//! Its sessions are read out of the file, not mapped: nobody writes it any more. A settled one is
//! what it says. An open one was cut by the crash, at its last activity. A free slot holds nothing,
//! even if it was just being filled: its head says *open* only after everything else is in it, and
//! the client is told of its connection only after that.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use zerocopy::{FromZeros, IntoBytes};

use super::facts::Ending;
use super::ledger::SLOTS_PER_CHUNK;
use super::ledger_file::{DatabaseIdentity, Header, SUFFIX, Unreadable, chunk_offset};
use super::slot::Session;
use super::{Outcome, SessionView};
use crate::linux::private::PrivateDirectory;

/// The ledger of a process that was killed. It is locked: nobody else recovers it meanwhile.
#[derive(Debug)]
pub struct Wreck {
    directory: PrivateDirectory,
    name: String,
    _file: File,
    sessions: Vec<SessionView>,
}

/// A file that bears the name of a ledger and cannot be read as one. It was renamed, so that it is
/// neither misread nor lost.
#[derive(Debug)]
pub struct SetAside {
    /// Where it is now.
    pub path: String,
    /// Why.
    pub why: String,
}

/// What was found of a database's predecessors.
#[derive(Debug, Default)]
pub struct Found {
    /// Ledgers to be stored, then removed.
    pub wrecks: Vec<Wreck>,
    /// Files that could not be read.
    pub set_aside: Vec<SetAside>,
}

impl Wreck {
    /// Looks for the ledgers of killed predecessors. Those of living processes are left alone, and so
    /// are those of other databases.
    ///
    /// # Errors
    /// Whatever the system says of the directory. It is made if it is missing.
    pub fn find(directory: &Path, database: &DatabaseIdentity) -> io::Result<Found> {
        let mut found = Found::default();
        let prefix = database.prefix();
        for name in PrivateDirectory::open(directory)?.names()? {
            if !name.starts_with(&prefix) || !name.ends_with(SUFFIX) {
                continue;
            }
            let directory = PrivateDirectory::open(directory)?;
            match Self::open(directory, &name, database) {
                Ok(Some(wreck)) => found.wrecks.push(wreck),
                Ok(None) => {}
                Err(unreadable) => found.set_aside.push(unreadable),
            }
        }
        Ok(found)
    }

    fn open(
        directory: PrivateDirectory,
        name: &str,
        database: &DatabaseIdentity,
    ) -> Result<Option<Self>, SetAside> {
        let why = match Self::read(&directory, name, database) {
            Ok(None) => return Ok(None),
            Ok(Some((file, sessions))) => {
                let name = name.to_owned();
                return Ok(Some(Self { directory, name, _file: file, sessions }));
            }
            Err(Unreadable::Empty) if directory.remove(name).is_ok() => return Ok(None),
            Err(unreadable) => unreadable.to_string(),
        };
        let aside = format!("{name}.unreadable");
        let (name, why) = match directory.rename(name, &aside) {
            Ok(()) => (aside.as_str(), why),
            Err(error) => (name, format!("{why}; it cannot be renamed: {error}")),
        };
        Err(SetAside { path: directory.path().join(name).display().to_string(), why })
    }

    /// `None` if its process lives.
    fn read(
        directory: &PrivateDirectory,
        name: &str,
        database: &DatabaseIdentity,
    ) -> Result<Option<(File, Vec<SessionView>)>, Unreadable> {
        let Some(file) = directory.take(name)? else { return Ok(None) };
        Header::check(&file, database)?;
        let sessions = sessions(&file)?;
        Ok(Some((file, sessions)))
    }

    /// The sessions in it, the cut ones ended by the crash.
    #[must_use]
    pub fn sessions(&self) -> &[SessionView] {
        &self.sessions
    }

    /// Removes the file, once its sessions are stored.
    ///
    /// # Errors
    /// Whatever unlink(2) says; it would be recovered again at the next start, to no effect.
    pub fn remove(self) -> io::Result<()> {
        self.directory.remove(&self.name)
    }
}

fn sessions(file: &File) -> io::Result<Vec<SessionView>> {
    let octets = file.metadata()?.len();
    let mut chunks: Vec<Box<[Session]>> = Vec::new();
    for number in 0..CHUNKS_MAX {
        if octets < chunk_offset(number + 1) {
            break;
        }
        let mut slots = <[Session]>::new_box_zeroed_with_elems(SLOTS_PER_CHUNK as usize)
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        file.read_exact_at(slots.as_mut_bytes(), chunk_offset(number))?;
        // A hole, mostly; nothing in it is referred to.
        let empty = slots.iter().all(Session::is_free);
        chunks.push(if empty { Box::default() } else { slots });
    }
    let slot = |index: u32| {
        let chunk = chunks.get((index / SLOTS_PER_CHUNK) as usize)?;
        chunk.get((index % SLOTS_PER_CHUNK) as usize)
    };
    let view = |session: &Session| {
        let rest = session.continuation().and_then(slot);
        let mut view = SessionView::from_copied(&session.copy(session.generation(), rest)?);
        let cut_after = view.last_activity_ms.saturating_sub(view.start_ms);
        view.ending.get_or_insert(Ending {
            outcome: Outcome::Crash,
            relayed: false,
            duration_ms: u64::try_from(cut_after).unwrap_or(0),
        });
        Some(view)
    };
    Ok(chunks.iter().flatten().filter_map(view).collect())
}

/// Chunks that are read of one file at most: the greatest bound that can be configured, and as many
/// again that were retired before.
const CHUNKS_MAX: u32 = 2048;

#[cfg(test)]
mod tests;
