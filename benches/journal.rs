//! From a worker's word to the disk: what telling the writer costs a worker, and how long a batch
//! takes until SQLite has it.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod population;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use population::{Population, now_ms};
use rustsocks::session::SessionRef;
use rustsocks::stats::{Change, Minutes, UserSums, Windows, WriterGauges};
use rustsocks::store::{Claim, Location, Owner, StoreOptions};
use rustsocks::writer::{Keep, Options, Parts, Witness, Writer};
use tempfile::TempDir;

/// A new database on the disk that the build is on.
fn database() -> (TempDir, Owner) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let url = format!("sqlite://{}", directory.path().join("sessions.db").display());
    let location = Location::parse(&url).expect("a URL");
    let lock = location.lock(Duration::ZERO).expect("nobody else has it");
    let options = StoreOptions { node: "bench".to_owned(), ..StoreOptions::default() };
    let claim = Claim::new(location, lock, Vec::new());
    (directory, claim.open(options, || {}).expect("the database opens"))
}

/// So many sessions that have ended and wait for the writer.
fn ended(population: &mut Population, sessions: usize) -> Vec<SessionRef> {
    let now = now_ms();
    (0..sessions)
        .map(|number| {
            let live = population.open(now);
            live.moved(1000 + number as u64, now);
            population.close(live, now)
        })
        .collect()
}

/// What the worker pays.
fn telling(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal");
    let mut population = Population::new();
    group.bench_function("opening and ending told", |b| {
        b.iter_custom(|iters| {
            let (mut took, mut left) = (Duration::ZERO, iters);
            while left > 0 {
                let portion = left.min(1000);
                left -= portion;
                let now = now_ms();
                let live: Vec<_> = (0..portion).map(|_| population.open(now)).collect();
                let began = Instant::now();
                for live in &live {
                    population.say_opened(live);
                }
                took += began.elapsed();
                let ended: Vec<_> =
                    live.into_iter().map(|live| population.close(live, now)).collect();
                let began = Instant::now();
                for session in &ended {
                    population.say_closed(*session);
                }
                took += began.elapsed();
                population.receive_all();
                for session in ended {
                    population.ledger.free(session);
                }
            }
            took
        });
    });
    group.finish();
}

/// The transaction alone: rows that are ready, to the disk.
fn commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch of 100");
    group.throughput(Throughput::Elements(BATCH as u64));
    let (_directory, mut owner) = database();
    let mut population = Population::new();
    group.bench_function("committed", |b| {
        b.iter_custom(|iters| {
            let mut took = Duration::ZERO;
            for _ in 0..iters {
                let sessions = ended(&mut population, BATCH);
                let rows: Vec<Change> = sessions
                    .iter()
                    .filter_map(|session| population.ledger.view(*session))
                    .map(|session| Change { session, before: None })
                    .collect();
                let began = Instant::now();
                owner.commit(&rows).expect("the disk takes it");
                took += began.elapsed();
                for session in sessions {
                    population.ledger.free(session);
                }
            }
            took
        });
    });
    owner.close();

    // The whole way: told to the writer's thread, gathered, read from the ledger, committed. Each
    // batch comes after a rest, when the writer listens for its first entry.
    group.sample_size(10);
    let (_directory, owner) = database();
    let mut population = Population::new();
    let gauges = Arc::new(WriterGauges::default());
    let writer = Writer::new(Parts {
        receiver: population.receiver(),
        ledger: population.ledger.clone(),
        table: population.table.clone(),
        keep: Some(Box::new(owner)),
        ring: None,
        minutes: Arc::new(Minutes::new(1)),
        users: Arc::new(UserSums::new(100)),
        windows: Arc::new(Windows::new(24, 168)),
        gauges: gauges.clone(),
        witness: Witness::default(),
        options: Options {
            batch_size: BATCH,
            batch_interval: Duration::from_secs(1),
            checkpoint_interval: Duration::from_secs(5),
            cleanup_interval: Duration::from_secs(86_400),
            stop_patience: Duration::from_secs(10),
        },
    });
    let thread = std::thread::spawn(move || writer.run());
    group.bench_function("from the journal to the disk", |b| {
        b.iter_custom(|iters| {
            let mut took = Duration::ZERO;
            for _ in 0..iters {
                std::thread::sleep(REST);
                let committed = gauges.rows.get() + BATCH as u64;
                let sessions = ended(&mut population, BATCH);
                let began = Instant::now();
                for session in sessions {
                    population.say_closed(session);
                }
                while gauges.rows.get() < committed {
                    assert!(began.elapsed() < PATIENCE, "the writer does not answer");
                    std::thread::yield_now();
                }
                took += began.elapsed();
            }
            took
        });
    });
    // Its last sender ends the writer.
    drop(population);
    assert_eq!(thread.join().expect("the writer does not panic"), 0, "nothing is lost");
    group.finish();
}

/// The reference's `batch_size`.
const BATCH: usize = 100;
/// Longer than the writer leaves between two flushes.
const REST: Duration = Duration::from_millis(120);
const PATIENCE: Duration = Duration::from_secs(60);

criterion_group!(benches, telling, commit);
criterion_main!(benches);
