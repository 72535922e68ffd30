//! Clients for whom there is no seat: one record per address and minute, however many they are and
//! whichever worker they reach.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::Read;
use std::net::{SocketAddr, TcpStream};

use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;

/// Connects from an address of the loopback, and waits until the proxy has closed.
fn turned_away(proxy: SocketAddr, from: [u8; 4]) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&proxy.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn a_flood_of_clients_makes_one_record_per_address_with_their_number() {
    let mut proxy = Proxy::with_sections("max_connections = 1\ndrain_timeout_secs = 0", "", "");
    let origin = Origin::echo();
    let mut inside = Client::connected(proxy.socks, origin.address);
    inside.send(b"x");
    assert_eq!(inside.receive(1), b"x");
    for _ in 0..17 {
        turned_away(proxy.socks, [127, 0, 0, 2]);
    }
    turned_away(proxy.socks, [127, 0, 0, 3]);
    let metrics = |line: &str| {
        let text = harness::api::get(proxy.api.unwrap(), "/metrics").body;
        text.lines().any(|it| it == line).then_some(())
    };
    wait_for("all of them counted", || metrics("rustsocks_over_limit_total 18"));
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE close_code = 'over_limit'"), 0);
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    let database = proxy.database();
    let mut rows = database
        .prepare(
            "SELECT source_ip, close_reason, status, dest_ip, acl_decision IS NULL FROM sessions \
             WHERE close_code = 'over_limit' ORDER BY source_ip",
        )
        .unwrap();
    let rows: Vec<(String, String, String, String, bool)> = rows
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let row = |address: &str, clients: &str| {
        let reason =
            format!("a limit on connections or look-ups was reached ({clients} in this minute)");
        (address.to_owned(), reason, "failed".to_owned(), String::new(), true)
    };
    assert_eq!(rows, [row("127.0.0.2", "17 clients"), row("127.0.0.3", "1 client")]);
}
