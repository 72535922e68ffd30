//! UDP ASSOCIATE through the real binary: RFC 1928 §7 over real sockets, and its records.
#![cfg(feature = "dns-cares")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

#[path = "udp/addresses.rs"]
mod addresses;
mod harness;
#[path = "harness/names.rs"]
mod names;
#[path = "harness/namespace.rs"]
mod namespace;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::client::Client;
use harness::datagrams::{Associated, UdpEcho, wrapped};
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::wait_for;
use names::{Kind, NameServer, Reply};

/// What a dropped datagram is counted as.
fn dropped(proxy: &Proxy, reason: &str) -> f64 {
    let series = format!("rustsocks_udp_dropped_total{{reason=\"{reason}\"}}");
    Scrape::of(proxy.api.unwrap()).value(&series).expect("the series")
}

#[track_caller]
fn wait_dropped(proxy: &Proxy, reason: &str, expected: f64) {
    wait_for(&format!("{expected} datagrams dropped as {reason}"), || {
        (dropped(proxy, reason) >= expected).then_some(())
    });
    assert_eq!(dropped(proxy, reason), expected, "{reason}");
}

/// What the only row says, of these columns, as one text.
#[track_caller]
fn row(proxy: &Proxy, columns: &str) -> String {
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status <> 'active'", 1);
    let sql = format!("SELECT concat_ws(' ', {columns}) FROM sessions");
    proxy.database().query_row(&sql, [], |row| row.get(0)).expect(&sql)
}

const FIGURES: &str = "dest_ip, dest_port, resolved_ip, protocol, command, bytes_sent, \
                       bytes_received, packets_sent, packets_received, status, close_code, \
                       acl_decision";

#[test]
fn datagrams_go_to_an_address_and_back_and_are_booked_to_the_octet() {
    let (proxy, echo) = (Proxy::start(), UdpEcho::on("127.0.0.1:0"));
    let client = Associated::with(proxy.socks);
    assert_eq!(client.relay.ip(), proxy.socks.ip());
    let (mut octets, payloads) = (0, [b"a".to_vec(), Vec::new(), vec![7; 1200]]);
    for payload in &payloads {
        client.send(echo.address, payload);
        assert_eq!(client.receive(), (echo.address, payload.clone()));
        octets += payload.len();
    }
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'active'", 1);
    drop(client);
    let port = echo.address.port();
    assert_eq!(
        row(&proxy, FIGURES),
        format!(
            "127.0.0.1 {port} 127.0.0.1 udp udp_associate {octets} {octets} 3 3 closed \
             client_closed allow"
        )
    );
    assert_eq!(echo.count.octets.load(Ordering::SeqCst), octets as u64);
    let scrape = Scrape::of(proxy.api.unwrap());
    for direction in ["sent", "received"] {
        let series = format!("rustsocks_udp_datagrams_total{{direction=\"{direction}\"}}");
        assert_eq!(scrape.value(&series), Some(3.0));
    }
    assert_eq!(scrape.sum("rustsocks_udp_dropped_total"), 0.0);
    assert_eq!(scrape.value("rustsocks_sessions_total"), Some(1.0));
    assert_eq!(scrape.value("rustsocks_bytes_received_total"), Some(octets as f64));
}

/// Where it listens on this address.
fn listening(proxy: &mut Proxy, on: &str) -> SocketAddr {
    let log = proxy.log();
    let port = log.split_once(&format!("SOCKS on {on}:")).expect("a listener there").1;
    format!("{on}:{}", port.split_whitespace().next().unwrap()).parse().unwrap()
}

#[test]
fn ipv6_on_both_sides() {
    let further = "[[server.listen]]\naddress = \"::1\"\nport = 0\n";
    let (mut proxy, echo) = (Proxy::with(further), UdpEcho::on("[::1]:0"));
    let client = Associated::with(listening(&mut proxy, "[::1]"));
    assert!(client.relay.is_ipv6());
    client.send(echo.address, b"six");
    assert_eq!(client.receive(), (echo.address, b"six".to_vec()));
    // And to the other family.
    let echo = UdpEcho::on("127.0.0.1:0");
    client.send(echo.address, b"four");
    assert_eq!(client.receive(), (echo.address, b"four".to_vec()));
    drop(client);
    assert_eq!(row(&proxy, "dest_ip, bytes_sent, packets_received"), "::1 7 2");
}

/// A proxy that asks this server, which knows one address for each name.
fn with_names(zone: impl Fn(&str, Kind) -> Reply + Send + 'static) -> (Proxy, NameServer) {
    let server = NameServer::start(zone);
    let resolver =
        format!("[resolver]\nservers = [\"{}\"]\ntimeout_ms = 300\ntries = 10\n", server.address());
    (Proxy::with(&resolver), server)
}

