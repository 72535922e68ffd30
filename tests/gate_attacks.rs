//! What kills, hangs or fills the HTTP library of the API when a client reaches it bare, tried on the real
//! binary: the attacker is turned away, whoever else asks is answered, and the relay does not notice.
//!
//! | attack | the library alone | here |
//! |---|---|---|
//! | a body of 9 × 10^18 octets is announced | the process aborts | 413 |
//! | a body of 5 MB is announced and never sent | every other client hangs | 413 |
//! | 300 connections that say nothing | a thread each, for ever | no thread; closed at the deadline |
//! | a request line of 150 MB | all of it in memory | 431 at 16 KiB |
//! | readers that take nothing | a handler each, for ever | cut; `slow_readers.rs` has 200 of them |
//! | no descriptors | it never accepts again | it goes on when there are some |
//! | lengths that contradict each other, chunks | it hangs, or smuggles | 400, 411 |
//! | several requests at once | a way around what stands before it | the first is answered |
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::{PATIENCE, api, process, wait_for};

/// A proxy with a session that lives.
struct Scene {
    proxy: Proxy,
    _origin: Origin,
    session: Client,
}

impl Scene {
    fn new() -> Self {
        // A report of many lines for each panic is what somebody asks for who looks for its cause.
        let environment = [("RUST_BACKTRACE", "0".as_ref())];
        let directory = tempfile::tempdir().unwrap();
        let proxy = Proxy::start_with(&environment, directory, "", "", "");
        let origin = Origin::echo();
        let session = Client::connected(proxy.socks, origin.address);
        let mut scene = Self { proxy, _origin: origin, session };
        scene.assert_well();
        scene
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.proxy.api.unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// A connection on which this has been sent, as far as the gate took it.
    fn attack(&self, request: &str) -> TcpStream {
        let mut socket = self.connect();
        socket.write_all(request.as_bytes()).ok();
        socket
    }

    /// A POST with these headers, of which nothing follows.
    fn post(&self, headers: &str) -> TcpStream {
        let host = self.proxy.api.unwrap();
        self.attack(&format!("POST /api/acl/explain HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n"))
    }

    /// The session relays.
    fn echo(&mut self) {
        self.session.send(b"on");
        assert_eq!(self.session.receive(2), b"on");
    }

    /// Who asks for something is answered, and the session relays.
    #[track_caller]
    fn assert_well(&mut self) {
        for path in ["/health", "/metrics", "/api/sessions/active", "/api/sessions/history"] {
            let answer = api::get(self.proxy.api.unwrap(), path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        }
        self.echo();
    }

    /// It stops as it is told to, and nothing is left of it.
    fn ends_well(self) {
        drop(self.session);
        self.proxy.stop();
    }

    fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.proxy.pid())).unwrap().count()
    }

    /// The most memory it ever had.
    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.proxy.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How often the gate has met with this.
    fn events(&self, event: &str) -> f64 {
        let series = format!("rustsocks_api_events_total{{event=\"{event}\"}}");
        Scrape::of(self.proxy.api.unwrap()).value(&series).unwrap()
    }
}

/// The status of the one answer that comes, and all of its octets.
fn answer(socket: &mut TcpStream) -> (u16, String) {
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {text:?}"));
    (status.parse().unwrap(), text)
}

#[test]
fn a_body_that_is_announced_and_never_sent_is_refused_and_holds_nobody_up() {
    let mut scene = Scene::new();
    let lengths = ["9000000000000000000", "18446744073709551615", "5000000", "65537"];
    let mut attackers = Vec::new();
    for length in lengths {
        // Several, so that there is one for each handler.
        for _ in 0..6 {
            attackers.push(scene.post(&format!("Content-Length: {length}\r\n")));
        }
        scene.assert_well();
    }
    for attacker in &mut attackers {
        assert_eq!(answer(attacker).0, 413);
    }
    scene.assert_well();
    assert_eq!(scene.events("body_too_large"), 24.0);
    scene.ends_well();
}

#[test]
fn a_body_that_is_cut_short_is_given_up() {
    let mut scene = Scene::new();
    let mut attackers: Vec<_> = (0..6).map(|_| scene.post("Content-Length: 60000\r\n")).collect();
    scene.assert_well();
    for attacker in &mut attackers {
        assert_eq!(answer(attacker).0, 408);
    }
    let gone = scene.post("Content-Length: 60000\r\n");
    gone.shutdown(Shutdown::Both).unwrap();
    scene.assert_well();
    assert_eq!(scene.events("late_request"), 6.0);
}

