//! `cargo bench --bench storage`: what SQLite costs the relay, and what becomes of the relay while
//! SQLite is in trouble. The real release binary, one worker pinned to one core, sessions of 64
//! octets at 32 at a time.
//!
//! ```text
//! core 0: clients, origin, the writer and the rest of the proxy        core 1: its worker
//! ```
//!
//! **cost** takes `storage = "sqlite"` and `"memory"` in turns, and prints what a session costs the
//! worker, and the rate, with their ratios. **trouble** prints the rate before and during each
//! trouble, what /health said, and whether every session that was let in is in the table afterwards.
//!
//! | variable | meaning |
//! |---|---|
//! | `STORAGE_MODES` | comma-separated, of cost, trouble (both) |
//! | `STORAGE_ROUNDS`, `STORAGE_SECONDS` | rounds of cost (7), seconds of each measurement (3) |
//! | `STORAGE_TROUBLE_SECONDS` | how long each trouble lasts (15) |
//! | `STORAGE_TROUBLES` | comma-separated, of locked, full, read-only, broken, slow, deleted, replaced |
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    dead_code,
    reason = "a bench reads the clock, prints and may give up, and takes what it needs of the load's"
)]

#[path = "load/contender.rs"]
#[allow(dead_code, reason = "for the bench of load")]
mod contender;
#[path = "load/ears.rs"]
mod ears;
#[path = "load/origin.rs"]
mod origin;
#[path = "load/process.rs"]
mod process;
#[path = "load/swarm.rs"]
mod swarm;

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use contender::Way;
use process::{Process, pin};
use rusqlite::Connection;
use swarm::{Swarm, Work};

fn main() -> io::Result<()> {
    // `cargo test --benches` and `cargo bench -- --list` start it too.
    if env::args().any(|argument| argument == "--test" || argument == "--list") {
        return Ok(());
    }
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    pin(0);
    rustsocks::linux::nofile::raise_nofile();
    let origin = origin::start()?;
    let listed = |name: &str, all: &str| {
        let listed = env::var(name).unwrap_or_else(|_| all.to_owned());
        listed.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    for mode in listed("STORAGE_MODES", "cost,trouble") {
        match mode.as_str() {
            "cost" => cost(origin)?,
            "trouble" => {
                println!(
                    "trouble     before/s  during/s  ratio   failed  /health             well after  \
                     let in      rows     dropped"
                );
                let all = "locked,full,read-only,broken,slow,deleted,replaced";
                for kind in listed("STORAGE_TROUBLES", all) {
                    trouble(&kind, origin)?;
                }
            }
            other => return Err(io::Error::other(format!("STORAGE_MODES: no mode {other}"))),
        }
    }
    Ok(())
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// A proxy of one worker, which has the second core.
struct Proxy {
    process: Process,
    directory: PathBuf,
    api: SocketAddr,
}

impl Proxy {
    fn start(storage: &str, origin: SocketAddr, environment: &str) -> io::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = format!(
            "[server]\nbind_port = {{port}}\nworkers = 1\n\
             [sessions]\nstorage = \"{storage}\"\nstats_api_port = {port}\n"
        );
        let binary = env!("CARGO_BIN_EXE_rustsocks");
        let command = format!("env {environment} {binary} run --config {{dir}}/config");
        let process = Process::start_on("0,1", &command, &config, origin)?;
        let proxy = Self {
            directory: process.directory().to_owned(),
            process,
            api: ([127, 0, 0, 1], port).into(),
        };
        for (name, core) in [("writer", "0"), ("worker-0", "1")] {
            let until = Instant::now() + WARM_UP;
            let task = loop {
                match proxy.process.task(name) {
                    Some(task) => break task,
                    None if Instant::now() > until => return Err(io::Error::other(name)),
                    None => thread::park_timeout(Duration::from_millis(5)),
                }
            };
            let pinned =
                Command::new("taskset").args(["-cp", core]).arg(task.to_string()).output()?;
            assert!(pinned.status.success(), "{pinned:?}");
        }
        Ok(proxy)
    }

    fn database(&self) -> PathBuf {
        self.directory.join("data/sessions.db")
    }

    fn get(&self, path: &str) -> String {
        let mut text = String::new();
        let asked = TcpStream::connect(self.api).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.api)?;
            stream.read_to_string(&mut text)
        });
        asked.map_or_else(|error| error.to_string(), |_| text)
    }

    /// `None` when all is well, else why it is not.
    fn trouble(&self) -> Option<String> {
        let health = self.get("/health");
        let (_, body) = health.split_once("\r\n\r\n")?;
        let health: serde_json::Value = serde_json::from_str(body).ok()?;
        (health["status"] != "ok").then(|| health["checks"]["writer"].to_string())
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse::<f64>().ok()).unwrap_or(f64::NAN) as u64
    }
}

