//! Quotas through the real binary: what is cut when one is used up, by how much it is overshot, who is
//! not touched, and what is known of it after a crash.
//!
//! `QUOTA_MIB` is how much the user has, 16 by default; 96 is the run that the README speaks of.
#![cfg(feature = "database")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use harness::api::{ask, get};
use harness::client::{Client, connect};
use harness::datagrams::{Associated, UdpEcho};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::{size, wait_for};
use serde_json::Value;

const WORKERS: u64 = 2;
/// What each worker may let pass before it looks again, both ways.
const LEASE: u64 = 2 * 256 * 1024;

fn users(names: &[&str]) -> String {
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    let each = names
        .iter()
        .map(|name| format!("[[auth.users]]\nusername = \"{name}\"\npassword_hash = \"{hash}\"\n"));
    format!("[auth]\nsocks_method = \"userpass\"\n{}", each.collect::<String>())
}

fn quota(mib: usize, further: &str) -> String {
    let quota = format!(
        "[[limits.quotas]]\nname = \"monthly\"\nusers = [\"*\"]\nperiod = \"month\"\n\
         limit_mib = {mib}\n{further}\n"
    );
    users(&["alice", "bob"]) + &quota
}

/// Logs in and asks for a connection: the client and the reply code.
fn asked(proxy: SocketAddr, user: &str, target: SocketAddr) -> (Client, u8) {
    let mut client = Client::to(proxy);
    assert!(client.login(user, "secret"));
    client.send(&connect(target));
    let code = client.reply().0;
    (client, code)
}

/// Moves octets both ways until it is cut, or told to stop.
fn load(mut client: Client, stop: Arc<AtomicBool>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let octets = vec![7; 50_000];
        let mut back = vec![0; 50_000];
        while !stop.load(Ordering::Relaxed) {
            let moved = client.stream.write_all(&octets);
            if moved.and_then(|()| client.stream.read_exact(&mut back)).is_err() {
                return;
            }
        }
    })
}

fn used(proxy: &Proxy, user: &str) -> Value {
    let answer = get(proxy.api.unwrap(), "/api/quotas");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let quotas = answer.json();
    let all = quotas["data"].as_array().unwrap();
    all.iter().find(|quota| quota["user"] == user).cloned().unwrap_or(Value::Null)
}

fn rows(proxy: &Proxy, user: &str) -> u64 {
    let sql = format!(
        "SELECT coalesce(sum(bytes_sent + bytes_received), 0) FROM sessions WHERE user = '{user}'"
    );
    proxy.count(&sql).try_into().unwrap()
}

fn stored(proxy: &Proxy) -> u64 {
    let sql = "SELECT coalesce(sum(octets), 0) FROM quota_usage \
               WHERE subject = 'monthly/month/both/alice'";
    proxy.count(sql).try_into().unwrap()
}

fn lines(log: &str, end: &str) -> usize {
    log.lines().filter(|line| line.ends_with(end)).count()
}

