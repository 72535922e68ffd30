//! The writer, and the rows that it has committed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use rustsocks::session::{Entry, Ledger, SessionId, SessionView, Table, Traffic};
use rustsocks::stats::Change;
use rustsocks::writer::{Batch, Known};

use crate::dice::Dice;
use crate::party::Party;
use crate::told::Told;

pub(crate) struct Rows {
    receiver: Receiver<Entry>,
    ledger: Arc<Ledger>,
    table: Arc<Table>,
    batch: Batch,
    known: Known,
    /// By session.
    pub(crate) rows: BTreeMap<SessionId, SessionView>,
    /// What the commits said that has moved, added up as windows do.
    moved: HashMap<SessionId, Traffic>,
    dice: Dice,
    size: usize,
    interval: Duration,
    fails: u64,
    rests: bool,
    checkpoint_at: Instant,
}

impl Rows {
    pub(crate) fn new(
        receiver: Receiver<Entry>,
        ledger: Arc<Ledger>,
        table: Arc<Table>,
        dice: &mut Dice,
    ) -> Self {
        Self {
            receiver,
            ledger,
            table,
            batch: Batch::default(),
            known: Known::default(),
            rows: BTreeMap::new(),
            moved: HashMap::new(),
            size: dice.pick(&[1, 5, 100]),
            interval: Duration::from_millis(dice.pick(&[0, 100, 1_000])),
            fails: dice.pick(&[0, 0, 30]),
            rests: false,
            dice: Dice::new(dice.next()),
            checkpoint_at: rustsocks::clock::mono(),
        }
    }

    pub(crate) fn rest(&mut self, rests: bool, now: Instant) {
        self.rests = rests;
        self.checkpoint_at = now;
    }

    /// When it is to be asked next, as long as anything is left to be stored.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.rests {
            return None;
        }
        let waiting = self.batch.since().map(|since| since + self.interval);
        let more = (!self.receiver.is_empty()).then_some(self.checkpoint_at);
        [waiting, more].into_iter().flatten().min()
    }

    /// Whether nothing waits.
    pub(crate) fn is_done(&self) -> bool {
        self.receiver.is_empty() && self.batch.is_empty()
    }

    pub(crate) fn turn(&mut self, now: Instant, parties: &[Party], told: &mut Told) {
        if self.rests {
            return;
        }
        for entry in self.receiver.try_iter() {
            self.batch.push(entry, now);
        }
        if !self.batch.is_empty() && self.batch.is_due(now, self.size, self.interval) {
            let mut rows = Vec::new();
            self.batch.rows((now, self.interval), &self.ledger, &self.known, &mut rows);
            if self.dice.chance(self.fails) {
                told.failed_commits += 1;
                // Tried again in the next turn, whenever that is.
                return;
            }
            told.commits += 1;
            for row in &rows {
                self.commit(row, parties);
            }
            let ended: Vec<_> = self.batch.take_ended().collect();
            for session in ended {
                let view = self.ledger.view(session).expect("only the writer frees a slot");
                let row = self.rows.get(&view.id).expect("freed before it was stored");
                assert_eq!(row.ending, view.ending, "freed before its ending was stored");
                self.ledger.free(session);
            }
        }
        if now >= self.checkpoint_at {
            self.checkpoint_at = now + Duration::from_secs(1);
            self.checkpoint(parties, told);
        }
    }

    /// Long sessions are written while they live.
    fn checkpoint(&mut self, parties: &[Party], told: &mut Told) {
        let mut page = Vec::new();
        assert!(self.table.page(0, None, &mut page).is_none(), "a world is smaller than a page");
        for session in page {
            let view = self.ledger.view(session).expect("a live session has its slot");
            assert!(view.ending.is_none(), "an ended session is in the table");
            if self.known.differs(&view) {
                told.checkpoints += 1;
                let change = self.known.change(view);
                self.commit(&change, parties);
            }
        }
    }

    fn commit(&mut self, change: &Change, parties: &[Party]) {
        let session = &change.session;
        let sum = self.moved.entry(session.id).or_default();
        let moved = change.moved();
        sum.bytes_sent += moved.bytes_sent;
        sum.bytes_received += moved.bytes_received;
        sum.packets_sent += moved.packets_sent;
        sum.packets_received += moved.packets_received;
        assert_eq!(*sum, session.traffic, "the sums of the commits are not the row");
        assert_eq!(change.is_first(), !self.rows.contains_key(&session.id), "counted twice");
        let before = self.rows.insert(session.id, session.clone());
        if let Some(before) = before {
            assert!(before.ending.is_none(), "a finished row is written again");
            assert!(before.traffic.bytes_sent <= session.traffic.bytes_sent);
            assert!(before.traffic.bytes_received <= session.traffic.bytes_received);
        }
        self.known.committed(change);
        crate::check::check_row(session, parties);
    }
}
