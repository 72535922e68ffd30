//! From the first signal to the end of the last worker and of the writer.
//!
//! ```text
//! SIGTERM ── drain_timeout ──▶ sessions are cut ── BACKLOG_PATIENCE ──▶ workers leave
//!                                                                        │ journal closed
//!                                           everything stored, or not ◀──┴── writer's patience
//! ```
//!
//! Nothing here waits without a bound: the database may be gone, and a thread may hang in a system
//! call. What is not stored by then is counted in the ledger, which keeps it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::service::Service;
use super::start::{Failure, Shared};
use super::storage::STOP_PATIENCE;
use super::watch::Event;
use crate::clock;
use crate::limit::{News, Subject};
use crate::mailbox::{Letter, Post};
use crate::session::{Chunk, Journal, SLOTS_PER_CHUNK};
use crate::stats::Sampler;

/// What is watched over while the workers run.
pub(super) struct Running<'a> {
    pub(super) events: &'a Receiver<Event>,
    pub(super) posts: &'a [Post],
    pub(super) shared: &'a Shared,
    pub(super) drain_timeout: Duration,
}

/// How far the process has come towards its end.
struct Progress {
    workers_left: usize,
    writing: bool,
    /// When it is given up; set by the first signal, moved by each step.
    give_up_at: Option<Instant>,
    /// A second signal has come: no step gets more time.
    hurried: bool,
    failure: Option<Failure>,
    sampler: Sampler,
    /// Keeps the writer from ending before it was handed the last minute.
    journal: Option<Journal>,
    /// When the ledger's file is looked for next.
    inspect_at: Instant,
    /// Of each worker, the turn that it was in when it was last given slots.
    given_at: Vec<u64>,
    service: Service,
}

