//! The API's gate in a process of its own, so that threads, memory and descriptors can be counted
//! and taken away.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustsocks::admin::{Admin, ApiReply, GateCounters, Handler, Limits, Options};
use rustsocks::clock;

#[test]
fn a_silent_crowd_gets_no_threads() {
    let server = Server::start("");
    let crowd: Vec<TcpStream> = (0..300).map(|_| server.connect()).collect();
    assert_eq!(server.get("/ok").as_deref(), Some("ok"));
    let threads = server.threads();
    // One request may have found all of tiny_http's readers busy with starting.
    assert!(threads <= IDLE_THREADS + 2, "{threads} threads");
    drop(crowd);
}

#[test]
fn busy_clients_get_no_more_threads_than_the_gate_has_places() {
    let server = Server::start("");
    let mut crowd: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    for socket in &mut crowd {
        // Some were displaced already.
        socket.write_all(b"GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n").ok();
    }
    let most = (0..50).map(|_| server.threads()).max().unwrap_or_default();
    assert!(most <= IDLE_THREADS + 32, "{most} threads");
    assert_eq!(server.get("/ok").as_deref(), Some("ok"));
}

#[test]
fn a_request_line_without_end_takes_no_memory() {
    let server = Server::start("");
    assert_eq!(server.get("/ok").as_deref(), Some("ok"));
    let before = server.peak_kib();
    let mut socket = server.connect();
    let piece = vec![b'a'; 1 << 20];
    // Until the server has heard enough and resets the connection.
    let sent = (0..150).take_while(|_| socket.write_all(&piece).is_ok()).count();
    assert!(sent < 150, "all 150 MiB were taken");
    let growth = server.peak_kib() - before;
    assert!(growth < 8 * 1024, "{growth} KiB for one request line");
    assert_eq!(server.get("/ok").as_deref(), Some("ok"));
}

#[test]
fn a_lack_of_descriptors_passes() {
    // Ten descriptors are left, for 60 clients and the server within.
    let server = Server::start("10");
    for _ in 0..2 {
        let mut crowd: Vec<TcpStream> = (0..60).map(|_| server.connect()).collect();
        for socket in &mut crowd {
            socket.write_all(b"GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n").ok();
        }
        // Whatever becomes of these, the next are served again.
        let until = clock::mono() + PATIENCE;
        while server.get("/ok").as_deref() != Some("ok") {
            assert!(clock::mono() < until, "it never served again");
            thread::yield_now();
        }
    }
    let silent: Vec<TcpStream> = (0..60).map(|_| server.connect()).collect();
    let until = clock::mono() + PATIENCE;
    let failures = loop {
        if let Some(failures) = server.get("/failures") {
            break failures.parse::<u64>().unwrap();
        }
        assert!(clock::mono() < until, "it never served again");
        thread::yield_now();
    };
    assert!(failures > 0, "the descriptors were never lacking");
    drop(silent);
}

/// What the tests above run as a process of its own.
#[test]
#[ignore = "started with few descriptors by the tests of this file, in every run"]
fn serve_until_the_input_ends() {
    let Ok(left) = std::env::var(LEFT) else { return };
    let counters = Arc::new(GateCounters::default());
    let seen = Arc::clone(&counters);
    let handler: Handler = Arc::new(move |request| match request.path.as_str() {
        "/failures" => ApiReply::text(seen.accept_failures.load(Ordering::Relaxed).to_string()),
        _ => ApiReply::text("ok"),
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let limits = Limits { request: Duration::from_millis(500), ..Limits::default() };
    let options = Options { limits, counters, ..Options::default() };
    let admin = Admin::start(vec![listener], options, handler).unwrap();
    if let Ok(left) = left.parse::<u64>() {
        let open = fs::read_dir("/proc/self/fd").unwrap().count();
        let most = Some(u64::try_from(open).unwrap() + left);
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    }
    println!("\n{AT}{at}");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    assert!(admin.stop(), "all threads end");
}

/// The process that serves.
struct Server {
    child: Child,
    at: SocketAddr,
}

impl Server {
    /// `left`: how many descriptors it may still open, as text; empty for no limit.
    fn start(left: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serve_until_the_input_ends", "--ignored", "--nocapture"])
            .env(LEFT, left)
            // tiny_http panics without descriptors; that is what the test is about.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines();
        let at = lines.find_map(|line| line.unwrap().strip_prefix(AT)?.parse().ok()).unwrap();
        // Nobody may find the pipe closed when it says farewell.
        thread::spawn(move || lines.for_each(drop));
        Self { child, at }
    }

    #[expect(clippy::disallowed_methods, reason = "a test may block")]
    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.at).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// The body of a 200; `None` for any other answer or none.
    fn get(&self, path: &str) -> Option<String> {
        let mut socket = self.connect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
    }

    fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }

    /// The most memory it ever had.
    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        if !thread::panicking() {
            assert!(status.success(), "the server ended with {status}");
        }
    }
}

/// How long a test waits for what must come; never how long it takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// The test's two, the gate, two handlers, and tiny_http's one that accepts and four at least that
/// read.
const IDLE_THREADS: usize = 2 + 1 + 2 + 1 + 4;
const LEFT: &str = "RUSTSOCKS_TEST_DESCRIPTORS_LEFT";
const AT: &str = "at ";
