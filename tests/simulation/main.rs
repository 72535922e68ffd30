//! A world without sockets, told by one number: clients, targets, names, passwords, operators and time,
//! around the machines, passages, associations, deadlines, admission, journal and batches that a worker
//! and a writer are made of. After each turn the invariants of `check.rs` hold.
//!
//! `SIM_SEED=7 cargo test --test simulation` tells one world again, `SIM_SEEDS=10000` tells more.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod agenda;
mod answers;
mod association;
mod check;
mod client;
mod connection;
mod dice;
mod limits;
mod line;
mod odds;
mod outside;
mod party;
mod perform;
mod permits;
mod policies;
mod rows;
mod script;
mod told;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dice::Dice;
use told::Told;
use world::World;

/// Worlds that every run of the tests tells.
const SEEDS: u64 = 256;

#[test]
fn every_world_keeps_its_invariants() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(SEEDS),
    };
    let enough = seeds.end - seeds.start >= SEEDS;
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut told = Told::default();
    std::thread::scope(|scope| {
        let tellers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| tell(&next, seeds.end))).collect();
        for teller in tellers {
            match teller.join() {
                Ok(some) => told.add(&some),
                Err(panic) => resume_unwind(panic),
            }
        }
    });
    println!("{told}");
    // A simulation in which nothing happens holds every invariant.
    if enough {
        told.assert_everything_happened();
    }
}

/// Tells one world after the other, until there are no more.
fn tell(next: &AtomicU64, end: u64) -> Told {
    let mut told = Told::default();
    loop {
        let seed = next.fetch_add(1, Relaxed);
        if seed >= end {
            return told;
        }
        match catch_unwind(AssertUnwindSafe(|| World::new(Dice::new(seed)).run())) {
            Ok(world) => told.add(&world),
            Err(panic) => {
                next.store(end, Relaxed);
                eprintln!("the world of SIM_SEED={seed} breaks an invariant");
                resume_unwind(panic);
            }
        }
    }
}
