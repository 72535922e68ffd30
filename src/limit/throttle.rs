//! What holds one session back: its buckets and its quotas. Pure but for the words that it shares.
//!
//! Before each portion it says how much may be read of each way, and afterwards it is told how much
//! was. A way that has to wait has asked for its next quantum already, and knows when its turn comes:
//! until then nobody looks at it.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::bucket::{Bucket, Rate};
use super::limits::Limits;
use super::usage::{Counted, Usage};
use crate::clock::Now;

/// Of one session.
#[derive(Debug)]
pub struct Throttle {
    /// Upload, download.
    ways: [Way; 2],
    quotas: SmallVec<[Metered; 1]>,
    /// Those of its buckets that nobody else has.
    own: Vec<Own>,
    /// When quotas were last charged, milliseconds since the epoch.
    charged_ms: i64,
    limits: Arc<Limits>,
}

/// A bucket that a session has for itself.
#[derive(Debug)]
pub(super) struct Own {
    /// Under which limit.
    pub(super) name: Arc<str>,
    pub(super) way: usize,
    pub(super) rate: Rate,
    pub(super) bucket: Arc<Bucket>,
}

/// What may be moved of one way.
#[derive(Debug, Default)]
struct Way {
    buckets: SmallVec<[Arc<Bucket>; 2]>,
    /// Octets that were asked for and are not used.
    granted: u64,
    /// From when on they may be.
    from: Option<Instant>,
}

/// A quota that the session's octets count for.
#[derive(Debug)]
pub(super) struct Metered {
    pub(super) usage: Arc<Usage>,
    pub(super) counted: Counted,
    pub(super) octets: u64,
    pub(super) warn_octets: u64,
    /// What goes on when it is used up; nothing cuts the session.
    pub(super) brake: Option<Arc<Bucket>>,
    /// Whether the brake is on.
    pub(super) braked: bool,
}

/// A quota is used up: the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Throttle {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            ways: Default::default(),
            quotas: SmallVec::new(),
            own: Vec::new(),
            charged_ms: 0,
            limits,
        }
    }

    pub(super) fn draw_from(&mut self, way: usize, bucket: Arc<Bucket>) {
        self.ways[way].buckets.push(bucket);
    }

    /// It has this bucket, from which it draws, for itself.
    pub(super) fn owns(&mut self, own: Own) {
        self.own.push(own);
    }

    /// Goes on with the buckets that the session had for itself under the policy before, at the rates of
    /// this one: they are as full as they were.
    pub fn take_over(&mut self, before: &Self) {
        self.charged_ms = self.charged_ms.max(before.charged_ms);
        for own in &mut self.own {
            let is_same = |old: &&Own| old.name == own.name && old.way == own.way;
            let Some(old) = before.own.iter().find(is_same) else { continue };
            old.bucket.change(own.rate);
            for bucket in &mut self.ways[own.way].buckets {
                if Arc::ptr_eq(bucket, &own.bucket) {
                    *bucket = Arc::clone(&old.bucket);
                }
            }
            own.bucket = Arc::clone(&old.bucket);
        }
    }

    pub(super) fn count_for(&mut self, quota: Metered) {
        self.quotas.push(quota);
    }

    /// Whether it holds nothing back.
    pub(super) fn is_idle(&self) -> bool {
        self.quotas.is_empty() && self.ways.iter().all(|way| way.buckets.is_empty())
    }

    /// Octets that may be read of each way now, `most` at most; of a way that waits, none. One in which
    /// nothing is known to have come `wants` none, and takes no turn from others.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn allow(&mut self, most: u64, wants: [bool; 2], now: Now) -> Result<[u64; 2], Exhausted> {
        let mut caps = [most; 2];
        for quota in &mut self.quotas {
            let left = quota.octets.saturating_sub(quota.usage.used(now.utc_ms));
            let counted = quota.counted.ways();
            let counts = |index: &usize| counted[*index];
            let is_used_up = left == 0;
            match &quota.brake {
                None if is_used_up => return Err(Exhausted),
                Some(brake) if quota.braked != is_used_up => {
                    quota.braked = is_used_up;
                    (0..2).filter(counts).for_each(|way| self.ways[way].brake(brake, is_used_up));
                }
                None | Some(_) => {}
            }
            if !is_used_up {
                (0..2).filter(counts).for_each(|way| caps[way] = caps[way].min(left));
            }
        }
        let [upload, download] = &mut self.ways;
        Ok([upload.allow(caps[0], wants[0], now.mono), download.allow(caps[1], wants[1], now.mono)])
    }

    /// Whether a quota is used up that ends the session: no portion will be allowed any more.
    #[must_use]
    pub fn is_exhausted(&self, now: Now) -> bool {
        let used_up = |quota: &Metered| quota.usage.used(now.utc_ms) >= quota.octets;
        self.quotas.iter().any(|quota| quota.brake.is_none() && used_up(quota))
    }

    /// So much was `read` of each way. One that has `more`, or may have, asks for its next quantum; what
    /// another has not used goes back.
    pub fn charge(&mut self, read: [u64; 2], more: [bool; 2], now: Now) {
        for ((way, read), more) in self.ways.iter_mut().zip(read).zip(more) {
            way.charge(read, more, now.mono);
        }
        if read != [0; 2] {
            self.charged_ms = now.utc_ms;
        }
        for quota in &self.quotas {
            let octets = quota.counted.of(read[0], read[1]);
            if octets > 0 {
                let (before, after) = quota.usage.add(octets, now.utc_ms);
                let passed = |mark: u64| before < mark && mark <= after;
                if passed(quota.octets) || passed(quota.warn_octets) {
                    self.limits.passed(&quota.usage, passed(quota.octets));
                }
            }
        }
    }

    /// When a way that waits has its turn, the sooner of both.
    #[must_use]
    pub fn resumes_at(&self, now: Instant) -> Option<Instant> {
        self.ways.iter().filter_map(|way| way.waits(now)).min()
    }

    /// When a way that waits has its turn.
    #[must_use]
    pub fn turn(&self, way: usize, now: Instant) -> Option<Instant> {
        self.ways[way].waits(now)
    }

    /// Whether a way need not wait.
    #[must_use]
    pub fn is_ready(&self, way: usize, now: Instant) -> bool {
        self.ways[way].waits(now).is_none()
    }

    /// So much that was read of each way was never delivered, and counts for no quota.
    pub fn undelivered(&self, octets: [u64; 2]) {
        for quota in &self.quotas {
            quota.usage.take_off(quota.counted.of(octets[0], octets[1]), self.charged_ms);
        }
    }
}

