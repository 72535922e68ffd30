//! Handshakes that nobody would write: random ones, and mutants of valid ones in every protocol, by
//! clients that reset, half-close, pipeline and dawdle. Whatever they say there is no panic, no leak of
//! descriptors or memory, and as many records as there were endings, by close_code.
//!
//! By hand with a million of them, or again with the seed that a failed run has printed:
//! `RANDOM_HANDSHAKES=1000000 RANDOM_SEED=1 cargo test --test random_handshakes -- --nocapture`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

#[path = "random_handshakes/conversation.rs"]
mod conversation;
mod harness;
#[path = "harness/names.rs"]
mod names;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use conversation::{Form, World};
use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::random::Random;
use harness::scrape::Scrape;
use harness::{process, size, wait_for};
use names::{NameServer, Reply};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, SockRef, Socket, Type};

#[test]
fn without_a_login() {
    hold(&Form { login: false, announced: false }, size("RANDOM_HANDSHAKES", 5000) * 85 / 100);
}

#[test]
fn with_a_login() {
    hold(&Form { login: true, announced: false }, size("RANDOM_HANDSHAKES", 5000) * 2 / 100);
}

#[test]
fn behind_a_balancer() {
    hold(&Form { login: false, announced: true }, size("RANDOM_HANDSHAKES", 5000) * 13 / 100);
}

/// Holds so many handshakes against a proxy of this form.
fn hold(form: &Form, count: usize) {
    let chance = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = size("RANDOM_SEED", chance as usize >> 1) as u64;
    eprintln!("{form:?}: {count} handshakes, RANDOM_SEED={seed}");
    let origin = Origin::echo();
    let loopback: IpAddr = [127, 0, 0, 1].into();
    let names = NameServer::start(move |name, _| match name {
        "origin.test" => Reply::Addresses(vec![loopback]),
        _ => Reply::NoSuchName,
    });
    let mut proxy = proxy(form, &names);
    let (api, pid) = (proxy.api.unwrap(), proxy.pid());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::new(form.clone(), origin.address, closed, proxy.socks);

    let cookies_before = cookies_failed();
    // Whatever is made once is made by the first tenth.
    let began = Instant::now();
    let mut memory = Vec::new();
    let mut descriptors = 0;
    for tenth in 0..TENTHS {
        crowd(&world, seed.wrapping_add(tenth), count / TENTHS as usize);
        wait_for("the last of them to be gone", || {
            (Scrape::of(api).value("rustsocks_connections")? == 0.0).then_some(())
        });
        memory.push(process::resident_kib(pid));
        if tenth == 0 {
            descriptors = process::descriptors(pid);
        }
    }
    let took = began.elapsed();

    let scrape = Scrape::of(api);
    let ended: BTreeMap<String, i64> = scrape
        .family("rustsocks_sessions_ended_total")
        .filter(|(_, count)| *count > 0.0)
        .map(|(labels, count)| (labels.split('"').nth(1).unwrap().to_owned(), count as i64))
        .collect();
    let all: i64 = ended.values().sum();
    let silent = scrape.value("rustsocks_silent_clients_total").unwrap() as i64;
    let done = (count / TENTHS as usize * TENTHS as usize) as i64;
    // The start has asked in each dialect, without a word in the books, whether logins are wanted.
    let came = done + if form.login { 3 } else { 0 };
    assert_eq!(all + silent, came, "each is an attempt or was silent");
    assert_eq!(scrape.sum("rustsocks_worker_accepted_total") as i64, came);
    assert_eq!(scrape.sum("rustsocks_worker_connection_panics_total"), 0.0);
    assert_eq!(scrape.sum("rustsocks_records_dropped_total"), 0.0);
    assert_eq!(scrape.sum("rustsocks_active_sessions"), 0.0);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status <> 'active'", all);
    assert_eq!(rows(&proxy), ended, "rows and endings, by close_code");
    wait_for("their descriptors", || {
        (process::descriptors(pid) <= descriptors + RESOLVERS).then_some(())
    });
    let grown = memory[9].saturating_sub(memory[4]);
    eprintln!(
        "{form:?}: {done} handshakes in {took:?}, {:.0} a second; {silent} silent, {ended:?}; KiB of \
         memory after each tenth: {memory:?}; descriptors {descriptors}, then {}",
        done as f64 / took.as_secs_f64(),
        process::descriptors(pid),
    );
    assert!(grown < GROWTH_MAX_KIB, "{grown} KiB more in the second half");
    assert!(memory[9] < MEMORY_MAX_KIB, "{} KiB", memory[9]);
    for code in ["network_unreachable", "host_unreachable"] {
        let whom = targets(&proxy, code);
        assert!(whom.is_empty(), "somebody elsewhere was dialled: {whom:?}");
    }
    // Where the ports of this host are used up nevertheless, it is counted as that, and nothing else fails.
    let failed = ended.get("connect_failed").copied().unwrap_or(0);
    let lost = scrape.sum("rustsocks_egress_sources_lost_total") as i64;
    // And where the origin's queue was full the kernel may reset what it had said to be connected: it counts
    // those whose cookie was none, and one in some hundred thousand more (ECONNRESET within a millisecond).
    let reset = cookies_failed() - cookies_before + RESETS_UNTOLD + done / DONE_FOR_A_RESET;
    assert!(
        failed <= lost + reset,
        "{failed} attempts failed, for {lost} a port was missing, and {reset} were reset: {:?}",
        targets(&proxy, "connect_failed")
    );
    assert!(ended.len() >= 6, "they were all alike: {ended:?}");

    let mut late = Client::to(proxy.socks);
    if !form.announced && !form.login {
        assert_eq!(late.negotiate(origin.address), 0);
        late.send(b"alive");
        assert_eq!(late.receive(5), b"alive");
    }
    drop(late);
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    let log = proxy.log();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
}

