//! How many there are of each: a table in shards, whose locks are taken when something begins and when
//! it ends, never between. Exact over all workers.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use hashbrown::HashMap;
use parking_lot::Mutex;

/// Counts by key. What there is none of has no entry, so the table is as long as what is counted.
#[derive(Debug)]
pub(super) struct Counts<K> {
    shards: [Mutex<HashMap<K, u32>>; SHARDS],
    hasher: foldhash::quality::RandomState,
}

impl<K: Hash + Eq> Counts<K> {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: Default::default() }
    }

    /// One more, if there are fewer than `most` (at least 1); whether there were.
    #[must_use]
    pub(super) fn enter(&self, key: K, most: u32) -> bool {
        let mut shard = self.shard(&key).lock();
        match shard.get_mut(&key) {
            Some(count) if *count >= most => false,
            Some(count) => {
                *count += 1;
                true
            }
            None => {
                shard.insert(key, 1);
                true
            }
        }
    }

    /// One less.
    pub(super) fn leave<Q: Hash + Eq + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let mut shard = self.shard(key).lock();
        if let Some(count) = shard.get_mut(key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                shard.remove(key);
            }
        }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &Mutex<HashMap<K, u32>> {
        let hash = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or_default();
        &self.shards[hash % SHARDS]
    }
}

/// Locks.
const SHARDS: usize = 32;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn many_at_once_are_never_more_than_the_most_and_leave_nothing_behind() {
        let counts = Arc::new(Counts::<Box<str>>::new());
        let inside = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (counts, inside) = (Arc::clone(&counts), Arc::clone(&inside));
                thread::spawn(move || {
                    let mut entered = 0;
                    for _ in 0..10_000 {
                        if counts.enter("alice".into(), 3) {
                            entered += 1;
                            let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            assert!(before < 3);
                            inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                            counts.leave("alice");
                        }
                    }
                    entered
                })
            })
            .collect();
        let entered: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(entered > 0);
        assert!(counts.shards.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn each_key_is_counted_by_itself() {
        let counts = Counts::<u8>::new();
        assert!(counts.enter(1, 1) && !counts.enter(1, 1) && counts.enter(2, 1));
        counts.leave(&1);
        assert!(counts.enter(1, 1));
    }
}
