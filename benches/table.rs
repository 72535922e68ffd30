//! What accounting costs a worker: a session is opened, its figures are published, it is ended; and
//! what a reader who pages through the table costs it.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod population;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use parking_lot::Mutex;
use population::{Live, Population, WORKER, now_ms};
use rustsocks::session::{SessionId, SessionRef, Traffic};
use rustsocks::stats::Count;

/// A worker with so many sessions that live on while others come and go.
fn populated() -> (Population, Vec<Live>) {
    let mut population = Population::new();
    let lasting = (0..LASTING).map(|_| population.open(now_ms())).collect();
    (population, lasting)
}

/// Opens and ends `iters` sessions, a portion at a time, and measures the one or the other.
fn measured(population: &mut Population, iters: u64, what: Measured) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = iters;
    let mut live = Vec::with_capacity(PORTION);
    let mut ended = Vec::with_capacity(PORTION);
    while left > 0 {
        let portion = left.min(PORTION as u64);
        left -= portion;
        let now = now_ms();
        let began = Instant::now();
        live.extend((0..portion).map(|_| population.open(now)));
        let opened = Instant::now();
        ended.extend(live.drain(..).map(|live| population.close(live, now)));
        let closed = Instant::now();
        // The writer's part.
        for session in ended.drain(..) {
            population.ledger.free(session);
        }
        took += match what {
            Measured::Opening => opened - began,
            Measured::Closing => closed - opened,
            Measured::Both => closed - began,
        };
    }
    took
}

#[derive(Clone, Copy)]
enum Measured {
    Opening,
    Closing,
    Both,
}

fn session(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    let (mut population, lasting) = populated();
    group.bench_function("open", |b| {
        b.iter_custom(|iters| measured(&mut population, iters, Measured::Opening));
    });
    let mut next = lasting.iter().cycle();
    let mut traffic = Traffic::default();
    group.bench_function("publish", |b| {
        b.iter(|| {
            traffic.bytes_sent += 1460;
            traffic.packets_sent += 1;
            let session = next.next().map(Live::reference);
            session.inspect(|session| session.publish(black_box(traffic), 1_769_846_709_000))
        });
    });
    group.bench_function("close", |b| {
        b.iter_custom(|iters| measured(&mut population, iters, Measured::Closing));
    });
    group.finish();
}

/// Readers lock a shard for a page at a time. What that costs the shard's worker is the longest
/// wait, the copying of a page, and what it loses by being waited for.
fn readers(c: &mut Criterion) {
    let mut group = c.benchmark_group("readers");
    let (mut population, _lasting) = populated();
    group.bench_function("a page under the lock", |b| {
        let mut page = Vec::new();
        b.iter(|| {
            page.clear();
            population.table.page(WORKER, None, &mut page)
        });
    });
    group.bench_function("instead: all 10 000 under the lock", |b| {
        let shard = whole_shard(&population);
        let mut all = Vec::new();
        b.iter(|| {
            all.clear();
            all.extend(shard.lock().values().copied());
            all.len()
        });
    });
    group.bench_function("open and close, alone", |b| {
        b.iter_custom(|iters| measured(&mut population, iters, Measured::Both));
    });
    group.bench_function("open and close, beside a reader that never rests", |b| {
        b.iter_custom(|iters| {
            let over = AtomicBool::new(false);
            let (table, ledger) = (population.table.clone(), population.ledger.clone());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut page = Vec::new();
                    let mut after = None;
                    while !over.load(Ordering::Relaxed) {
                        page.clear();
                        after = table.page(WORKER, after, &mut page);
                        black_box(page.iter().filter_map(|session| ledger.view(*session)).count());
                    }
                });
                let took = measured(&mut population, iters, Measured::Both);
                over.store(true, Ordering::Relaxed);
                took
            })
        });
    });
    group.finish();
}

fn whole_shard(population: &Population) -> Mutex<BTreeMap<SessionId, SessionRef>> {
    let (mut page, mut after) = (Vec::new(), None);
    loop {
        after = population.table.page(WORKER, after, &mut page);
        if after.is_none() {
            break;
        }
    }
    Mutex::new(page.iter().filter_map(|session| Some((session.id()?, *session))).collect())
}

/// A counter with one writer against one that any thread may add to.
fn counters(c: &mut Criterion) {
    let mut group = c.benchmark_group("counter");
    let (own, shared) = (Count::default(), AtomicU64::new(0));
    group.bench_function("one writer", |b| b.iter(|| black_box(&own).add(1460)));
    group.bench_function("instead: fetch_add", |b| {
        b.iter(|| black_box(&shared).fetch_add(1460, Ordering::Relaxed));
    });
    group.finish();
}

/// Sessions that live on meanwhile.
const LASTING: usize = 10_000;
/// Sessions opened before the first of them is ended.
const PORTION: usize = 1000;

criterion_group!(benches, session, readers, counters);
criterion_main!(benches);
