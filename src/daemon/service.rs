//! What the service manager is told (sd_notify(3)), where there is one: without `NOTIFY_SOCKET` nothing.
//!
//! ```text
//! READY=1 ── STATUS=… ── RELOADING=1, MONOTONIC_USEC=… ── READY=1 ── … ── STOPPING=1
//!     WATCHDOG=1 while every worker's loop turns (pulse.rs)
//! ```

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::pulse::Pulse;
use super::start::Shared;
use crate::clock;

/// What has been told, and when something is to be told next.
pub(super) struct Service {
    pulse: Option<Pulse>,
    status: String,
    status_at: Instant,
    stopping: bool,
}

impl Service {
    /// The service as its environment describes it.
    pub(super) fn new(workers: usize) -> Self {
        let now = clock::mono();
        let watchdog = sd_notify::watchdog_enabled();
        let pulse = watchdog.map(|limit| Pulse::new(limit, workers, now));
        Self { pulse, status: String::new(), status_at: now, stopping: false }
    }

    /// Clients are taken.
    pub(super) fn ready(&mut self, shared: &Shared) {
        self.status = status(shared);
        tell(&[NotifyState::Ready, NotifyState::Status(&self.status)]);
    }

    /// Nobody new is taken, and it may take `patience` until everything has ended.
    pub(super) fn stopping(&mut self, patience: Duration, shared: &Shared) {
        self.stopping = true;
        let longer = format!("EXTEND_TIMEOUT_USEC={}", patience.as_micros());
        self.status = format!("stopping: {} sessions have not ended yet", live(shared));
        tell(&[
            NotifyState::Stopping,
            NotifyState::Custom(&longer),
            NotifyState::Status(&self.status),
        ]);
    }

    /// A worker has ended.
    pub(super) fn worker_ended(&mut self, worker: usize) {
        if let Some(pulse) = &mut self.pulse {
            pulse.ended(worker);
        }
    }

    /// Feeds the watchdog and says how things stand, when it is time for either.
    pub(super) fn tick(&mut self, now: Instant, shared: &Shared) {
        let turns = |worker: usize| shared.counters.get(worker).map_or(0, |it| it.turns.get());
        if self.pulse.as_mut().is_some_and(|pulse| pulse.beats(now, turns)) {
            tell(&[NotifyState::Watchdog]);
        }
        if now < self.status_at + BETWEEN_STATUSES || self.stopping {
            return;
        }
        self.status_at = now;
        let status = status(shared);
        if status != self.status {
            tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }
}

/// The configuration is being read anew; [`reloaded`] must follow.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("the service manager is not told of a reload: {error}"),
    }
}

/// It has been read and applied, or refused; either way clients are served.
pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

fn status(shared: &Shared) -> String {
    let started: u64 = shared.counters.iter().map(|it| it.sessions_opened.get()).sum();
    let status = format!("{} sessions live, {started} since the start", live(shared));
    match shared.gauges.trouble() {
        Some(why) => format!("{status}; degraded: {why}"),
        None => status,
    }
}

fn live(shared: &Shared) -> u64 {
    shared.counters.iter().map(|counters| counters.active()).sum()
}

fn tell(states: &[NotifyState<'_>]) {
    // Whoever does not listen misses it; nothing here depends on it.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager is not told: {error}");
    }
}

/// How often the status is looked at.
const BETWEEN_STATUSES: Duration = Duration::from_secs(5);
