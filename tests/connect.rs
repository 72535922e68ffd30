//! CONNECT end to end: the real binary, real sockets, real SQLite.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use harness::client::{self, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::{PATIENCE, wait_for};

fn fact(proxy: &Proxy, column: &str) -> String {
    let sql = format!("SELECT CAST({column} AS TEXT) FROM sessions WHERE status <> 'active'");
    wait_for(&format!("a record with {column}"), || {
        proxy.database().query_row(&sql, [], |row| row.get::<_, String>(0)).ok()
    })
}

#[test]
fn a_session_is_recorded_with_its_octets_and_its_target() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"hello");
    assert_eq!(client.receive(5), b"hello");
    client.finish();
    assert_eq!(client.receive_all(), b"");
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 1);
    assert_eq!(fact(&proxy, "dest_ip"), "127.0.0.1");
    assert_eq!(fact(&proxy, "dest_port"), origin.address.port().to_string());
    assert_eq!(fact(&proxy, "bytes_sent || '/' || bytes_received"), "5/5");
    assert_eq!(fact(&proxy, "user"), "anonymous");
    assert_eq!(fact(&proxy, "source_ip"), "127.0.0.1");
    assert_eq!(fact(&proxy, "close_code"), "client_closed");
    assert_eq!(fact(&proxy, "acl_decision || '/' || acl_rule_matched"), "allow/default policy");
    assert_eq!(fact(&proxy, "protocol || '/' || command"), "tcp/connect");
    assert_eq!(fact(&proxy, "resolved_ip"), "127.0.0.1");
    let port = client.stream.local_addr().unwrap().port();
    assert_eq!(fact(&proxy, "source_port"), port.to_string());
}

#[test]
fn greeting_request_and_payload_in_one_segment_get_their_echo() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let mut client = Client::to(proxy.socks);
    let payload: Vec<u8> = (0..60_000u32).map(|n| (n % 251) as u8).collect();
    let mut all = vec![5, 1, 0];
    all.extend(client::connect(origin.address));
    all.extend(&payload);
    client.send(&all);
    client.finish();
    assert_eq!(client.receive(2), [5, 0]);
    assert_eq!(client.reply().0, 0);
    assert_eq!(client.receive_all(), payload);
}

#[test]
fn a_handshake_octet_by_octet_works_like_any_other() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let mut client = Client::to(proxy.socks);
    let mut all = vec![5, 1, 0];
    all.extend(client::connect(("localhost", origin.address.port())));
    all.extend(b"ping");
    for octet in &all {
        client.send(std::slice::from_ref(octet));
    }
    assert_eq!(client.receive(2), [5, 0]);
    assert_eq!(client.reply().0, 0);
    assert_eq!(client.receive(4), b"ping");
    assert_eq!(fact_after_close(&proxy, client, "dest_ip"), "localhost");
}

/// The timer that the kernel runs for the proxy's socket towards `peer` (proc_net_tcp: 2 is
/// keepalive, 0 is none) and the seconds until it fires; `None` without such a socket.
fn timer_towards(peer: SocketAddr) -> Option<(u8, u64)> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!("0100007F:{:04X}", peer.port());
    // Established ones alone: a closed connection of another test, whose client had this port before the
    // origin got it, stands here for a minute in TIME_WAIT (6), with a timer of its own.
    let line = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let fields = line.into_iter().find(|fields| fields.get(2..4) == Some(&[&*remote, "01"]))?;
    let (kind, jiffies) = fields.get(5)?.split_once(':')?;
    Some((kind.parse().ok()?, u64::from_str_radix(jiffies, 16).ok()? / 100))
}

