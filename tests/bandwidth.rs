//! Bandwidth through the real binary: never more than the rate and the burst, fairly divided, to the
//! octet, and nobody else slower for it.
//!
//! `BANDWIDTH_USERS` users (2) with `BANDWIDTH_SESSIONS` sessions (3) each are measured for
//! `BANDWIDTH_SECS` seconds (2). With 10, 5 and 10 it is the run whose figures the README has:
//!
//! ```text
//! BANDWIDTH_USERS=10 BANDWIDTH_SESSIONS=5 BANDWIDTH_SECS=10 \
//!     cargo test --release --test bandwidth users_have -- --nocapture
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::api::ask;
use harness::client::{Client, connect};
use harness::datagrams::{Associated, UdpEcho};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::{process, size, wait_for};

/// 10 Mbit/s in octets per second, and the burst that belongs to it.
const RATE: u64 = 1_250_000;
const BURST: u64 = RATE / 10;

fn users(names: &[String]) -> String {
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    let each = names
        .iter()
        .map(|name| format!("[[auth.users]]\nusername = \"{name}\"\npassword_hash = \"{hash}\"\n"));
    format!("[auth]\nsocks_method = \"userpass\"\n{}", each.collect::<String>())
}

fn logged_in(proxy: SocketAddr, user: &str, target: SocketAddr) -> Client {
    let mut client = Client::to(proxy);
    assert!(client.login(user, "secret"));
    client.send(&connect(target));
    assert_eq!(client.reply().0, 0);
    client
}

/// Sends without end.
fn fountain() -> Origin {
    Origin::on("127.0.0.1:0", |mut stream, count| {
        let octets = [0x5a; 65_536];
        while let Ok(sent @ 1..) = stream.write(&octets) {
            count.sent.fetch_add(sent as u64, Ordering::Relaxed);
        }
    })
}

/// Receives all that comes, into a counter, until it is told to stop.
fn drain(
    mut stream: TcpStream,
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            // Silence for a moment is what is measured here.
            if let Ok(read) = stream.read(&mut buffer) {
                received.fetch_add(read as u64, Ordering::Relaxed);
                if read == 0 {
                    return;
                }
            }
        }
    })
}

