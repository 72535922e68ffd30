//! Out of descriptors: whoever is served goes on being served, nothing spins, the API answers, and what
//! was refused is possible again once there is room.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;
#[path = "harness/names.rs"]
mod names;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use harness::client::{self, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::{PATIENCE, api, process, wait_for};
use names::{NameServer, Reply};

/// A limit that nobody would choose, and many have.
const FEW: usize = 256;

fn echo(client: &mut Client) {
    client.send(b"on");
    assert_eq!(client.receive(2), b"on");
}

/// The sum of a family that counts things.
fn value(proxy: &Proxy, family: &str) -> usize {
    let scrape = Scrape::of(proxy.api.unwrap());
    assert!(scrape.family(family).next().is_some(), "{family}");
    format!("{}", scrape.sum(family)).parse().unwrap()
}

/// Greets; whether the proxy lets it in.
fn is_greeted(client: &mut Client) -> bool {
    client.stream.write_all(&[5, 1, 0]).is_ok() && client.stream.read_exact(&mut [0; 2]).is_ok()
}

/// Whether the proxy has not closed it.
fn is_inside(client: &Client) -> bool {
    client.stream.set_nonblocking(true).unwrap();
    let inside = client.stream.peek(&mut [0]).is_err_and(|it| it.kind() == ErrorKind::WouldBlock);
    client.stream.set_nonblocking(false).unwrap();
    inside
}

/// The CPU time that the proxy uses while this client waits in vain for 3 s.
fn cpu_while_waiting(proxy: &Proxy, client: &mut Client) -> Duration {
    client.stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let before = process::cpu(proxy.pid());
    let error = client.stream.read(&mut [0]).unwrap_err();
    let used = process::cpu(proxy.pid()) - before;
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    used
}

/// A third of one processor: what spins takes a whole one.
const CPU_MAX: Duration = Duration::from_secs(1);

/// By its own count the proxy lets in no more than there is room for.
#[test]
fn a_crowd_that_takes_every_descriptor_leaves_the_others_what_they_need() {
    let proxy = Proxy::with_descriptors(FEW, "handshake_timeout_ms = 60000", "");
    let origin = Origin::echo();
    let mut running: Vec<_> =
        (0..3).map(|_| Client::connected(proxy.socks, origin.address)).collect();
    let mut crowd: Vec<_> = (0..FEW).map(|_| Client::to(proxy.socks)).collect();
    let all = running.len() + crowd.len();
    wait_for("everybody let in or turned away", || {
        let inside = value(&proxy, "rustsocks_connections");
        let outside = value(&proxy, "rustsocks_over_limit_total");
        (inside + outside == all && outside > 0).then_some(())
    });
    crowd.retain(is_inside);
    let used = cpu_while_waiting(&proxy, &mut crowd[0]);
    assert!(used < CPU_MAX, "{used:?} in 3 s");
    eprintln!("a crowd at the door: {used:?} of CPU in 3 s");
    for path in [
        "/health",
        "/metrics",
        "/api/sessions/active",
        "/api/sessions/history",
        "/api/sessions/stats",
        "/api/system/resources",
    ] {
        let answer = api::get(proxy.api.unwrap(), path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    let health = api::get(proxy.api.unwrap(), "/health").json();
    assert_eq!(health["status"], "degraded");
    let why = health["checks"]["connections"].as_str().unwrap();
    assert!(why.contains("sockets"), "{why}");
    running.iter_mut().for_each(echo);

    // Those who came first may still go where they want to, as far as it was promised.
    let room = value(&proxy, "rustsocks_connection_sockets_limit")
        - value(&proxy, "rustsocks_connection_sockets");
    assert!(room >= 16, "{room}");
    for client in &mut crowd[..room] {
        assert_eq!(client.negotiate(origin.address), 0);
        echo(client);
    }
    assert_eq!(crowd[room].negotiate(origin.address), 1);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'server_busy'", 1);
    assert!(value(&proxy, "rustsocks_sockets_refused_total") >= 1);
    assert!(process::descriptors(proxy.pid()) <= FEW);
    running.iter_mut().for_each(echo);

    drop(crowd);
    wait_for("service", || {
        let mut late = Client::to(proxy.socks);
        is_greeted(&mut late).then(|| {
            late.send(&client::connect(origin.address));
            assert_eq!(late.reply().0, 0);
            echo(&mut late);
        })
    });
    running.iter_mut().for_each(echo);
}

/// The kernel says no wherever it can: to accept, to dial, to c-ares, to SQLite.
#[test]
fn where_the_kernel_refuses_descriptors_what_runs_goes_on_and_the_rest_comes_back() {
    let loopback: IpAddr = [127, 0, 0, 1].into();
    let names = NameServer::start(move |_, _| Reply::Addresses(vec![loopback]));
    let resolver = format!("[resolver]\nservers = [\"{}\"]\nfamily = \"ipv4\"\n", names.address());
    let mut proxy = Proxy::with_sections("handshake_timeout_ms = 60000", "", &resolver);
    let origin = Origin::echo();
    let mut running = Client::connected(proxy.socks, origin.address);
    let [mut asking, mut naming] = [(); 2].map(|()| Client::to(proxy.socks));
    assert!(is_greeted(&mut asking) && is_greeted(&mut naming));
    process::leave_descriptors(proxy.pid(), 0);

    let origin_port = origin.address.port();
    naming.send(&client::connect(("origin.test", origin_port)));
    assert_eq!(naming.reply().0, 1);
    assert_eq!(names.questions(), 0);
    asking.send(&client::connect(origin.address));
    assert_eq!(asking.reply().0, 1);
    // The writer needs no descriptor for what it has open.
    for code in ["name_lookup_failed", "server_busy"] {
        let sql = format!("SELECT count(*) FROM sessions WHERE close_code = '{code}'");
        proxy.wait_count(&sql, 1);
    }
    // The database's file is taken away: it cannot be put back now.
    for file in fs::read_dir(proxy.directory().join("data")).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("sessions.db")
            && path.extension().is_some_and(|extension| extension != "lock")
        {
            fs::remove_file(path).unwrap();
        }
    }
    // Clients pile up in the kernel's queue.
    let _crowd: Vec<_> = (0..200).map(|_| Client::to(proxy.socks)).collect();
    let used = cpu_while_waiting(&proxy, &mut running);
    assert!(used < CPU_MAX, "{used:?} in 3 s");
    eprintln!("a crowd in the kernel's queue: {used:?} of CPU in 3 s");
    for _ in 0..50 {
        echo(&mut running);
    }
    let said = proxy.log().lines().filter(|line| !line.contains(" INFO ")).count();
    assert!(said <= LINES_MAX, "{said} lines:\n{}", proxy.log());

    process::limit_descriptors(proxy.pid(), 4096);
    let again = Instant::now();
    let mut late = Client::connected(proxy.socks, ("origin.test", origin_port));
    echo(&mut late);
    eprintln!("served again after {:?}", again.elapsed());
    wait_for("the API", || value_if_any(proxy.api.unwrap(), "rustsocks_connections"));
    assert!(value(&proxy, "rustsocks_accept_pauses_total") >= 1);
    wait_for("the database", || proxy.database_path().exists().then_some(()));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'server_busy'", 1);
    echo(&mut running);
}

/// The sum of a family, if the API answers: the server within may have to be built anew.
fn value_if_any(address: SocketAddr, family: &str) -> Option<usize> {
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).ok()?;
    stream.read_to_string(&mut answer).ok()?;
    let lines = answer.strip_prefix("HTTP/1.1 200 ")?.lines();
    let values = lines.filter(|line| line.starts_with(family));
    values.map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
}

/// Warnings about all of that, in the seconds that it takes.
const LINES_MAX: usize = 12;

/// Whoever is closed at the door for want of a descriptor is counted, and is in a record.
#[test]
fn a_client_for_whom_the_kernel_has_no_descriptor_is_recorded_like_one_too_many() {
    let needed = process::descriptors(Proxy::start().pid());
    // By its own count the proxy has room for many more than the kernel gives it.
    let mut proxy = Proxy::with_descriptors(needed + 8, "handshake_timeout_ms = 60000", "");
    let crowd: Vec<_> = (0..20).map(|_| Client::to(proxy.socks)).collect();
    wait_for("the first who is closed", || crowd.iter().any(|it| !is_inside(it)).then_some(()));
    let inside = crowd.iter().filter(|it| is_inside(it)).count();
    assert!(inside >= 1);
    drop(crowd);
    wait_for("the last of the queue", || {
        (value_if_any(proxy.api.unwrap(), "rustsocks_worker_accepted_total")? == 20).then_some(())
    });
    assert!(value(&proxy, "rustsocks_accept_pauses_total") >= 1);
    let turned_away = value(&proxy, "rustsocks_over_limit_total");
    assert!(turned_away >= 1);
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    let clients = if turned_away == 1 { "client" } else { "clients" };
    let many = format!("({turned_away} {clients} in this minute)");
    let sql = format!("SELECT count(*) FROM sessions WHERE close_reason LIKE '%{many}'");
    assert_eq!(proxy.count(&sql), 1, "{many}");
}
