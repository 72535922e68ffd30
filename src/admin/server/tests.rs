//! The attacks that the gate is there for, against the real gate and the real tiny_http.

use std::fs;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::*;
use crate::clock;

/// The API with a handler that shows each kind of behaviour, on a loopback port of its own.
struct World {
    admin: Option<Admin>,
    at: SocketAddr,
    counters: Arc<GateCounters>,
    directory: TempDir,
    /// Gets a message when `/slow` has begun.
    begun: Receiver<()>,
    /// Lets one `/slow` end.
    release: Sender<()>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let counters = Arc::new(GateCounters::default());
        let (begin, begun) = bounded(64);
        let (release, released) = bounded(64);
        let handler: Handler = Arc::new(move |request| match request.path.as_str() {
            "/ok" => ApiReply::text("ok"),
            "/big" => ApiReply::text(vec![b'x'; BIG]),
            "/huge" => ApiReply::text(vec![b'x'; 5 * 1024 * 1024]),
            "/panic" => panic!("as asked"),
            "/slow"
            | "/api/sessions/history"
            | "/api/sessions/%68istory"
            | "/api/%75sers/x/sessions"
            | "/api/admin/reload" => {
                begin.send(()).unwrap();
                released.recv_timeout(PATIENCE).ok();
                ApiReply::text("slow")
            }
            _ => ApiReply::text(format!(
                "{:?} {} {:?} {:?} {} {}",
                request.method,
                request.path,
                request.query,
                request.authorization,
                request.client,
                request.body.len()
            )),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let options = Options {
            limits,
            directory: Some(directory.path().to_owned()),
            counters: Arc::clone(&counters),
            ..Options::default()
        };
        let admin = Some(Admin::start(vec![listener], options, handler).unwrap());
        Self { admin, at, counters, directory, begun, release }
    }

    #[expect(clippy::disallowed_methods, reason = "a test may block")]
    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.at).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut socket = self.connect();
        socket.write_all(request.as_bytes()).unwrap();
        socket
    }

    /// The whole answer to `request`.
    fn ask(&self, request: &str) -> String {
        receive(self.send(request))
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    fn assert_alive(&self) {
        let answer = self.get("/ok");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }

    /// The status of the answer to a POST with these headers and nothing behind.
    fn post(&self, headers: &str) -> u16 {
        let request = format!("POST /x HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        status(&self.ask(&request))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(admin) = self.admin.take() {
            admin.stop();
        }
    }
}

