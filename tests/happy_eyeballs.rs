//! Names with addresses of both families (RFC 8305), and who may ask for how many: the real binary, a
//! name server of the tests, and targets on both loopbacks.
#![cfg(all(feature = "dns-cares", feature = "database", feature = "metrics"))]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;
#[path = "harness/names.rs"]
mod names;

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use harness::client::{self, Client};
use harness::origin::{Origin, Silent};
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::{PATIENCE, wait_for};
use names::{Kind, NameServer, Reply};

/// A proxy that asks this server and waits for it for longer than a test does.
fn patient(server: &NameServer, further: &str) -> Proxy {
    Proxy::with(&format!(
        "[resolver]\nservers = [\"{}\"]\ntimeout_ms = 60000\n{further}\n",
        server.address()
    ))
}

/// A client that has asked for a name, without having read the answer.
fn asking(proxy: SocketAddr, name: &str, port: u16) -> Client {
    let mut client = Client::to(proxy);
    client.send(&[5, 1, 0]);
    assert_eq!(client.receive(2), [5, 0]);
    client.send(&client::connect((name, port)));
    client
}

fn both() -> Reply {
    Reply::Addresses(vec![Ipv6Addr::LOCALHOST.into(), IpAddr::from([127, 0, 0, 1])])
}

#[test]
fn a_family_that_the_name_server_is_silent_about_is_not_waited_for() {
    let origin = Origin::echo();
    let server = NameServer::start(|_, kind| match kind {
        Kind::A => both(),
        Kind::Aaaa => Reply::Silence,
    });
    let proxy = patient(&server, "");
    let mut client = Client::connected(proxy.socks, ("half.test", origin.address.port()));
    client.send(b"hello");
    assert_eq!(client.receive(5), b"hello");
    let scrape = Scrape::of(proxy.api.unwrap());
    assert_eq!(scrape.value("rustsocks_lookups_unawaited_total"), Some(1.0));
    assert_eq!(scrape.value("rustsocks_lookups_in_flight"), Some(1.0));
    assert_eq!(scrape.value("rustsocks_lookup_answers_total{answer=\"found\"}"), Some(1.0));
}

#[test]
fn a_late_family_saves_a_session_whose_first_addresses_refuse() {
    let origin = Origin::echo();
    // Nobody listens at this port of ::1, and the IPv4 address comes after that is known.
    let server = NameServer::start(|_, kind| match kind {
        Kind::Aaaa => both(),
        Kind::A => Reply::Delayed(Duration::from_millis(300), Box::new(both())),
    });
    let proxy = patient(&server, "");
    let mut client = Client::connected(proxy.socks, ("late.test", origin.address.port()));
    client.send(b"hello");
    assert_eq!(client.receive(5), b"hello");
    drop(client);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE resolved_ip = '127.0.0.1'", 1);
}

#[test]
fn a_slow_name_is_waited_for_at_a_server_that_has_been_fast() {
    let origin = Origin::echo();
    let port = origin.address.port();
    let server = NameServer::start(|name, _| match name {
        "slow.test" => Reply::Delayed(Duration::from_millis(1500), Box::new(both())),
        _ => both(),
    });
    let further = format!("[resolver]\nservers = [\"{}\"]\n", server.address());
    let proxy = Proxy::with_sections("workers = 1", "", &further);
    for name in ["a.test", "b.test", "c.test", "slow.test"] {
        assert_eq!(Client::to(proxy.socks).negotiate((name, port)), 0, "{name}");
    }
}

