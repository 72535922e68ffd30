//! What the metrics cost those that are measured: a worker at a session's end, and the writer at a
//! row's commit.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use rustsocks::session::{Stages, Traffic};
use rustsocks::stats::{Count, Peak, StageTimes, UserSums};

fn worker(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics");
    let times = StageTimes::default();
    group.bench_function("stages_of_a_session", |bencher| {
        let mut us = 0;
        bencher.iter(|| {
            us = (us + 7919) % 2_000_000;
            let stages = Stages {
                auth_us: Some(us),
                resolve_us: Some(us / 2),
                connect_us: Some(us / 3),
                first_byte_us: None,
            };
            times.observe(black_box(&stages));
            // The first octet comes later.
            let stages = Stages { first_byte_us: Some(us / 5), ..Stages::default() };
            times.observe(black_box(&stages));
        });
    });
    let count = Count::default();
    group.bench_function("one_counter", |bencher| bencher.iter(|| black_box(&count).add(1)));
    let peak = Peak::default();
    group.bench_function("longest_turn_of_late", |bencher| {
        bencher.iter(|| black_box(&peak).note(29_497_445, black_box(120)));
    });
    group.finish();
}

fn writer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics");
    let names: Vec<String> = (0..1000).map(|number| format!("user-{number}")).collect();
    for (what, users) in [("ten_users", 10), ("a_thousand_users", 1000)] {
        let sums = UserSums::new(100);
        let now = Instant::now();
        let traffic = Traffic { bytes_sent: 1000, bytes_received: 20_000, ..Traffic::default() };
        let mut number = 0;
        group.bench_function(format!("row_of_one_of_{what}"), |bencher| {
            bencher.iter(|| {
                number = (number + 7) % users;
                sums.add(&names[number], true, black_box(&traffic), now);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, worker, writer);
criterion_main!(benches);