/// Sessions a second, and CPU of worker and writer in microseconds per session.
fn measure(storage: &str, origin: SocketAddr, span: Duration) -> io::Result<[f64; 3]> {
    let proxy = Proxy::start(storage, origin, "")?;
    let mut swarm = Swarm::new(proxy.process.address, origin, Way::Socks5)?;
    swarm.add(SESSIONS, Work::Session)?;
    swarm.measure(WARM_UP)?;
    let cpu = || ["worker-0", "writer"].map(|name| proxy.process.thread_seconds(name));
    let before = cpu();
    let (tally, seconds) = swarm.measure(span)?;
    let after = cpu();
    assert_eq!(tally.failures, 0, "sessions that failed");
    let sessions = tally.sessions as f64;
    let per_session = |at: usize| (after[at] - before[at]) * 1e6 / sessions;
    Ok([sessions / seconds, per_session(0), per_session(1)])
}

fn cost(origin: SocketAddr) -> io::Result<()> {
    let span = Duration::from_secs(number("STORAGE_SECONDS", 3));
    println!(
        "            sqlite: sessions/s  worker µs  writer µs    memory: sessions/s  worker µs  \
         writer µs    rate ratio  worker ratio"
    );
    let mut rounds = Vec::new();
    for round in 0..number("STORAGE_ROUNDS", 7) {
        // Who is first is the other one each time.
        let (sqlite, memory) = if round % 2 == 0 {
            let sqlite = measure("sqlite", origin, span)?;
            (sqlite, measure("memory", origin, span)?)
        } else {
            let memory = measure("memory", origin, span)?;
            (measure("sqlite", origin, span)?, memory)
        };
        let line = [sqlite, memory].concat();
        print_cost(&format!("round {round}"), &line);
        rounds.push(line);
    }
    let median = |column: usize| {
        let mut values: Vec<_> = rounds.iter().map(|line| line[column]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    print_cost("median", &(0..6).map(median).collect::<Vec<_>>());
    Ok(())
}

fn print_cost(what: &str, line: &[f64]) {
    println!(
        "{what:12} {:17.0} {:10.2} {:10.2} {:21.0} {:10.2} {:10.2} {:13.3} {:13.3}",
        line[0],
        line[1],
        line[2],
        line[3],
        line[4],
        line[5],
        line[0] / line[3],
        line[1] / line[4]
    );
}

fn trouble(kind: &str, origin: SocketAddr) -> io::Result<()> {
    let disk = tempfile::tempdir()?;
    let (library, fault) = (disk.path().join("fault.so"), disk.path().join("fault"));
    compile(&library)?;
    let environment = format!(
        "LD_PRELOAD={} FAULT_FILE={} FAULT_DIR={{dir}}/data",
        library.display(),
        fault.display()
    );
    let proxy = Proxy::start("sqlite", origin, &environment)?;
    let mut swarm = Swarm::new(proxy.process.address, origin, Way::Socks5)?;
    swarm.add(SESSIONS, Work::Session)?;
    swarm.measure(WARM_UP)?;
    let (tally, seconds) = swarm.measure(Duration::from_secs(5))?;
    let before = tally.sessions as f64 / seconds;
    let mut failed = tally.failures;

    let held = begin(kind, &proxy, &fault)?;
    let (began, mut sessions, mut said) = (Instant::now(), 0, None);
    let span = Duration::from_secs(number("STORAGE_TROUBLE_SECONDS", 15));
    while began.elapsed() < span {
        let (tally, _) = swarm.measure(Duration::from_millis(500))?;
        sessions += tally.sessions;
        failed += tally.failures;
        said = proxy.trouble().or(said);
    }
    let during = sessions as f64 / began.elapsed().as_secs_f64();
    drop(held);
    drop(fs::remove_file(&fault));
    let over = Instant::now();
    while proxy.trouble().is_some() && over.elapsed() < Duration::from_secs(60) {
        failed += swarm.measure(Duration::from_millis(100))?.0.failures;
    }
    let well_after = over.elapsed();
    failed += swarm.measure(Duration::from_secs(2))?.0.failures;
    drop(swarm);

    let until = Instant::now() + Duration::from_secs(60);
    let settled = || {
        proxy.metric("rustsocks_active_sessions") == 0
            && proxy.metric("rustsocks_writer_queue_entries") == 0
    };
    while !settled() && Instant::now() < until {
        thread::park_timeout(Duration::from_millis(50));
    }
    let let_in = proxy.metric("rustsocks_sessions_total");
    let dropped: u64 = ["ending", "session"]
        .map(|kind| proxy.metric(&format!("rustsocks_records_dropped_total{{kind=\"{kind}\"}}")))
        .into_iter()
        .sum();
    let rows: u64 = Connection::open(proxy.database())
        .and_then(|database| {
            database.busy_timeout(Duration::from_secs(10))?;
            let sql = "SELECT count(*) FROM sessions WHERE command = 'connect'";
            database.query_row(sql, [], |row| row.get(0))
        })
        .unwrap();
    let mut said = said.unwrap_or_else(|| "ok".to_owned());
    said.truncate(60);
    println!(
        "{kind:10} {before:9.0} {during:9.0} {:6.2} {failed:8}  {:18} {:9.1} s {let_in:8} {rows:8} \
         {dropped:8}   {said}",
        during / before,
        if said == "ok" { "ok" } else { "degraded" },
        well_after.as_secs_f64(),
    );
    Ok(())
}

/// Makes the trouble; it lasts as long as the answer and the file `fault`.
fn begin(kind: &str, proxy: &Proxy, fault: &Path) -> io::Result<Option<Connection>> {
    match kind {
        "locked" => {
            let other = Connection::open(proxy.database()).unwrap();
            other.busy_timeout(Duration::from_secs(10)).unwrap();
            other.execute_batch("BEGIN EXCLUSIVE").unwrap();
            return Ok(Some(other));
        }
        "deleted" => {
            for suffix in ["", "-wal", "-shm"] {
                fs::remove_file(format!("{}{suffix}", proxy.database().display()))?;
            }
        }
        "replaced" => {
            let stranger = proxy.directory.join("stranger.db");
            Connection::open(&stranger).unwrap().execute_batch("CREATE TABLE cats (name)").unwrap();
            fs::rename(stranger, proxy.database())?;
        }
        "full" | "read-only" | "broken" | "slow" => fs::write(fault, kind)?,
        other => return Err(io::Error::other(format!("STORAGE_TROUBLES: no trouble {other}"))),
    }
    Ok(None)
}

/// The disk that fails, which the tests have too.
fn compile(library: &Path) -> io::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/storage/fault.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([library, &source])
        .arg("-ldl")
        .status()?;
    assert!(compiled.success(), "cc");
    Ok(())
}

const SESSIONS: usize = 32;
const WARM_UP: Duration = Duration::from_secs(1);