fn loopback() -> Reply {
    Reply::Addresses(vec![IpAddr::from([127, 0, 0, 1])])
}

#[test]
fn names_are_looked_up_once_and_a_slow_one_holds_up_nobody_else() {
    let answering = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&answering);
    let (proxy, server) = with_names(move |name, _| match name {
        "fast.test" => loopback(),
        // Asked again until it does.
        "slow.test" if asked.load(Ordering::SeqCst) => loopback(),
        "slow.test" => Reply::Silence,
        _ => Reply::NoSuchName,
    });
    let echo = UdpEcho::on("127.0.0.1:0");
    let port = echo.address.port();
    let client = Associated::with(proxy.socks);
    client.send(("slow.test", port), b"slow 1");
    client.send(("slow.test", port), b"slow 2");
    client.send(("fast.test", port), b"fast");
    client.send(echo.address, b"literal");
    let mut first = [client.receive().1, client.receive().1];
    first.sort();
    assert_eq!(first, [b"fast".to_vec(), b"literal".to_vec()]);
    answering.store(true, Ordering::SeqCst);
    assert_eq!(client.receive().1, b"slow 1");
    assert_eq!(client.receive().1, b"slow 2");
    let questions = server.questions();
    client.send(("slow.test", port), b"slow 3");
    assert_eq!(client.receive().1, b"slow 3");
    assert_eq!(server.questions(), questions, "the answer is remembered");
    client.send(("none.test", port), b"lost");
    wait_dropped(&proxy, "name_failed", 1.0);
    drop(client);
    assert!(
        row(&proxy, FIGURES).ends_with("udp udp_associate 29 29 5 5 closed client_closed allow")
    );
    assert_ne!(row(&proxy, "dest_ip"), "none.test");
}

#[test]
fn a_name_leads_to_its_session() {
    let (proxy, _server) = with_names(|_, _| loopback());
    let echo = UdpEcho::on("127.0.0.1:0");
    let client = Associated::with(proxy.socks);
    client.send(("Echo.Test", echo.address.port()), b"x");
    assert_eq!(client.receive(), (echo.address, b"x".to_vec()));
    drop(client);
    assert_eq!(row(&proxy, "dest_ip, resolved_ip"), "echo.test 127.0.0.1");
}

#[test]
fn two_targets_share_an_association_and_the_first_names_the_session() {
    let (proxy, client) = {
        let proxy = Proxy::start();
        let client = Associated::with(proxy.socks);
        (proxy, client)
    };
    let echoes = [UdpEcho::on("127.0.0.1:0"), UdpEcho::on("127.0.0.2:0")];
    for echo in &echoes {
        client.send(echo.address, b"12345");
        assert_eq!(client.receive(), (echo.address, b"12345".to_vec()));
    }
    drop(client);
    let port = echoes[0].address.port();
    let expected = format!("127.0.0.1 {port} 10 10 2 2");
    let columns = "dest_ip, dest_port, bytes_sent, bytes_received, packets_sent, packets_received";
    assert_eq!(row(&proxy, columns), expected);
}

#[test]
fn only_the_client_may_send_and_only_who_was_written_to_may_answer() {
    let (proxy, echo) = (Proxy::start(), UdpEcho::on("127.0.0.1:0"));
    let client = Associated::with(proxy.socks);
    let foreign_address = UdpSocket::bind("127.0.0.9:0").unwrap();
    foreign_address.send_to(&wrapped(echo.address, b"foreign"), client.relay).unwrap();
    wait_dropped(&proxy, "foreign_source", 1.0);
    client.send(echo.address, b"mine");
    assert_eq!(client.receive().1, b"mine");
    // The port is pinned by now.
    let foreign_port = UdpSocket::bind("127.0.0.1:0").unwrap();
    foreign_port.send_to(&wrapped(echo.address, b"foreign"), client.relay).unwrap();
    wait_dropped(&proxy, "foreign_source", 2.0);
    // A host that nothing was sent to knows the port towards targets.
    let port = u16::try_from(echo.count.sender_port.load(Ordering::SeqCst)).unwrap();
    let stranger = UdpSocket::bind("127.0.0.3:0").unwrap();
    stranger.send_to(b"psst", ("127.0.0.1", port)).unwrap();
    wait_dropped(&proxy, "stranger", 1.0);
    // Another port of a host that was written to is none.
    let neighbour = UdpSocket::bind("127.0.0.1:0").unwrap();
    neighbour.send_to(b"hello", ("127.0.0.1", port)).unwrap();
    assert_eq!(client.receive(), (neighbour.local_addr().unwrap(), b"hello".to_vec()));
    drop(client);
    assert_eq!(row(&proxy, "packets_sent, packets_received, bytes_received"), "1 2 9");
}

