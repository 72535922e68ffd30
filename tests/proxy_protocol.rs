//! The PROXY protocol: the record and the guard see the client that a load balancer announces, and
//! nobody else can announce one.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use harness::PATIENCE;
use harness::client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;

/// Sends all of it, closes its side, and reads what comes back.
fn exchange(proxy: &Proxy, octets: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(proxy.socks).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(octets).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    // It may be cut by a reset.
    drop(stream.read_to_end(&mut answer));
    answer
}

#[test]
fn the_announced_client_is_recorded_and_judged() {
    let proxy = Proxy::with_sections("proxy_protocol_from = [\"127.0.0.0/8\"]", "", "");
    let origin = Origin::echo();
    let connect = [&[5, 1, 0][..], &client::connect(origin.address)].concat();
    let session = |header: &[u8]| exchange(&proxy, &[header, &connect, b"hello"].concat());

    let answer = session(b"PROXY TCP4 127.0.0.9 127.0.0.1 40000 1080\r\n");
    assert!(answer.ends_with(b"hello"), "{answer:?}");
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE source_ip = '127.0.0.9' AND source_port = 40000
         AND status = 'closed' AND bytes_sent = 5",
        1,
    );

    // A client from afar reaches no loopback target through us, however near its balancer is.
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([203, 0, 113, 7, 127, 0, 0, 1, 0x9c, 0x40, 4, 56]);
    assert_eq!(session(&header)[..4], [5, 0, 5, 2]);
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE source_ip = '203.0.113.7'
         AND status = 'rejected_by_acl'",
        1,
    );

    // A balancer that asks whether we live is no session; one that announces nothing is refused.
    assert_eq!(exchange(&proxy, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"), b"");
    assert_eq!(exchange(&proxy, &connect), b"");
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'malformed'", 1);
    assert_eq!(proxy.count("SELECT count(*) FROM sessions"), 3);
}

/// Before they have said who they are: whoever tries passwords is held to it, too.
#[test]
fn announced_clients_are_held_to_the_limits_of_their_own_addresses_before_their_handshake() {
    let limits = "[limits]\nconnections_per_address = 2\n";
    let proxy = Proxy::with_sections("proxy_protocol_from = [\"127.0.0.0/8\"]", "", limits);
    let announced = |client: &str| {
        let mut stream = TcpStream::connect(proxy.socks).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let header = format!("PROXY TCP4 {client} 127.0.0.1 40000 1080\r\n");
        stream.write_all(&[header.as_bytes(), &[5, 1, 0]].concat()).unwrap();
        let mut method = [0; 2];
        (stream.read_exact(&mut method).is_ok(), stream)
    };
    let inside: Vec<_> = (0..2).map(|_| announced("203.0.113.7")).collect();
    assert!(inside.iter().all(|(is_let_in, _)| *is_let_in));
    assert!(!announced("203.0.113.7").0);
    assert!(announced("203.0.113.8").0, "the balancer has no place of its own");
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE source_ip = '203.0.113.7' AND close_code = 'over_limit'",
        1,
    );
    drop(inside);
    wait_for("a place", || announced("203.0.113.7").0.then_some(()));
}

#[test]
fn nobody_else_can_announce_a_client() {
    let proxy = Proxy::with_sections("proxy_protocol_from = [\"192.0.2.0/24\"]", "", "");
    let answer = exchange(&proxy, b"PROXY TCP4 127.0.0.9 127.0.0.1 40000 1080\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    let nobody = "SELECT count(*) FROM sessions WHERE source_ip = '127.0.0.9'";
    proxy.wait_count("SELECT count(*) FROM sessions", 1);
    assert_eq!(proxy.count(nobody), 0);
}
