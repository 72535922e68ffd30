//! Sessions that have ended and are not stored yet, by their ids.
//!
//! A worker lists one when it settles it, and takes it off when it takes the slot back: whoever asks for
//! an id looks at one entry, however many slots there are.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::{SessionId, SessionRef};

/// The index, in shards, so that workers seldom meet. It holds at most as many as the ledger has slots.
#[derive(Debug)]
pub(super) struct Ended {
    shards: Box<[Mutex<HashMap<SessionId, SessionRef>>]>,
}

impl Ended {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    pub(super) fn insert(&self, id: SessionId, session: SessionRef) {
        self.shard(id).lock().insert(id, session);
    }

    pub(super) fn remove(&self, id: SessionId) {
        self.shard(id).lock().remove(&id);
    }

    pub(super) fn find(&self, id: SessionId) -> Option<SessionRef> {
        self.shard(id).lock().get(&id).copied()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// The last octet of an id is random.
    fn shard(&self, id: SessionId) -> &Mutex<HashMap<SessionId, SessionRef>> {
        let (_, low) = id.to_words();
        &self.shards[usize::from(low.to_le_bytes()[0]) % SHARDS]
    }
}

const SHARDS: usize = 64;
