//! Entries on their way into one transaction. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::known::Known;
use crate::session::{Entry, Kind, Ledger, SessionRef};
use crate::stats::Change;

/// Entries that wait for their commit.
///
/// An opening waits for a whole batch interval, because most sessions end sooner: their ending then
/// is one plain insert, whatever the size of the batches.
#[derive(Debug, Default)]
pub struct Batch {
    /// Each holds a slot of the ledger, which bounds them.
    endings: VecDeque<(SessionRef, Instant)>,
    openings: VecDeque<(SessionRef, Instant)>,
    /// How many of each the rows of the running commit took.
    taken: (usize, usize),
}

impl Batch {
    /// Takes an entry in. Answers whether an opening had to give way for it; its row is written by
    /// its next checkpoint or by its ending.
    pub fn push(&mut self, entry: Entry, now: Instant) -> bool {
        match entry.kind {
            Kind::Closed => {
                self.endings.push_back((entry.session, now));
                false
            }
            Kind::Opened => {
                let gives_way = self.openings.len() >= OPENINGS_WAITING_MAX;
                if gives_way {
                    self.openings.pop_front();
                }
                self.openings.push_back((entry.session, now));
                gives_way
            }
        }
    }

    /// Whether it is time to commit: so many endings, or so long since the first entry.
    #[must_use]
    pub fn is_due(&self, now: Instant, size: usize, interval: Duration) -> bool {
        self.endings.len() >= size.min(BATCH_ROWS_MAX) || self.age(now) >= interval
    }

    /// Entries taken in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.endings.len() + self.openings.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endings.is_empty() && self.openings.is_empty()
    }

    /// Endings taken in.
    #[must_use]
    pub fn endings_len(&self) -> usize {
        self.endings.len()
    }

    /// Since when the first entry has been waiting; `None` when nothing waits.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        let fronts = [self.endings.front(), self.openings.front()];
        fronts.into_iter().flatten().map(|(_, since)| *since).min()
    }

    fn age(&self, now: Instant) -> Duration {
        self.since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Appends the rows to write, [`BATCH_ROWS_MAX`] at most: endings, then the openings that have
    /// waited for `interval` and whose sessions live and have no row yet.
    pub fn rows(
        &mut self,
        (now, interval): (Instant, Duration),
        ledger: &Ledger,
        known: &Known,
        rows: &mut Vec<Change>,
    ) {
        self.taken = (self.endings.len().min(BATCH_ROWS_MAX), 0);
        for (ending, _) in self.endings.range(..self.taken.0) {
            if let Some(session) = ledger.view(*ending)
                && session.ending.is_some()
            {
                rows.push(known.change(session));
            }
        }
        for (opening, since) in &self.openings {
            let waits = now.saturating_duration_since(*since) < interval;
            if waits || rows.len() >= BATCH_ROWS_MAX {
                return;
            }
            self.taken.1 += 1;
            // One that has ended since is on its way as an ending, which says everything.
            if let Some(session) = ledger.view(*opening)
                && session.ending.is_none()
                && !known.has(session.id)
            {
                rows.push(known.change(session));
            }
        }
    }

    /// Forgets what the last [`Batch::rows`] took, after its commit and before anything is pushed.
    /// The slots of these may be freed.
    pub fn take_ended(&mut self) -> impl Iterator<Item = SessionRef> + '_ {
        let (endings, openings) = std::mem::take(&mut self.taken);
        self.openings.drain(..openings);
        self.endings.drain(..endings).map(|(ending, _)| ending)
    }
}