#[test]
fn a_quota_cuts_at_its_limit_and_touches_nobody_else() {
    let mib = size("QUOTA_MIB", 16);
    let limit = (mib as u64) << 20;
    let mut proxy = Proxy::with(&quota(mib, ""));
    let origin = Origin::echo();
    let never = Arc::<AtomicBool>::default();
    let (mut bob, code) = asked(proxy.socks, "bob", origin.address);
    assert_eq!(code, 0);
    // All of them are there before the first octet is moved.
    let clients: Vec<_> = (0..8).map(|_| asked(proxy.socks, "alice", origin.address)).collect();
    assert!(clients.iter().all(|(_, code)| *code == 0));
    let sessions: Vec<_> =
        clients.into_iter().map(|(client, _)| load(client, Arc::clone(&never))).collect();
    sessions.into_iter().for_each(|session| session.join().unwrap());
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE user = 'alice' AND status = 'closed' AND \
         close_code = 'quota_exceeded'",
        8,
    );
    let sum = rows(&proxy, "alice");
    eprintln!("{mib} MiB: {sum} octets, {} beyond", i128::from(sum) - i128::from(limit));
    assert!(sum <= limit + WORKERS * LEASE, "{sum} octets of {limit}");
    // What was read and could not be delivered is all that may be missing.
    assert!(sum + 8 * LEASE >= limit, "{sum} octets of {limit}");
    assert_eq!(stored(&proxy), sum, "the table of what is used says what the rows say");

    assert_eq!(asked(proxy.socks, "alice", origin.address).1, 2);
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE user = 'alice' AND status = 'failed' AND \
         close_code = 'quota_exceeded'",
        1,
    );
    bob.send(b"still here");
    assert_eq!(bob.receive(10), b"still here");
    let state = used(&proxy, "alice");
    assert_eq!((&state["state"], &state["action"]), (&"exhausted".into(), &"cut".into()));
    assert_eq!((&state["remaining_bytes"], &state["limit_bytes"]), (&0.into(), &limit.into()));
    assert_eq!(used(&proxy, "bob")["state"], "ok");
    let scrape = Scrape::of(proxy.api.unwrap());
    let value = |series: &str| scrape.value(series).unwrap();
    assert_eq!(value("rustsocks_quota_exhausted{quota=\"monthly\"}"), 1.0);
    assert_eq!(value("rustsocks_quota_marks_total{mark=\"warned\"}"), 1.0);
    assert_eq!(value("rustsocks_limit_refusals_total{limit=\"quota\"}"), 1.0);
    let mut log = String::new();
    wait_for("the log", || {
        log = proxy.log();
        log.contains("quota used up").then_some(())
    });
    for line in ["nearly used up", "used up"] {
        let line = format!("quota {line}: quota=\"monthly\" user=\"alice\"");
        assert_eq!(lines(&log, &line), 1, "{log}");
    }
}

#[test]
fn sessions_that_are_idle_end_with_the_quota_that_others_have_used_up() {
    let proxy = Proxy::with(
        "[[limits.quotas]]\nname = \"all\"\nusers = [\"*\"]\nper = \"all\"\nperiod = \"month\"\n\
         limit_mib = 1\n",
    );
    let (origin, echo) = (Origin::echo(), UdpEcho::on("127.0.0.1:0"));
    let connected = || Client::connected(proxy.socks, origin.address);
    let mut idle: Vec<_> = (0..8).map(|_| connected()).collect();
    let datagrams = Associated::with(proxy.socks);
    datagrams.send(echo.address, b"x");
    assert_eq!(datagrams.receive().1, b"x");
    load(connected(), Arc::default()).join().unwrap();
    let cut = "SELECT count(*) FROM sessions WHERE status = 'closed' AND \
               close_code = 'quota_exceeded'";
    proxy.wait_count(cut, 10);
    for client in &mut idle {
        assert!(matches!(client.stream.read(&mut [0]), Ok(0) | Err(_)));
    }
    let active = "SELECT count(*) FROM sessions WHERE status = 'active'";
    assert_eq!(proxy.count(active), 0);
}

