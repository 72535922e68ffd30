//! Takes minutes from the workers' counters. Pure but for reading them: `now` is an argument.

use std::sync::Arc;

use super::counters::Counters;
use super::minutes::{Minute, Minutes};

/// What has been counted since the process started.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    started: u64,
    rejected: u64,
    bytes_sent: u64,
    bytes_received: u64,
    active: u64,
}

impl Totals {
    /// What has moved since an earlier look, in the minute that began at `start_ms`.
    const fn since(&self, before: &Self, start_ms: i64) -> Minute {
        Minute {
            start_ms,
            active: self.active,
            started: self.started.saturating_sub(before.started),
            rejected: self.rejected.saturating_sub(before.rejected),
            bytes_sent: self.bytes_sent.saturating_sub(before.bytes_sent),
            bytes_received: self.bytes_received.saturating_sub(before.bytes_received),
        }
    }
}

/// The sampler; to be ticked about once a second.
#[derive(Debug)]
pub struct Sampler {
    workers: Arc<[Arc<Counters>]>,
    minutes: Arc<Minutes>,
    before: Totals,
    running: Option<Minute>,
}

impl Sampler {
    /// One that begins with its first tick.
    #[must_use]
    pub fn new(workers: Arc<[Arc<Counters>]>, minutes: Arc<Minutes>) -> Self {
        Self { workers, minutes, before: Totals::default(), running: None }
    }

    /// Books what has moved since the last tick to the minute of `now_ms` (milliseconds since the
    /// epoch), and hands it over if anything has. A minute ends when the clock shows another one,
    /// whichever way it was set.
    pub fn tick(&mut self, now_ms: i64) {
        let start_ms = now_ms.div_euclid(60_000) * 60_000;
        if self.running.is_some_and(|running| running.start_ms != start_ms) {
            self.end();
        }
        let now = self.totals();
        let minute = self.running.get_or_insert(Minute { start_ms, ..Minute::default() });
        minute.add(&now.since(&self.before, start_ms));
        self.before = now;
        if minute.has_moved() {
            self.minutes.push(*minute);
            *minute = Minute { start_ms, active: now.active, ..Minute::default() };
        }
    }

    /// Hands over what is left of the running minute: it is over, or the process stops.
    pub fn end(&mut self) {
        if let Some(ended) = self.running.take() {
            self.minutes.push(ended);
        }
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for worker in self.workers.iter() {
            totals.started += worker.sessions_opened.get();
            totals.rejected += worker.sessions_rejected.get();
            totals.bytes_sent += worker.bytes_sent.get();
            totals.bytes_received += worker.bytes_received.get();
            totals.active += worker.active();
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_minute_has_what_moved_in_it_even_when_the_clock_is_set() {
        let counters = Arc::new(Counters::new());
        let minutes = Arc::new(Minutes::new(24).to_be_saved());
        let mut sampler = Sampler::new(Arc::from([Arc::clone(&counters)]), Arc::clone(&minutes));
        // Seconds of the clock, and what moves before each tick.
        for (second, bytes) in [(0, 1), (59, 2), (60, 4), (61, 8), (600, 16), (30, 32)] {
            counters.bytes_sent.add(bytes);
            counters.sessions_opened.add(1);
            sampler.tick(second * 1000);
        }
        sampler.end();
        let moved: Vec<_> = minutes
            .lend()
            .iter()
            .map(|minute| (minute.start_ms / 60_000, minute.bytes_sent, minute.active))
            .collect();
        assert_eq!(moved, [(0, 3, 2), (1, 12, 4), (10, 16, 5), (0, 32, 6)]);
    }

    proptest! {
        /// Whatever the clock does and whenever the writer comes: the minutes that were stored and
        /// those that wait add up to the counters, and each begins at a minute's edge.
        #[test]
        fn minutes_add_up_to_the_counters(
            steps in prop::collection::vec((-90i64..180, 0..100u64, 0..3u64, any::<Option<bool>>()), 1..200),
        ) {
            let workers = [Arc::new(Counters::new()), Arc::new(Counters::new())];
            let minutes = Arc::new(Minutes::new(24).to_be_saved());
            let mut sampler = Sampler::new(Arc::new(workers.clone()), Arc::clone(&minutes));
            let [one, other] = workers;
            let mut now_ms = 1_769_846_700_000;
            let mut stored = Vec::new();
            for (seconds, octets, sessions, store) in steps {
                now_ms += seconds * 1000;
                one.bytes_sent.add(octets);
                other.bytes_received.add(2 * octets);
                other.sessions_opened.add(sessions);
                one.sessions_rejected.add(sessions);
                sampler.tick(now_ms);
                if let Some(in_time) = store {
                    let lent = minutes.lend();
                    if !in_time {
                        // The next tick falls into the storing.
                        one.bytes_sent.add(octets);
                        sampler.tick(now_ms);
                    }
                    minutes.saved();
                    stored.extend(lent);
                }
            }
            sampler.end();
            stored.extend(minutes.lend());
            prop_assert!(stored.iter().all(|minute| minute.start_ms % 60_000 == 0));
            let sum = |of: fn(&Minute) -> u64| stored.iter().map(of).sum::<u64>();
            prop_assert_eq!(sum(|minute| minute.bytes_sent), one.bytes_sent.get());
            prop_assert_eq!(sum(|minute| minute.bytes_received), other.bytes_received.get());
            prop_assert_eq!(sum(|minute| minute.started), other.sessions_opened.get());
            prop_assert_eq!(sum(|minute| minute.rejected), one.sessions_rejected.get());
        }
    }
}
