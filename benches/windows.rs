//! The rolling windows at ten million sessions of one day.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a bench reads the clock")]

mod filled;

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use rustsocks::clock::{self, Now};
use rustsocks::session::{Ending, IdSource, Outcome, SessionView, Stages, Status, Traffic};
use rustsocks::stats::{Change, Past, Windows};

/// Windows with so many sessions, as a restart loads them.
fn full(count: u64, now_ms: i64) -> Windows {
    let windows = Windows::new(24, 168);
    windows.begin_loading();
    windows.snapshot_taken(now_ms);
    let mut past = Past::default();
    let began = Instant::now();
    for row in filled::rows(count, now_ms) {
        let (user, host) = (filled::user(row.user), row.target.map(filled::host));
        let host = host.unwrap_or_default();
        let status = if row.outcome.0 == "closed" { Status::Closed } else { Status::Failed };
        let minute = row.start_ms.div_euclid(60_000);
        past.push(minute, user.as_bytes(), (host.as_bytes(), 443), row.bytes, status);
        if past.is_full() {
            windows.load(&past);
            past.clear();
        }
    }
    windows.load(&past);
    windows.finish_loading();
    eprintln!("{count} sessions in {:.1?}: {:?}", began.elapsed(), windows.state());
    windows
}

fn answers(c: &mut Criterion) {
    let now = clock::now();
    let windows = full(10_000_000, now.utc_ms);
    let mut group = c.benchmark_group("windows of 10 million sessions");
    let change = change(now.utc_ms);
    group.bench_function("default window, after a commit", |b| {
        b.iter_custom(|times| {
            timed(times, || windows.commit(now.utc_ms, [&change]), || windows.answer(now, 24))
        });
    });
    let mut mono = now.mono;
    for hours in [1, 23, 48] {
        group.bench_function(format!("{hours} hours, added up"), |b| {
            b.iter(|| {
                // Later than an answer serves for.
                mono += Duration::from_secs(1);
                windows.commit(now.utc_ms, [&change]);
                windows.answer(Now { mono, ..now }, hours)
            });
        });
    }
    group.bench_function("any window, again within a second", |b| {
        b.iter(|| windows.answer(Now { mono, ..now }, 48));
    });
    group.bench_function("book one row", |b| {
        b.iter(|| windows.commit(now.utc_ms, [black_box(&change)]));
    });
    group.finish();
}

/// The time of `measured`, with something before it each time that is not measured.
fn timed<T>(times: u64, mut before: impl FnMut(), mut measured: impl FnMut() -> T) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..times {
        before();
        let began = Instant::now();
        black_box(measured());
        spent += began.elapsed();
    }
    spent
}

fn change(now_ms: i64) -> Change {
    let session = SessionView {
        id: IdSource::new().next(now_ms),
        start_ms: now_ms,
        client: ([192, 0, 2, 17], 40_000).into(),
        user: "user-0001".into(),
        claimed_user: "".into(),
        detail: None,
        target_host: "www2.example.com".into(),
        target_port: 443,
        resolved: None,
        command: None,
        decision: None,
        rule: "".into(),
        rule_id: None,
        shadow: None,
        policy_generation: 1,
        accepted: true,
        traffic: Traffic { bytes_sent: 100, bytes_received: 1000, ..Traffic::default() },
        last_activity_ms: now_ms,
        stages: Stages::default(),
        client_tcp: None,
        upstream_tcp: None,
        ending: Some(Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 5 }),
    };
    Change { session, before: None }
}

/// The whole process on a filled database, where the environment names one: a restart, and
/// statistics over HTTP.
fn process(_: &mut Criterion) {
    let Some((path, rows)) = filled::database() else { return };
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("bench.toml");
    let text = format!(
        "[server]\nbind_port = 0\n[sessions]\nstats_api_port = 0\nledger_path = {:?}\n\
         database_url = \"sqlite://{}\"\n",
        directory.path().join("ledger"),
        path.canonicalize().unwrap().display()
    );
    std::fs::write(&config, text).unwrap();
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["run", "--config"])
        .arg(&config)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut api = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, address)) = line.split_once("API on http://") {
            address.clone_into(&mut api);
        }
        if line.contains("is ready") {
            eprintln!("ready after {:.2?}", began.elapsed());
        }
        if line.contains("statistics are complete") {
            eprintln!("complete after {:.2?}: {line}", began.elapsed());
            break;
        }
    }
    eprintln!("resident: {} of {rows} rows", resident(child.id()));
    eprintln!("default window over HTTP: {}", latencies(&api, |_| String::new()));
    let other = |number: usize| format!("?window_hours={}", number % 168 + 1);
    eprintln!("any window over HTTP, each added up anew: {}", latencies(&api, other));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Median, p99 and worst of a thousand requests.
fn latencies(api: &str, query: impl Fn(usize) -> String) -> String {
    let mut latencies: Vec<_> = (0..1000)
        .map(|number| {
            let path = format!("/api/sessions/stats{}", query(number));
            let began = Instant::now();
            let mut stream = TcpStream::connect(api).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {api}\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("total_sessions"));
            began.elapsed()
        })
        .collect();
    latencies.sort_unstable();
    let [median, p99, worst] = [499, 989, 999].map(|index| latencies[index]);
    format!("p50 {median:.2?}, p99 {p99:.2?}, worst {worst:.2?}")
}

fn resident(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap().trim().to_owned()
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = answers, process
}
criterion_main!(benches);
