//! kill -9: whatever a client saw connected is in the table after the next start, exactly once, with
//! its octets.
//!
//! Each session goes to a loopback address of its own, by which the origin's count, the client's and
//! the row are matched. `KILLS` says how often the proxy is killed (5), `KILL_SEED` replays a run.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may block, read the clock, panic, and say its seed"
)]

mod harness;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;

use harness::api;
use harness::client::{self, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::{PATIENCE, wait_for};
use parking_lot::Mutex;

/// What one side counted of one session.
#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    received: AtomicU64,
}

type Tallies = Arc<Mutex<BTreeMap<Ipv4Addr, Arc<Tally>>>>;

fn tally(tallies: &Tallies, target: Ipv4Addr) -> Arc<Tally> {
    Arc::clone(tallies.lock().entry(target).or_default())
}

/// Echoes, and counts by the address that it was reached at. Sending counts before it happens and is
/// taken back when it fails, so that at no time less is counted than was sent.
fn counting_origin(tallies: &Tallies) -> Origin {
    let tallies = Arc::clone(tallies);
    Origin::on("0.0.0.0:0", move |mut stream, _| {
        let Ok(SocketAddr::V4(local)) = stream.local_addr() else { return };
        let tally = tally(&tallies, *local.ip());
        let mut buffer = [0; 65_536];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            tally.received.fetch_add(read as u64, SeqCst);
            if send(&mut stream, &tally, &buffer[..read]).is_none() {
                return;
            }
        }
    })
}

/// Sends all of it or nothing more; counts what the kernel took.
fn send(stream: &mut TcpStream, tally: &Tally, mut octets: &[u8]) -> Option<()> {
    while !octets.is_empty() {
        let sent = stream.write(octets).ok().filter(|sent| *sent > 0)?;
        tally.sent.fetch_add(sent as u64, SeqCst);
        octets = &octets[sent..];
    }
    Some(())
}

fn receive(stream: &mut TcpStream, tally: &Tally, buffer: &mut [u8]) -> Option<usize> {
    let read = stream.read(buffer).ok()?;
    tally.received.fetch_add(read as u64, SeqCst);
    Some(read)
}

/// What the clients of one run of the proxy share.
struct Round {
    socks: SocketAddr,
    port: u16,
    /// Counts the sessions of all rounds; makes their addresses.
    next: AtomicU32,
    connected: Tallies,
    over: AtomicBool,
}

impl Round {
    /// A session that its client has seen connected.
    fn connect(&self) -> Option<(TcpStream, Arc<Tally>)> {
        let number = self.next.fetch_add(1, SeqCst);
        let [_, a, b, c] = (number + 256).to_be_bytes();
        let target = Ipv4Addr::new(127, a + 1, b, c);
        let mut stream = TcpStream::connect(self.socks).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        let mut asked = vec![5, 1, 0];
        asked.extend(client::connect(SocketAddr::from((target, self.port))));
        stream.write_all(&asked).ok()?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).ok()?;
        assert_eq!(answer[..4], [5, 0, 5, 0], "the proxy refuses: {answer:?}");
        Some((stream, tally(&self.connected, target)))
    }

    /// 64 octets there and back, and FIN both ways.
    fn short(&self) -> Option<()> {
        let (mut stream, tally) = self.connect()?;
        send(&mut stream, &tally, &[7; 64])?;
        stream.shutdown(Shutdown::Write).ok()?;
        while receive(&mut stream, &tally, &mut [0; 256])? > 0 {}
        Some(())
    }

    /// A little there and back until the proxy is killed.
    fn long(&self) -> Option<()> {
        let (mut stream, tally) = self.connect()?;
        loop {
            send(&mut stream, &tally, &[7; 100])?;
            if receive(&mut stream, &tally, &mut [0; 4096])? == 0 {
                return Some(());
            }
        }
    }

    /// As much as goes through, both ways, until the proxy is killed.
    fn bulk(&self) -> Option<()> {
        let (mut stream, tally) = self.connect()?;
        let (mut reading, counted) = (stream.try_clone().ok()?, Arc::clone(&tally));
        let reader = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while receive(&mut reading, &counted, &mut buffer).is_some_and(|read| read > 0) {}
        });
        while send(&mut stream, &tally, &[7; 65_536]).is_some() {}
        reader.join().unwrap();
        Some(())
    }
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn kill_minus_nine_loses_no_session_that_a_client_saw_connected() {
    let seed = number("KILL_SEED", u64::from(std::process::id()));
    let kills = number("KILLS", 5);
    println!("KILL_SEED={seed} KILLS={kills}");
    let mut state = seed;
    let (connected, reached) = (Tallies::default(), Tallies::default());
    let origin = counting_origin(&reached);
    let mut directory = tempfile::tempdir().unwrap();
    let mut next = 0;
    for kill in 0..kills {
        let proxy = Proxy::start_in(directory, "", "checkpoint_interval_secs = 1", "");
        assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE status = 'active'"), 0);
        let round = Arc::new(Round {
            socks: proxy.socks,
            port: origin.address.port(),
            next: AtomicU32::new(next),
            connected: Arc::clone(&connected),
            over: AtomicBool::new(false),
        });
        let begin = |count: usize, work: fn(&Round) -> Option<()>| {
            let round = Arc::clone(&round);
            (0..count).map(move |_| {
                let round = Arc::clone(&round);
                thread::spawn(move || {
                    while !round.over.load(SeqCst) {
                        if work(&round).is_none() {
                            return;
                        }
                    }
                })
            })
        };
        let mut threads: Vec<_> = begin(8, Round::short).collect();
        threads.extend(begin(4, Round::long));
        threads.extend(begin(2, Round::bulk));
        let sessions = 20 + random(&mut state) % 1500;
        wait_for("sessions", || {
            (u64::from(round.next.load(SeqCst) - next) >= sessions).then_some(())
        });
        directory = proxy.kill();
        round.over.store(true, SeqCst);
        for thread in threads {
            thread.join().unwrap();
        }
        next = round.next.load(SeqCst);
        println!("kill {kill} after {sessions} sessions");
    }
    let proxy = Proxy::start_in(directory, "", "", "");
    assert_eq!(ledgers(proxy.directory()), 1, "its own, and no predecessor's");
    compare(&proxy, &connected.lock(), &reached.lock());
    assert_eq!(ledgers(proxy.stop().path()), 0);
}