impl Way {
    fn allow(&mut self, most: u64, wants: bool, now: Instant) -> u64 {
        if self.buckets.is_empty() || most == 0 {
            return most;
        }
        if self.granted == 0 {
            if !wants {
                return 0;
            }
            self.reserve(now);
        }
        if self.waits(now).is_some() { 0 } else { self.granted.min(most) }
    }

    /// Asks each bucket for a quantum of the slowest one.
    fn reserve(&mut self, now: Instant) {
        let quantum = self.buckets.iter().map(|bucket| bucket.quantum()).min();
        self.granted = quantum.unwrap_or(0);
        self.from = self.buckets.iter().map(|bucket| bucket.reserve(self.granted, now)).max();
    }

    fn charge(&mut self, read: u64, more: bool, now: Instant) {
        if self.buckets.is_empty() {
            return;
        }
        if let Some(beyond) = read.checked_sub(self.granted).filter(|beyond| *beyond > 0) {
            // A datagram is moved whole; whoever comes next waits for it.
            for bucket in &self.buckets {
                let _from = bucket.reserve(beyond, now);
            }
        }
        self.granted = self.granted.saturating_sub(read);
        if more && self.granted == 0 {
            self.reserve(now);
        } else if !more && self.waits(now).is_none() {
            self.give_back();
        }
    }

    fn waits(&self, now: Instant) -> Option<Instant> {
        self.from.filter(|from| self.granted > 0 && *from > now)
    }

    fn give_back(&mut self) {
        let granted = std::mem::take(&mut self.granted);
        self.buckets.iter().for_each(|bucket| bucket.give_back(granted));
    }

    /// Puts another bucket before the way, or takes it away.
    fn brake(&mut self, brake: &Arc<Bucket>, on: bool) {
        self.give_back();
        self.buckets.retain(|bucket| !Arc::ptr_eq(bucket, brake));
        if on {
            self.buckets.push(Arc::clone(brake));
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests;
