//! Where sessions are kept: SQLite, memory, or nowhere.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::claim::Claim;
use super::start::{Failure, Shared};
use super::watch::{Ending, Event};
use crate::access_log::AccessLog;
use crate::config::{self, Settings};
use crate::linux::calls::Duty;
use crate::session::{Entry, Ledger};
use crate::stats::{History, Ring};
use crate::writer::{Keep, Options, Parts, Witness, Writer};

/// The opened place.
pub(super) struct Storage {
    pub(super) keep: Option<Box<dyn Keep>>,
    pub(super) ring: Option<Arc<Ring>>,
    pub(super) history: Option<Arc<dyn History>>,
    /// The greatest number of a policy in it; 0 without any.
    pub(super) last_generation: u64,
}

impl Storage {
    /// What the settings ask for; with a database it is the claimed one.
    pub(super) fn open(
        settings: &Settings,
        shared: &Shared,
        claim: Option<Claim>,
    ) -> Result<Self, Failure> {
        let sessions = &settings.sessions;
        if let Some(claim) = claim {
            return claim.open(settings, shared);
        }
        if !sessions.enabled {
            return Ok(Self { keep: None, ring: None, history: None, last_generation: 0 });
        }
        let ring =
            Ring::new(sessions.history_max, &shared.node).with_minutes(Arc::clone(&shared.minutes));
        let ring = Arc::new(ring);
        let history = Some(Arc::clone(&ring) as Arc<dyn History>);
        Ok(Self { keep: None, ring: Some(ring), history, last_generation: 0 })
    }

    /// The ledger, and the claim to the database if the settings ask for one; nothing where the process is
    /// `stopped` while another has the database.
    pub(super) fn claim(
        settings: &Settings,
        stopped: &mut dyn FnMut() -> bool,
    ) -> Result<Option<(Option<Claim>, Ledger)>, Failure> {
        let sessions = &settings.sessions;
        let ledger = Ledger::new(sessions.ledger_slots_max);
        if !sessions.enabled || sessions.storage == config::Storage::Memory {
            return Ok(Some((None, ledger)));
        }
        let claimed = Claim::take(settings, ledger, stopped)?;
        Ok(claimed.map(|(claim, ledger)| (Some(claim), ledger)))
    }

    /// Says of a busy address that it is a proxy of the same configuration that has it, where one runs.
    pub(super) fn who_else(settings: &Settings, error: &io::Error) -> String {
        let sessions = &settings.sessions;
        let stored = sessions.enabled && sessions.storage == config::Storage::Sqlite;
        if !stored || error.kind() != io::ErrorKind::AddrInUse {
            return String::new();
        }
        Claim::holder(settings).map_or(String::new(), |process| {
            format!(" (a proxy runs on {} already, as process {process})", sessions.database_url)
        })
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
        access_log: Option<AccessLog>,
        receiver: Receiver<Entry>,
        events: Sender<Event>,
    ) -> Result<(), Failure> {
        let sessions = &settings.sessions;
        // Where single sessions are not shown nobody hears of them.
        let news = if sessions.enabled { Arc::clone(&shared.news) } else { Arc::default() };
        let writer = Writer::new(Parts {
            receiver,
            ledger: Arc::clone(&shared.ledger),
            table: Arc::clone(&shared.table),
            keep: self.keep,
            ring: self.ring,
            users: Arc::clone(&shared.users),
            minutes: Arc::clone(&shared.minutes),
            windows: Arc::clone(&shared.windows),
            gauges: Arc::clone(&shared.gauges),
            witness: Witness { news, access_log },
            options: Options {
                batch_size: sessions.batch_size,
                batch_interval: sessions.batch_interval,
                checkpoint_interval: sessions.checkpoint_interval,
                cleanup_interval: sessions.cleanup_interval,
                stop_patience: STOP_PATIENCE,
            },
        });
        shared.sandbox.spawn("writer", Duty::Writer, move || {
            let panicked = Event::WriterEnded(Err(io::Error::other("it panicked")));
            let ending = Ending::new(events, panicked);
            // What it could not store is counted where it stays: in the ledger.
            let _unstored = writer.run();
            ending.say(Event::WriterEnded(Ok(())));
        })?;
        Ok(())
    }
}

/// How long commits are retried at the end.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(10);
