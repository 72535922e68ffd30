//! Whether the process takes clients.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Set by the daemon, read by the API.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not all parts run yet.
    Starting,
    /// Clients are taken.
    Ready,
    /// No new clients; the rest may end.
    Draining,
}

impl Readiness {
    /// Clients are taken from now on.
    pub fn set_ready(&self) {
        self.0.store(1, Relaxed);
    }

    /// No new clients from now on.
    pub fn set_draining(&self) {
        self.0.store(2, Relaxed);
    }

    /// How far the process is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.0.load(Relaxed) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Draining,
        }
    }
}
