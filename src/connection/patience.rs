//! How long a relay may be silent.

use std::time::{Duration, Instant};

use crate::session::Outcome;

/// The silence of one relay, measured from its last octet. Activity is one store.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    last_progress: Instant,
    // Milliseconds: an idle session keeps nothing that is wider than it need be.
    idle_ms: u32,
    half_close_ms: u32,
    half_closed: bool,
}

impl Patience {
    /// Patience that begins at `now`; both limits count in milliseconds, up to 49 days.
    #[must_use]
    pub fn new(now: Instant, idle: Duration, half_close: Duration) -> Self {
        let millis = |limit: Duration| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        let (idle_ms, half_close_ms) = (millis(idle), millis(half_close));
        Self { last_progress: now, idle_ms, half_close_ms, half_closed: false }
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
        let limit_ms = if self.half_closed { self.half_close_ms } else { self.idle_ms };
        self.last_progress + Duration::from_millis(limit_ms.into())
    }

    /// How a relay ends whose patience is over.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        if self.half_closed { Outcome::HalfCloseTimeout } else { Outcome::IdleTimeout }
    }
}
