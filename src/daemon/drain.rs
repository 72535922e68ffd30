//! From the first signal to the last worker's end.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::start::{Failure, Shared};
use super::watch::Event;
use crate::clock;
use crate::mailbox::{Letter, Post};
use crate::session::SLOTS_PER_CHUNK;

/// What is watched over while the workers run.
pub(super) struct Running<'a> {
    pub(super) events: &'a Receiver<Event>,
    pub(super) posts: &'a [Post],
    pub(super) shared: &'a Shared,
    pub(super) drain_timeout: Duration,
}

impl Running<'_> {
    /// Waits for a signal, then for the workers. A worker that ends before it is told to ends the
    /// process: half a server is none.
    pub(super) fn until_ended(&self) -> Result<(), Failure> {
        let mut left = self.posts.len();
        let mut stopping: Option<Instant> = None;
        let mut failure = None;
        while left > 0 {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Stop) if stopping.is_none() => {
                    stopping = Some(self.drain(self.drain_timeout));
                }
                Ok(Event::Stop) => {
                    tracing::warn!("stopping at once");
                    self.order(|| Letter::Stop);
                }
                Ok(Event::Reload) => {
                    tracing::warn!("SIGHUP: nothing can be reloaded yet; restart to apply changes");
                }
                Ok(Event::WorkerEnded(worker, result)) => {
                    left -= 1;
                    if let Err(error) = result {
                        tracing::error!("worker {worker} failed: {error}");
                        failure = Some(Failure::Other(format!("worker {worker} failed: {error}")));
                    }
                    if stopping.is_none() {
                        stopping = Some(self.drain(Duration::ZERO));
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.grow_ledger(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if stopping.is_some_and(|until| clock::mono() > until + OVERTIME) {
                let text = format!("{left} workers did not end in time");
                return Err(Failure::Other(text));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn drain(&self, patience: Duration) -> Instant {
        self.shared.readiness.set_draining();
        let until = clock::mono() + patience;
        let live: u64 = self.shared.counters.iter().map(|counters| counters.active()).sum();
        tracing::info!("stopping: {live} sessions have {} s to end", patience.as_secs());
        self.order(|| Letter::Drain { until });
        until
    }

    fn order(&self, letter: impl Fn() -> Letter) {
        for post in self.posts {
            if post.order(letter()).is_err() {
                tracing::debug!("a worker takes no more orders: it has ended");
            }
        }
    }

    /// Gives slots to workers that have used up half of a chunk.
    fn grow_ledger(&self) {
        for (post, counters) in self.posts.iter().zip(self.shared.counters.iter()) {
            // 0 turns: it has not said yet what it has.
            if counters.turns.get() == 0
                || counters.ledger_free.get() >= u64::from(SLOTS_PER_CHUNK) / 2
            {
                continue;
            }
            let Ok(chunk) = self.shared.ledger.grow() else { continue };
            if post.order(Letter::Chunk(chunk)).is_err() {
                tracing::debug!("a worker takes no more slots: it has ended");
            }
        }
    }
}

/// How often the ledger is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long after the drain's end the workers may take to cut what is left.
const OVERTIME: Duration = Duration::from_secs(5);