/// Rows that one transaction writes at most.
pub const BATCH_ROWS_MAX: usize = 4096;
/// Openings that wait at most; beyond it the oldest gives way.
const OPENINGS_WAITING_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::session::{Ending, IdSource, Opening, Outcome, SessionSlot, Share};

    const SECOND: Duration = Duration::from_secs(1);

    fn world() -> (Ledger, Share, Batch, Known) {
        let ledger = Ledger::new(1);
        let mut share = Share::new();
        share.add(ledger.grow().unwrap());
        (ledger, share, Batch::default(), Known::default())
    }

    fn open(share: &mut Share) -> SessionSlot {
        share.open(&Opening::plain(IdSource::new().next(0))).unwrap()
    }

    fn opened(session: SessionRef) -> Entry {
        Entry { session, kind: Kind::Opened }
    }

    fn settle(share: &mut Share, slot: SessionSlot) -> Entry {
        let ending = Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 1 };
        Entry { session: share.settle(slot, &ending, 1), kind: Kind::Closed }
    }

    #[test]
    fn opened_and_closed_within_the_interval_are_one_row() {
        let (ledger, mut share, mut batch, known) = world();
        let now = clock::mono();
        let (long, short) = (open(&mut share), open(&mut share));
        for slot in [&long, &short] {
            assert!(!batch.push(opened(slot.reference()), now));
        }
        let short = settle(&mut share, short);
        batch.push(short, now);
        let mut rows = Vec::new();
        batch.rows((now, SECOND), &ledger, &known, &mut rows);
        let ended = |rows: &[Change]| -> Vec<_> {
            rows.iter().map(|row| row.session.ending.is_some()).collect()
        };
        assert_eq!(ended(&rows), [true], "the opening waits");
        assert_eq!(batch.take_ended().count(), 1);
        assert_eq!(batch.len(), 2, "both openings");
        ledger.free(short.session);
        rows.clear();
        batch.rows((now + SECOND, SECOND), &ledger, &known, &mut rows);
        assert_eq!(ended(&rows), [false], "the long one only");
        assert_eq!(batch.take_ended().count(), 0);
        assert!(batch.is_empty());
    }

    #[test]
    fn an_opening_that_a_checkpoint_has_written_is_not_written_again() {
        let (ledger, mut share, mut batch, mut known) = world();
        let now = clock::mono();
        let slot = open(&mut share);
        batch.push(opened(slot.reference()), now);
        known.committed(&known.change(ledger.view(slot.reference()).unwrap()));
        let mut rows = Vec::new();
        batch.rows((now + SECOND, SECOND), &ledger, &known, &mut rows);
        assert!(rows.is_empty());
    }

    #[test]
    fn what_a_failed_commit_took_is_taken_again() {
        let (ledger, mut share, mut batch, known) = world();
        let now = clock::mono();
        let (long, short) = (open(&mut share), open(&mut share));
        batch.push(opened(long.reference()), now);
        batch.push(settle(&mut share, short), now);
        for _ in 0..2 {
            let mut rows = Vec::new();
            batch.rows((now + SECOND, SECOND), &ledger, &known, &mut rows);
            assert_eq!(rows.len(), 2);
        }
        assert_eq!(batch.take_ended().count(), 1);
        assert!(batch.is_empty());
    }

    #[test]
    fn it_is_due_by_size_or_by_time() {
        let (_, mut share, mut batch, _) = world();
        let now = clock::mono();
        assert!(!batch.is_due(now + SECOND, 1, SECOND));
        let slot = open(&mut share);
        batch.push(opened(slot.reference()), now);
        assert!(!batch.is_due(now, 1, SECOND), "an opening makes no batch full");
        assert!(batch.is_due(now + SECOND, 1, SECOND));
        assert_eq!(batch.age(now + SECOND), SECOND);
        let entry = settle(&mut share, slot);
        batch.push(entry, now);
        assert!(!batch.is_due(now, 2, SECOND));
        assert!(batch.is_due(now, 1, SECOND));
        while batch.endings_len() < BATCH_ROWS_MAX {
            assert!(!batch.is_due(now, usize::MAX, Duration::MAX));
            batch.push(entry, now);
        }
        assert!(batch.is_due(now, usize::MAX, Duration::MAX), "a full transaction is due");
    }

    #[test]
    fn the_oldest_opening_gives_way_when_too_many_wait() {
        let (_, mut share, mut batch, _) = world();
        let now = clock::mono();
        let slot = open(&mut share);
        for _ in 0..OPENINGS_WAITING_MAX {
            assert!(!batch.push(opened(slot.reference()), now));
        }
        assert!(batch.push(opened(slot.reference()), now + SECOND));
        assert_eq!(batch.len(), OPENINGS_WAITING_MAX);
    }
}
