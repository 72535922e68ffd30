//! A crowd that asks the API for much and reads one octet a second: scrapes are answered, and the relay
//! does not notice. What is printed is a measurement; nothing here depends on how long something took.
//!
//! `SLOW_READERS` is how many there are, `SLOW_READERS_SECS` how long they stay.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use harness::api;
use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::size;
use socket2::{Domain, Socket, Type};

/// A proxy whose history has pages of about a megabyte.
fn with_a_past() -> Proxy {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    drop(Client::connected(proxy.socks, origin.address));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 1);
    let directory = proxy.stop();
    let database = rusqlite::Connection::open(directory.path().join("data/sessions.db")).unwrap();
    let mut statement = database.prepare("SELECT name FROM pragma_table_info('sessions')").unwrap();
    let columns: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let values: Vec<String> = columns
        .iter()
        .map(|column| match column.as_str() {
            "session_id" => {
                "substr(session_id, 1, 24) || printf('%012x', numbers.number)".to_owned()
            }
            other => other.to_owned(),
        })
        .collect();
    let sql = format!(
        "WITH RECURSIVE numbers(number) AS \
         (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 1200) \
         INSERT INTO sessions ({}) SELECT {} FROM sessions, numbers",
        columns.join(", "),
        values.join(", ")
    );
    database.execute(&sql, []).unwrap();
    drop(statement);
    drop(database);
    Proxy::start_in(directory, "", "", "")
}

/// A client that asks for a page and has little room for it.
fn slow_reader(api: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&api.into()).unwrap();
    let mut stream: TcpStream = socket.into();
    let request = format!("GET /api/sessions/history?limit=1000 HTTP/1.1\r\nHost: {api}\r\n\r\n");
    // It may have been displaced already.
    stream.write_all(request.as_bytes()).ok();
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Reads one octet of each a second, and lets another come for each that was cut off.
fn crowd(api: SocketAddr, count: usize, over: &AtomicBool) -> usize {
    let mut readers: Vec<TcpStream> = (0..count).map(|_| slow_reader(api)).collect();
    let mut cut = 0;
    while !over.load(Relaxed) {
        thread::park_timeout(Duration::from_secs(1));
        for reader in &mut readers {
            let mut octet = [0];
            let gone = match reader.read(&mut octet) {
                Ok(count) => count == 0,
                Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            };
            if gone {
                cut += 1;
                *reader = slow_reader(api);
            }
        }
    }
    cut
}

/// How long these round trips through the relay took, and the longest.
fn round_trips(client: &mut Client, count: u32) -> (Duration, Duration) {
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    for _ in 0..count {
        let sent = Instant::now();
        client.send(b"ping");
        assert_eq!(client.receive(4), b"ping");
        longest = longest.max(sent.elapsed());
    }
    (began.elapsed() / count, longest)
}

/// Sends the crowd home, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn a_crowd_of_slow_readers_keeps_neither_scrapes_nor_the_relay_waiting() {
    let (count, secs) = (size("SLOW_READERS", 200), size("SLOW_READERS_SECS", 5));
    let (proxy, origin) = (with_a_past(), Origin::echo());
    let api = proxy.api.unwrap();
    let page = api::get(api, "/api/sessions/history?limit=1000");
    assert!(page.body.len() > 500_000, "{} octets are soon read", page.body.len());
    let mut client = Client::connected(proxy.socks, origin.address);
    let before = round_trips(&mut client, 2000);
    let over = AtomicBool::new(false);
    let (mut scrapes, mut trips) = (Vec::new(), Vec::new());
    let cut = thread::scope(|scope| {
        let _over = Over(&over);
        let crowd = scope.spawn(|| crowd(api, count, &over));
        let until = Instant::now() + Duration::from_secs(secs as u64);
        while Instant::now() < until {
            let asked = Instant::now();
            let metrics = Scrape::of(api);
            scrapes.push(asked.elapsed());
            assert!(metrics.value("rustsocks_sessions_total") >= Some(1.0));
            assert_eq!(api::get(api, "/health").status, 200);
            trips.push(round_trips(&mut client, 200));
        }
        over.store(true, Relaxed);
        crowd.thread().unpark();
        crowd.join().unwrap()
    });
    scrapes.sort_unstable();
    let longest = trips.iter().map(|(_, longest)| *longest).max().unwrap();
    let mean =
        trips.iter().map(|(mean, _)| *mean).sum::<Duration>() / u32::try_from(trips.len()).unwrap();
    println!(
        "{count} slow readers for {secs} s, {cut} of them cut off: {} scrapes, median {:?}, longest {:?}; \
         a round trip {mean:?} (before {:?}), longest {longest:?} (before {:?})",
        scrapes.len(),
        scrapes[scrapes.len() / 2],
        scrapes.last().unwrap(),
        before.0,
        before.1,
    );
    let told = Scrape::of(api);
    let events = |event: &str| {
        told.value(&format!("rustsocks_api_events_total{{event=\"{event}\"}}")).unwrap()
    };
    assert!(events("displaced") + events("slow_reader") > 0.0, "nobody was in the way");
}
