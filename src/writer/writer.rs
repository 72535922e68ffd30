//! The writer and the body of its thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};

use super::batch::{BATCH_ROWS_MAX, Batch};
use super::keep::{Keep, KeepError};
use crate::clock;
use crate::session::{Entry, Kind, Ledger, SessionId, SessionView, Table, Traffic};
use crate::stats::{Ring, UserSums, WriterGauges};

/// What a writer is made of.
pub struct Parts {
    /// Where entries come from.
    pub receiver: Receiver<Entry>,
    /// The slots that they refer to.
    pub ledger: Arc<Ledger>,
    /// The live sessions, for checkpoints.
    pub table: Arc<Table>,
    /// Where rows are kept; `None` in memory mode.
    pub keep: Option<Box<dyn Keep>>,
    /// Where ended sessions are remembered in memory mode.
    pub ring: Option<Arc<Ring>>,
    /// Sums per user.
    pub users: Arc<UserSums>,
    /// How it is doing.
    pub gauges: Arc<WriterGauges>,
    /// When it does what.
    pub options: Options,
}

/// When the writer does what.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Entries that start a flush.
    pub batch_size: usize,
    /// Time since the first entry that starts a flush.
    pub batch_interval: Duration,
    /// Time between two checkpoints of a long session.
    pub checkpoint_interval: Duration,
    /// Time between two cleanings.
    pub cleanup_interval: Duration,
    /// How long a commit is retried once the journal is closed.
    pub stop_patience: Duration,
}

/// The writer.
pub struct Writer {
    parts: Parts,
    batch: Batch,
    /// What was last added to the sums for sessions that live on.
    added: HashMap<SessionId, Traffic>,
    pause: Duration,
    retry_at: Option<Instant>,
    checkpoint_at: Instant,
    cleanup_at: Instant,
}

