//! When the service manager's watchdog may be fed: only while the loop of every worker turns.
//!
//! A worker's loop turns at least once a second, whether it has something to do or not. So one whose
//! number of turns stands still hangs: in a system call that should not block, or in a defect of ours.
//! The process then feeds nothing more, and is killed and started anew; the ledger keeps the sessions.

use std::time::{Duration, Instant};

/// What was seen when the watchdog was fed last.
#[derive(Debug)]
pub(super) struct Pulse {
    period: Duration,
    fed_at: Instant,
    /// Turns of each worker; `None` of one that has ended, which is told elsewhere.
    turns: Vec<Option<u64>>,
}

impl Pulse {
    /// For a watchdog that bites `limit` after it was fed.
    pub(super) fn new(limit: Duration, workers: usize, now: Instant) -> Self {
        Self { period: limit / FEEDINGS_PER_LIMIT, fed_at: now, turns: vec![Some(0); workers] }
    }

    /// A worker has ended, and turns no more.
    pub(super) fn ended(&mut self, worker: usize) {
        if let Some(turns) = self.turns.get_mut(worker) {
            *turns = None;
        }
    }

    /// Whether the watchdog is to be fed: it is time, and each worker has turned since the last time.
    pub(super) fn beats(&mut self, now: Instant, turns: impl Fn(usize) -> u64) -> bool {
        if now.saturating_duration_since(self.fed_at) < self.period {
            return false;
        }
        let hangs = |(worker, seen): (usize, &Option<u64>)| *seen == Some(turns(worker));
        if self.turns.iter().enumerate().any(hangs) {
            return false;
        }
        for (worker, seen) in self.turns.iter_mut().enumerate() {
            *seen = seen.map(|_| turns(worker));
        }
        self.fed_at = now;
        true
    }
}

/// Often enough that a late one does no harm.
const FEEDINGS_PER_LIMIT: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_worker_that_stands_still_starves_the_watchdog() {
        let start = clock::mono();
        let mut pulse = Pulse::new(Duration::from_secs(8), 2, start);
        let after = |secs| start + Duration::from_secs(secs);
        assert!(!pulse.beats(after(1), |_| 5), "too early");
        assert!(pulse.beats(after(2), |_| 5));
        assert!(!pulse.beats(after(3), |_| 6), "too early again");
        assert!(!pulse.beats(after(4), |worker| 6 - worker as u64), "the second one hangs");
        assert!(!pulse.beats(after(60), |worker| 90 - 85 * worker as u64));
        assert!(pulse.beats(after(61), |_| 90), "it was only slow");
    }

    #[test]
    fn one_that_has_ended_is_not_waited_for() {
        let start = clock::mono();
        let mut pulse = Pulse::new(Duration::from_secs(4), 2, start);
        pulse.ended(1);
        assert!(pulse.beats(start + Duration::from_secs(1), |worker| 7 - 7 * worker as u64));
        pulse.ended(0);
        pulse.ended(2);
        assert!(pulse.beats(start + Duration::from_secs(2), |_| 0), "the writer still flushes");
    }
}
