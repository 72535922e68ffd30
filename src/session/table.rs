//! The table of live sessions: one shard per worker, each behind a lock of its own.
//!
//! A worker locks its shard twice in a session's life, and nobody else's ever. Readers take pages:
//! lock, copy a few references, unlock, then read the slots without any lock. Ids sort by time, so
//! a page goes on after the last id of the one before it and nothing is skipped or seen twice.

use std::collections::BTreeMap;
use std::ops::Bound;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::{SessionId, SessionRef};
use crate::key::Key;

/// All live sessions.
#[derive(Debug)]
pub struct Table {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
}

type Shard = BTreeMap<SessionId, Row>;

#[derive(Clone, Copy, Debug)]
struct Row {
    session: SessionRef,
    key: Key,
}

/// Where a live session is.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Whose it is.
    pub worker: usize,
    /// Which of that worker's connections it is.
    pub key: Key,
    /// The slot.
    pub session: SessionRef,
}

const _: () = assert!(size_of::<Row>() == 24);

impl Table {
    /// A table with a shard for each of `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { shards: (0..workers).map(|_| CachePadded::default()).collect() }
    }

    /// Lists a session in the shard of `worker`, where it is the connection of this `key`.
    pub fn insert(&self, worker: usize, id: SessionId, session: SessionRef, key: Key) {
        if let Some(shard) = self.shards.get(worker) {
            shard.lock().insert(id, Row { session, key });
        }
    }

    /// Takes a session off the shard of `worker`.
    pub fn remove(&self, worker: usize, id: SessionId) {
        if let Some(shard) = self.shards.get(worker) {
            shard.lock().remove(&id);
        }
    }

    /// The session of this id, if it lives.
    #[must_use]
    pub fn find(&self, id: SessionId) -> Option<Listed> {
        self.shards.iter().enumerate().find_map(|(worker, shard)| {
            let Row { session, key } = *shard.lock().get(&id)?;
            Some(Listed { worker, key, session })
        })
    }

    /// Appends to `page` up to [`PAGE_SESSIONS_MAX`] sessions of `worker`'s shard that follow
    /// `after` by id, and returns the id to go on from; `None` when the shard is at its end.
    #[must_use]
    pub fn page(
        &self,
        worker: usize,
        after: Option<SessionId>,
        page: &mut Vec<SessionRef>,
    ) -> Option<SessionId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        page.reserve(PAGE_SESSIONS_MAX);
        let shard = self.shards.get(worker)?.lock();
        let mut rows = shard.range((from, Bound::Unbounded));
        let mut last = None;
        for (id, row) in rows.by_ref().take(PAGE_SESSIONS_MAX) {
            page.push(row.session);
            last = Some(*id);
        }
        rows.next().and(last)
    }

    /// How many shards there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shards.len()
    }

    /// How many sessions live now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether no session lives now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Sessions that a reader copies under one lock at most.
pub const PAGE_SESSIONS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{IdSource, Ledger, Opening, Share};

    #[test]
    fn pages_list_each_session_once_while_others_come_and_go() {
        let ledger = Ledger::new(1);
        let mut share = Share::new();
        share.add(ledger.grow().unwrap());
        let ids = IdSource::new();
        let table = Table::new(2);
        let mut open = |worker: usize| {
            let id = ids.next(1_769_846_709_000);
            let slot = share.open(&Opening::plain(id)).unwrap();
            table.insert(worker, id, slot.reference(), Key { slot: 7, generation: 1 });
            id
        };
        let first: Vec<_> = (0..600).map(|_| open(0)).collect();
        let mut page = Vec::new();
        let after = table.page(0, None, &mut page);
        assert_eq!((page.len(), after), (PAGE_SESSIONS_MAX, Some(first[255])));
        table.remove(0, first[10]);
        table.remove(0, first[300]);
        let late = open(0);
        let mut after = after;
        while after.is_some() {
            after = table.page(0, after, &mut page);
        }
        let seen: Vec<_> = page.iter().filter_map(|session| session.id()).collect();
        let expected: Vec<_> =
            first.iter().copied().filter(|id| *id != first[300]).chain([late]).collect();
        assert_eq!(seen, expected);
        assert_eq!(table.len(), 599);
        let listed = table.find(late).unwrap();
        assert_eq!((listed.worker, listed.key.slot), (0, 7));
        assert!(table.find(first[10]).is_none());
        assert_eq!(table.page(1, None, &mut page), None);
    }
}