#[test]
fn what_was_used_is_known_after_a_crash() {
    let mib = size("QUOTA_MIB", 16);
    let limit = (mib as u64) << 20;
    // Slowly enough to be killed in the middle.
    let slowly =
        "[[limits.bandwidth]]\nname = \"slow\"\nusers = [\"alice\"]\nupload_kbit = 32000\n";
    let mut proxy = Proxy::with(&quota(mib, slowly));
    let origin = Origin::echo();
    let mut kills = 0;
    // Killed whenever a quarter more has been used, in the middle of what moves.
    let mut mark = limit / 4;
    loop {
        let stop = Arc::<AtomicBool>::default();
        let sessions: Vec<_> = (0..4)
            .filter_map(|_| {
                let (client, code) = asked(proxy.socks, "alice", origin.address);
                (code == 0).then(|| load(client, Arc::clone(&stop)))
            })
            .collect();
        let octets = wait_for("octets", || {
            let octets = used(&proxy, "alice")["used_bytes"].as_u64().unwrap_or(0);
            (octets >= mark.min(limit)).then_some(octets)
        });
        if mark >= limit {
            sessions.into_iter().for_each(|session| session.join().unwrap());
            break;
        }
        mark = octets + limit / 4;
        let directory = proxy.kill();
        stop.store(true, Ordering::Relaxed);
        sessions.into_iter().for_each(|session| session.join().unwrap());
        kills += 1;
        proxy = Proxy::start_in(directory, "", "", &quota(mib, slowly));
        let (sum, said) = (rows(&proxy, "alice"), stored(&proxy));
        assert_eq!((sum, used(&proxy, "alice")["used_bytes"].as_u64()), (said, Some(said)));
        assert!(sum > 0 && sum <= limit + WORKERS * LEASE, "{sum} octets of {limit}");
    }
    assert!(kills >= 2, "{kills} kills");
    let active = "SELECT count(*) FROM sessions WHERE status = 'active'";
    proxy.wait_count(active, 0);
    let sum = rows(&proxy, "alice");
    eprintln!("{mib} MiB, killed {kills} times: {sum} octets, limit {limit}");
    assert!(sum <= limit + WORKERS * LEASE, "{sum} octets of {limit}");
    assert_eq!(stored(&proxy), sum);
    assert_eq!(asked(proxy.socks, "alice", origin.address).1, 2);
    let proxy = Proxy::start_in(proxy.stop(), "", "", &quota(mib, slowly));
    assert_eq!(asked(proxy.socks, "alice", origin.address).1, 2);
    assert_eq!(asked(proxy.socks, "bob", origin.address).1, 0);
}

#[test]
fn one_that_slows_down_goes_on_and_a_reload_gives_more() {
    let proxy = Proxy::with(&quota(
        1,
        "direction = \"download\"\naction = \"throttle\"\nthrottle_kbit = 800",
    ));
    let origin = Origin::on("127.0.0.1:0", |mut stream, _| {
        let octets = [1; 65_536];
        while let Ok(1..) = stream.write(&octets) {}
    });
    let (mut client, code) = asked(proxy.socks, "alice", origin.address);
    assert_eq!(code, 0);
    let received = Arc::<AtomicU64>::default();
    let count = Arc::clone(&received);
    let thread = thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = client.stream.read(&mut buffer) {
            count.fetch_add(read as u64, Ordering::Relaxed);
        }
    });
    wait_for("the limit", || (used(&proxy, "alice")["state"] == "exhausted").then_some(()));
    let began = std::time::Instant::now();
    let before = received.load(Ordering::Relaxed);
    thread::park_timeout(std::time::Duration::from_millis(1000));
    let slowly = received.load(Ordering::Relaxed) - before;
    // What was read before it comes as well, all of it if this thread was the sooner one. Unthrottled it
    // would be many times that.
    let read_before = (1 << 20) + WORKERS * LEASE;
    let most = 100_000.0 * (began.elapsed().as_secs_f64() + 2.0) + read_before as f64;
    assert!(slowly as f64 <= most, "{slowly} octets, {most} allowed");
    let (_, code) = asked(proxy.socks, "alice", origin.address);
    assert_eq!(code, 0, "who is slowed down may have more sessions");
    let path = proxy.directory().join("rustsocks.toml");
    let text = fs::read_to_string(&path).unwrap().replace("limit_mib = 1\n", "limit_mib = 100\n");
    fs::write(&path, text).unwrap();
    let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(answer.status, 200, "{}", answer.body);
    wait_for("full speed", || (received.load(Ordering::Relaxed) > 20_000_000).then_some(()));
    proxy.signal("TERM");
    drop(proxy);
    thread.join().unwrap();
}

