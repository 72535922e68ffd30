//! Pages of the history over HTTP, first and thousandth, of a filled database (see `filled`).
//!
//! `RUSTSOCKS_BENCH_DATABASE=/var/tmp/bench.db cargo bench --bench history`
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench reads the clock and prints what it found"
)]

mod filled;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustsocks::clock::{moment, rfc3339};

fn main() {
    let Some((path, rows)) = filled::database() else {
        eprintln!("RUSTSOCKS_BENCH_DATABASE names no database: nothing is measured");
        return;
    };
    let newest: String = Connection::open(&path)
        .unwrap()
        .query_row("SELECT max(start_time) FROM sessions", [], |row| row.get(0))
        .unwrap();
    let before = |hours: i64| rfc3339(moment(&newest).unwrap() - hours * 3_600_000);
    let directory = tempfile::tempdir().unwrap();
    let (mut child, api) = start(directory.path(), &path);
    println!("{rows} rows; page of 100, milliseconds: p50 / p99 of {TIMES} requests each");
    println!("{:70} {:>16} {:>24}", "query", "first page", "page reached by cursors");
    for query in [
        String::new(),
        format!("user={}", filled::user(0)),
        format!("user={}", filled::user(990)),
        "status=closed".to_owned(),
        "status=failed".to_owned(),
        "status=rejected_by_acl".to_owned(),
        format!("since={}", before(12)),
        format!("since={}&until={}", before(20), before(4)),
        format!("user={}&since={}", filled::user(0), before(12)),
        format!("user={}&since={}", filled::user(990), before(12)),
        format!("user={}&status=rejected_by_acl", filled::user(0)),
        format!("user={}&status=rejected_by_acl", filled::user(990)),
        format!("status=rejected_by_acl&since={}", before(12)),
        format!("dest={}", filled::host(2)),
        "dest=nowhere.example".to_owned(),
    ] {
        for order in ["desc", "asc"] {
            let first = format!("/api/sessions/history?order={order}&{query}");
            let mut path = first.clone();
            let (mut page, began) = (1, Instant::now());
            while page < PAGES && began.elapsed() < WALK_MAX {
                let Some(cursor) = get(&api, &path).1 else { break };
                path = format!("{first}&cursor={cursor}");
                page += 1;
            }
            let (first, last) = (latencies(&api, &first), latencies(&api, &path));
            println!(
                "{:70} {first:>16} {:>24}",
                format!("{order} {query}"),
                format!("{last} ({page})")
            );
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn start(directory: &Path, database: &Path) -> (Child, String) {
    let config = directory.join("bench.toml");
    let text = format!(
        "[server]\nbind_port = 0\n[sessions]\nstats_api_port = 0\nledger_path = {:?}\n\
         retention_days = 0\ndatabase_url = \"sqlite://{}\"\n",
        directory.join("ledger"),
        database.canonicalize().unwrap().display()
    );
    fs::write(&config, text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["run", "--config"])
        .arg(&config)
        .current_dir(directory)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut api = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        if let Some((_, address)) = line.split_once("API on http://") {
            address.clone_into(&mut api);
        }
        // Until then the rows of the past are being read.
        if line.contains("statistics are complete") {
            break;
        }
    }
    (child, api)
}

/// How long it took, and the next cursor.
fn get(api: &str, path: &str) -> (Duration, Option<String>) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(api).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {api}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let took = began.elapsed();
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    let cursor = answer.split_once("\"next_cursor\":\"").map(|(_, rest)| rest);
    (took, cursor.and_then(|rest| rest.split('"').next()).map(str::to_owned))
}

fn latencies(api: &str, path: &str) -> String {
    let mut latencies: Vec<Duration> = (0..TIMES).map(|_| get(api, path).0).collect();
    latencies.sort_unstable();
    let ms = |index: usize| latencies[index].as_secs_f64() * 1000.0;
    format!("{:.1} / {:.1}", ms(TIMES / 2), ms(TIMES - 1))
}

const TIMES: usize = 50;
const PAGES: usize = 1000;
/// A query that no index helps takes a second a page.
const WALK_MAX: Duration = Duration::from_secs(30);
