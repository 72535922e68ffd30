//! Clients that say nothing, and clients that say an octet a second: they hold up nobody, cost little,
//! and are gone in time, each with a record of its own.
//!
//! By hand with more of them: `SLOW_CLIENTS=5000 cargo test --test slow_clients -- --nocapture`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::client::Client;
use harness::origin::Origin;
use harness::process;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::{size, wait_for};

/// Clients that the proxy is to wait for in vain.
fn connected(proxy: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let stream = TcpStream::connect(proxy).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    };
    (0..count).map(connect).collect()
}

/// Whether the proxy has not closed it.
fn is_open(stream: &TcpStream) -> bool {
    stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Begins a greeting of 257 octets, and then says one of them each second.
fn drip(streams: Arc<Vec<TcpStream>>, stop: Arc<AtomicBool>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut next = Instant::now();
        let mut octet = 5;
        while !stop.load(Ordering::Relaxed) {
            for mut stream in &*streams {
                // It may be closed by now.
                drop(stream.write(&[octet]));
            }
            octet = 0xff;
            next += Duration::from_secs(1);
            while let Some(left) = next.checked_duration_since(Instant::now())
                && !stop.load(Ordering::Relaxed)
            {
                thread::park_timeout(left);
            }
        }
    })
}

/// A whole session, and how long it took.
fn serve(proxy: &Proxy, origin: &Origin) -> Duration {
    let began = Instant::now();
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"still there?");
    assert_eq!(client.receive(12), b"still there?");
    began.elapsed()
}

#[test]
fn slow_clients_hold_up_nobody_and_are_gone_in_time() {
    let each = size("SLOW_CLIENTS", 300);
    let all = 2 * each;
    process::raise_own_descriptors(all + 200);
    // One who has not finished after the default of 10 s is gone; a few seats are left for the others.
    let proxy = Proxy::with_sections(&format!("max_connections = {}", all + 100), "", "");
    let (api, pid) = (proxy.api.unwrap(), proxy.pid());
    let origin = Origin::echo();
    serve(&proxy, &origin);
    let (memory, descriptors) = (process::resident_kib(pid), process::descriptors(pid));

    let began = Instant::now();
    let mute = connected(proxy.socks, each);
    let dripping = Arc::new(connected(proxy.socks, each));
    let stop = Arc::new(AtomicBool::new(false));
    let dripper = drip(Arc::clone(&dripping), Arc::clone(&stop));
    wait_for("all of them inside", || {
        (Scrape::of(api).value("rustsocks_connections")? >= all as f64).then_some(())
    });
    let came_in = began.elapsed();
    let cpu = process::cpu(pid);
    let worst = (0..SESSIONS).map(|_| serve(&proxy, &origin)).max().unwrap();
    let cpu = process::cpu(pid) - cpu;
    let held = process::resident_kib(pid) - memory;
    let slow = || mute.iter().chain(&*dripping);
    assert!(slow().all(is_open), "served while they were there: some are gone after {came_in:?}");

    let timed_out = "FROM sessions WHERE close_code = 'handshake_timeout'";
    let expected = i64::try_from(all).unwrap();
    wait_for("their end", || (!slow().any(is_open)).then_some(()));
    let gone = began.elapsed();
    proxy.wait_count(&format!("SELECT count(*) {timed_out}"), expected);
    stop.store(true, Ordering::Relaxed);
    dripper.thread().unpark();
    dripper.join().unwrap();
    let port = |stream: &TcpStream| stream.local_addr().unwrap().port();
    let mut ports: Vec<_> = slow().map(port).collect();
    ports.sort_unstable();
    let database = proxy.database();
    let mut rows =
        database.prepare(&format!("SELECT source_port {timed_out} ORDER BY source_port")).unwrap();
    let rows: Vec<u16> =
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(rows == ports, "each has one record");
    assert_eq!(proxy.count(&format!("SELECT count(*) {timed_out} AND duration_ms < 10000")), 0);
    let others = proxy.count("SELECT count(*) FROM sessions") - expected;
    assert_eq!(others, i64::try_from(SESSIONS + 1).unwrap());
    let ended = "rustsocks_sessions_ended_total{close_code=\"handshake_timeout\"}";
    assert_eq!(Scrape::of(api).value(ended), Some(all as f64));
    wait_for("their descriptors", || (process::descriptors(pid) <= descriptors).then_some(()));

    let longest = proxy.count(&format!("SELECT max(duration_ms) {timed_out}"));
    let each_octets = held * 1024 / all as u64;
    eprintln!(
        "{each} mute and {each} slow clients, all inside after {came_in:?}: {SESSIONS} sessions, the \
         slowest in {worst:?}, with {cpu:?} of CPU; {each_octets} octets of memory each; the last gone \
         after {gone:?}, the longest recorded as {longest} ms"
    );
    assert!(held <= 16 * all as u64 + SLACK_KIB, "{each_octets} octets each, {held} KiB in all");
}

/// Sessions of real clients meanwhile.
const SESSIONS: usize = 50;
/// Memory that grows once, whoever comes.
const SLACK_KIB: u64 = 2048;
