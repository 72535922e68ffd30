//! Limits of patience, and replies that arrive: how long each stage may take, how a session ends whose
//! time is over, and what a client still hears that is refused or has hung up.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use harness::client::{self, Client};
use harness::origin::{Origin, Silent};
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::wait_for;
use socket2::{SockFilter, SockRef};

/// Greets, asks, and leaves the answer for later.
fn asking<'a>(proxy: &Proxy, target: impl Into<client::Asked<'a>>) -> Client {
    let mut client = Client::to(proxy.socks);
    client.send(&[5, 1, 0]);
    assert_eq!(client.receive(2), [5, 0]);
    client.send(&client::connect(target));
    client
}

fn count_of(code: &str) -> String {
    format!("SELECT count(*) FROM sessions WHERE close_code = '{code}'")
}

/// The kernel's timer for a socket with these ends (proc_net_tcp: 2 is keepalive), as far as there is
/// such a socket.
fn timer_between(local: SocketAddr, remote: SocketAddr) -> Option<u8> {
    let hex = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let words = lines.find(|words| words[1] == hex(local) && words[2] == hex(remote))?;
    words[5].split_once(':')?.0.parse().ok()
}

/// How many sockets are trying to reach `target` (proc_net_tcp: state 2 is SYN_SENT); one that fills
/// the queue of a `Silent` target may be among them.
fn attempts(target: SocketAddr) -> usize {
    let remote = format!("0100007F:{:04X}", target.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.filter(|words| words[2] == remote && words[3] == "02").count()
}

#[test]
fn a_target_that_never_answers_is_given_up_in_time_with_a_reply_that_says_so() {
    let proxy = Proxy::with_sections("connect_timeout_ms = 300", "", "");
    let silent = Silent::start();
    let mut client = asking(&proxy, silent.address);
    assert_eq!(client.reply().0, 6);
    assert_eq!(client.receive_all(), b"");
    proxy.wait_count(&count_of("connect_timeout"), 1);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE connect_us >= 300000", 1);
}

#[test]
fn the_handshake_counts_from_accept_also_before_a_balancer_has_announced_the_client() {
    let server = "handshake_timeout_ms = 300\nproxy_protocol_from = [\"127.0.0.1\"]";
    let proxy = Proxy::with_sections(server, "", "");
    let mut mute = Client::to(proxy.socks);
    let mut halting = Client::to(proxy.socks);
    halting.send(b"PROXY TCP4 192.0.2.9");
    assert_eq!(mute.stream.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(halting.stream.read(&mut [0]).unwrap_or(0), 0);
    proxy.wait_count(&count_of("handshake_timeout"), 2);
}

#[test]
fn the_kernel_watches_over_a_silent_client_as_configured() {
    let origin = Origin::echo();
    for (secs, timer) in [(30_000, 2), (0, 0)] {
        let proxy = Proxy::with_sections(&format!("tcp_keepalive_secs = {secs}"), "", "");
        let mut client = Client::connected(proxy.socks, origin.address);
        client.send(b"x");
        assert_eq!(client.receive(1), b"x");
        let ours = client.stream.local_addr().unwrap();
        wait_for("the timer", || (timer_between(proxy.socks, ours)? == timer).then_some(()));
    }
}

/// What follows would take a minute if the connects were not abandoned, three times what a test waits.
const LONG: &str = "connect_timeout_ms = 60000";

#[test]
fn a_client_that_hangs_up_abandons_the_connect() {
    let proxy = Proxy::with_sections(LONG, "", "");
    let silent = Silent::start();
    let before = attempts(silent.address);
    let closed = asking(&proxy, silent.address);
    wait_for("the attempt", || (attempts(silent.address) > before).then_some(()));
    drop(closed);
    proxy.wait_count(&count_of("client_gone"), 1);
    wait_for("its end", || (attempts(silent.address) <= before).then_some(()));

    let reset = asking(&proxy, silent.address);
    wait_for("the attempt", || (attempts(silent.address) > before).then_some(()));
    reset.reset();
    proxy.wait_count(&count_of("client_reset"), 1);
    wait_for("its end", || (attempts(silent.address) <= before).then_some(()));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'failed'", 2);
}

#[test]
fn a_reset_is_noticed_behind_more_than_is_read_of_it() {
    let proxy = Proxy::with_sections(LONG, "", "");
    let silent = Silent::start();
    let before = attempts(silent.address);
    let mut reset = asking(&proxy, silent.address);
    reset.send(&[7; 50_000]);
    wait_for("the attempt", || (attempts(silent.address) > before).then_some(()));
    reset.reset();
    proxy.wait_count(&count_of("client_reset"), 1);
    wait_for("its end", || (attempts(silent.address) <= before).then_some(()));
}

#[test]
fn messages_that_together_are_longer_than_what_is_read_at_once_are_read_to_their_end() {
    let origin = Origin::echo();
    let proxy = Proxy::with_sections("proxy_protocol_from = [\"127.0.0.1\"]", "", "");
    let filler = "x".repeat(1500);
    let target = origin.address;
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nX: {filler}\r\n\r\n");
    // The announcement fills what is read at once to the last octet, and to less than that.
    for further in [1024 - 28, 700, 3] {
        let mut client = Client::to(proxy.socks);
        let mut announcement = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
        announcement.extend(u16::try_from(12 + further).unwrap().to_be_bytes());
        announcement.extend([127, 0, 0, 9, 127, 0, 0, 1, 0x9c, 0x40, 4, 56]);
        // PP2_TYPE_NOOP, which says nothing at length.
        announcement.push(4);
        announcement.extend(u16::try_from(further - 3).unwrap().to_be_bytes());
        announcement.resize(announcement.len() + further - 3, 0);
        client.send(&[&announcement, head.as_bytes(), b"ping"].concat());
        let mut answer = Vec::new();
        while !answer.ends_with(b"ping") {
            answer.extend(client.receive(1));
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn a_client_that_hangs_up_abandons_the_look_up_and_the_wait_for_a_peer() {
    let nameless = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = format!("{LONG}\ncommands = [\"connect\", \"bind\"]");
    let servers = nameless.local_addr().unwrap();
    let resolver =
        format!("[resolver]\nservers = [\"{servers}\"]\ntimeout_ms = 10000\ntries = 6\n");
    let proxy = Proxy::with_sections(&server, "", &resolver);
    let asked = asking(&proxy, ("silent.test", 80));
    nameless.recv(&mut [0; 512]).unwrap();
    drop(asked);
    proxy.wait_count(&count_of("client_gone"), 1);
    let mut binding = Client::to(proxy.socks);
    let (code, bound) = binding.ask(2, SocketAddr::from(([127, 0, 0, 1], 9)));
    assert_eq!(code, 0);
    drop(binding);
    proxy.wait_count(&count_of("client_gone"), 2);
    wait_for("the listener to be gone", || {
        std::net::TcpStream::connect(bound).is_err().then_some(())
    });
}

#[test]
fn a_client_that_closes_its_sending_side_still_hears_a_target_that_speaks_first() {
    let proxy = Proxy::start();
    let origin = Origin::on("127.0.0.1:0", |mut stream, _| stream.write_all(b"hello").unwrap());
    let mut client = asking(&proxy, origin.address);
    client.finish();
    assert_eq!(client.reply().0, 0);
    assert_eq!(client.receive_all(), b"hello");
}

/// Refusals in every protocol: what is sent, and what must come back whole.
fn refusals(closed: SocketAddr) -> [(Vec<u8>, &'static [u8]); 3] {
    let port = closed.port().to_be_bytes();
    let five = [&[5, 1, 0][..], &client::connect(closed)].concat();
    let four = [&[4, 1, port[0], port[1], 127, 0, 0, 1, 0][..]].concat();
    let http = format!("CONNECT {closed} HTTP/1.1\r\nHost: {closed}\r\n\r\n").into_bytes();
    [
        (five, b"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"),
        (four, b"\x00\x5b"),
        (http, b"HTTP/1.1 502 "),
    ]
}

#[test]
fn a_refused_client_that_keeps_sending_gets_its_reply_and_an_orderly_end() {
    let proxy = Proxy::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (request, reply) in refusals(closed) {
        let mut client = Client::to(proxy.socks);
        // The proxy must read it, or it would be answered by a reset that takes the reply with it.
        let rest = vec![7; 1 << 20];
        client.send(&request);
        client.send(&rest);
        client.finish();
        let heard = client.receive_all();
        assert!(heard.starts_with(reply), "{heard:?}");
    }
    proxy.wait_count(&count_of("connection_refused"), 3);
}

#[test]
fn a_refused_client_that_never_stops_has_had_its_reply_when_it_is_cut_off() {
    let proxy = Proxy::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (request, reply) in refusals(closed) {
        let mut client = Client::to(proxy.socks);
        client.send(&request);
        let mut writer = client.stream.try_clone().unwrap();
        // Until the proxy has had enough.
        let flood = std::thread::spawn(move || while writer.write_all(&[7; 4096]).is_ok() {});
        flood.join().unwrap();
        let mut heard = vec![0; reply.len()];
        client.stream.read_exact(&mut heard).unwrap();
        assert_eq!(heard, reply);
    }
}

/// While the client's kernel drops whatever comes, a reply is on its way for longer than a client is
/// usually given to close; and it keeps sending, which resets a socket that was closed too early.
#[test]
fn a_reply_that_is_slow_to_arrive_is_waited_for() {
    let proxy = Proxy::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut client = Client::to(proxy.socks);
    client.send(&[5, 1, 0]);
    assert_eq!(client.receive(2), [5, 0]);
    // BPF_RET with 0: nothing passes.
    let drop_all = [SockFilter::new(0x06, 0, 0, 0)];
    SockRef::from(&client.stream).attach_filter(&drop_all).unwrap();
    client.send(&client::connect(closed));
    client.stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let error = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    client.send(b"and more");
    SockRef::from(&client.stream).detach_filter().unwrap();
    client.stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    assert_eq!(client.reply().0, 5);
    assert_eq!(client.receive_all(), b"");
}

#[test]
fn what_a_client_said_before_its_reset_is_recorded_and_silence_is_counted() {
    let proxy = Proxy::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for _ in 0..RESETS {
        let mut client = Client::to(proxy.socks);
        client.send(&[&[5, 1, 0][..], &client::connect(closed)].concat());
        client.reset();
        Client::to(proxy.socks).reset();
        drop(Client::to(proxy.socks));
    }
    let rows = i64::from(RESETS);
    proxy.wait_count("SELECT count(*) FROM sessions", rows);
    proxy.wait_count(
        &format!("SELECT count(*) FROM sessions WHERE dest_port = {}", closed.port()),
        rows,
    );
    let scrape = wait_for("the silent ones", || {
        let scrape = Scrape::of(proxy.api.unwrap());
        (scrape.value("rustsocks_silent_clients_total")? == f64::from(2 * RESETS)).then_some(scrape)
    });
    assert_eq!(scrape.sum("rustsocks_sessions_ended_total"), f64::from(RESETS));
    assert_eq!(proxy.count("SELECT count(*) FROM sessions"), rows);
}

const RESETS: u32 = 100;