fn receive(mut socket: TcpStream) -> String {
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().unwrap()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = clock::mono() + PATIENCE;
    while !holds() {
        assert!(clock::mono() < until, "waited in vain until {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// How long a test waits for what must come; never how long it takes.
const PATIENCE: Duration = Duration::from_secs(20);
const BIG: usize = 3 * 1024 * 1024;

fn short(request_ms: u64) -> Limits {
    Limits { request: Duration::from_millis(request_ms), ..Limits::default() }
}

#[test]
fn a_request_reaches_the_handler_with_all_that_it_may_see() {
    let world = World::new(Limits::default());
    let answer = world.ask(
        "DELETE /a%20b?c=d&e HTTP/1.1\r\nHost: localhost\r\nauthorization: Bearer t\r\n\
         X-Real-IP: 203.0.113.1\r\nContent-Length: 3\r\n\r\nxyz",
    );
    assert_eq!(status(&answer), 200);
    assert_eq!(body(&answer), "Delete /a%20b Some(\"c=d&e\") Some(\"Bearer t\") 127.0.0.1 3");
    assert_eq!(answer.matches("Connection: close").count(), 1);
}

#[test]
fn an_absurd_content_length_is_refused_and_kills_nothing() {
    let world = World::new(Limits::default());
    for length in ["9000000000000000000", "18446744073709551615", "5000000", "65537"] {
        assert_eq!(world.post(&format!("Content-Length: {length}\r\n")), 413, "{length}");
        world.assert_alive();
    }
    assert_eq!(load(&world.counters.bodies_too_large), 4);
}

#[test]
fn smuggled_lengths_are_refused() {
    let world = World::new(Limits::default());
    assert_eq!(world.post("Content-Length: 1\r\nContent-Length: 2\r\n"), 400);
    let both = "Content-Length: 1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(world.post(both), 400);
    assert_eq!(world.post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 411);
    assert_eq!(world.post("Transfer-Encoding: chunked\r\n"), 411);
    assert_eq!(world.post("Content-Length: \r\n"), 400);
    assert_eq!(world.post("Content-Length: 1x\r\n"), 400);
    world.assert_alive();
    assert_eq!(load(&world.counters.passed), 1, "none of them went inwards");
}

#[test]
fn a_crowd_of_silent_connections_keeps_nobody_out_and_goes_at_the_deadline() {
    let world = World::new(short(300));
    let crowd: Vec<TcpStream> = (0..300)
        .map(|index| {
            if index % 50 == 0 {
                world.assert_alive();
            }
            world.connect()
        })
        .collect();
    world.assert_alive();
    for mut socket in crowd {
        let mut octet = [0];
        // Displaced or expired: closed either way, and without an answer.
        assert_eq!(socket.read(&mut octet).unwrap_or(0), 0);
    }
    let gone = load(&world.counters.silent) + load(&world.counters.displaced);
    assert!(gone >= 300, "{gone}");
    world.assert_alive();
}

#[test]
fn a_head_without_end_is_refused_at_its_limit() {
    let world = World::new(Limits::default());
    let line = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(17 * 1024));
    assert_eq!(status(&world.ask(&line)), 431);
    assert_eq!(status(&world.ask(&format!("GET /{}", "a".repeat(17 * 1024)))), 431);
    let many = "A: b\r\n".repeat(65);
    assert_eq!(world.post(&many), 431);
    assert_eq!(status(&world.ask(&"\r\n".repeat(9 * 1024))), 431);
    world.assert_alive();
}

#[test]
fn slow_readers_delay_nobody_and_are_cut() {
    let limits = Limits { write_idle: Duration::from_millis(300), ..Limits::default() };
    let world = World::new(limits);
    let readers: Vec<TcpStream> = (0..4)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            // A window that 3 MiB cannot pass without being read.
            socket.set_recv_buffer_size(4096).unwrap();
            socket.connect(&world.at.into()).unwrap();
            let mut socket = TcpStream::from(socket);
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.write_all(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            socket
        })
        .collect();
    for _ in 0..10 {
        world.assert_alive();
    }
    wait_until("the slow readers are cut", || load(&world.counters.slow_readers) == 4);
    for mut socket in readers {
        let mut received = Vec::new();
        socket.read_to_end(&mut received).ok();
        assert!(received.len() < BIG);
    }
    world.assert_alive();
}

#[test]
fn a_large_answer_arrives_whole_and_one_over_the_limit_says_so() {
    let world = World::new(Limits::default());
    let answer = world.get("/big");
    assert_eq!(body(&answer).len(), BIG);
    let answer = world.get("/huge");
    assert_eq!(status(&answer), 500);
    assert!(body(&answer).contains("4194304"), "{}", body(&answer));
    world.assert_alive();
}

#[test]
fn a_request_that_does_not_end_is_a_408() {
    let world = World::new(short(100));
    assert_eq!(status(&world.ask("GET /ok HTTP/1.1\r\nHost: local")), 408);
    assert_eq!(world.post("Content-Length: 5\r\n"), 408);
    world.assert_alive();
}

#[test]
fn a_request_may_come_octet_by_octet_and_a_body_may_be_waited_for() {
    let world = World::new(Limits::default());
    let mut socket = world.connect();
    socket.set_nodelay(true).unwrap();
    for octet in b"\r\nPOST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab" {
        socket.write_all(&[*octet]).unwrap();
    }
    assert!(receive(socket).ends_with(" 2"));

    let mut socket = world.send(
        "POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
         Content-Length: 65536\r\n\r\n",
    );
    let mut interim = [0; 25];
    socket.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    // A body may begin like an empty line.
    socket.write_all(b"\r\n").unwrap();
    socket.write_all(&[b'x'; 65534]).unwrap();
    assert!(receive(socket).ends_with(" 65536"));
}

#[test]
fn only_the_first_of_several_requests_is_served() {
    let world = World::new(Limits::default());
    let one = "GET /ok HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n";
    let answer = world.ask(&one.repeat(3));
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert_eq!(load(&world.counters.passed), 1);
}

#[test]
fn http_1_0_and_head_are_answered_in_their_way() {
    let world = World::new(Limits::default());
    let answer = world.ask("GET /big HTTP/1.0\r\n\r\n");
    assert_eq!(body(&answer).len(), BIG);
    assert!(!answer.contains("chunked"));
    let answer = world.ask("HEAD /ok HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("\r\nContent-Length: 2\r\n"), "{answer}");
    assert_eq!(body(&answer), "");
    let answer = world.ask("HEAD /ok HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(status(&answer), 421);
    assert_eq!(body(&answer), "");
    assert_eq!(status(&world.ask("PRI * HTTP/2.0\r\n\r\n")), 505);
}

#[test]
fn a_rebound_name_or_a_foreign_page_is_refused_with_a_problem() {
    let world = World::new(Limits::default());
    let answer = world.ask("GET /ok HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(status(&answer), 421);
    assert!(answer.contains("\r\nContent-Type: application/problem+json\r\n"));
    let problem: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(problem["status"], 421);
    assert_eq!(world.post("Origin: http://evil.example\r\n"), 403);
    assert_eq!(world.post("Origin: null\r\n"), 403);
    assert_eq!(world.post(&format!("Origin: http://{}\r\n", world.at)), 200);
    assert_eq!(load(&world.counters.foreign_hosts), 1);
    assert_eq!(load(&world.counters.foreign_origins), 2);
}

#[test]
fn a_handler_that_panics_is_a_500_and_goes_on() {
    let world = World::new(Limits::default());
    for _ in 0..5 {
        assert_eq!(status(&world.get("/panic")), 500);
    }
    assert_eq!(load(&world.counters.handler_panics), 5);
    world.assert_alive();
}

#[test]
fn a_slow_handler_is_a_504_for_its_client_alone() {
    let limits = Limits { answer: Duration::from_millis(200), ..Limits::default() };
    let world = World::new(limits);
    let slow = world.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    world.begun.recv_timeout(PATIENCE).unwrap();
    world.assert_alive();
    assert_eq!(status(&receive(slow)), 504);
    assert_eq!(load(&world.counters.rebuilt), 0, "slow is not dead");
    world.release.send(()).unwrap();
    world.assert_alive();
}

#[test]
fn what_may_take_long_never_takes_the_last_handler_however_it_is_spelt() {
    let world = World::new(Limits::default());
    let lines = [
        "POST /api/admin/reload",
        "GET /api/sessions/%68istory",
        "GET /api/%75sers/x/sessions",
        "GET /api/sessions/history",
    ];
    let requests = lines.map(|line| format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let page = &*requests[3];
    let some = requests.iter().take(Limits::default().handlers - 1);
    let reading: Vec<TcpStream> = some.map(|request| world.send(request)).collect();
    for _ in &reading {
        world.begun.recv_timeout(PATIENCE).unwrap();
    }
    for request in &requests {
        let refused = world.ask(request);
        assert_eq!(status(&refused), 503);
        assert!(refused.contains("\r\nRetry-After: 1\r\n"), "{refused}");
    }
    assert_eq!(load(&world.counters.history_busy), 4);
    world.assert_alive();
    for socket in reading {
        world.release.send(()).unwrap();
        assert_eq!(status(&receive(socket)), 200);
    }
    let again = world.send(page);
    world.begun.recv_timeout(PATIENCE).unwrap();
    world.release.send(()).unwrap();
    assert_eq!(status(&receive(again)), 200, "there is room again");
}

#[test]
fn a_server_within_that_cannot_be_reached_is_built_anew() {
    let world = World::new(Limits::default());
    for count in 1..=3 {
        fs::remove_dir_all(world.admin.as_ref().unwrap().inner().path().parent().unwrap()).unwrap();
        world.assert_alive();
        assert_eq!(load(&world.counters.rebuilt), count);
    }
    world.assert_alive();
    assert_eq!(load(&world.counters.rebuilt), 3);
}

#[test]
fn a_full_gate_gives_up_who_is_longest_without_progress_and_nobody_who_waits_for_us() {
    let limits = Limits { connections: 3, ..Limits::default() };
    let world = World::new(limits);
    let waiting = world.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    world.begun.recv_timeout(PATIENCE).unwrap();
    let mut first = world.connect();
    wait_until("the first is in", || load(&world.counters.accepted) == 2);
    let mut second = world.send("GET /ok HTTP/1.1\r\n");
    wait_until("the second is in", || load(&world.counters.accepted) == 3);

    world.assert_alive();
    let mut octet = [0];
    assert_eq!(first.read(&mut octet).unwrap_or(0), 0, "the first made room");
    assert_eq!(load(&world.counters.displaced), 1);
    second.write_all(b"Host: localhost\r\n\r\n").unwrap();
    assert_eq!(status(&receive(second)), 200);
    world.release.send(()).unwrap();
    assert_eq!(body(&receive(waiting)), "slow");
}

#[test]
fn a_client_that_says_it_is_done_still_gets_its_answer() {
    let world = World::new(Limits::default());
    let socket = world.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    socket.shutdown(Shutdown::Write).unwrap();
    world.begun.recv_timeout(PATIENCE).unwrap();
    world.release.send(()).unwrap();
    assert_eq!(body(&receive(socket)), "slow");
}

#[test]
fn stopping_finishes_what_is_under_way_and_leaves_nothing_behind() {
    let limits = Limits { stop_grace: PATIENCE, ..Limits::default() };
    let mut world = World::new(limits);
    let private = fs::read_dir(world.directory.path()).unwrap().next().unwrap().unwrap();
    assert_eq!(private.metadata().unwrap().mode() & 0o777, 0o700);

    let owed = world.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    world.begun.recv_timeout(PATIENCE).unwrap();
    let mut silent = world.connect();
    wait_until("the silent one is in", || load(&world.counters.accepted) == 2);
    let admin = world.admin.take().unwrap();
    let stopping = thread::spawn(move || admin.stop());
    let mut octet = [0];
    assert_eq!(silent.read(&mut octet).unwrap_or(0), 0);
    world.release.send(()).unwrap();
    assert_eq!(body(&receive(owed)), "slow");
    assert!(stopping.join().unwrap());
    wait_until("the port is closed", || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.connect(&world.at.into()).is_err()
    });
    wait_until("the private directory is gone", || {
        fs::read_dir(world.directory.path()).unwrap().next().is_none()
    });
}