#[test]
fn the_kernel_watches_over_a_silent_target_as_configured() {
    let origin = Origin::echo();
    let proxy = Proxy::with_sections("tcp_keepalive_secs = 1", "", "");
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"x");
    assert_eq!(client.receive(1), b"x");
    // While an acknowledgement is awaited there is another timer.
    let secs = wait_for("a keepalive timer", || match timer_towards(origin.address)? {
        (2, secs) => Some(secs),
        _ => None,
    });
    // What was configured till the first question, and then what we ask for; the kernel's own are 7200
    // and 75.
    assert!(secs <= 15, "{secs} s: not ours");

    // Neither where it is switched off, nor before a session has lived as long.
    for never_yet in ["tcp_keepalive_secs = 0", "tcp_keepalive_secs = 30000"] {
        let origin = Origin::echo();
        let proxy = Proxy::with_sections(never_yet, "", "");
        let mut client = Client::connected(proxy.socks, origin.address);
        client.send(b"x");
        assert_eq!(client.receive(1), b"x");
        wait_for("no timer", || (timer_towards(origin.address)?.0 == 0).then_some(()));
    }
}

fn fact_after_close(proxy: &Proxy, mut client: Client, column: &str) -> String {
    client.finish();
    client.receive_all();
    fact(proxy, column)
}

#[test]
fn the_reply_names_our_real_address_towards_the_target() {
    let proxy = Proxy::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::to(proxy.socks);
    let (code, bound) = client.ask(1, listener.local_addr().unwrap());
    let (_, peer) = listener.accept().unwrap();
    assert_eq!((code, bound), (0, peer));
}

#[test]
fn ipv6_targets_are_reached_and_written_as_such() {
    let proxy = Proxy::start();
    let origin = Origin::on("[::1]:0", |mut stream, _| stream.write_all(b"six").unwrap());
    let mut client = Client::connected(proxy.socks, origin.address);
    assert_eq!(client.receive_all(), b"six");
    drop(client);
    assert_eq!(fact(&proxy, "dest_ip"), "::1");
    assert_eq!(fact(&proxy, "bytes_received"), "3");
}

#[test]
fn half_close_is_honoured_both_ways() {
    let proxy = Proxy::start();
    // The origin answers only after the client's FIN, with the sum of what it got.
    let origin = Origin::on("127.0.0.1:0", |mut stream, _| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&(all.len() as u64).to_be_bytes()).unwrap();
    });
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(&vec![7; 300_000]);
    client.finish();
    assert_eq!(client.receive_all(), 300_000u64.to_be_bytes());

    // The other way: the origin closes its sending side first and goes on reading.
    let (sender, receiver) = std::sync::mpsc::channel();
    let origin = Origin::on("127.0.0.1:0", move |mut stream, _| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        sender.send(all.len()).unwrap();
    });
    let mut client = Client::connected(proxy.socks, origin.address);
    assert_eq!(client.receive_all(), b"bye");
    client.send(&vec![8; 200_000]);
    client.finish();
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), 200_000);
    drop(client);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'target_closed'", 1);
}

#[test]
fn a_reset_is_passed_on_as_a_reset_after_what_came_before_it() {
    let proxy = Proxy::start();
    let origin = Origin::on("127.0.0.1:0", |mut stream, _| {
        stream.write_all(&[9; 50_000]).unwrap();
        let mut go = [0];
        stream.read_exact(&mut go).unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    });
    let mut client = Client::connected(proxy.socks, origin.address);
    assert_eq!(client.receive(50_000), [9; 50_000]);
    client.send(b"x");
    let error = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(fact(&proxy, "close_code"), "target_reset");

    let (sender, receiver) = std::sync::mpsc::channel();
    let origin = Origin::on("127.0.0.1:0", move |mut stream, _| {
        let mut all = Vec::new();
        let end = stream.read_to_end(&mut all).map_err(|error| error.kind());
        sender.send((all.len(), end)).unwrap();
    });
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(&[1; 1000]);
    wait_for("the octets at the origin", || {
        (proxy.count("SELECT count(*) FROM sessions WHERE bytes_sent = 1000") == 1
            || harness::api::get(proxy.api.unwrap(), "/api/sessions/active")
                .body
                .contains("\"bytes_sent\":1000"))
        .then_some(())
    });
    client.reset();
    let (octets, end) = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!((octets, end), (1000, Err(std::io::ErrorKind::ConnectionReset)));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'client_reset'", 1);
}

