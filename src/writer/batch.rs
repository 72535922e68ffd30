//! Entries on their way into one transaction. Pure.

use std::time::{Duration, Instant};

use crate::session::{Entry, Kind, Ledger, SessionRef, SessionView};

/// Entries that wait for their commit.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    since: Option<Instant>,
}

impl Batch {
    /// Takes an entry in.
    pub fn push(&mut self, entry: Entry, now: Instant) {
        self.since.get_or_insert(now);
        self.entries.push(entry);
    }

    /// Whether it is time to commit: so many entries, or so long since the first.
    #[must_use]
    pub fn is_due(&self, now: Instant, size: usize, interval: Duration) -> bool {
        self.entries.len() >= size.min(BATCH_ROWS_MAX)
            || self.since.is_some_and(|since| now.saturating_duration_since(since) >= interval)
    }

    /// Whether no more is to be taken in before a commit.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_ROWS_MAX
    }

    /// Entries taken in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How long the first entry has been waiting.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// The rows to write. An opening is left out when its session has ended since: its ending is
    /// here or on its way, and says everything.
    #[must_use]
    pub fn rows(&self, ledger: &Ledger) -> Vec<SessionView> {
        let view = |entry: &Entry| {
            let view = ledger.view(entry.session)?;
            let fits = match entry.kind {
                Kind::Opened => view.ending.is_none(),
                Kind::Closed => view.ending.is_some(),
            };
            fits.then_some(view)
        };
        self.entries.iter().filter_map(view).collect()
    }

    /// Empties the batch after its commit; the slots of these may be freed.
    pub fn take_ended(&mut self) -> impl Iterator<Item = SessionRef> + '_ {
        self.since = None;
        let ended = self.entries.drain(..).filter(|entry| entry.kind == Kind::Closed);
        ended.map(|entry| entry.session)
    }
}

/// Entries that one transaction takes at most.
pub const BATCH_ROWS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::session::{Ending, IdSource, Opening, Outcome, SessionSlot, Share};

    fn open(share: &mut Share) -> SessionSlot {
        let opening = Opening {
            id: IdSource::new().next(0),
            start_ms: 0,
            client: ([127, 0, 0, 1], 1).into(),
            user: "u",
            claimed_user: None,
            target: None,
            command: None,
            ruling: None,
            policy_generation: 1,
            accepted: true,
        };
        share.open(&opening).unwrap()
    }

    #[test]
    fn opened_and_closed_in_one_batch_are_one_row() {
        let ledger = Ledger::new(1);
        let mut share = Share::new();
        share.add(ledger.grow().unwrap());
        let now = clock::mono();
        let (long, short) = (open(&mut share), open(&mut share));
        let mut batch = Batch::default();
        for slot in [&long, &short] {
            batch.push(Entry { session: slot.reference(), kind: Kind::Opened }, now);
        }
        let ending = Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 1 };
        let ended = share.settle(short, &ending, 1);
        batch.push(Entry { session: ended, kind: Kind::Closed }, now);
        let rows = batch.rows(&ledger);
        let endings: Vec<_> = rows.iter().map(|row| row.ending.is_some()).collect();
        assert_eq!(endings, [false, true]);
        assert_eq!(batch.take_ended().count(), 1);
        assert!(batch.is_empty());
    }

    #[test]
    fn it_is_due_by_size_or_by_time() {
        let ledger = Ledger::new(1);
        let mut share = Share::new();
        share.add(ledger.grow().unwrap());
        let now = clock::mono();
        let second = Duration::from_secs(1);
        let mut batch = Batch::default();
        assert!(!batch.is_due(now + second, 1, Duration::ZERO));
        let entry = Entry { session: open(&mut share).reference(), kind: Kind::Opened };
        batch.push(entry, now);
        assert!(!batch.is_due(now, 2, second));
        assert!(batch.is_due(now, 1, second));
        assert!(batch.is_due(now + second, 2, second));
        batch.push(entry, now + second);
        assert_eq!(batch.age(now + second), second);
        while !batch.is_full() {
            batch.push(entry, now);
        }
        assert!(batch.is_due(now, usize::MAX, Duration::MAX), "a full batch is due");
    }
}
