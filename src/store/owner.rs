//! The owner of a database: from the lock on, whether the database can be opened yet or not.
//!
//! ```text
//! lock ─▶ open ─▶ store what killed predecessors left ─▶ settle rows left active ─▶ rows …
//!           │ locked by somebody, disk full, I/O error: the proxy serves all the same, sessions wait
//!           └─ in the ledger, and it is tried again with each commit
//! ```
//!
//! A database that no waiting will mend (foreign, damaged, newer, not permitted) is an error at once.

use std::time::{Duration, Instant};

use super::error::StoreError;
use super::location::Location;
use super::lock::Lock;
use super::rows::{Store, StoreOptions};
use crate::clock;
use crate::session::Wreck;
use crate::stats::{Change, Minute};
use crate::writer::{BATCH_ROWS_MAX, Cleaned, Keep, KeepError, Tended};

/// The right to write a database, and what is still to be written into it before anything else.
#[derive(Debug)]
pub struct Claim {
    location: Location,
    lock: Lock,
    wrecks: Vec<Wreck>,
}

impl Claim {
    /// The right that `lock` gives.
    #[must_use]
    pub fn new(location: Location, lock: Lock, wrecks: Vec<Wreck>) -> Self {
        Self { location, lock, wrecks }
    }

    /// Where the database is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Opens the database, and stores what predecessors left. `opened` is called once, when all that
    /// is done and before the first row of this process.
    ///
    /// # Errors
    /// [`StoreError`] that waiting will not mend.
    pub fn open(
        self,
        options: StoreOptions,
        opened: impl FnOnce() + Send + 'static,
    ) -> Result<Owner, StoreError> {
        let Self { location, lock, wrecks } = self;
        let left = wrecks.iter().flat_map(Wreck::sessions);
        let mut owner = Owner {
            last_generation: left.map(|session| session.policy_generation).max().unwrap_or(0),
            location,
            options,
            wrecks,
            opened: Some(Box::new(opened)),
            store: None,
            lock,
            lock_lost: false,
        };
        match owner.open() {
            Ok(()) => {}
            Err(error) if error.is_passing() => {
                tracing::error!("sessions cannot be stored yet, will be tried again: {error}");
            }
            Err(error) => return Err(error),
        }
        Ok(owner)
    }
}

/// The one that writes a database.
pub struct Owner {
    location: Location,
    options: StoreOptions,
    wrecks: Vec<Wreck>,
    opened: Option<Box<dyn FnOnce() + Send>>,
    store: Option<Store>,
    lock: Lock,
    /// Somebody else has it: nothing is written before it is ours again.
    lock_lost: bool,
    /// The greatest number of a policy that predecessors have left, as far as is known.
    last_generation: u64,
}

impl Owner {
    /// Whether rows can be stored, as far as is known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.store.is_some()
    }

    /// No smaller than the greatest number of a policy by which predecessors decided: in what they left,
    /// and in the last rows. Where these cannot be read yet: the time in seconds, more than they counted.
    #[must_use]
    pub fn last_generation(&self) -> u64 {
        let unread = || u64::try_from(clock::utc_ms() / 1000).unwrap_or(0);
        self.last_generation.max(if self.is_open() { 0 } else { unread() })
    }

    fn open(&mut self) -> Result<(), StoreError> {
        let path = self.location.path();
        let sqlite = |error: rusqlite::Error| StoreError::sqlite(path, &error);
        let mut store = Store::open(&self.location, self.options.clone())?;
        let mut recovered = 0;
        while let Some(wreck) = self.wrecks.last() {
            // Before the rows below are settled: what the ledger says of a session is more.
            for sessions in wreck.sessions().chunks(BATCH_ROWS_MAX) {
                store.recover(sessions).map_err(sqlite)?;
            }
            recovered += wreck.sessions().len();
            if let Some(wreck) = self.wrecks.pop()
                && let Err(error) = wreck.remove()
            {
                tracing::warn!("a ledger that is stored cannot be removed: {error}");
            }
        }
        let cut = store.settle_crashed().map_err(sqlite)?;
        if recovered > 0 || cut > 0 {
            tracing::warn!(
                "the proxy last ended without notice: {recovered} sessions recovered from its \
                 ledger, {cut} known from the database alone"
            );
        }
        self.last_generation = self.last_generation.max(store.last_generation().map_err(sqlite)?);
        if let Some(opened) = self.opened.take() {
            if let Err(error) = store.restore_usage() {
                self.opened = Some(opened);
                return Err(sqlite(error));
            }
            opened();
        }
        self.store = Some(store);
        Ok(())
    }

    /// The lock is of use only as long as others find it.
    fn keep_lock(&mut self) -> Result<(), KeepError> {
        if !self.lock_lost {
            if self.lock.is_in_place() {
                return Ok(());
            }
            let path = self.location.path().display();
            tracing::error!("the lock of {path} was deleted while in use");
            self.lock_lost = true;
        }
        self.lock = self.location.lock(Duration::ZERO).map_err(|error| {
            KeepError(format!("the database's lock was deleted, and taken by another: {error}"))
        })?;
        self.lock_lost = false;
        Ok(())
    }

    fn store(&mut self) -> Result<&mut Store, KeepError> {
        if self.lock_lost {
            self.keep_lock()?;
        }
        if self.store.is_none() {
            self.open().map_err(|error| KeepError(error.to_string()))?;
            tracing::info!("sessions are being stored in {}", self.location.path().display());
        }
        self.store.as_mut().ok_or_else(|| KeepError("the database is not open".to_owned()))
    }
}

impl Keep for Owner {
    fn commit(&mut self, rows: &[Change]) -> Result<(), KeepError> {
        self.store()?.commit(rows)
    }

    fn probe(&mut self) -> Result<(), KeepError> {
        self.store()?.probe()
    }

    fn tend(&mut self, now: Instant) -> Result<Tended, KeepError> {
        self.keep_lock()?;
        self.store()?.tend(now)
    }

    fn clean_up(&mut self, now_ms: i64) -> Result<Cleaned, KeepError> {
        self.store()?.clean_up(now_ms)
    }

    fn keep_minutes(&mut self, minutes: &[Minute], before_ms: i64) -> Result<(), KeepError> {
        self.store()?.keep_minutes(minutes, before_ms)
    }

    fn close(&mut self) {
        if let Some(store) = &mut self.store {
            store.close();
        }
    }
}
