//! How long a relay may be silent.

use std::time::{Duration, Instant};

use crate::session::Outcome;

/// The silence of one relay, measured from its last octet. Activity is one store.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    last_progress: Instant,
    idle: Duration,
    half_close: Duration,
    half_closed: bool,
}

impl Patience {
    /// Patience that begins at `now`.
    #[must_use]
    pub const fn new(now: Instant, idle: Duration, half_close: Duration) -> Self {
        Self { last_progress: now, idle, half_close, half_closed: false }
    }

    /// Octets moved.
    pub const fn progressed(&mut self, now: Instant) {
        self.last_progress = now;
    }

    /// One side has closed its sending half, or has not.
    pub const fn set_half_closed(&mut self, now: Instant, half_closed: bool) {
        if half_closed && !self.half_closed {
            self.half_closed = true;
            // The closing itself is a sign of life: the shorter limit begins with it.
            self.last_progress = now;
        }
    }

    /// When it ends, if nothing moves till then.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.last_progress + if self.half_closed { self.half_close } else { self.idle }
    }

    /// How a relay ends whose patience is over.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        if self.half_closed { Outcome::HalfCloseTimeout } else { Outcome::IdleTimeout }
    }
}
