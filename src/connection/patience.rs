//! How long a relay may be silent.

use std::time::{Duration, Instant};

use crate::session::Outcome;

/// The silence of one relay, measured from its last octet. Activity is one store.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// When the limit that is in force began to count.
    since: Instant,
    // Milliseconds: an idle session keeps nothing that is wider than it need be.
    limit_ms: u32,
    half_close_ms: u32,
    silence: Silence,
}

/// Whose silence it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// That of both sides.
    Whole,
    /// That of the side that has not closed.
    HalfClosed,
    /// None: one socket has failed while the other still takes the rest, for so long whatever moves.
    Failing,
}

impl Patience {
    /// Patience that begins at `now`; both limits count in milliseconds, up to 49 days.
    #[must_use]
    pub fn new(now: Instant, idle: Duration, half_close: Duration) -> Self {
        let (limit_ms, half_close_ms) = (millis(idle), millis(half_close));
        Self { since: now, limit_ms, half_close_ms, silence: Silence::Whole }
    }

    /// Octets moved.
    pub const fn progressed(&mut self, now: Instant) {
        if !self.is_failing() {
            self.since = now;
        }
    }

    /// One side has closed its sending half, or has not.
    pub const fn set_half_closed(&mut self, now: Instant, half_closed: bool) {
        if half_closed && matches!(self.silence, Silence::Whole) {
            self.silence = Silence::HalfClosed;
            self.limit_ms = self.half_close_ms;
            // The closing itself is a sign of life: the shorter limit begins with it.
            self.since = now;
        }
    }

    /// One socket has failed, and the rest for the other may take so long to leave; from the first time
    /// on that this is said.
    pub fn set_failing(&mut self, now: Instant, limit: Duration) {
        if !self.is_failing() {
            *self =
                Self { since: now, limit_ms: millis(limit), silence: Silence::Failing, ..*self };
        }
    }

    /// Whether one socket has failed.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        matches!(self.silence, Silence::Failing)
    }

    /// When it ends, if nothing moves till then.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.since + Duration::from_millis(self.limit_ms.into())
    }

    /// How a relay ends whose patience is over, unless a socket has failed, which says more.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self.silence {
            Silence::HalfClosed => Outcome::HalfCloseTimeout,
            Silence::Whole | Silence::Failing => Outcome::IdleTimeout,
        }
    }
}

fn millis(limit: Duration) -> u32 {
    u32::try_from(limit.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const IDLE: Duration = Duration::from_mins(10);
    const HALF_CLOSE: Duration = Duration::from_mins(2);
    const LINGER: Duration = Duration::from_secs(5);

    #[test]
    fn what_moves_prolongs_it_but_not_the_last_octets_of_a_relay_that_fails() {
        let begun = clock::mono();
        let later = |secs| begun + Duration::from_secs(secs);
        let mut patience = Patience::new(begun, IDLE, HALF_CLOSE);
        patience.progressed(later(10));
        assert_eq!(patience.deadline(), later(10) + IDLE);
        patience.set_half_closed(later(20), true);
        patience.set_half_closed(later(21), true);
        assert_eq!(patience.deadline(), later(20) + HALF_CLOSE);
        assert_eq!(patience.outcome(), Outcome::HalfCloseTimeout);
        patience.progressed(later(30));
        assert_eq!(patience.deadline(), later(30) + HALF_CLOSE);
        patience.set_failing(later(40), LINGER);
        patience.set_failing(later(41), LINGER);
        patience.progressed(later(42));
        patience.set_half_closed(later(43), true);
        assert_eq!(patience.deadline(), later(40) + LINGER);
    }
}
