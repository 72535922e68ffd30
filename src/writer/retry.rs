//! The pause between two tries, which grows. Pure.

use std::time::{Duration, Instant};

/// When a thing that failed may be tried again.
#[derive(Debug)]
pub(super) struct Retry {
    pause: Duration,
    at: Option<Instant>,
}

impl Retry {
    pub(super) const fn new() -> Self {
        Self { pause: PAUSE_FIRST, at: None }
    }

    /// Whether the last try failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.at.is_some()
    }

    /// Whether it is too early for the next try.
    pub(super) fn waits(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now < at)
    }

    /// A try failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.at = Some(now + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_LAST);
    }

    /// A try succeeded. Answers whether the one before it had failed.
    pub(super) fn succeeded(&mut self) -> bool {
        self.pause = PAUSE_FIRST;
        self.at.take().is_some()
    }
}

/// The first pause; it doubles up to the last, which is short because what waits holds ledger
/// slots.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LAST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_pause_doubles_up_to_a_bound_and_starts_anew_after_a_success() {
        let (mut retry, mut now) = (Retry::new(), clock::mono());
        assert!(!retry.is_failing() && !retry.waits(now) && !retry.succeeded());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            retry.failed(now);
            assert!(retry.is_failing() && retry.waits(now));
            let pause = (0..).map(Duration::from_millis).find(|&ms| !retry.waits(now + ms));
            pauses.push(pause.unwrap().as_millis());
            now += pause.unwrap();
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert!(retry.succeeded());
        retry.failed(now);
        assert!(!retry.waits(now + PAUSE_FIRST));
    }
}
