//! One worker's sessions, as the benches open and end them.

#![allow(dead_code, reason = "each bench uses its part of it")]

use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use rustsocks::acl::{Decision, Ruling};
use rustsocks::clock;
use rustsocks::session::{
    CHANNEL_ENTRIES_MAX, Command, Ending, Entry, IdSource, Journal, Ledger, Opening, Outcome,
    SLOTS_PER_CHUNK, SessionId, SessionRef, SessionSlot, Share, Stages, Table, Traffic, journal,
};

/// The parts that a session passes in one worker.
pub(crate) struct Population {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) table: Arc<Table>,
    share: Share,
    ids: IdSource,
    journal: Journal,
    receiver: Receiver<Entry>,
    ruling: Ruling,
}

/// A session that lives.
pub(crate) struct Live {
    id: SessionId,
    slot: SessionSlot,
}

impl Population {
    pub(crate) fn new() -> Self {
        let ledger = Ledger::new(CHUNKS * SLOTS_PER_CHUNK);
        let mut share = Share::new();
        for _ in 0..CHUNKS {
            share.add(ledger.grow().expect("within the bound"));
        }
        let (journal, receiver) = journal(CHANNEL_ENTRIES_MAX);
        let rule = "default policy".into();
        Self {
            ledger: Arc::new(ledger),
            table: Arc::new(Table::new(1)),
            share,
            ids: IdSource::new(),
            journal,
            receiver,
            ruling: Ruling { decision: Decision::Allow, rule, rule_id: None, shadow: None },
        }
    }

    /// What a worker does when a session is given its permit, but for telling the writer.
    pub(crate) fn open(&mut self, now_ms: i64) -> Live {
        let id = self.ids.next(now_ms);
        let opening = Opening {
            id,
            start_ms: now_ms,
            client: SocketAddr::from(([127, 0, 0, 1], 40_000)),
            user: "alice",
            claimed_user: None,
            target: Some(("example.com", 443)),
            command: Some(Command::Connect),
            ruling: Some(&self.ruling),
            policy_generation: 1,
            accepted: true,
        };
        let slot = self.share.open(&opening).expect("a free slot");
        self.table.insert(
            WORKER,
            id,
            slot.reference(),
            rustsocks::key::Key { slot: 0, generation: 0 },
        );
        Live { id, slot }
    }

    /// What it does when the session ends, but for telling the writer.
    pub(crate) fn close(&mut self, live: Live, now_ms: i64) -> SessionRef {
        live.slot.reference().set_stages(&Stages { connect_us: Some(80), ..Stages::default() });
        self.table.remove(WORKER, live.id);
        let ending = Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 12 };
        self.share.settle(live.slot, &ending, now_ms)
    }

    /// Tells the writer of an opening.
    pub(crate) fn say_opened(&self, live: &Live) {
        assert!(self.journal.opened(live.slot.reference()), "the channel has room");
    }

    /// Tells the writer of an ending.
    pub(crate) fn say_closed(&mut self, ended: SessionRef) {
        self.journal.closed(ended);
    }

    /// Takes what was told, as the writer does.
    pub(crate) fn receive_all(&self) {
        while self.receiver.try_recv().is_ok() {}
    }

    /// The writer's end of the journal.
    pub(crate) fn receiver(&self) -> Receiver<Entry> {
        self.receiver.clone()
    }
}

impl Live {
    pub(crate) fn reference(&self) -> SessionRef {
        self.slot.reference()
    }

    /// Figures that are not all zero.
    pub(crate) fn moved(&self, octets: u64, now_ms: i64) {
        let traffic = Traffic {
            bytes_sent: octets,
            bytes_received: octets * 20,
            packets_sent: 2,
            packets_received: 15,
        };
        self.slot.reference().publish(traffic, now_ms);
    }
}

/// The wall clock in milliseconds.
pub(crate) fn now_ms() -> i64 {
    clock::utc_ms()
}

/// The one worker.
pub(crate) const WORKER: usize = 0;
const CHUNKS: u32 = 2;