#[test]
fn a_name_server_that_says_nothing_is_a_timeout() {
    let server = NameServer::start(|_, _| Reply::Silence);
    // Once by the deadline of the connect, once because every try was in vain.
    for (connect, resolver) in
        [("connect_timeout_ms = 300", ""), ("", "timeout_ms = 10\ntries = 1")]
    {
        let further = format!("[resolver]\nservers = [\"{}\"]\n{resolver}\n", server.address());
        let proxy = Proxy::with_sections(connect, "", &further);
        assert_eq!(Client::to(proxy.socks).negotiate(("silent.test", 80)), 6);
        let mut client = Client::to(proxy.socks);
        client.send(b"CONNECT hushed.test:80 HTTP/1.0\r\n\r\n");
        assert!(client.receive_all().starts_with(b"HTTP/1.1 504 "));
        let row = "SELECT count(*) FROM sessions WHERE close_code = 'connect_timeout'";
        proxy.wait_count(row, 2);
    }
}

#[test]
fn the_first_to_connect_wins_and_the_silent_one_is_closed() {
    let origin = Origin::echo();
    let port = origin.address.port();
    let silent = Silent::on((Ipv6Addr::LOCALHOST, port).into());
    let server = NameServer::start(|_, _| both());
    let proxy = patient(&server, "");
    let mut client = asking(proxy.socks, "slow.test", port);
    wait_for("the attempt that is silent", || (waiting(&proxy, port) == 1).then_some(()));
    let (code, bound) = client.reply();
    assert_eq!((code, bound.ip()), (0, IpAddr::from([127, 0, 0, 1])));
    assert_eq!(waiting(&proxy, port), 0, "the loser is closed before the client is answered");
    client.send(b"hello");
    assert_eq!(client.receive(5), b"hello");
    drop((client, silent));
    let row = "SELECT count(*) FROM sessions WHERE resolved_ip = '127.0.0.1' \
               AND dest_ip = 'slow.test' AND close_code = 'client_closed'";
    proxy.wait_count(row, 1);
}

/// Connections of the proxy to this port of ::1 that have no answer yet.
fn waiting(proxy: &Proxy, port: u16) -> usize {
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp6", proxy.pid())).unwrap();
    let to = format!(":{port:04X}");
    let syn_sent = |line: &&str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(2).is_some_and(|remote| remote.ends_with(&to)) && words.get(3) == Some(&"02")
    };
    // The queue's own overflow of the test is older, and the same each time.
    table.lines().filter(syn_sent).count()
}

#[test]
fn one_deadline_counts_for_the_name_and_all_of_its_addresses() {
    let silent = Silent::start();
    let port = silent.address.port();
    let other = Silent::on((Ipv6Addr::LOCALHOST, port).into());
    let server = NameServer::start(|_, _| both());
    let further = format!("[resolver]\nservers = [\"{}\"]\n", server.address());
    let proxy = Proxy::with_sections("connect_timeout_ms = 600", "", &further);
    assert_eq!(Client::to(proxy.socks).negotiate(("silent.test", port)), 6);
    drop((silent, other));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'connect_timeout'", 1);
}

#[test]
fn the_preferred_family_is_dialled_first_and_an_only_one_alone() {
    let v4 = Origin::echo();
    let port = v4.address.port();
    let v6 = Origin::on(&format!("[::1]:{port}"), |stream, _| drop(stream));
    let server = NameServer::start(|_, _| both());
    for (family, reached) in
        [("any", "::1"), ("prefer_ipv6", "::1"), ("prefer_ipv4", "127.0.0.1"), ("ipv6", "::1")]
    {
        let proxy = patient(&server, &format!("family = \"{family}\""));
        let (code, bound) = asking(proxy.socks, "both.test", port).reply();
        assert_eq!((code, bound.ip()), (0, reached.parse().unwrap()), "{family}");
    }
    drop(v6);
    let proxy = patient(&server, "family = \"ipv6\"");
    assert_eq!(Client::to(proxy.socks).negotiate(("both.test", port)), 5);
    assert_eq!(Client::to(proxy.socks).negotiate(("both.test", v4.address.port())), 5);
}

