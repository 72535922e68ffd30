//! BIND through the real binary: RFC 1928 §4 and §6, and SOCKS4, over real sockets, and its records.
#![cfg(feature = "dns-cares")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;
#[path = "harness/names.rs"]
mod names;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use harness::PATIENCE;
use harness::client::{self, Asked, Client};
use harness::origin::Origin;
use harness::process;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::wait_for;
use names::{NameServer, Reply};
use socket2::{Domain, Socket, Type};

const ON: &str = "commands = [\"connect\", \"bind\"]";

fn proxy() -> Proxy {
    Proxy::with_sections(ON, "", "")
}

/// A client that waits for a peer, and where that is to connect to.
fn waiting<'a>(proxy: SocketAddr, expected: impl Into<Asked<'a>>) -> (Client, SocketAddr) {
    let mut client = Client::to(proxy);
    let (code, bound) = client.ask(2, expected);
    assert_eq!(code, 0, "the first reply");
    (client, bound)
}

/// A peer that connects from this address.
fn peer(from: impl Into<IpAddr>, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from.into(), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn local(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, number).into()
}

/// Both ways, to the end.
fn converse(mut client: Client, mut peer: TcpStream) {
    client.send(b"from the client");
    let mut octets = [0; 15];
    peer.read_exact(&mut octets).unwrap();
    assert_eq!(&octets, b"from the client");
    peer.write_all(b"from the peer").unwrap();
    assert_eq!(client.receive(13), b"from the peer");
    drop(peer);
    assert_eq!(client.receive_all(), b"");
}

/// What the only row says, of these columns, as one text.
#[track_caller]
fn row(proxy: &Proxy, columns: &str) -> String {
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status <> 'active'", 1);
    let sql = format!("SELECT concat_ws(' ', {columns}) FROM sessions");
    proxy.database().query_row(&sql, [], |row| row.get(0)).expect(&sql)
}

const FIGURES: &str = "dest_ip, dest_port, resolved_ip, protocol, command, bytes_sent, \
                       bytes_received, status, close_code, acl_decision, \
                       connect_us IS NOT NULL";

#[test]
fn the_first_reply_says_where_to_and_the_second_who_has_come() {
    let proxy = proxy();
    let (mut client, bound) = waiting(proxy.socks, SocketAddr::new(local(1), 21));
    assert_eq!(bound.ip(), local(1));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'active'", 1);
    let peer = peer(local(1), bound);
    assert_eq!(client.reply(), (0, peer.local_addr().unwrap()));
    assert!(TcpStream::connect(bound).is_err(), "one peer is all there is");
    converse(client, peer);
    assert_eq!(
        row(&proxy, FIGURES),
        "127.0.0.1 21 127.0.0.1 tcp bind 15 13 closed target_closed allow 1"
    );
}

#[test]
fn payload_behind_the_request_is_for_the_peer() {
    let proxy = proxy();
    let mut client = Client::to(proxy.socks);
    let request = client::request(2, SocketAddr::new(local(1), 21));
    client.send(&[&[5, 1, 0], &request[..], b"early"].concat());
    assert_eq!(client.receive(2), [5, 0]);
    let (_, bound) = client.reply();
    let mut peer = peer(local(1), bound);
    assert_eq!(client.reply().0, 0);
    let mut octets = [0; 5];
    peer.read_exact(&mut octets).unwrap();
    assert_eq!(&octets, b"early");
    converse(client, peer);
}

#[test]
fn only_the_expected_host_may_connect() {
    let proxy = proxy();
    let (mut client, bound) = waiting(proxy.socks, SocketAddr::new(local(5), 21));
    for number in [1, 4, 6] {
        let mut stranger = peer(local(number), bound);
        // Closed, or reset.
        assert!(matches!(stranger.read(&mut [0]), Ok(0) | Err(_)), "127.0.0.{number}");
    }
    let peer = peer(local(5), bound);
    assert_eq!(client.reply(), (0, peer.local_addr().unwrap()));
    converse(client, peer);
    assert!(row(&proxy, FIGURES).starts_with("127.0.0.5 21 127.0.0.5 tcp bind 15 13 closed"));
}

#[test]
fn anybody_is_whom_the_rules_allow_and_the_session_begins_with_that_permit() {
    let proxy = proxy();
    let (mut client, bound) = waiting(proxy.socks, SocketAddr::from(([0, 0, 0, 0], 0)));
    let opened = || Scrape::of(proxy.api.unwrap()).value("rustsocks_sessions_total");
    assert_eq!(opened(), Some(0.0));
    let peer = peer(local(7), bound);
    assert_eq!(client.reply(), (0, peer.local_addr().unwrap()));
    assert_eq!(opened(), Some(1.0));
    converse(client, peer);
    assert_eq!(
        row(&proxy, FIGURES),
        "0.0.0.0 0 127.0.0.7 tcp bind 15 13 closed target_closed allow 1"
    );
}