impl Running<'_> {
    /// Waits for a signal, then for the workers, then for the writer. A worker or a writer that ends
    /// before it is told to ends the process: half a server is none.
    ///
    /// # Errors
    /// When one of them failed, did not end in time, or sessions could not be stored.
    pub(super) fn until_ended(&self, journal: Journal, service: Service) -> Result<(), Failure> {
        let mut progress = Progress {
            workers_left: self.posts.len(),
            writing: true,
            give_up_at: None,
            hurried: false,
            failure: None,
            sampler: Sampler::new(
                Arc::clone(&self.shared.counters),
                Arc::clone(&self.shared.minutes),
            ),
            journal: Some(journal),
            inspect_at: clock::mono(),
            given_at: vec![0; self.posts.len()],
            service,
        };
        while progress.workers_left > 0 || progress.writing {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Stop) => self.stop(&mut progress),
                Ok(Event::WorkerEnded(worker, result)) => {
                    progress.workers_left -= 1;
                    progress.service.worker_ended(worker);
                    let told = progress.give_up_at.is_some();
                    self.ended(&mut progress, &format!("worker {worker}"), result, told);
                    if progress.workers_left == 0 {
                        progress.sampler.tick(clock::utc_ms());
                        progress.sampler.end();
                        progress.journal = None;
                        progress.allow(clock::mono() + STOP_PATIENCE + OVERTIME);
                    }
                }
                Ok(Event::WriterEnded(result)) => {
                    progress.writing = false;
                    let told = progress.workers_left == 0;
                    self.ended(&mut progress, "the writer", result, told);
                }
                Err(RecvTimeoutError::Timeout) => {
                    progress.sampler.tick(clock::utc_ms());
                    self.tell_of_quotas();
                    self.tend_ledger(&mut progress);
                    progress.service.tick(clock::mono(), self.shared);
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if progress.give_up_at.is_some_and(|at| clock::mono() >= at) {
                break;
            }
        }
        self.verdict(progress)
    }

    /// The first signal drains, any further one hurries.
    fn stop(&self, progress: &mut Progress) {
        if progress.give_up_at.is_none() {
            self.drain(progress, self.drain_timeout);
        } else if !progress.hurried {
            tracing::warn!("stopping at once");
            let now = clock::mono();
            self.order(|| Letter::Drain { until: now, leave_at: now + HURRIED_BACKLOG_PATIENCE });
            progress.allow(now + HURRIED_PATIENCE);
            progress.hurried = true;
        }
    }

    fn drain(&self, progress: &mut Progress, patience: Duration) {
        self.shared.readiness.set_draining();
        let until = clock::mono() + patience;
        let live: u64 = self.shared.counters.iter().map(|counters| counters.active()).sum();
        let sessions = if live == 1 { "session has" } else { "sessions have" };
        tracing::info!("stopping: {live} {sessions} {} s to end", patience.as_secs());
        let leave_at = until + BACKLOG_PATIENCE;
        self.order(|| Letter::Drain { until, leave_at });
        progress.allow(leave_at + OVERTIME);
        let steps = [patience, BACKLOG_PATIENCE, OVERTIME, STOP_PATIENCE, OVERTIME];
        progress.service.stopping(steps.into_iter().sum(), self.shared);
    }

    /// Takes note of the end of a thread, and ends the others if it was not `told` to end.
    fn ended(&self, progress: &mut Progress, who: &str, result: io::Result<()>, told: bool) {
        let error = match result {
            Ok(()) if told => return,
            Ok(()) => "it ended before it was told to".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::error!("{who} failed: {error}");
        progress.failure.get_or_insert(Failure::Other(format!("{who} failed: {error}")));
        if !told {
            // With no writer nobody takes what workers wait to send.
            let now = clock::mono();
            let leave_at = if progress.writing { now + BACKLOG_PATIENCE } else { now };
            self.shared.readiness.set_draining();
            self.order(|| Letter::Drain { until: now, leave_at });
            progress.allow(leave_at + OVERTIME);
        }
    }

    /// How it went, once it is over or given up.
    fn verdict(&self, progress: Progress) -> Result<(), Failure> {
        let Progress { workers_left, writing, failure, .. } = progress;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let unstored = self.shared.ledger.held();
        let why = match (workers_left, writing) {
            (0, false) if unstored == 0 => return Ok(()),
            (0, false) => String::new(),
            (0, true) => ": the writer did not end in time".to_owned(),
            (left, _) => format!(": {left} workers did not end in time"),
        };
        let trouble = self.shared.gauges.trouble().map_or(String::new(), |why| format!(" ({why})"));
        Err(Failure::Other(format!("{unstored} sessions could not be stored{why}{trouble}")))
    }

    fn order(&self, letter: impl Fn() -> Letter) {
        for post in self.posts {
            if post.order(letter()).is_err() {
                tracing::debug!("a worker takes no more orders: it has ended");
            }
        }
    }

    /// Logs which quotas have come to a mark, once for each mark and period; and has sessions ended by
    /// one that is used up which move nothing, and so would not learn of it.
    fn tell_of_quotas(&self) {
        let mut used_up = false;
        for News { subject, exhausted } in self.shared.admission.limits().news() {
            used_up |= exhausted;
            let how = if exhausted { "used up" } else { "nearly used up" };
            let Subject { quota, user, .. } = subject;
            match user {
                Some(user) => tracing::warn!("quota {how}: quota={quota:?} user={user:?}"),
                None => tracing::warn!("quota {how}: quota={quota:?}"),
            }
        }
        if used_up {
            self.order(|| Letter::QuotaUsedUp);
        }
    }

    /// Looks whether the ledger is still what it was, and gives slots to workers that have used up
    /// half of a chunk.
    fn tend_ledger(&self, progress: &mut Progress) {
        let (ledger, now) = (&self.shared.ledger, clock::mono());
        if now >= progress.inspect_at {
            progress.inspect_at = now + BETWEEN_INSPECTIONS;
            if !ledger.inspect() {
                let chunks = ledger.renew(self.posts.len());
                self.posts.iter().zip(chunks).for_each(|(post, chunk)| give(post, chunk));
            }
        }
        let workers = self.posts.iter().zip(self.shared.counters.iter());
        for ((post, counters), given_at) in workers.zip(&mut progress.given_at) {
            let turns = counters.turns.get();
            // In the same turn it has not said yet what it has now; 0 turns: nor what it began with.
            if turns == *given_at || counters.ledger_free.get() >= u64::from(SLOTS_PER_CHUNK) / 2 {
                continue;
            }
            let Ok(chunk) = ledger.grow() else { continue };
            give(post, chunk);
            *given_at = turns;
        }
    }
}

fn give(post: &Post, chunk: Chunk) {
    if post.order(Letter::Chunk(chunk)).is_err() {
        tracing::debug!("a worker takes no more slots: it has ended");
    }
}

impl Progress {
    /// The step that begins may take until `at`, unless the process is in a hurry.
    const fn allow(&mut self, at: Instant) {
        if !self.hurried {
            self.give_up_at = Some(at);
        }
    }
}

/// How often the ledger is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How often its file is looked for.
const BETWEEN_INSPECTIONS: Duration = Duration::from_secs(1);
/// How long after the last session's end a worker waits for room in the journal.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(3);
/// How long a thread may take beyond the time it was given.
const OVERTIME: Duration = Duration::from_secs(2);
/// The same after a second signal: for the workers, and for everything.
const HURRIED_BACKLOG_PATIENCE: Duration = Duration::from_secs(1);
const HURRIED_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
