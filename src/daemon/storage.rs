//! Where sessions are kept: SQLite, memory, or nowhere.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::start::{Failure, Shared, spawn};
use super::watch::{Ending, Event};
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

    /// Starts the writer on the journal; its end is an event.
    pub(super) fn start_writer(
        self,
        settings: &Settings,
        shared: &Shared,
        receiver: Receiver<Entry>,
        events: Sender<Event>,
    ) -> Result<(), Failure> {
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
        spawn("writer", move || {
            let panicked = Event::WriterEnded(Err(io::Error::other("it panicked")));
            let ending = Ending::new(events, panicked);
            // What it could not store is counted where it stays: in the ledger.
            let _unstored = writer.run();
            ending.say(Event::WriterEnded(Ok(())));
        })?;
        Ok(())
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
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(10);