#[test]
fn a_declared_port_is_the_only_one() {
    let (proxy, echo) = (Proxy::start(), UdpEcho::on("127.0.0.1:0"));
    let declared = UdpSocket::bind("127.0.0.1:0").unwrap();
    declared.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    let mut control = Client::to(proxy.socks);
    let (code, relay) = control.ask(3, declared.local_addr().unwrap());
    assert_eq!(code, 0);
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    other.send_to(&wrapped(echo.address, b"other"), relay).unwrap();
    wait_dropped(&proxy, "foreign_source", 1.0);
    declared.send_to(&wrapped(echo.address, b"mine"), relay).unwrap();
    assert_eq!(declared.recv(&mut [0; 64]).unwrap(), 10 + 4);
}

#[test]
fn fragments_and_nonsense_are_dropped_and_counted() {
    let (proxy, echo) = (Proxy::start(), UdpEcho::on("127.0.0.1:0"));
    let client = Associated::with(proxy.socks);
    for fragment in [1, 0x7f, 0x80] {
        let mut octets = wrapped(echo.address, b"fragment");
        octets[2] = fragment;
        client.send_raw(&octets);
    }
    wait_dropped(&proxy, "fragment", 3.0);
    let whole = wrapped(echo.address, b"");
    for length in 0..whole.len() {
        client.send_raw(&whole[..length]);
    }
    client.send_raw(&[0, 0, 0, 9, 1, 2, 3, 4, 0, 80]);
    wait_dropped(&proxy, "malformed", 11.0);
    client.send(echo.address, b"still here");
    assert_eq!(client.receive().1, b"still here");
    assert_eq!(echo.count.datagrams.load(Ordering::SeqCst), 1);
}

#[test]
fn the_guard_stands_and_what_it_forbade_is_recorded_as_rejected() {
    let proxy = Proxy::start();
    let client = Associated::with(proxy.socks);
    let metadata: SocketAddr = "169.254.169.254:53".parse().unwrap();
    client.send(metadata, b"secrets");
    client.send(metadata, b"secrets");
    client.send(SocketAddr::from(([224, 0, 0, 251], 5353)), b"everybody");
    wait_dropped(&proxy, "denied", 3.0);
    drop(client);
    let columns = "dest_ip, dest_port, protocol, status, close_code, acl_decision, \
                   acl_rule_matched, packets_sent";
    assert_eq!(
        row(&proxy, columns),
        "169.254.169.254 53 udp rejected_by_acl acl_denied block \
         guard: link-local and metadata addresses are for nobody 0"
    );
    let scrape = Scrape::of(proxy.api.unwrap());
    assert_eq!(scrape.value("rustsocks_sessions_total"), Some(0.0));
    assert_eq!(scrape.value("rustsocks_sessions_rejected_total"), Some(1.0));
}

#[test]
fn it_ends_with_its_control_connection_and_its_port_is_free() {
    let (proxy, echo) = (Proxy::start(), UdpEcho::on("127.0.0.1:0"));
    let mut client = Associated::with(proxy.socks);
    // What is said on the control connection means nothing.
    client.control.send(&[0; 40_000]);
    client.send(echo.address, b"x");
    assert_eq!(client.receive().1, b"x");
    client.control.finish();
    wait_for("the port to be free", || UdpSocket::bind(client.relay).ok());
    assert_eq!(
        row(&proxy, "status, close_code, first_byte_us IS NOT NULL"),
        "closed client_closed 1"
    );
}

#[test]
fn the_api_ends_it() {
    let (proxy, echo) = (Proxy::start(), UdpEcho::on("127.0.0.1:0"));
    let mut client = Associated::with(proxy.socks);
    client.send(echo.address, b"x");
    assert_eq!(client.receive().1, b"x");
    let api = proxy.api.unwrap();
    let session = wait_for("the live session's figures", || {
        let live = harness::api::get(api, "/api/sessions/active").json();
        let session = live["data"][0].clone();
        (session["packets_received"] == 1).then_some(session)
    });
    assert_eq!((&session["protocol"], &session["bytes_sent"]), (&"udp".into(), &1.into()));
    let path = format!("/api/sessions/{}/terminate", session["session_id"].as_str().unwrap());
    assert_eq!(harness::api::ask(api, "POST", &path, Some(&proxy.token())).status, 202);
    assert!(std::io::Read::read(&mut client.control.stream, &mut [0]).is_err(), "a reset");
    wait_for("the port to be free", || UdpSocket::bind(client.relay).ok());
    assert_eq!(row(&proxy, "status, close_code, bytes_sent"), "closed terminated_by_admin 1");
}

