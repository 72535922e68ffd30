//! What one worker counts. Each cell has one writer, so counting is a load and a store without a
//! locked instruction, and each worker's cells lie on cache lines of their own.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::histogram::Histogram;
use super::lookups::LookupCounts;
use super::peak::Peak;
use super::stages::StageTimes;
use crate::session::Outcome;
use crate::udp::Dropped;

/// One number with one writer and any number of readers.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `amount`. Only the owning thread may call it.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Sets the number. Only the owning thread may call it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Everything that one worker counts. A new field does not compile until the metrics export it:
/// they take this struct apart without `..`.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    /// Client connections accepted, or taken over from a worker that has more.
    pub accepted: Count,
    /// Client connections whose slot is free again.
    pub released: Count,
    /// Of those accepted, the ones that another worker took off the queue.
    pub taken_over: Count,
    /// Pauses of accepting, from clients or the peers of a BIND, because descriptors had run out.
    pub accept_pauses: Count,
    /// Clients turned away because `max_connections` was reached.
    pub over_limit: Count,
    /// Clients turned away because their address is banned.
    pub banned: Count,
    /// Of all that were turned away, clients that are in no record, because too many addresses were
    /// being counted.
    pub over_limit_unlisted: Count,
    /// Clients that came and went without a word: no attempts, and in no record.
    pub silent: Count,
    /// Sockets that connections wanted and the limit of descriptors had no room for.
    pub sockets_refused: Count,
    /// Sessions that were given their first permit.
    pub sessions_opened: Count,
    /// Of those, sessions that ended.
    pub sessions_closed: Count,
    /// Attempts that a rule or the guard refused.
    pub sessions_rejected: Count,
    /// Attempts and datagrams' targets that a shadow rule would have refused.
    pub shadow_blocks: Count,
    /// Logins that failed.
    pub auth_failures: Count,
    /// Octets, client to target.
    pub bytes_sent: Count,
    /// Octets, target to client.
    pub bytes_received: Count,
    /// Relay transfers, client to target.
    pub packets_sent: Count,
    /// Relay transfers, target to client.
    pub packets_received: Count,
    /// Durations of accepted sessions that ended, milliseconds.
    pub durations: Histogram<{ DURATION_BOUNDS_MS.len() }>,
    /// Times of their stages, and of those that were refused.
    pub stages: StageTimes,
    /// Endings by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [Count; Outcome::ALL.len()],
    /// Datagrams of associations, client to target.
    pub datagrams_sent: Count,
    /// Datagrams of associations, target to client.
    pub datagrams_received: Count,
    /// Datagrams that were dropped, by reason, in the order of [`Dropped::ALL`].
    pub datagrams_dropped: [Count; Dropped::ALL.len()],
    /// Sockets towards targets whose source address could not be had.
    pub sources_lost: Count,
    /// Names that were looked up.
    pub lookups: LookupCounts,
    /// Poll events and answers that came for a connection that was gone.
    pub stale: Count,
    /// Relay turns that used up their budget.
    pub budget_spent: Count,
    /// Octets that passed through pipes, both ways.
    pub spliced_bytes: Count,
    /// Pipes that exist (a gauge).
    pub pipes_open: Count,
    /// Transfers that were copied because there was no pipe for them.
    pub pipes_missed: Count,
    /// Pipes that the kernel did not give.
    pub pipe_failures: Count,
    /// Sessions without a ledger slot, and so without a record.
    pub unrecorded: Count,
    /// The same of attempts that were never given a permit, and of clients over the limit: they may hold
    /// a part of the ledger only.
    pub attempts_unrecorded: Count,
    /// Openings that were not announced because the journal was nearly full.
    pub openings_left_out: Count,
    /// Endings that wait for room in the journal (a gauge).
    pub journal_backlog: Count,
    /// Connections whose handling panicked; must stay 0.
    pub panics: Count,
    /// Turns of the loop.
    pub turns: Count,
    /// Microseconds spent in turns, waiting left out.
    pub busy_us: Count,
    /// The longest turn so far, microseconds.
    pub turn_us_max: Count,
    /// The longest turn of late, microseconds: what an event may have had to wait.
    pub turn_us_peak: Peak,
    /// Generation of the policy that the worker uses (a gauge).
    pub policy_generation: Count,
    /// Ledger slots that the worker can claim (a gauge).
    pub ledger_free: Count,
}

impl Counters {
    /// All at 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Connections that are here now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        // As below: released first.
        let released = self.released.get();
        self.accepted.get().saturating_sub(released)
    }

    /// Sessions alive now: opened and not closed.
    #[must_use]
    pub fn active(&self) -> u64 {
        // Closed first: a session that opens and closes between the two reads must not make the
        // difference negative.
        let closed = self.sessions_closed.get();
        self.sessions_opened.get().saturating_sub(closed)
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            accepted: Count::default(),
            released: Count::default(),
            taken_over: Count::default(),
            accept_pauses: Count::default(),
            over_limit: Count::default(),
            banned: Count::default(),
            over_limit_unlisted: Count::default(),
            silent: Count::default(),
            sockets_refused: Count::default(),
            sessions_opened: Count::default(),
            sessions_closed: Count::default(),
            sessions_rejected: Count::default(),
            shadow_blocks: Count::default(),
            auth_failures: Count::default(),
            bytes_sent: Count::default(),
            bytes_received: Count::default(),
            packets_sent: Count::default(),
            packets_received: Count::default(),
            durations: Histogram::new(&DURATION_BOUNDS_MS),
            stages: StageTimes::default(),
            outcomes: array::from_fn(|_| Count::default()),
            datagrams_sent: Count::default(),
            datagrams_received: Count::default(),
            datagrams_dropped: array::from_fn(|_| Count::default()),
            sources_lost: Count::default(),
            lookups: LookupCounts::default(),
            stale: Count::default(),
            budget_spent: Count::default(),
            spliced_bytes: Count::default(),
            pipes_open: Count::default(),
            pipes_missed: Count::default(),
            pipe_failures: Count::default(),
            unrecorded: Count::default(),
            attempts_unrecorded: Count::default(),
            openings_left_out: Count::default(),
            journal_backlog: Count::default(),
            panics: Count::default(),
            turns: Count::default(),
            busy_us: Count::default(),
            turn_us_max: Count::default(),
            turn_us_peak: Peak::default(),
            policy_generation: Count::default(),
            ledger_free: Count::default(),
        }
    }
}

/// Upper bounds of the duration buckets, milliseconds: the reference's eight, then hours.
pub const DURATION_BOUNDS_MS: [u64; 11] =
    [100, 500, 1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000, 21_600_000];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_workers_counters_share_no_cache_line() {
        assert_eq!(align_of::<Counters>() % 128, 0);
        assert_eq!(size_of::<Counters>() % 128, 0);
    }
}
