//! The writer and the body of its thread.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};

use super::batch::{BATCH_ROWS_MAX, Batch};
use super::calendar::Calendar;
use super::keep::{Keep, KeepError, Tended};
use super::known::Known;
use super::retry::Retry;
use super::sweep::Sweep;
use super::witness::Witness;
use crate::clock;
use crate::session::{Entry, Ledger, Table};
use crate::stats::{Change, Minutes, Ring, UserSums, Windows, WriterGauges};

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
    /// Sums of what started of late.
    pub windows: Arc<Windows>,
    /// The minutes.
    pub minutes: Arc<Minutes>,
    /// How it is doing.
    pub gauges: Arc<WriterGauges>,
    /// Who hears of sessions at once.
    pub witness: Witness,
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
    known: Known,
    /// The rows of the running commit; kept for its memory.
    rows: Vec<Change>,
    retry: Retry,
    sweep: Sweep,
    calendar: Calendar,
    tend_at: Instant,
    cleanup_at: Instant,
    /// When minutes are stored again.
    minutes_at: Instant,
    /// When a failure that lasts is spoken of again.
    complain_at: Instant,
}

impl Writer {
    /// A writer that is ready to run.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let calendar = Calendar::new(clock::now());
        let now = clock::mono();
        Self {
            calendar,
            batch: Batch::default(),
            known: Known::default(),
            rows: Vec::new(),
            retry: Retry::new(),
            sweep: Sweep::new(parts.options.checkpoint_interval, now),
            tend_at: now,
            complain_at: now,
            minutes_at: now,
            // Soon after a start: the process may have been down for long.
            cleanup_at: now + parts.options.checkpoint_interval,
            parts,
        }
    }

    /// Runs until the journal is closed and everything is stored, or the patience for that is over.
    /// Answers how many endings could not be stored.
    #[must_use]
    pub fn run(mut self) -> u64 {
        while self.gather() {
            let now = clock::mono();
            // Before as well as after: a commit may be held for long.
            self.measure(now);
            self.flush_if_due(now);
            self.checkpoint_if_due(now);
            self.probe_if_due(now);
            self.tend_if_due(now);
            let old_by_ms = self.calendar.utc_ms(clock::now());
            self.clean_up_if_due(now, old_by_ms);
            self.keep_minutes_if_due(now, old_by_ms);
            self.measure(clock::mono());
        }
        let lost = self.finish();
        let now = clock::now();
        self.minutes_at = now.mono;
        let old_by_ms = self.calendar.utc_ms(now);
        self.keep_minutes_if_due(now.mono, old_by_ms);
        if let Some(keep) = &mut self.parts.keep {
            keep.close();
        }
        lost
    }

    /// Takes in what waits, and waits when little does. `false` once the journal is closed and
    /// empty.
    ///
    /// The first entry wakes the writer; those behind it do not, because it then sleeps without
    /// listening: a wake-up costs the worker that sends a system call.
    fn gather(&mut self) -> bool {
        if self.batch.is_empty() && !self.sweep.is_under_way() {
            match self.parts.receiver.recv_timeout(IDLE_WAIT) {
                Ok(entry) => self.take_in(entry, clock::mono()),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        } else if self.retry.is_failing() || !self.is_full(self.parts.receiver.len()) {
            thread::park_timeout(NAP);
        }
        self.drain()
    }

    /// Whether a transaction can be filled, `more` entries being on their way.
    fn is_full(&self, more: usize) -> bool {
        self.batch.endings_len() + more >= BATCH_ROWS_MAX
    }

    /// Takes in all that waits. `false` once the journal is closed and empty.
    fn drain(&mut self) -> bool {
        let now = clock::mono();
        // As many as the channel holds: senders that are as fast as this do not keep it here.
        for _ in 0..self.parts.receiver.capacity().unwrap_or(usize::MAX) {
            match self.parts.receiver.try_recv() {
                Ok(entry) => self.take_in(entry, now),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    fn take_in(&mut self, entry: Entry, now: Instant) {
        self.parts.witness.tell(entry, &self.parts.ledger);
        if self.batch.push(entry, now) {
            self.parts.gauges.openings_left_out.add(1);
        }
    }

    fn flush_if_due(&mut self, now: Instant) {
        let Options { batch_size, batch_interval, .. } = self.parts.options;
        if !self.retry.waits(now) && self.batch.is_due(now, batch_size, batch_interval) {
            self.flush(now, batch_interval);
        }
    }

    /// Commits what waits, openings only when they have waited for `interval`. On failure all is
    /// kept, and the pause grows.
    fn flush(&mut self, now: Instant, interval: Duration) {
        self.rows.clear();
        self.batch.rows((now, interval), &self.parts.ledger, &self.known, &mut self.rows);
        match self.commit() {
            Ok(()) => {
                for ended in self.batch.take_ended() {
                    self.parts.ledger.free(ended);
                }
                self.succeeded();
            }
            Err(error) => self.failed(now, error),
        }
    }

    fn succeeded(&mut self) {
        if self.retry.succeeded() {
            self.parts.gauges.recovered();
            tracing::info!("sessions are stored again");
        }
    }

    /// Rows cannot be stored; it will be tried again.
    fn failed(&mut self, now: Instant, error: KeepError) {
        if !self.retry.is_failing() || now >= self.complain_at {
            tracing::error!("sessions cannot be stored, will be tried again: {error}");
            self.complain_at = now + BETWEEN_COMPLAINTS;
        }
        self.parts.gauges.retries.add(1);
        self.parts.gauges.failed(error.0);
        self.retry.failed(now);
    }

    /// Finds out whether rows can be stored again while there are none to try it with.
    fn probe_if_due(&mut self, now: Instant) {
        if !self.retry.is_failing() || self.retry.waits(now) {
            return;
        }
        match self.parts.keep.as_mut().map_or(Ok(()), |keep| keep.probe()) {
            Ok(()) => self.succeeded(),
            Err(error) => self.failed(now, error),
        }
    }

    /// Looks after the place where rows are kept.
    fn tend_if_due(&mut self, now: Instant) {
        if now < self.tend_at || self.retry.is_failing() {
            return;
        }
        self.tend_at = now + BETWEEN_TENDINGS;
        let Some(keep) = &mut self.parts.keep else { return };
        match keep.tend(now) {
            Ok(Tended { wal_bytes, wal_trouble, oldest_row_ms }) => {
                let gauges = &self.parts.gauges;
                gauges.wal_bytes.set(wal_bytes);
                gauges.set_wal_trouble(wal_trouble);
                gauges.set_oldest_row_ms(oldest_row_ms);
            }
            Err(error) => self.failed(now, error),
        }
    }

    /// Commits the rows, and books what they change.
    fn commit(&mut self) -> Result<(), KeepError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let began = clock::mono();
        if let Some(keep) = &mut self.parts.keep {
            keep.commit(&self.rows)?;
        }
        let now = clock::mono();
        let took = now.saturating_duration_since(began);
        for change in &self.rows {
            self.known.committed(change);
            self.add(change, now);
        }
        let gauges = &self.parts.gauges;
        gauges.commit_us.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        gauges.commits.add(1);
        gauges.rows.add(self.rows.len() as u64);
        let now_ms = clock::utc_ms();
        self.parts.windows.commit(now_ms, &self.rows);
        gauges.committed(now_ms);
        if let Some(ring) = &self.parts.ring {
            let ended = self.rows.drain(..).filter(|change| change.session.ending.is_some());
            ended.for_each(|change| ring.push(change.session));
        }
        Ok(())
    }

    /// Adds what a commit has changed to all sums over rows.
    fn add(&self, change: &Change, now: Instant) {
        let session = &change.session;
        if session.accepted {
            self.parts.users.add(&session.user, change.is_first(), &change.moved(), now);
        }
    }

    /// Writes a slice of the figures of long sessions that moved since the last time, so that
    /// anyone who reads the table sees them, and so that a power cut costs no more.
    fn checkpoint_if_due(&mut self, now: Instant) {
        if !self.sweep.is_due(now) {
            return;
        }
        let Parts { receiver, table, ledger, gauges, .. } = &self.parts;
        let room = receiver.capacity().unwrap_or(usize::MAX);
        let pressed = receiver.len() + self.batch.endings_len() >= room / 2;
        if pressed || self.retry.is_failing() {
            gauges.checkpoints_skipped.add(1);
            self.sweep.skip(now);
            return;
        }
        self.rows.clear();
        self.sweep.rows((now, clock::utc_ms()), (table, ledger), &self.known, &mut self.rows);
        if let Err(error) = self.commit() {
            self.parts.gauges.checkpoints_skipped.add(1);
            self.sweep.skip(now);
            self.failed(now, error);
        }
    }

    /// Deletes one slice of old rows; the next one follows at a later turn, so that no commit waits
    /// for more than a slice. Rows are old by the time `old_by_ms`.
    fn clean_up_if_due(&mut self, now: Instant, old_by_ms: i64) {
        if now < self.cleanup_at || self.retry.is_failing() {
            return;
        }
        let Some(keep) = &mut self.parts.keep else { return };
        let gauges = &self.parts.gauges;
        let began = clock::mono();
        let cleaned = keep.clean_up(old_by_ms);
        let took = clock::mono().saturating_duration_since(began).as_micros();
        gauges.slice_us.observe(u64::try_from(took).unwrap_or(u64::MAX));
        match cleaned {
            Ok(cleaned) if cleaned.is_done() => {
                gauges.cleaning.set(0);
                self.cleanup_at = now + self.parts.options.cleanup_interval;
            }
            Ok(cleaned) => {
                gauges.cleaning.set(1);
                gauges.deleted.add(cleaned.rows as u64);
                gauges.freed_pages.add(u64::from(cleaned.pages));
                self.cleanup_at = now + BETWEEN_SLICES;
            }
            Err(error) => {
                tracing::warn!("old sessions cannot be deleted: {error}");
                self.cleanup_at = now + CLEANUP_RETRY;
            }
        }
    }

    /// Stores the minutes, the running one as far as it is known. Those before are old by the time
    /// `old_by_ms`.
    fn keep_minutes_if_due(&mut self, now: Instant, old_by_ms: i64) {
        if now < self.minutes_at || self.retry.is_failing() {
            return;
        }
        let Some(keep) = &mut self.parts.keep else { return };
        let minutes = self.parts.minutes.lend();
        if minutes.is_empty() {
            return;
        }
        let before_ms = old_by_ms.saturating_sub(self.parts.minutes.span_ms());
        match keep.keep_minutes(&minutes, before_ms) {
            Ok(()) => {
                self.parts.minutes.saved();
                self.minutes_at = now + BETWEEN_MINUTES;
            }
            Err(error) => {
                self.parts.minutes.not_saved();
                tracing::warn!("minutes cannot be stored, will be tried again: {error}");
                self.minutes_at = now + MINUTES_RETRY;
            }
        }
    }

    fn measure(&self, now: Instant) {
        let gauges = &self.parts.gauges;
        gauges.turned(now);
        gauges.queue.set((self.parts.receiver.len() + self.batch.len()) as u64);
        gauges.set_unsaved_since(self.batch.since());
    }

    /// The journal is closed: stores the endings that are left, for as long as patience lasts. An
    /// opening without an ending is none of ours: its worker died, and the ledger has it.
    fn finish(&mut self) -> u64 {
        let until = clock::mono() + self.parts.options.stop_patience;
        while self.batch.endings_len() > 0 {
            let now = clock::mono();
            if !self.retry.waits(now) {
                self.flush(now, Duration::MAX);
            } else if now >= until {
                break;
            } else {
                thread::park_timeout(NAP);
            }
        }
        self.measure(clock::mono());
        let lost = self.batch.endings_len() as u64;
        self.parts.gauges.lost.add(lost);
        lost
    }
}

/// How long the writer listens for a first entry before it looks at its other duties.
const IDLE_WAIT: Duration = Duration::from_millis(250);
/// How long it sleeps while a batch is gathering.
const NAP: Duration = Duration::from_millis(20);
/// Between two looks after the place where rows are kept.
const BETWEEN_TENDINGS: Duration = Duration::from_secs(1);
/// Between two lines about a failure that lasts.
const BETWEEN_COMPLAINTS: Duration = Duration::from_mins(1);
/// The pause after a cleaning that failed.
const CLEANUP_RETRY: Duration = Duration::from_secs(5);
/// The pause between two parts of the running minute: a transaction each, and what a crash takes of it.
const BETWEEN_MINUTES: Duration = Duration::from_secs(2);
/// The pause after minutes that could not be stored.
const MINUTES_RETRY: Duration = Duration::from_mins(1);
/// The pause between two slices of a cleaning.
const BETWEEN_SLICES: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