#[test]
fn silence_ends_an_association_whether_it_ever_spoke_or_not() {
    let proxy = Proxy::with_sections("idle_timeout_secs = 1", "", "");
    let echo = UdpEcho::on("127.0.0.1:0");
    let (_mute, used) = (Associated::with(proxy.socks), Associated::with(proxy.socks));
    used.send(echo.address, b"x");
    assert_eq!(used.receive().1, b"x");
    let ended = "SELECT count(*) FROM sessions WHERE close_code = 'idle_timeout'";
    proxy.wait_count(&format!("{ended} AND status = 'closed' AND packets_received = 1"), 1);
    proxy.wait_count(&format!("{ended} AND status = 'failed' AND dest_ip = ''"), 1);
}

#[test]
fn an_association_without_a_datagram_is_a_record_without_a_target() {
    let proxy = Proxy::start();
    drop(Associated::with(proxy.socks));
    let columns = "'[' || dest_ip || ']', dest_port, protocol, command, status, close_code";
    assert_eq!(row(&proxy, columns), "[] 0 udp udp_associate failed client_closed");
    let scrape = Scrape::of(proxy.api.unwrap());
    assert_eq!(scrape.value("rustsocks_sessions_total"), Some(0.0));
}

#[test]
fn the_longest_datagram_passes_and_an_answer_that_is_too_long_is_counted() {
    let (proxy, echo) = (Proxy::start(), UdpEcho::on("127.0.0.1:0"));
    let client = Associated::with(proxy.socks);
    // With its header it is as long as a datagram over IPv4 can be.
    let longest: Vec<u8> = (0..65_507 - 10).map(|at| (at % 251) as u8).collect();
    client.send(echo.address, &longest);
    assert_eq!(client.receive(), (echo.address, longest.clone()));
    // An answer of that length has no room for its header.
    let port = u16::try_from(echo.count.sender_port.load(Ordering::SeqCst)).unwrap();
    let neighbour = UdpSocket::bind("127.0.0.1:0").unwrap();
    neighbour.send_to(&[1; 65_507], ("127.0.0.1", port)).unwrap();
    wait_dropped(&proxy, "too_long", 1.0);
    drop(client);
    assert_eq!(row(&proxy, "bytes_sent, bytes_received"), "65497 65497");
}

/// What waits for the proxy while it is stopped is taken together.
#[test]
fn of_datagrams_that_come_together_each_is_judged_sent_and_booked_by_itself() {
    const EACH: usize = 30;
    let proxy = Proxy::start();
    let echoes = [UdpEcho::on("127.0.0.1:0"), UdpEcho::on("[::1]:0")];
    let client = Associated::with(proxy.socks);
    let nowhere = SocketAddr::new(echoes[0].address.ip(), 0);
    let (mut fragment, denied) = (wrapped(nowhere, b"x"), SocketAddr::from(([224, 0, 0, 1], 9)));
    fragment[2] = 1;
    proxy.signal("STOP");
    let mut expected = Vec::new();
    for number in 0..EACH {
        for (family, echo) in echoes.iter().enumerate() {
            let payload = format!("{number} to {family}").into_bytes();
            client.send(echo.address, &payload);
            expected.push((echo.address, payload));
        }
        client.send_raw(&fragment);
        client.send(nowhere, b"x");
        client.send(denied, b"x");
    }
    proxy.signal("CONT");
    let mut came: Vec<_> = (0..2 * EACH).map(|_| client.receive()).collect();
    let octets: usize = expected.iter().map(|(_, payload)| payload.len()).sum();
    came.sort();
    expected.sort();
    assert_eq!(came, expected);
    for reason in ["fragment", "unreachable", "denied"] {
        wait_dropped(&proxy, reason, EACH as f64);
    }
    drop(client);
    let figures = "packets_sent, packets_received, bytes_sent, bytes_received";
    assert_eq!(row(&proxy, figures), format!("{0} {0} {octets} {octets}", 2 * EACH));
    let all = Scrape::of(proxy.api.unwrap()).sum("rustsocks_udp_dropped_total");
    assert_eq!(all, 3.0 * EACH as f64);
}