#[test]
fn one_that_a_reload_lowers_below_what_is_used_is_told_and_ends_who_is_idle() {
    let mut proxy = Proxy::with(&quota(100, ""));
    let origin = Origin::echo();
    let (mut idle, _) = asked(proxy.socks, "alice", origin.address);
    let (mut other, _) = asked(proxy.socks, "bob", origin.address);
    for _ in 0..20 {
        idle.send(&[7; 65_536]);
        assert_eq!(idle.receive(65_536), [7; 65_536]);
    }
    let path = proxy.directory().join("rustsocks.toml");
    let text = fs::read_to_string(&path).unwrap().replace("limit_mib = 100\n", "limit_mib = 1\n");
    fs::write(&path, text).unwrap();
    let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(matches!(idle.stream.read(&mut [0]), Ok(0) | Err(_)));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'quota_exceeded'", 1);
    other.send(b"still here");
    assert_eq!(other.receive(10), b"still here");
    let line = "quota used up: quota=\"monthly\" user=\"alice\"";
    wait_for("the line", || proxy.log().contains(line).then_some(()));
    let marks = Scrape::of(proxy.api.unwrap());
    assert_eq!(marks.value("rustsocks_quota_marks_total{mark=\"exhausted\"}"), Some(1.0));
}

#[test]
fn datagrams_count_and_are_cut() {
    let quota = "[[limits.quotas]]\nname = \"hourly\"\nusers = [\"*\"]\nper = \"all\"\n\
                 period = \"hour\"\nlimit_mib = 1\n";
    let proxy = Proxy::with(quota);
    let echo = UdpEcho::on("127.0.0.1:0");
    let mut client = Associated::with(proxy.socks);
    // One at a time, so that none is lost.
    let mut passed = 0;
    loop {
        client.send(echo.address, &[1; 30_000]);
        match client.receive_soon() {
            Some(_) => passed += 60_000,
            None => break,
        }
    }
    assert!((900_000..=(1 << 20) + WORKERS * LEASE).contains(&passed), "{passed} octets");
    let end = client.control.stream.read(&mut [0]).unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE close_code = 'quota_exceeded' AND protocol = 'udp'",
        1,
    );
    let quotas = get(proxy.api.unwrap(), "/api/quotas").json();
    assert_eq!((&quotas["total"], &quotas["data"][0]["user"]), (&1.into(), &Value::Null));
}

/// Groups of the rule file are groups like those that a login gives.
#[test]
fn a_quota_of_a_group_that_the_rule_file_fills_is_its_members() {
    let directory = tempfile::tempdir().unwrap();
    let rules = "[global]\ndefault_policy = \"allow\"\n\
                 [[users]]\nusername = \"alice\"\ngroups = [\"Staff\"]\n";
    fs::write(directory.path().join("acl.toml"), rules).unwrap();
    let quota = "[acl]\nenabled = true\nconfig_file = \"{dir}/acl.toml\"\n\
                 [[limits.quotas]]\nname = \"monthly\"\ngroups = [\"staff\"]\nperiod = \"month\"\n\
                 limit_mib = 1\n";
    let proxy = Proxy::start_in(directory, "", "", &(users(&["alice", "bob"]) + quota));
    let origin = Origin::echo();
    let stop = Arc::<AtomicBool>::default();
    let (alice, _) = asked(proxy.socks, "alice", origin.address);
    load(alice, Arc::clone(&stop)).join().unwrap();
    assert_eq!(asked(proxy.socks, "alice", origin.address).1, 2, "it is used up");
    wait_for("what is stored", || (stored(&proxy) >= 1 << 20).then_some(()));
    let (mut bob, code) = asked(proxy.socks, "bob", origin.address);
    assert_eq!(code, 0);
    bob.send(b"not in it");
    assert_eq!(bob.receive(9), b"not in it");
    // Out of the group, out of the quota.
    let rules = rules.replace("alice", "carol");
    fs::write(proxy.directory().join("acl.toml"), rules).unwrap();
    let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(asked(proxy.socks, "alice", origin.address).1, 0);
}