fn proxy(form: &Form, names: &NameServer) -> Proxy {
    let mut server = "commands = [\"connect\", \"bind\", \"udp_associate\"]\n\
                      connect_timeout_ms = 200\nhalf_close_timeout_secs = 5\n"
        .to_owned();
    if form.announced {
        server.push_str("proxy_protocol_from = [\"127.0.0.0/8\"]\n");
    }
    let mut further = format!("[resolver]\nservers = [\"{}\"]\n", names.address());
    if form.login {
        further.push_str(&format!(
            "[auth]\nmax_failures = 0\nfailure_delay_ms = 0\nsocks_method = \"userpass\"\n\
             [[auth.users]]\nusername = \"alice\"\n\
             password_hash = \"{}\"\n",
            cheap_hash()
        ));
    }
    Proxy::with_sections(&server, "", &further)
}

/// A hash of `secret` that takes next to no time: passwords are not what is tested.
fn cheap_hash() -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(b"secret").unwrap().to_string()
}

fn rows(proxy: &Proxy) -> BTreeMap<String, i64> {
    let database = proxy.database();
    let sql =
        "SELECT close_code, count(*) FROM sessions WHERE status <> 'active' GROUP BY close_code";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Attempts that an overloaded origin's kernel may reset without counting them, and handshakes for one more.
const RESETS_UNTOLD: i64 = 1;
const DONE_FOR_A_RESET: i64 = 200_000;

/// Who was asked for, and what was dialled, by sessions that ended so; the first of them.
fn targets(proxy: &Proxy, code: &str) -> Vec<String> {
    let database = proxy.database();
    let sql = "SELECT dest_ip || ' ' || dest_port || ' ' || coalesce(resolved_ip, '') || ' ' || \
               coalesce(close_reason, '') || ' ' || coalesce(connect_us, -1) || ' of ' || \
               protocol || ' ' || command FROM sessions WHERE close_code = ?1 LIMIT 9";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([code], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// How many connections this host's kernel has reset because their cookie was none (SyncookiesFailed of
/// proc_net_netstat): they had been answered while a listener's queue was full.
fn cookies_failed() -> i64 {
    let table = std::fs::read_to_string("/proc/net/netstat").unwrap_or_default();
    let mut lines = table.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    // A kernel without them counts none.
    columns
        .find(|(name, _)| *name == "SyncookiesFailed")
        .map_or(0, |(_, count)| count.parse().unwrap())
}

/// So many clients, some of them at a time.
fn crowd(world: &World, seed: u64, count: usize) {
    let left = AtomicUsize::new(count);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let left = &left;
            scope.spawn(move || {
                let mut random = Random::new(seed ^ number << 48);
                let one_less = |left: usize| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                    behave(world, &mut random);
                }
            });
        }
    });
}

/// One client.
fn behave(world: &World, random: &mut Random) {
    let (octets, behind) = world.conversation(random);
    let mut stream = connect(world.proxy, random);
    // The proxy may have closed by then; what counts is what it makes of it.
    let sent = match random.below(4) {
        0 if octets.len() <= 64 => octets.iter().try_for_each(|it| stream.write_all(&[*it])),
        1 => {
            let (first, second) = octets.split_at(random.below(octets.len() + 1));
            let between = Duration::from_micros(random.below(2000) as u64);
            let sent = stream.write_all(first);
            thread::park_timeout(between);
            sent.and_then(|()| stream.write_all(second))
        }
        _ => stream.write_all(&octets),
    };
    let patience = Duration::from_millis(1 + random.below(5) as u64);
    stream.set_read_timeout(Some(patience)).unwrap();
    match random.below(6) {
        0 => reset(&stream),
        1 => {
            drop(stream.shutdown(Shutdown::Write));
            read(&mut stream);
        }
        2 => {
            read(&mut stream);
            reset(&stream);
        }
        3 => {
            read(&mut stream);
            drop(stream.write_all(&behind));
        }
        4 if sent.is_ok() => read(&mut stream),
        _ => {}
    }
}

/// Connects from one of many addresses, so that no port is used up: neither of its own, nor of the proxy's,
/// for which the kernel passes over each port that anybody has bound by itself, at whichever address, until
/// a minute after its end.
fn connect(proxy: SocketAddr, random: &mut Random) -> TcpStream {
    let from = [127, 1, random.octet(), 1 + random.below(250) as u8];
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    setsockopt(&socket, sockopt::IpBindAddressNoPort, &true).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&proxy.into()).unwrap();
    socket.into()
}

/// Reads until there is nothing for a while.
fn read(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer) {}
}

fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Memory is looked at after each.
const TENTHS: u64 = 10;
/// Clients at a time.
const THREADS: u64 = 32;
/// Sockets that c-ares keeps for its next question, for each worker a few.
const RESOLVERS: usize = 8;
/// What memory may grow by while nothing new happens.
const GROWTH_MAX_KIB: u64 = 24 * 1024;
/// All that it may have: two threads that check passwords are 38 MiB of it.
const MEMORY_MAX_KIB: u64 = 192 * 1024;
