//! What must be ours before anything else: the database's lock, what killed predecessors left for it,
//! and a ledger of our own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::rebuild::rebuild;
use super::start::{Failure, Shared};
use super::storage::Storage;
use crate::config::{Settings, Synchronous};
use crate::linux::private::default_directory;
use crate::session::{DatabaseIdentity, Found, Ledger, LedgerFile, Wreck};
use crate::store::{self, Location, Reader, StoreError, StoreOptions};

/// The right to write the database, once it can be opened.
pub(super) struct Claim(store::Claim);

impl Claim {
    /// Takes the database's lock, for which it waits as long as a predecessor may be draining, and
    /// gives `ledger` a file. `None` where it is `stopped` meanwhile.
    pub(super) fn take(
        settings: &Settings,
        ledger: Ledger,
        stopped: &mut dyn FnMut() -> bool,
    ) -> Result<Option<(Self, Ledger)>, Failure> {
        let location = Location::parse(&settings.sessions.database_url).map_err(failure)?;
        let patience = settings.server.drain_timeout.max(LOCK_PATIENCE_MIN);
        let (mut waits, mut gives_up) = (false, false);
        let taken = location.lock_while(patience, &mut |holder| {
            if !waits {
                let secs = patience.as_secs();
                tracing::warn!(
                    "waits up to {secs} s for process {holder} to end, which has the database"
                );
                waits = true;
            }
            gives_up = stopped();
            !gives_up
        });
        let lock = match taken {
            Err(_) if gives_up => return Ok(None),
            taken => taken.map_err(failure)?,
        };
        // Only now: the database's directory exists, and nobody else is recovering.
        let database = DatabaseIdentity::of(location.path());
        let directory = directory(settings);
        let wrecks = wrecks(&directory, &database);
        let ledger = match LedgerFile::create(&directory, &database) {
            Ok(file) => ledger.in_file(file),
            Err(error) => {
                ledger.fail(format!("no ledger can be made in {}: {error}", directory.display()));
                ledger
            }
        };
        Ok(Some((Self(store::Claim::new(location, lock, wrecks)), ledger)))
    }

    /// Looks whether the configured database could be opened, without changing it.
    pub(super) fn look(settings: &Settings) -> Result<(), Failure> {
        let location = Location::parse(&settings.sessions.database_url).map_err(failure)?;
        location
            .look()
            .or_else(|error| if error.is_passing() { Ok(()) } else { Err(failure(error)) })
    }

    /// Which process has the configured database, if one has.
    pub(super) fn holder(settings: &Settings) -> Option<String> {
        Location::parse(&settings.sessions.database_url).ok()?.holder()
    }

    /// Opens the database, or has the writer open it later.
    pub(super) fn open(self, settings: &Settings, shared: &Shared) -> Result<Storage, Failure> {
        let options = StoreOptions {
            full_sync: settings.sessions.synchronous == Synchronous::Full,
            retention_days: settings.sessions.retention_days,
            wal_limit_bytes: settings.sessions.wal_limit_bytes,
            node: shared.node.clone(),
            limits: Arc::clone(shared.admission.limits()),
        };
        let reader = Reader::new(self.0.location());
        let opened = rebuild(self.0.location(), shared)?;
        let owner = self.0.open(options, opened).map_err(failure)?;
        Ok(Storage {
            last_generation: owner.last_generation(),
            keep: Some(Box::new(owner)),
            ring: None,
            history: Some(Arc::new(reader)),
        })
    }
}

fn wrecks(directory: &Path, database: &DatabaseIdentity) -> Vec<Wreck> {
    let found = Wreck::find(directory, database).unwrap_or_else(|error| {
        tracing::error!("ledgers cannot be looked for in {}: {error}", directory.display());
        Found::default()
    });
    for aside in found.set_aside {
        tracing::error!("a ledger was set aside as {}: {}", aside.path, aside.why);
    }
    found.wrecks
}

fn directory(settings: &Settings) -> PathBuf {
    if settings.sessions.ledger_path.as_os_str().is_empty() {
        default_directory()
    } else {
        settings.sessions.ledger_path.clone()
    }
}

/// What is wrong with a database, as the process says it when it ends.
fn failure(error: StoreError) -> Failure {
    // All that the system says is the name of a file, which may have been left to a default.
    let key = if matches!(error, StoreError::File { .. }) { "sessions.database_url: " } else { "" };
    let text = format!("{key}{error}");
    if error.is_permission() {
        Failure::Permission(text)
    } else if error.is_configuration() {
        Failure::Configuration(text)
    } else {
        Failure::Other(text)
    }
}

/// How long the database's lock is waited for at least: one that was killed lets go when the system
/// has taken it apart.
const LOCK_PATIENCE_MIN: Duration = Duration::from_secs(1);
