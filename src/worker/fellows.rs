//! The other workers, for a client that is better off with one of them.
//!
//! The kernel deals connections out by a hash (`SO_REUSEPORT`), or to whoever is first where workers
//! share one queue. Of thousands each worker gets about its part; of a few long ones some get several and
//! others none. So whoever accepts a client looks at two other workers, each in its turn, and hands the
//! client over if one has clearly fewer. This costs a look at a cache line of two other cores for each
//! client, and nothing later. Of 32 connections to 8 workers the one that has most gets 5.6 on average,
//! the one that has fewest 2.5; by the hash alone 7.0 and 1.5, and in one case of ten nothing.

use std::sync::Arc;

use crate::mailbox::{Guest, Post};
use crate::stats::Counters;

/// Another worker.
#[derive(Debug)]
pub struct Fellow {
    /// The way to it.
    pub post: Post,
    /// What it counts.
    pub counters: Arc<Counters>,
}

impl Fellow {
    /// Its connections, and those that are on their way to it.
    fn connections(&self) -> u64 {
        self.counters.connections() + self.post.guests() as u64
    }
}

/// All the others.
#[derive(Debug)]
pub(super) struct Fellows {
    all: Vec<Fellow>,
    next: usize,
}

impl Fellows {
    pub(super) const fn new(all: Vec<Fellow>) -> Self {
        Self { all, next: 0 }
    }

    /// Nothing is handed over from here on.
    pub(super) fn forget(&mut self) {
        self.all.clear();
    }

    /// Hands a client over, where there are `ours` already; gives it back if it is to stay.
    pub(super) fn offer(&mut self, guest: Guest, ours: u64) -> Result<(), Guest> {
        // Most have nobody to look at, or too few connections to be rid of one.
        if ours < SLACK || self.all.is_empty() {
            return Err(guest);
        }
        let looks = LOOKS_MAX.min(self.all.len());
        let looked_at = (0..looks).map(|look| &self.all[(self.next + look) % self.all.len()]);
        let best =
            looked_at.map(|fellow| (fellow.connections(), fellow)).min_by_key(|(held, _)| *held);
        self.next = (self.next + looks) % self.all.len();
        match best {
            Some((theirs, fellow)) if is_better_off(ours, theirs) => fellow.post.guest(guest),
            Some(_) | None => Err(guest),
        }
    }
}

/// Whether a client is better off with who has `theirs` than with who has `ours`. To hand one over costs
/// the wake-up of another thread, so not for a difference that chance makes in a crowd.
const fn is_better_off(ours: u64, theirs: u64) -> bool {
    ours >= theirs + SLACK + ours / SLACK_PART
}

/// Other workers that are looked at for a client.
const LOOKS_MAX: usize = 2;
/// Connections more than another one has that say nothing, and the part of our own that does not either.
const SLACK: u64 = 2;
const SLACK_PART: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_dealt_out_evenly_and_a_crowd_is_left_as_it_is() {
        let better = |(ours, theirs)| is_better_off(ours, theirs);
        assert!([(2, 0), (3, 1), (5, 2), (8, 4), (100, 73)].into_iter().all(better));
        assert!(
            ![(0, 0), (1, 0), (2, 1), (4, 2), (5, 5), (0, 9), (100, 74)].into_iter().any(better)
        );
    }

    /// However the kernel deals them out.
    #[test]
    fn even_if_all_come_to_one_nobody_is_left_idle() {
        let mut all = [0_u64; 8];
        for client in 0..64 {
            let other = client % 7 + 1;
            let to = if is_better_off(all[0], all[other]) { other } else { 0 };
            all[to] += 1;
        }
        assert!(all.iter().all(|&held| (6..=12).contains(&held)), "{all:?}");
    }
}