#[test]
fn lengths_that_contradict_each_other_and_chunks_are_refused() {
    let mut scene = Scene::new();
    let passed = scene.events("passed");
    for (headers, status) in [
        ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
        ("Content-Length: 1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 411),
        ("Transfer-Encoding: chunked\r\n", 411),
        ("Transfer-Encoding: identity, chunked\r\n", 411),
        ("Content-Length: -1\r\n", 400),
        ("Content-Length: +1\r\n", 400),
        ("Content-Length: 0x10\r\n", 400),
        ("Content-Length : 5\r\n", 400),
    ] {
        assert_eq!(answer(&mut scene.post(headers)).0, status, "{headers:?}");
    }
    // The second of these two scrapes has gone inwards, and none of the others.
    assert_eq!(scene.events("passed"), passed + 1.0);
    scene.assert_well();
}

#[test]
fn of_several_requests_at_once_the_first_is_answered() {
    let scene = Scene::new();
    let host = scene.proxy.api.unwrap();
    let passed = scene.events("passed");
    let one = format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive\r\n\r\n");
    let (status, text) = answer(&mut scene.attack(&one.repeat(5)));
    assert_eq!((status, text.matches("HTTP/1.1 ").count()), (200, 1), "{text}");
    assert_eq!(scene.events("passed"), passed + 2.0, "one, and this scrape");
}

#[test]
fn connections_that_say_nothing_take_no_threads_and_go_at_the_deadline() {
    let mut scene = Scene::new();
    let before = scene.threads();
    let mut crowd = Vec::new();
    for index in 0..300 {
        crowd.push(scene.connect());
        if index % 50 == 0 {
            scene.assert_well();
        }
    }
    scene.assert_well();
    let threads = scene.threads();
    // A request of ours may have found all readers of the library busy with starting.
    assert!(threads <= before + 2, "{threads} threads, {before} before");
    for socket in &mut crowd {
        // Displaced by a later one, or expired.
        assert_eq!(socket.read(&mut [0]).unwrap_or(0), 0);
    }
    let gone = scene.events("silent") + scene.events("displaced");
    assert!(gone >= 300.0, "{gone}");
    scene.assert_well();
}

#[test]
fn a_request_line_without_end_is_refused_at_its_limit_and_takes_no_memory() {
    let mut scene = Scene::new();
    let line = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(17 * 1024));
    assert_eq!(answer(&mut scene.attack(&line)).0, 431);
    let headers = "A: b\r\n".repeat(65);
    assert_eq!(answer(&mut scene.post(&headers)).0, 431);
    let before = scene.peak_kib();
    let mut socket = scene.connect();
    let piece = vec![b'a'; 1 << 20];
    // Until the gate has heard enough and resets the connection.
    let sent = (0..150).take_while(|_| socket.write_all(&piece).is_ok()).count();
    assert!(sent < 150, "all 150 MiB were taken");
    scene.assert_well();
    let growth = scene.peak_kib() - before;
    assert!(growth < 8 * 1024, "{growth} KiB for one request line");
    assert_eq!(scene.events("head_too_large"), 3.0);
}

#[test]
fn a_lack_of_descriptors_passes() {
    let mut scene = Scene::new();
    let host = scene.proxy.api.unwrap();
    process::leave_descriptors(scene.proxy.pid(), 10);
    let answers = |scene: &Scene| {
        let mut socket = scene.attack(&format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let mut text = String::new();
        socket.read_to_string(&mut text).ok()?;
        text.starts_with("HTTP/1.1 200 ").then_some(())
    };
    for _ in 0..2 {
        let request = format!("GET /api/sessions/active HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let crowd: Vec<_> = (0..60).map(|_| scene.attack(&request)).collect();
        scene.echo();
        wait_for("an answer beside the crowd", || answers(&scene));
        drop(crowd);
    }
    // More than there are descriptors.
    let silent: Vec<_> = (0..16).map(|_| scene.connect()).collect();
    wait_for("an answer beside those who say nothing", || answers(&scene));
    scene.echo();
    process::limit_descriptors(scene.proxy.pid(), 4096);
    wait_for("an answer when there are some again", || answers(&scene));
    assert!(scene.events("accept_failure") > 0.0, "the descriptors were never lacking");
    drop(silent);
    scene.assert_well();
    // The library panics again and again meanwhile.
    let log = scene.proxy.log();
    assert!(log.lines().count() < LINES_MAX, "{log}");
    scene.ends_well();
}

/// Of the start, and one of each kind for each five seconds that this takes.
const LINES_MAX: usize = 40;
