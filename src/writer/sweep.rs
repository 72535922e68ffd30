//! The checkpoint of long sessions: every few seconds a walk through the table, a slice at a time,
//! for those whose figures have moved.

use std::time::{Duration, Instant};

use super::known::Known;
use crate::session::{Ledger, SessionId, SessionRef, Table};
use crate::stats::Change;

/// Where the walk is.
#[derive(Debug)]
pub(super) struct Sweep {
    interval: Duration,
    next: Instant,
    /// The worker and the last id of it, while a walk is under way.
    at: Option<(usize, Option<SessionId>)>,
    page: Vec<SessionRef>,
}

impl Sweep {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, next: now + interval, at: None, page: Vec::new() }
    }

    /// Whether there is something to walk through.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at.is_some() || now >= self.next
    }

    /// Whether a walk has begun and not ended.
    pub(super) const fn is_under_way(&self) -> bool {
        self.at.is_some()
    }

    /// Ends the walk before its time; the next one is an interval later.
    pub(super) fn skip(&mut self, now: Instant) {
        self.at = None;
        self.next = now + self.interval;
    }

    /// Goes on through the table and appends what has moved, until a slice is full, enough was looked at
    /// or the table is at its end. `now_ms` is the wall clock in milliseconds.
    pub(super) fn rows(
        &mut self,
        (now, now_ms): (Instant, i64),
        (table, ledger): (&Table, &Ledger),
        known: &Known,
        rows: &mut Vec<Change>,
    ) {
        let (mut worker, mut after) = self.at.take().unwrap_or_else(|| {
            self.next = now + self.interval;
            (0, None)
        });
        let mut looked_at = 0;
        while worker < table.workers() {
            if rows.len() >= SLICE_ROWS || looked_at >= SLICE_SESSIONS {
                self.at = Some((worker, after));
                return;
            }
            self.page.clear();
            after = table.page(worker, after, &mut self.page);
            looked_at += self.page.len();
            for session in &self.page {
                // Compared by figures and not by time: clocks step, and a turn may be long.
                if let Some(view) = ledger.view(*session)
                    && view.ending.is_none()
                    && known.differs(&view)
                    && (known.has(view.id) || !self.is_young(view.start_ms, now_ms))
                {
                    rows.push(known.change(view));
                }
            }
            if after.is_none() {
                worker += 1;
            }
        }
    }

    /// Whether a session without a row is too young for one: its opening is on its way, or its end
    /// is. After a step of the clock it is not, which costs a write and no more.
    fn is_young(&self, start_ms: i64, now_ms: i64) -> bool {
        let age_ms = now_ms.saturating_sub(start_ms);
        u64::try_from(age_ms).is_ok_and(|age| Duration::from_millis(age) < self.interval)
    }
}

/// Rows of one slice, give or take a page: one transaction, between two of which endings are
/// written.
const SLICE_ROWS: usize = 1024;
/// Sessions looked at for one, where few have moved: some milliseconds.
const SLICE_SESSIONS: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::key::Key;
    use crate::session::{IdSource, Opening, Share, Traffic};

    const INTERVAL: Duration = Duration::from_secs(5);

    #[test]
    fn a_walk_takes_each_session_that_moved_once_and_in_slices() {
        let ledger = Ledger::new(1);
        let mut share = Share::new();
        share.add(ledger.grow().unwrap());
        let (ids, table) = (IdSource::new(), Table::new(2));
        let slots: Vec<_> = (0..3000)
            .map(|number| {
                let id = ids.next(0);
                let slot = share.open(&Opening::plain(id)).unwrap();
                table.insert(number % 2, id, slot.reference(), Key { slot: 0, generation: 0 });
                slot.reference()
            })
            .collect();
        let (now, mut known) = (clock::mono(), Known::default());
        let mut sweep = Sweep::new(INTERVAL, now);
        assert!(!sweep.is_due(now) && sweep.is_due(now + INTERVAL));
        let mut walk = |sweep: &mut Sweep, now: Instant, now_ms: i64| {
            let (mut slices, mut total) = (0, 0);
            while sweep.is_due(now) {
                let mut rows = Vec::new();
                sweep.rows((now, now_ms), (&table, &ledger), &known, &mut rows);
                rows.iter().for_each(|row| known.committed(row));
                assert!(rows.len() < SLICE_ROWS + 256, "{}", rows.len());
                slices += 1;
                total += rows.len();
            }
            (slices, total)
        };
        assert_eq!(walk(&mut sweep, now + INTERVAL, 4999).1, 0, "too young");
        assert_eq!(walk(&mut sweep, now + 2 * INTERVAL, 5000), (3, 3000));
        assert_eq!(walk(&mut sweep, now + 3 * INTERVAL, -1), (1, 0), "nothing moved");
        slots[7].publish(Traffic { bytes_sent: 1, ..Traffic::default() }, 0);
        assert_eq!(walk(&mut sweep, now + 4 * INTERVAL, 1), (1, 1));
        sweep.skip(now + 5 * INTERVAL);
        assert!(!sweep.is_due(now + 5 * INTERVAL) && sweep.is_due(now + 6 * INTERVAL));
    }
}