#[test]
fn ipv6() {
    let proxy = proxy();
    let ours: IpAddr = "::1".parse().unwrap();
    let (mut client, bound) = waiting(proxy.socks, SocketAddr::new(ours, 21));
    assert_eq!(bound.ip(), ours);
    let peer = peer(ours, bound);
    assert_eq!(client.reply(), (0, peer.local_addr().unwrap()));
    converse(client, peer);
    assert!(row(&proxy, FIGURES).starts_with("::1 21 ::1 tcp bind 15 13 closed"));
}

#[test]
fn a_name_is_every_address_of_it_that_is_allowed() {
    let server = NameServer::start(|_, _| {
        Reply::Addresses(vec![local(3), [169, 254, 169, 254].into(), local(2)])
    });
    let resolver = format!("[resolver]\nservers = [\"{}\"]\n", server.address());
    let proxy = Proxy::with_sections(ON, "", &resolver);
    let (mut client, bound) = waiting(proxy.socks, ("peer.test", 21));
    let peer = peer(local(2), bound);
    assert_eq!(client.reply(), (0, peer.local_addr().unwrap()));
    converse(client, peer);
    assert!(row(&proxy, FIGURES).starts_with("peer.test 21 127.0.0.2 tcp bind 15 13 closed"));
}

#[test]
fn a_peer_that_does_not_come_in_time_is_a_timeout() {
    let proxy = Proxy::with_sections(&format!("{ON}\nconnect_timeout_ms = 300"), "", "");
    for expected in [SocketAddr::new(local(1), 21), SocketAddr::from(([0, 0, 0, 0], 0))] {
        let (mut client, bound) = waiting(proxy.socks, expected);
        assert_eq!(client.reply().0, 6, "the second reply");
        assert_eq!(client.receive_all(), b"");
        assert!(TcpStream::connect(bound).is_err(), "nobody listens any more");
    }
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE command = 'bind' AND status = 'failed' \
         AND close_code = 'connect_timeout'",
        2,
    );
}

#[test]
fn a_peer_that_comes_while_descriptors_have_run_out_is_let_in_when_there_are_some() {
    let proxy = Proxy::with_sections(&format!("workers = 1\n{ON}"), "", "");
    let origin = Origin::echo();
    let mut beside = Client::connected(proxy.socks, origin.address);
    let (mut client, bound) = waiting(proxy.socks, SocketAddr::new(local(1), 21));
    process::leave_descriptors(proxy.pid(), 0);
    let peer = peer(local(1), bound);
    // The worker has been told of the peer by the time it has told of this.
    for _ in 0..2 {
        beside.send(b"x");
        assert_eq!(beside.receive(1), b"x");
    }
    process::limit_descriptors(proxy.pid(), 4096);
    assert_eq!(client.reply(), (0, peer.local_addr().unwrap()));
    converse(client, peer);
    let pauses = Scrape::of(proxy.api.unwrap()).sum("rustsocks_accept_pauses_total");
    assert!(pauses >= 1.0, "{pauses}");
}

#[test]
fn what_the_rules_forbid_is_refused_at_once() {
    let proxy = proxy();
    let mut client = Client::to(proxy.socks);
    assert_eq!(client.ask(2, SocketAddr::from(([169, 254, 169, 254], 80))).0, 2);
    assert_eq!(row(&proxy, "command, status, close_code"), "bind rejected_by_acl acl_denied");
    assert_eq!(row(&proxy, "close_reason"), "the guard forbids this target");
}

#[test]
fn the_api_ends_the_wait() {
    let proxy = proxy();
    let (mut client, bound) = waiting(proxy.socks, SocketAddr::new(local(1), 21));
    let api = proxy.api.unwrap();
    let live = harness::api::get(api, "/api/sessions/active").json();
    let id = live["data"][0]["session_id"].as_str().unwrap().to_owned();
    let path = format!("/api/sessions/{id}/terminate");
    assert_eq!(harness::api::ask(api, "POST", &path, Some(&proxy.token())).status, 202);
    assert!(client.stream.read(&mut [0]).is_err(), "a reset");
    wait_for("nobody to listen", || TcpStream::connect(bound).err());
    assert_eq!(row(&proxy, "status, close_code"), "failed terminated_by_admin");
}

#[test]
fn socks4() {
    let proxy = proxy();
    let mut client = Client::to(proxy.socks);
    client.send(&[4, 2, 0, 21, 127, 0, 0, 1, b'm', b'e', 0]);
    let first = client.receive(8);
    assert_eq!(first[..2], [0, 90]);
    let port = u16::from_be_bytes([first[2], first[3]]);
    let peer = peer(local(1), SocketAddr::new(local(1), port));
    let second = client.receive(8);
    assert_eq!(second[..2], [0, 90]);
    assert_eq!(second[2..4], peer.local_addr().unwrap().port().to_be_bytes());
    assert_eq!(second[4..], [127, 0, 0, 1]);
    converse(client, peer);
    let columns = "command, claimed_user, bytes_sent, status";
    assert_eq!(row(&proxy, columns), "bind me 15 closed");
}