#[test]
fn fixed_names_ask_no_server_and_are_judged_like_others() {
    let origin = Origin::echo();
    let server = NameServer::start(|_, _| Reply::NoSuchName);
    let hosts = "[resolver.hosts]\n\"db.test\" = [\"127.0.0.1\"]\nmeta = [\"169.254.169.254\"]";
    let proxy = patient(&server, hosts);
    let mut client = Client::connected(proxy.socks, ("DB.test", origin.address.port()));
    client.send(b"hello");
    assert_eq!(client.receive(5), b"hello");
    assert_eq!(Client::to(proxy.socks).negotiate(("meta", 80)), 2);
    assert_eq!(server.questions(), 0);
    let scrape = Scrape::of(proxy.api.unwrap());
    assert_eq!(scrape.value("rustsocks_lookups_total{origin=\"fixed\"}"), Some(2.0));
}

#[test]
fn a_storm_of_names_from_one_client_keeps_no_other_from_its_own() {
    let origin = Origin::echo();
    let server = NameServer::start(|name, _| match name {
        "good.test" => Reply::Addresses(vec![IpAddr::from([127, 0, 0, 1])]),
        _ => Reply::Silence,
    });
    let further = format!(
        "[resolver]\nservers = [\"{}\"]\ntimeout_ms = 60000\nlookups_per_client_max = 5\n",
        server.address()
    );
    // One worker, because a share is one worker's.
    let proxy = Proxy::with_sections("workers = 1", "", &further);
    let greedy: Vec<_> =
        (0..20).map(|number| asking(proxy.socks, &format!("n{number}.test"), 80)).collect();
    let refused = "SELECT count(*) FROM sessions WHERE close_code = 'over_limit' \
                   AND status = 'failed' AND source_ip = '127.0.0.1'";
    proxy.wait_count(refused, 15);
    let replied = |client: &&Client| {
        client.stream.set_nonblocking(true).unwrap();
        let mut head = [0; 2];
        client.stream.peek(&mut head).is_ok_and(|read| read == 2 && head == [5, 1])
    };
    wait_for("the replies", || (greedy.iter().filter(replied).count() == 15).then_some(()));
    let mut other = from([127, 0, 0, 2], proxy.socks);
    assert_eq!(other.negotiate(("good.test", origin.address.port())), 0);
    let scrape = Scrape::of(proxy.api.unwrap());
    let refused = "rustsocks_lookup_answers_total{answer=\"client_overloaded\"}";
    assert_eq!(scrape.value(refused), Some(15.0));
    assert_eq!(scrape.value("rustsocks_lookups_in_flight"), Some(5.0));
}

/// A client with this address.
fn from(address: [u8; 4], proxy: SocketAddr) -> Client {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&proxy.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Client { stream }
}

#[test]
fn a_miss_is_remembered() {
    let server = NameServer::start(|_, _| Reply::NoSuchNameFor { ttl: 60, minimum: 60 });
    let proxy = Proxy::with_sections(
        "workers = 1",
        "",
        &format!("[resolver]\nservers = [\"{}\"]\n", server.address()),
    );
    for _ in 0..3 {
        assert_eq!(Client::to(proxy.socks).negotiate(("missing.test", 80)), 4);
    }
    assert_eq!(server.questions(), 2);
    let scrape = Scrape::of(proxy.api.unwrap());
    assert_eq!(scrape.value("rustsocks_lookups_total{origin=\"cache\"}"), Some(2.0));
    assert_eq!(scrape.value("rustsocks_lookup_cache_names"), Some(1.0));
}

#[test]
fn the_systems_resolver_does_the_same() {
    let origin = Origin::echo();
    let proxy = Proxy::with("[resolver]\nkind = \"system\"\nhosts = { db = [\"127.0.0.1\"] }\n");
    // Two names without a name server: the short form of an address, and a fixed one.
    for name in ["127.1", "db", "localhost"] {
        let mut client = Client::connected(proxy.socks, (name, origin.address.port()));
        client.send(b"hello");
        assert_eq!(client.receive(5), b"hello", "{name}");
    }
}