#[test]
fn a_command_that_is_switched_off_is_refused() {
    let proxy = Proxy::with_sections("commands = [\"connect\"]", "", "");
    let mut client = Client::to(proxy.socks);
    assert_eq!(client.ask(3, SocketAddr::from(([0, 0, 0, 0], 0))).0, 7);
    assert_eq!(row(&proxy, "status, close_code"), "failed unsupported_command");
}

/// Every datagram of a burst is either relayed or counted as dropped. `RUSTSOCKS_UDP_BURST` makes it
/// longer than 10 000.
#[test]
fn a_burst_is_relayed_or_counted() {
    let burst = std::env::var("RUSTSOCKS_UDP_BURST").map_or(10_000, |text| text.parse().unwrap());
    let (proxy, echo) = (Proxy::start(), UdpEcho::on("127.0.0.1:0"));
    let mut client = Associated::with(proxy.socks);
    let whole = wrapped(echo.address, &[0x5a; 100]);
    for _ in 0..burst {
        client.send_raw(&whole);
    }
    // What comes back of these was sent behind the burst, so the burst has been taken or lost.
    let mark = [0xa5; 100];
    let mut total = burst;
    wait_for("the end of the burst", || {
        client.send(echo.address, &mark);
        total += 1;
        std::iter::from_fn(|| client.receive_soon()).find(|payload| payload == &mark)
    });
    client.control.finish();
    assert!(client.control.receive_all().is_empty());
    let figures = "packets_sent, packets_received, bytes_sent, bytes_received";
    let figures: Vec<u64> =
        row(&proxy, figures).split(' ').map(|figure| figure.parse().unwrap()).collect();
    let [sent, received, bytes_sent, bytes_received] = figures[..] else { panic!("{figures:?}") };
    assert_eq!((bytes_sent, bytes_received), (100 * sent, 100 * received));
    let arrived = echo.count.datagrams.load(Ordering::SeqCst);
    let overflow = dropped(&proxy, "overflow");
    eprintln!(
        "of {total}: {sent} sent on, {arrived} reached the target, {received} came back, \
         {overflow} found no room in the kernel"
    );
    assert!(sent > 0 && received > 0);
    assert!(arrived <= sent && received <= arrived);
    // What was lost on the way to us, and at most what was lost of the answers.
    assert!(overflow >= (total - sent) as f64);
    assert!(overflow <= (total - sent + arrived - received) as f64);
    let all = Scrape::of(proxy.api.unwrap()).sum("rustsocks_udp_dropped_total");
    assert_eq!(all, overflow, "nothing was dropped for another reason");
}

/// A client that lets no more be under way than every buffer takes gets back all that it sends, and all of
/// it is booked. `RUSTSOCKS_UDP_ECHO` makes it more than 20 000.
#[test]
fn no_datagram_of_a_patient_client_is_lost() {
    const UNDER_WAY: usize = 32;
    let total = std::env::var("RUSTSOCKS_UDP_ECHO").map_or(20_000, |text| text.parse().unwrap());
    let (proxy, echo) = (Proxy::start(), UdpEcho::on("127.0.0.1:0"));
    let mut client = Associated::with(proxy.socks);
    let payload = |number: usize| [&number.to_be_bytes()[..], &[0x5a; 92]].concat();
    let mut lost = 0;
    for first in (0..total).step_by(UNDER_WAY) {
        let numbers = first..total.min(first + UNDER_WAY);
        for number in numbers.clone() {
            client.send(echo.address, &payload(number));
        }
        let mut awaited: Vec<Vec<u8>> = numbers.map(payload).collect();
        while !awaited.is_empty() {
            let Some(came) = client.receive_in_time() else { break };
            let at = awaited.iter().position(|payload| *payload == came);
            awaited.remove(at.expect("what was sent, and once"));
        }
        lost += awaited.len();
    }
    client.control.finish();
    assert!(client.control.receive_all().is_empty());
    eprintln!("{lost} of {total} datagrams were lost");
    assert_eq!(lost, 0);
    let figures = "packets_sent, packets_received, bytes_sent, bytes_received";
    let octets = 100 * total;
    assert_eq!(row(&proxy, figures), format!("{total} {total} {octets} {octets}"));
    assert_eq!(echo.count.datagrams.load(Ordering::SeqCst), total as u64);
    let scrape = Scrape::of(proxy.api.unwrap());
    for direction in ["sent", "received"] {
        let series = format!("rustsocks_udp_datagrams_total{{direction=\"{direction}\"}}");
        assert_eq!(scrape.value(&series), Some(total as f64));
    }
    assert_eq!(scrape.sum("rustsocks_udp_dropped_total"), 0.0);
}
