//! Where sessions are kept: SQLite, memory, or nowhere.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::start::{Failure, Shared, spawn};
use crate::config::{self, Settings};
use crate::session::Entry;
use crate::stats::{History, Ring};
#[cfg(feature = "database")]
use crate::store::{Location, Reader, Store, StoreError, StoreOptions};
use crate::writer::{Keep, Options, Parts, Writer};

/// The opened place.
pub(super) struct Storage {
    keep: Option<Box<dyn Keep>>,
    ring: Option<Arc<Ring>>,
    history: Option<Arc<dyn History>>,
}

/// The writer's thread.
pub(super) struct Writing(JoinHandle<u64>);

impl Storage {
    /// Opens what the settings ask for.
    pub(super) fn open(settings: &Settings, shared: &Shared) -> Result<Self, Failure> {
        let sessions = &settings.sessions;
        match (sessions.enabled, sessions.storage) {
            (false, _) => Ok(Self { keep: None, ring: None, history: None }),
            (true, config::Storage::Memory) => {
                let (table, ledger) = (Arc::clone(&shared.table), Arc::clone(&shared.ledger));
                let ring = Arc::new(Ring::new(sessions.history_max, table, ledger, &shared.node));
                let history = Some(Arc::clone(&ring) as Arc<dyn History>);
                Ok(Self { keep: None, ring: Some(ring), history })
            }
            (true, config::Storage::Sqlite) => sqlite(settings, &shared.node),
        }
    }

    /// Whom readers ask for ended sessions.
    pub(super) fn history(&self) -> Option<Arc<dyn History>> {
        self.history.clone()
    }

    /// Starts the writer on the journal.
    pub(super) fn start_writer(
        self,
        settings: &Settings,
        shared: &Shared,
        receiver: Receiver<Entry>,
    ) -> Result<Writing, Failure> {
        let sessions = &settings.sessions;
        let writer = Writer::new(Parts {
            receiver,
            ledger: Arc::clone(&shared.ledger),
            table: Arc::clone(&shared.table),
            keep: self.keep,
            ring: self.ring,
            users: Arc::clone(&shared.users),
            gauges: Arc::clone(&shared.gauges),
            options: Options {
                batch_size: sessions.batch_size,
                batch_interval: sessions.batch_interval,
                checkpoint_interval: sessions.checkpoint_interval,
                cleanup_interval: sessions.cleanup_interval,
                stop_patience: STOP_PATIENCE,
            },
        });
        Ok(Writing(spawn("writer", move || writer.run())?))
    }
}

impl Writing {
    /// Waits until everything is stored. The workers must have ended, which closes the journal.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.0.join() {
            Ok(0) => Ok(()),
            Ok(lost) => Err(Failure::Other(format!("{lost} sessions could not be stored"))),
            Err(_) => Err(Failure::Other("the writer panicked".to_owned())),
        }
    }
}

#[cfg(feature = "database")]
fn sqlite(settings: &Settings, node: &str) -> Result<Storage, Failure> {
    let sessions = &settings.sessions;
    let failure = |error: StoreError| {
        if error.is_permission() {
            Failure::Permission(error.to_string())
        } else if error.is_configuration() {
            Failure::Configuration(error.to_string())
        } else {
            Failure::Other(error.to_string())
        }
    };
    let location = Location::parse(&sessions.database_url).map_err(failure)?;
    let options = StoreOptions {
        full_sync: sessions.synchronous == config::Synchronous::Full,
        retention_days: sessions.retention_days,
        node: node.to_owned(),
    };
    let (store, crashed) = Store::open(&location, options).map_err(failure)?;
    if crashed > 0 {
        tracing::warn!("{crashed} sessions were cut when the proxy last ended without notice");
    }
    let reader = Reader::open(&location).map_err(failure)?;
    Ok(Storage { keep: Some(Box::new(store)), ring: None, history: Some(Arc::new(reader)) })
}

#[cfg(not(feature = "database"))]
fn sqlite(_settings: &Settings, _node: &str) -> Result<Storage, Failure> {
    let text = "sessions.storage = \"sqlite\": this binary was built without the feature database";
    Err(Failure::Configuration(text.to_owned()))
}

/// How long commits are retried at the end.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