fn health(proxy: &Proxy) -> String {
    api::get(proxy.api.unwrap(), "/health").body
}

fn ledgers(directory: &Path) -> usize {
    std::fs::read_dir(directory.join("ledger")).unwrap().count()
}

#[test]
fn ledgers_of_several_predecessors_wait_until_the_database_can_be_opened() {
    let origin = Origin::echo();
    let mut directory = tempfile::tempdir().unwrap();
    let mut held = Vec::new();
    let mut locked = None;
    for run in 0..3 {
        let proxy = Proxy::start_in(directory, "", "", "");
        let mut client = Client::connected(proxy.socks, origin.address);
        client.send(&[1; 10]);
        client.receive(10);
        // Up to one portion may be lost to the kill; here none is to be.
        wait_for("its octets in the ledger", || {
            let active = api::get(proxy.api.unwrap(), "/api/sessions/active").json();
            (active["data"][0]["bytes_received"] == 10).then_some(())
        });
        held.push(client);
        if run == 0 {
            // From now on nobody can write the database, nor bring it up to date.
            let lock = rusqlite::Connection::open(proxy.database_path()).unwrap();
            lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
            locked = Some(lock);
        } else {
            wait_for("degraded", || health(&proxy).contains("degraded").then_some(()));
        }
        directory = proxy.kill();
    }
    let proxy = Proxy::start_in(directory, "", "", "");
    drop(locked);
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE status = 'failed' AND close_code = 'crash'
         AND bytes_sent = 10 AND bytes_received = 10 AND end_time IS NOT NULL",
        3,
    );
    assert!(health(&proxy).contains(r#""status":"ok""#));
    assert_eq!(proxy.count("SELECT count(*) FROM sessions"), 3);
    assert_eq!(ledgers(proxy.directory()), 1);
}

#[test]
fn the_number_of_a_policy_goes_on_over_restarts() {
    let origin = Origin::echo();
    let mut proxy = Proxy::start();
    for run in 1..=3 {
        let mut client = Client::connected(proxy.socks, origin.address);
        client.finish();
        client.receive_all();
        proxy.wait_count("SELECT count(*) FROM sessions WHERE end_time IS NOT NULL", run);
        proxy = Proxy::start_in(proxy.kill(), "", "", "");
    }
    assert_eq!(proxy.count("SELECT count(DISTINCT policy_generation) FROM sessions"), 3);
    assert_eq!(proxy.count("SELECT max(policy_generation) FROM sessions"), 3);
    assert!(proxy.log().contains("policy 4 is in force: no rule file"), "{}", proxy.log());
}

#[test]
fn the_number_of_a_policy_is_none_of_before_where_the_database_was_locked_at_the_start() {
    let origin = Origin::echo();
    let relay = |proxy: &Proxy, rows| {
        let mut client = Client::connected(proxy.socks, origin.address);
        client.finish();
        client.receive_all();
        proxy.wait_count("SELECT count(*) FROM sessions WHERE end_time IS NOT NULL", rows);
    };
    let proxy = Proxy::start();
    relay(&proxy, 1);
    let lock = proxy.lock_database();
    let proxy = Proxy::start_in(proxy.kill(), "", "", "");
    wait_for("degraded", || health(&proxy).contains("degraded").then_some(()));
    drop(lock);
    relay(&proxy, 2);
    let proxy = Proxy::start_in(proxy.stop(), "", "", "");
    relay(&proxy, 3);
    assert_eq!(proxy.count("SELECT count(DISTINCT policy_generation) FROM sessions"), 3);
    let first = "SELECT policy_generation FROM sessions ORDER BY rowid LIMIT 1";
    assert_eq!(proxy.count(first), 1);
    proxy.stop();
}

/// A session manager tidies up behind its user, or a script does.
#[test]
fn a_ledger_that_somebody_removed_is_made_anew_and_a_kill_loses_nothing_of_what_begins_then() {
    let proxy = Proxy::start();
    let origin = Origin::echo();
    let mut old = Client::connected(proxy.socks, origin.address);
    old.send(b"old");
    old.receive(3);
    std::fs::remove_dir_all(proxy.directory().join("ledger")).unwrap();
    wait_for("degraded", || health(&proxy).contains("somebody removed the ledger").then_some(()));
    // Each worker has a chunk of which nothing is used: the one of before lacks the old session's.
    wait_for("new chunks", || {
        let text = api::get(proxy.api.unwrap(), "/metrics").body;
        let unused = |line: &&str| {
            line.starts_with("rustsocks_worker_ledger_free_slots{") && line.ends_with(" 16384")
        };
        (text.lines().filter(unused).count() == 2).then_some(())
    });
    assert_eq!(ledgers(proxy.directory()), 1);
    assert!(health(&proxy).contains("degraded"), "the old session would be lost");
    old.finish();
    old.receive_all();
    wait_for("health", || health(&proxy).contains(r#""status":"ok""#).then_some(()));
    // Nothing of what follows gets into the database before the kill.
    let lock = proxy.lock_database();
    let mut new = Client::connected(proxy.socks, origin.address);
    new.send(&[1; 10]);
    new.receive(10);
    wait_for("its octets in the ledger", || {
        let active = api::get(proxy.api.unwrap(), "/api/sessions/active").json();
        (active["data"][0]["bytes_received"] == 10).then_some(())
    });
    let directory = proxy.kill();
    drop(lock);
    let proxy = Proxy::start_in(directory, "", "", "");
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE status = 'closed'"), 1);
    let cut = "SELECT count(*) FROM sessions WHERE close_code = 'crash' AND bytes_received = 10";
    assert_eq!(proxy.count(cut), 1);
    assert_eq!(proxy.count("SELECT count(*) FROM sessions"), 2);
}

/// One row of the table.
struct Row {
    status: String,
    sent: u64,
    received: u64,
}

fn compare(
    proxy: &Proxy,
    connected: &BTreeMap<Ipv4Addr, Arc<Tally>>,
    reached: &BTreeMap<Ipv4Addr, Arc<Tally>>,
) {
    let mut rows: BTreeMap<Ipv4Addr, Vec<Row>> = BTreeMap::new();
    let database = proxy.database();
    let mut select = database
        .prepare("SELECT dest_ip, status, bytes_sent, bytes_received FROM sessions")
        .unwrap();
    let mut found = select.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        let target: String = row.get(0).unwrap();
        rows.entry(target.parse().unwrap()).or_default().push(Row {
            status: row.get(1).unwrap(),
            sent: row.get(2).unwrap(),
            received: row.get(3).unwrap(),
        });
    }
    let (mut closed, mut cut) = (0, 0);
    for (target, client) in connected {
        let origin = &reached[target];
        let rows = rows.get(target).map_or(&[][..], |rows| rows);
        let [row] = rows else { panic!("{target} has {} rows", rows.len()) };
        let (to, from) = (origin.received.load(SeqCst), client.received.load(SeqCst));
        match row.status.as_str() {
            "closed" => {
                closed += 1;
                let origin_sent = origin.sent.load(SeqCst);
                assert_eq!((row.sent, row.received), (to, origin_sent), "{target}");
            }
            "failed" => {
                cut += 1;
                let slack = PUBLISHED_EVERY * TRANSFER_MAX;
                let sent = to.saturating_sub(slack)..=client.sent.load(SeqCst);
                let received = from.saturating_sub(slack)..=origin.sent.load(SeqCst);
                assert!(sent.contains(&row.sent), "{target}: {} not in {sent:?}", row.sent);
                let well = received.contains(&row.received);
                assert!(well, "{target}: {} not in {received:?}", row.received);
            }
            other => panic!("{target} is {other}"),
        }
    }
    let active: Vec<_> = rows.values().flatten().filter(|row| row.status == "active").collect();
    assert!(active.is_empty(), "{} rows are still active", active.len());
    assert!(rows.values().all(|rows| rows.len() == 1), "a session is there twice");
    println!("{} connected: {closed} closed, {cut} cut; {} rows", connected.len(), rows.len());
    assert!(closed > 0 && cut > 0);
}

/// `traffic_update_packet_interval`.
const PUBLISHED_EVERY: u64 = 10;
/// The most that one transfer of a relay moves.
const TRANSFER_MAX: u64 = 256 * 1024;
