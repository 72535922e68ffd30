//! How fast new connections of each client come. A bucket per client that is not full; the others are
//! forgotten when room is wanted.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::bucket::{Bucket, Rate};

/// The clients who have come of late.
#[derive(Debug)]
pub(super) struct Rates {
    shards: [Mutex<Shard>; SHARDS],
    hasher: foldhash::quality::RandomState,
    pushed_out: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    buckets: HashMap<IpAddr, Bucket>,
    /// When room was last looked for.
    swept: Option<Instant>,
}

impl Rates {
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: Default::default(),
            pushed_out: AtomicU64::new(0),
        }
    }

    /// Whether one more may come now.
    #[must_use]
    pub(super) fn take(&self, client: IpAddr, rate: Rate, now: Instant) -> bool {
        let hash = usize::try_from(self.hasher.hash_one(client) >> 32).unwrap_or_default();
        let mut shard = self.shards[hash % SHARDS].lock();
        if let Some(bucket) = shard.buckets.get(&client) {
            bucket.change(rate);
            return bucket.take(1, now);
        }
        if shard.make_room(now) {
            self.pushed_out.fetch_add(1, Relaxed);
        }
        let bucket = Bucket::new(rate, now);
        let taken = bucket.take(1, now);
        shard.buckets.insert(client, bucket);
        taken
    }

    /// Clients who were forgotten before their time, because too many had come of late.
    pub(super) fn pushed_out(&self) -> u64 {
        self.pushed_out.load(Relaxed)
    }
}

impl Shard {
    /// Makes room for one more; whether somebody was forgotten for that whose time was not over.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.buckets.len() < CLIENTS_MAX {
            return false;
        }
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEPT_EVERY) {
            self.swept = Some(now);
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.buckets.len() < CLIENTS_MAX {
            return false;
        }
        // Where they lie is drawn by a key that nobody knows, so any few of them are a sample.
        let sample = self.buckets.iter().take(SAMPLE);
        let least = sample.min_by_key(|(_, bucket)| bucket.full_in_ns(now));
        if let Some(client) = least.map(|(client, _)| *client) {
            self.buckets.remove(&client);
        }
        true
    }
}

/// Locks.
const SHARDS: usize = 32;
/// Clients of one shard at most: 131 072 in all, some 10 MiB.
const CLIENTS_MAX: usize = 4096;
/// Of so many the one goes that has taken least.
const SAMPLE: usize = 8;
/// How often room is looked for.
const SWEPT_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn each_client_has_its_own_rate_and_the_table_its_bound() {
        let rates = Rates::new();
        let rate = Rate { per_second: 10, burst: 3 };
        let now = clock::mono();
        let client = |number: u32| IpAddr::from(number.to_be_bytes());
        let taken = (0..10).filter(|_| rates.take(client(1), rate, now)).count();
        assert_eq!(taken, 3);
        assert!(rates.take(client(2), rate, now));
        assert!(rates.take(client(1), rate, now + Duration::from_millis(100)));
        for number in 0..200_000 {
            assert!(rates.take(client(number + 10), rate, now));
        }
        let len = || rates.shards.iter().map(|shard| shard.lock().buckets.len()).sum::<usize>();
        assert!(len() <= SHARDS * CLIENTS_MAX && rates.pushed_out() > 0);
        // Who comes into a full table is counted like everybody.
        let taken = (0..10).filter(|_| rates.take(client(250_000), rate, now)).count();
        assert_eq!(taken, 3);
        let later = now + Duration::from_secs(10);
        for number in 0..1000 {
            assert!(rates.take(client(number + 300_000), rate, later));
        }
        assert!(len() <= 1000 + SHARDS, "{}", len());
    }
}