impl Writer {
    /// A writer that is ready to run.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let now = clock::mono();
        Self {
            checkpoint_at: now + parts.options.checkpoint_interval,
            // Soon after a start: the process may have been down for long.
            cleanup_at: now + parts.options.checkpoint_interval,
            parts,
            batch: Batch::default(),
            added: HashMap::new(),
            pause: RETRY_FIRST,
            retry_at: None,
        }
    }

    /// Runs until the journal is closed and everything is stored, or the patience for that is over.
    /// Answers how many endings could not be stored.
    #[must_use]
    pub fn run(mut self) -> u64 {
        while self.gather() {
            let now = clock::mono();
            self.flush_if_due(now);
            self.checkpoint_if_due(now);
            self.clean_up_if_due(now);
            self.measure(now);
        }
        let lost = self.finish();
        if let Some(keep) = &mut self.parts.keep {
            keep.close();
        }
        lost
    }

    /// Takes in what waits, and waits when nothing does. `false` once the journal is closed and
    /// empty.
    ///
    /// The first entry wakes the writer; those behind it do not, because it then sleeps without
    /// listening: a wake-up costs the worker that sends a system call.
    fn gather(&mut self) -> bool {
        if self.batch.is_empty() {
            return match self.parts.receiver.recv_timeout(IDLE_WAIT) {
                Ok(entry) => {
                    self.batch.push(entry, clock::mono());
                    true
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
        }
        thread::park_timeout(TICK);
        while !self.batch.is_full() {
            match self.parts.receiver.try_recv() {
                Ok(entry) => self.batch.push(entry, clock::mono()),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    fn flush_if_due(&mut self, now: Instant) {
        let Options { batch_size, batch_interval, .. } = self.parts.options;
        let waits = self.retry_at.is_some_and(|at| now < at);
        if waits || !self.batch.is_due(now, batch_size, batch_interval) {
            return;
        }
        self.flush(now);
    }

    /// Commits the batch; on failure it is kept, and the pause grows.
    fn flush(&mut self, now: Instant) {
        let rows = self.batch.rows(&self.parts.ledger);
        match self.commit(&rows) {
            Ok(()) => {
                for ended in self.batch.take_ended() {
                    self.parts.ledger.free(ended);
                }
                self.retry_at = None;
                self.pause = RETRY_FIRST;
            }
            Err(error) => {
                if self.retry_at.is_none() {
                    tracing::warn!("sessions cannot be stored, will be tried again: {error}");
                }
                self.parts.gauges.retries.add(1);
                self.parts.gauges.failed(error.0);
                self.retry_at = Some(now + self.pause);
                self.pause = (self.pause * 2).min(RETRY_LAST);
            }
        }
    }

    fn commit(&mut self, rows: &[SessionView]) -> Result<(), KeepError> {
        if rows.is_empty() {
            return Ok(());
        }
        let began = clock::mono();
        if let Some(keep) = &mut self.parts.keep {
            keep.commit(rows)?;
        }
        let gauges = &self.parts.gauges;
        let took = clock::mono().saturating_duration_since(began);
        gauges.commit_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        gauges.commits.add(1);
        gauges.rows.add(rows.len() as u64);
        gauges.committed(clock::utc_ms());
        for row in rows {
            self.add(row);
            if let (Some(ring), Some(_)) = (&self.parts.ring, row.ending) {
                ring.push(row.clone());
            }
        }
        Ok(())
    }

    /// Adds to the sums what a session has used since it was last added.
    fn add(&mut self, row: &SessionView) {
        let before = match row.ending {
            Some(_) => self.added.remove(&row.id),
            None => self.added.insert(row.id, row.traffic),
        };
        if !row.accepted {
            return;
        }
        let known = before.unwrap_or_default();
        let more = Traffic {
            bytes_sent: row.traffic.bytes_sent.saturating_sub(known.bytes_sent),
            bytes_received: row.traffic.bytes_received.saturating_sub(known.bytes_received),
            ..Traffic::default()
        };
        self.parts.users.add(&row.user, before.is_none(), &more);
    }

    /// Writes the figures of long sessions that moved since the last time, so that anyone who reads
    /// the table sees them.
    fn checkpoint_if_due(&mut self, now: Instant) {
        if now < self.checkpoint_at {
            return;
        }
        self.checkpoint_at = now + self.parts.options.checkpoint_interval;
        if self.retry_at.is_some() {
            return;
        }
        let mut page = Vec::new();
        for worker in 0..self.parts.table.workers() {
            let mut after = None;
            loop {
                page.clear();
                after = self.parts.table.page(worker, after, &mut page);
                // Compared by figures and not by time: clocks step, and a turn may be long.
                let rows: Vec<_> = page
                    .iter()
                    .filter_map(|session| self.parts.ledger.view(*session))
                    .filter(|view| view.ending.is_none())
                    .filter(|view| self.added.get(&view.id) != Some(&view.traffic))
                    .collect();
                if let Err(error) = self.commit(&rows) {
                    tracing::warn!("live sessions cannot be stored: {error}");
                    self.parts.gauges.failed(error.0);
                    return;
                }
                if after.is_none() {
                    break;
                }
            }
        }
    }

    /// Deletes one slice of old rows; the next one follows at the next turn, so that no commit
    /// waits for more than a slice.
    fn clean_up_if_due(&mut self, now: Instant) {
        if now < self.cleanup_at || self.retry_at.is_some() {
            return;
        }
        let Some(keep) = &mut self.parts.keep else { return };
        match keep.clean_up(clock::utc_ms()) {
            Ok(0) => self.cleanup_at = now + self.parts.options.cleanup_interval,
            Ok(deleted) => {
                self.parts.gauges.deleted.add(deleted as u64);
                self.cleanup_at = now + BETWEEN_SLICES;
            }
            Err(error) => {
                tracing::warn!("old sessions cannot be deleted: {error}");
                self.cleanup_at = now + RETRY_LAST;
            }
        }
    }

    fn measure(&self, now: Instant) {
        let gauges = &self.parts.gauges;
        gauges.queue.set((self.parts.receiver.len() + self.batch.len()) as u64);
        let age = self.batch.age(now).as_millis();
        gauges.set_oldest_unsaved_ms(u64::try_from(age).unwrap_or(u64::MAX));
    }

    /// The journal is closed: stores what is left, for as long as patience lasts.
    fn finish(&mut self) -> u64 {
        let until = clock::mono() + self.parts.options.stop_patience;
        loop {
            while !self.batch.is_full() {
                match self.parts.receiver.try_recv() {
                    Ok(entry) => self.batch.push(entry, clock::mono()),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            if self.batch.is_empty() {
                self.measure(clock::mono());
                return 0;
            }
            let now = clock::mono();
            self.flush(now);
            if self.retry_at.is_some() {
                if now >= until {
                    let rest = self.batch.rows(&self.parts.ledger);
                    let endings = rest.iter().filter(|row| row.ending.is_some()).count();
                    let queued = self.parts.receiver.try_iter();
                    let queued = queued.filter(|entry| entry.kind == Kind::Closed).count();
                    let lost = (endings + queued) as u64;
                    self.parts.gauges.lost.add(lost);
                    return lost;
                }
                thread::park_timeout(self.pause.min(until.saturating_duration_since(now)));
            }
        }
    }
}

/// How long the writer listens for a first entry before it looks at its other duties.
const IDLE_WAIT: Duration = Duration::from_millis(250);
/// How often it looks for more while a batch is gathering.
const TICK: Duration = Duration::from_millis(10);
/// The first pause after a commit that failed; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// The pause between two slices of a cleaning.
const BETWEEN_SLICES: Duration = Duration::from_millis(50);

const _: () = assert!(BATCH_ROWS_MAX > 0);
