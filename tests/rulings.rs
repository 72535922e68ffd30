//! Names whose addresses are permitted by different rules: what counts is the rule of the address that is
//! reached, in the record, among the hits, and for the limit that it names.
#![cfg(all(feature = "dns-cares", feature = "database"))]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;
#[path = "harness/names.rs"]
mod names;

use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Instant;

use harness::api::get;
use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use names::{NameServer, Reply};
use socket2::{Domain, Socket, Type};

/// 127.0.0.2 by the first rule, 127.0.0.3 by the second, which limits it; nothing else.
const RULES: &str = r#"
[global]
default_policy = "block"
[[rules]]
action = "allow"
description = "free"
priority = 2
destinations = ["127.0.0.2"]
[[rules]]
action = "allow"
description = "slow"
priority = 1
destinations = ["127.0.0.3"]
bandwidth = "slow"
"#;

/// Asks for names at a server where each has both addresses.
fn proxy() -> (Proxy, NameServer) {
    let server = NameServer::start(|_, _| {
        Reply::Addresses(vec![[127, 0, 0, 2].into(), [127, 0, 0, 3].into()])
    });
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("acl.toml"), RULES).unwrap();
    let further = format!(
        "[acl]\nenabled = true\nconfig_file = \"{{dir}}/acl.toml\"\n\
         [[limits.bandwidth]]\nname = \"slow\"\ndownload_kbit = 800\nburst_kib = 4\n\
         [resolver]\nservers = [\"{}\"]\n",
        server.address()
    );
    let commands = "commands = [\"connect\", \"bind\"]";
    (Proxy::start_in(directory, commands, "", &further), server)
}

/// What the only row says, once it has ended or while it lives, and how often each rule has decided.
#[track_caller]
fn decided(proxy: &Proxy, status: &str) -> (String, [Option<u64>; 2]) {
    proxy.wait_count(&format!("SELECT count(*) FROM sessions WHERE status = '{status}'"), 1);
    let sql =
        "SELECT concat_ws('|', resolved_ip, acl_decision, acl_rule_matched, rule_id) FROM sessions";
    let row = proxy.database().query_row(sql, [], |row| row.get(0)).unwrap();
    let rules = get(proxy.api.unwrap(), "/api/acl/rules").json();
    (row, [0, 1].map(|at| rules["data"][at]["hits"].as_u64()))
}

#[test]
fn the_second_address_of_a_name_is_recorded_counted_and_limited_by_its_own_rule() {
    let (proxy, _server) = proxy();
    // Nobody listens there at 127.0.0.2.
    let origin = Origin::on("127.0.0.3:0", |mut stream, _| {
        stream.write_all(&[7; 60_000]).unwrap();
    });
    let began = Instant::now();
    let mut client = Client::connected(proxy.socks, ("two.test", origin.address.port()));
    assert_eq!(client.receive_all().len(), 60_000);
    let least = (60_000.0 - 4096.0 - 2000.0) / 100_000.0;
    assert!(began.elapsed().as_secs_f64() >= least, "{:?}", began.elapsed());
    drop(client);
    let expected = ("127.0.0.3|allow|slow|2".to_owned(), [Some(0), Some(1)]);
    assert_eq!(decided(&proxy, "closed"), expected);
}

#[test]
fn a_name_of_which_nothing_answers_is_recorded_by_the_rule_of_the_last_address() {
    let (proxy, _server) = proxy();
    // A port at which nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.3:0").unwrap().local_addr().unwrap().port();
    assert_eq!(Client::to(proxy.socks).negotiate(("two.test", port)), 5);
    let expected = ("127.0.0.3|allow|slow|2".to_owned(), [Some(0), Some(1)]);
    assert_eq!(decided(&proxy, "failed"), expected);
}

#[test]
fn a_peer_of_a_bind_is_recorded_by_its_own_rule() {
    let (proxy, _server) = proxy();
    let mut client = Client::to(proxy.socks);
    let (code, bound) = client.ask(2, ("two.test", 21));
    assert_eq!(code, 0);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::from([127, 0, 0, 3]), 0).into()).unwrap();
    socket.connect(&bound.into()).unwrap();
    assert_eq!(client.reply().0, 0);
    drop((client, TcpStream::from(socket)));
    let expected = ("127.0.0.3|allow|slow|2".to_owned(), [Some(0), Some(1)]);
    assert_eq!(decided(&proxy, "closed"), expected);
}