#[test]
fn users_have_their_rate_whatever_their_sessions_and_an_unlimited_one_all_the_rest() {
    let (users_len, sessions) = (size("BANDWIDTH_USERS", 2), size("BANDWIDTH_SESSIONS", 3));
    let lasts = Duration::from_secs(size("BANDWIDTH_SECS", 2) as u64);
    let names: Vec<String> = (0..users_len).map(|number| format!("user{number}")).collect();
    let all = [&names[..], &["free".to_owned()]].concat();
    let limits =
        format!("[[limits.bandwidth]]\nname = \"ten\"\nusers = {names:?}\ndownload_kbit = 10000\n");
    let proxy = Proxy::with(&(users(&all) + &limits));
    let origin = fountain();
    let stop = Arc::<AtomicBool>::default();
    let mut threads = Vec::new();
    let mut start = |user: &str, sessions: usize| -> (Instant, Vec<Arc<AtomicU64>>) {
        let began = Instant::now();
        let counts = (0..sessions).map(|_| {
            let client = logged_in(proxy.socks, user, origin.address);
            let count = Arc::<AtomicU64>::default();
            threads.push(drain(client.stream, Arc::clone(&count), Arc::clone(&stop)));
            count
        });
        (began, counts.collect())
    };
    let started: Vec<_> = names.iter().map(|name| start(name, sessions)).collect();
    // What lies in sockets by now is no rate.
    thread::park_timeout(Duration::from_millis(500));
    let sum = |counts: &[Arc<AtomicU64>]| -> u64 {
        counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    };
    let before: Vec<(Instant, u64)> =
        started.iter().map(|(_, counts)| (Instant::now(), sum(counts))).collect();
    let cpu = process::cpu(proxy.pid());
    thread::park_timeout(lasts);
    let cpu = process::cpu(proxy.pid()) - cpu;
    let mut worst = 0.0_f64;
    for ((began, counts), (from, octets)) in started.iter().zip(&before) {
        let (all, took) = (sum(counts), from.elapsed().as_secs_f64());
        let rate = (all - octets) as f64 / took;
        worst = worst.max((rate / RATE as f64 - 1.0).abs());
        // Since the first of his sessions began: never more, and not next to nothing.
        let most = began.elapsed().as_secs_f64() * RATE as f64 + BURST as f64;
        assert!(all as f64 <= most, "{all} octets, {most} allowed");
        assert!(rate > RATE as f64 / 4.0, "{rate} octets per second");
        let parts: Vec<_> = counts.iter().map(|it| it.load(Ordering::Relaxed)).collect();
        eprintln!("{:.3} Mbit/s, by session {parts:?}", rate * 8.0 / 1e6);
    }
    let (began, free) = start("free", 1);
    let expected = 4 * RATE;
    wait_for("an unlimited user's octets", || (sum(&free) > expected).then_some(()));
    eprintln!(
        "{users_len} users with {sessions} sessions each, limited to 10 Mbit/s, over {lasts:?}: off by \
         {:.2} % at most; CPU of the proxy {:.1} %; an unlimited user beside them {:.0} Mbit/s",
        worst * 100.0,
        cpu.as_secs_f64() / lasts.as_secs_f64() * 100.0,
        sum(&free) as f64 * 8.0 / 1e6 / began.elapsed().as_secs_f64(),
    );
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Uploads and downloads arrive whole, by either carrier, through half-close, and take the time that they
/// must.
#[test]
fn octets_arrive_whole_and_not_before_their_time() {
    for splice in [true, false] {
        let server = format!("splice = {splice}");
        let limits = "[[limits.bandwidth]]\nname = \"each\"\nusers = [\"*\"]\nper = \"session\"\n\
                      upload_kbit = 16000\ndownload_kbit = 16000\nburst_kib = 64\n";
        let proxy = Proxy::with_sections(&server, "", limits);
        let origin = Origin::echo();
        let octets: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        let client = Client::connected(proxy.socks, origin.address);
        let mut sending = client.stream.try_clone().unwrap();
        let began = Instant::now();
        let sent = octets.clone();
        let sender = thread::spawn(move || {
            sending.write_all(&sent).unwrap();
            sending.shutdown(Shutdown::Write).unwrap();
        });
        let mut client = client;
        assert!(client.receive_all() == octets, "what came back is not what was sent");
        sender.join().unwrap();
        // Both ways at once, but no octet comes back before it went.
        let least = (octets.len() as f64 - 65_536.0) / 2_000_000.0;
        assert!(began.elapsed().as_secs_f64() >= least, "{:?}", began.elapsed());
    }
}

/// Of many short connections, each with all that it has to say behind its request.
#[test]
fn what_is_sent_ahead_of_the_reply_waits_for_its_turn_too() {
    let limits =
        "[[limits.bandwidth]]\nname = \"all\"\nusers = [\"*\"]\nper = \"all\"\nupload_kbit = 80\n";
    let proxy = Proxy::with_sections("", "", limits);
    let origin = Origin::echo();
    let began = Instant::now();
    let (count, octets) = (30, 900);
    let clients: Vec<Client> = (0..count)
        .map(|_| {
            let mut client = Client::to(proxy.socks);
            let early = [&[5, 1, 0][..], &connect(origin.address), &vec![7; octets]].concat();
            client.send(&early);
            client.finish();
            assert_eq!(client.receive(2), [5, 0]);
            assert_eq!(client.reply().0, 0, "the answer does not wait");
            client
        })
        .collect();
    let at_once = origin.count.received.load(Ordering::Relaxed);
    for mut client in clients {
        assert_eq!(client.receive_all(), vec![7; octets]);
    }
    let passed = origin.count.received.load(Ordering::Relaxed);
    assert_eq!(passed, count * octets as u64);
    // The burst is a quantum, 2048 octets.
    let least = (passed - 2048) as f64 / 10_000.0;
    assert!(began.elapsed().as_secs_f64() >= least, "{:?}, {at_once} at once", began.elapsed());
}

#[test]
fn a_reload_changes_the_rate_of_sessions_that_run() {
    let limits = "[[limits.bandwidth]]\nname = \"slow\"\nusers = [\"*\"]\ndownload_kbit = 64\n";
    let proxy = Proxy::with(limits);
    let origin = fountain();
    let (received, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let client = Client::connected(proxy.socks, origin.address);
    let began = Instant::now();
    let thread = drain(client.stream, Arc::clone(&received), Arc::clone(&stop));
    thread::park_timeout(Duration::from_millis(500));
    let slow = received.load(Ordering::Relaxed);
    let most = 8000.0 * began.elapsed().as_secs_f64() + 2048.0;
    assert!(slow > 0 && slow as f64 <= most, "{slow} octets, {most} allowed");
    let path = proxy.directory().join("rustsocks.toml");
    let text = fs::read_to_string(&path).unwrap();
    let reload = |text: &str| {
        fs::write(&path, text).unwrap();
        let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    // A hundred times as fast, and then with no limit at all.
    reload(&text.replace("download_kbit = 64", "download_kbit = 6400"));
    wait_for("a faster session", || (received.load(Ordering::Relaxed) > 300_000).then_some(()));
    reload(&text.replace(limits, ""));
    wait_for("a free one", || (received.load(Ordering::Relaxed) > 30_000_000).then_some(()));
    reload(&text);
    let before = received.load(Ordering::Relaxed);
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    assert!(before > 30_000_000);
}

#[test]
fn a_rule_names_a_limit_that_all_share_whom_it_allows() {
    let directory = tempfile::tempdir().unwrap();
    let (slow, fast) = (fountain(), fountain());
    let rules = format!(
        "[global]\ndefault_policy = \"allow\"\n[[rules]]\naction = \"allow\"\nports = [{}]\n\
         bandwidth = \"shared\"\n",
        slow.address.port()
    );
    fs::write(directory.path().join("acl.toml"), &rules).unwrap();
    let further = "[acl]\nenabled = true\nconfig_file = \"{dir}/acl.toml\"\n\
                   [[limits.bandwidth]]\nname = \"shared\"\nper = \"all\"\ndownload_kbit = 800\n";
    let proxy = Proxy::start_in(directory, "", "", further);
    let (slowly, quickly) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let stop = Arc::<AtomicBool>::default();
    let began = Instant::now();
    let run = |origin: &Origin, count: &Arc<AtomicU64>| {
        let client = Client::connected(proxy.socks, origin.address);
        drain(client.stream, Arc::clone(count), Arc::clone(&stop))
    };
    let threads =
        [run(&slow, &slowly), run(&slow, &slowly), run(&slow, &slowly), run(&fast, &quickly)];
    wait_for("what is not limited", || {
        (quickly.load(Ordering::Relaxed) > 10_000_000).then_some(())
    });
    wait_for("what is", || (slowly.load(Ordering::Relaxed) > 50_000).then_some(()));
    let octets = slowly.load(Ordering::Relaxed) as f64;
    assert!(octets <= 100_000.0 * began.elapsed().as_secs_f64() + 10_000.0, "{octets}");
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());

    let refused = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(refused.status, 200, "{}", refused.body);
    fs::write(proxy.directory().join("acl.toml"), rules.replace("shared", "unknown")).unwrap();
    let refused = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert!(refused.body.contains("acl.toml:6:13: rule 1: bandwidth: got"), "{}", refused.body);
}

#[test]
fn datagrams_are_paced_and_none_that_finds_room_is_lost() {
    let limits = "[[limits.bandwidth]]\nname = \"each\"\nusers = [\"*\"]\nupload_kbit = 800\n\
                  burst_kib = 4\n";
    let proxy = Proxy::with(limits);
    let echo = UdpEcho::on("127.0.0.1:0");
    let client = Associated::with(proxy.socks);
    sixty_go_there_and_back(&client, echo.address, 2000.0);
}

/// 60 000 octets of payload at 100 000 per second, few enough for the socket's queue; all come back, in no
/// less time than that takes after a burst of 4 KiB and what else has gone before.
fn sixty_go_there_and_back(client: &Associated, echo: SocketAddr, gone_before: f64) {
    let began = Instant::now();
    for number in 0..60_u8 {
        client.send(echo, &[number; 1000]);
    }
    for number in 0..60_u8 {
        assert_eq!(client.receive().1, [number; 1000]);
    }
    let least = (60_000.0 - 4096.0 - gone_before) / 100_000.0;
    assert!(began.elapsed().as_secs_f64() >= least, "{:?}", began.elapsed());
}

#[test]
fn datagrams_that_wait_go_on_when_a_reload_takes_their_limit_away() {
    let limits = "[[limits.bandwidth]]\nname = \"each\"\nusers = [\"*\"]\nupload_kbit = 1\n\
                  burst_kib = 4\n";
    let proxy = Proxy::with(limits);
    let echo = UdpEcho::on("127.0.0.1:0");
    let client = Associated::with(proxy.socks);
    // A burst; what comes behind it would have to wait for minutes.
    for number in 0..40_u8 {
        client.send(echo.address, &[number; 1000]);
    }
    let mut passed = 0;
    while let Some(payload) = client.receive_soon() {
        assert_eq!(payload, [passed; 1000]);
        passed += 1;
    }
    assert!((1..40).contains(&passed), "{passed}");
    let path = proxy.directory().join("rustsocks.toml");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace(limits, "")).unwrap();
    let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(answer.status, 200, "{}", answer.body);
    for number in passed..40_u8 {
        assert_eq!(client.receive().1, [number; 1000]);
    }
}

/// A proxy with rules for two ports, of which the second is under a limit.
fn with_a_slow_port(free: SocketAddr, slow: SocketAddr, limit: &str) -> Proxy {
    let directory = tempfile::tempdir().unwrap();
    let rules = format!(
        "[global]\ndefault_policy = \"block\"\n[[rules]]\naction = \"allow\"\nports = [{}]\n\
         [[rules]]\naction = \"allow\"\nports = [{}]\nbandwidth = \"slow\"\n",
        free.port(),
        slow.port()
    );
    fs::write(directory.path().join("acl.toml"), &rules).unwrap();
    let further = format!(
        "[acl]\nenabled = true\nconfig_file = \"{{dir}}/acl.toml\"\n\
         [[limits.bandwidth]]\nname = \"slow\"\nburst_kib = 4\n{limit}\n"
    );
    Proxy::start_in(directory, "", "", &further)
}

#[test]
fn a_datagram_is_under_the_limit_of_its_own_rule_whichever_went_before_it() {
    let (free, slow) = (UdpEcho::on("127.0.0.1:0"), UdpEcho::on("127.0.0.1:0"));
    for way in ["upload_kbit = 800", "download_kbit = 800"] {
        let proxy = with_a_slow_port(free.address, slow.address, way);
        let client = Associated::with(proxy.socks);
        client.send(free.address, b"harmless");
        assert_eq!(client.receive().1, b"harmless");
        let began = Instant::now();
        for number in 0..60_u8 {
            client.send(slow.address, &[number; 1000]);
        }
        for number in 0..60_u8 {
            assert_eq!(client.receive().1, [number; 1000]);
        }
        // The burst and one datagram may pass at once, of those that are taken together.
        let together = if way.starts_with("upload") { 1000.0 } else { 16.0 * 1000.0 };
        let least = (60_000.0 - 4096.0 - together) / 100_000.0;
        assert!(began.elapsed().as_secs_f64() >= least, "{way}: {:?}", began.elapsed());
    }
}

#[test]
fn a_rule_names_a_limit_for_the_groups_that_a_user_has_by_now() {
    let (free, slow) = (UdpEcho::on("127.0.0.1:0"), UdpEcho::on("127.0.0.1:0"));
    let groups = "groups = [\"staff\"]\n";
    let user = format!(
        "{groups}[auth]\nsocks_method = \"userpass\"\n[[auth.users]]\nusername = \"alice\"\n\
         password = \"secret\"\n"
    );
    // The group's datagrams are all under the limit.
    let further = format!("upload_kbit = 800\n{user}{groups}");
    let proxy = with_a_slow_port(free.address, slow.address, &further);
    let mut control = Client::to(proxy.socks);
    assert!(control.login("alice", "secret"));
    let client = Associated::of(control);
    client.send(free.address, b"harmless");
    assert_eq!(client.receive().1, b"harmless");
    // Nobody's are any more, but for those that the rule is about.
    let path = proxy.directory().join("rustsocks.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (limit, user) = text.rsplit_once(groups).unwrap();
    fs::write(&path, format!("{limit}{user}")).unwrap();
    let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(answer.status, 200, "{}", answer.body);
    sixty_go_there_and_back(&client, slow.address, 1000.0);
}

#[test]
fn a_datagram_does_not_pay_for_the_limit_of_another_rule() {
    let (free, slow) = (UdpEcho::on("127.0.0.1:0"), UdpEcho::on("127.0.0.1:0"));
    let proxy = with_a_slow_port(free.address, slow.address, "upload_kbit = 1");
    let client = Associated::with(proxy.socks);
    client.send(slow.address, &[0; 1000]);
    assert_eq!(client.receive().1, [0; 1000]);
    // Each would have to wait for a minute.
    for number in 1..=10_u8 {
        client.send(free.address, &[number; 8000]);
        assert_eq!(client.receive().1, [number; 8000]);
    }
}