#[test]
fn each_failure_has_its_reply_and_its_record() {
    let proxy = Proxy::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(Client::to(proxy.socks).negotiate(closed), 5);
    // Our own listener, a metadata address and multicast are for nobody.
    assert_eq!(Client::to(proxy.socks).negotiate(proxy.socks), 2);
    for address in ["169.254.169.254:80", "224.0.0.1:80", "[::ffff:169.254.169.254]:80"] {
        assert_eq!(Client::to(proxy.socks).negotiate(address.parse::<SocketAddr>().unwrap()), 2);
    }
    for command in [2, 9] {
        let mut client = Client::to(proxy.socks);
        assert_eq!(client.ask(command, closed).0, 7, "command {command}");
        assert_eq!(client.receive_all(), b"", "closed after the reply");
    }
    let mut client = Client::to(proxy.socks);
    client.send(&[5, 1, 0]);
    client.receive(2);
    client.send(&[5, 1, 0, 9, 1, 2, 3, 4, 5, 6]);
    assert_eq!(client.reply().0, 8);
    let mut client = Client::to(proxy.socks);
    client.send(&[5, 1, 2]);
    assert_eq!(client.receive(2), [5, 0xff]);
    let mut client = Client::to(proxy.socks);
    client.send(b"\x16\x03\x01 hello");
    assert_eq!(client.receive_all(), b"");
    for (code, count) in [
        ("connection_refused", 1),
        ("acl_denied", 4),
        ("unsupported_command", 2),
        ("unsupported_address_type", 1),
        ("no_acceptable_method", 1),
        ("malformed", 1),
    ] {
        proxy.wait_count(
            &format!("SELECT count(*) FROM sessions WHERE close_code = '{code}'"),
            count,
        );
    }
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE status = 'rejected_by_acl'"), 4);
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE status = 'active'"), 0);
}

#[test]
fn a_mute_client_is_gone_after_the_handshake_timeout_however_slowly_it_talks() {
    let proxy = Proxy::with_sections("handshake_timeout_ms = 300", "", "");
    let began = Instant::now();
    let mut mute = Client::to(proxy.socks);
    let mut slow = Client::to(proxy.socks);
    slow.send(&[5]);
    assert_eq!(mute.stream.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(slow.stream.read(&mut [0]).unwrap_or(0), 0);
    assert!(began.elapsed() < PATIENCE);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'handshake_timeout'", 2);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE dest_ip = '' AND dest_port = 0", 2);
}

#[test]
fn idle_and_half_closed_relays_end_in_time_and_say_why() {
    let proxy = Proxy::with_sections("idle_timeout_secs = 1\nhalf_close_timeout_secs = 1", "", "");
    let origin = Origin::on("127.0.0.1:0", |mut stream, _| {
        let mut all = Vec::new();
        drop(stream.read_to_end(&mut all));
        // Holds the other direction open until the proxy ends it.
        drop(stream.read(&mut [0]));
        std::mem::forget(stream);
    });
    let idle = Client::connected(proxy.socks, origin.address);
    let mut half = Client::connected(proxy.socks, origin.address);
    half.send(b"x");
    half.finish();
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'half_close_timeout'", 1);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'idle_timeout'", 1);
    drop(idle);
}

#[test]
fn much_data_both_ways_at_once_arrives_whole() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let client = Client::connected(proxy.socks, origin.address);
    let mut writer = client.stream.try_clone().unwrap();
    const TOTAL: usize = 48 << 20;
    let pattern: Vec<u8> = (0..1_048_583u32).map(|n| (n.wrapping_mul(31) >> 3) as u8).collect();
    let sent = pattern.clone();
    let sender = std::thread::spawn(move || {
        let mut left = TOTAL;
        while left > 0 {
            let portion = left.min(sent.len());
            writer.write_all(&sent[..portion]).unwrap();
            left -= portion;
        }
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut stream = client.stream;
    let mut buffer = vec![0; 1 << 16];
    let mut seen = 0;
    loop {
        let read = stream.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        for octet in &buffer[..read] {
            assert_eq!(*octet, pattern[seen % pattern.len()], "at {seen}");
            seen += 1;
        }
    }
    sender.join().unwrap();
    assert_eq!(seen, TOTAL);
    drop(stream);
    let sum = format!(
        "SELECT count(*) FROM sessions WHERE bytes_sent = {TOTAL} AND bytes_received = {TOTAL}"
    );
    proxy.wait_count(&sum, 1);
}
