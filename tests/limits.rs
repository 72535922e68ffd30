//! Limits on connections through the real binary: per user, per address, and how fast they come.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use harness::api::ask;
use harness::client::{Client, connect};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::wait_for;

/// Users by these names, with the password `secret`.
fn users(names: &[&str]) -> String {
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    let each = names
        .iter()
        .map(|name| format!("[[auth.users]]\nusername = \"{name}\"\npassword_hash = \"{hash}\"\n"));
    format!("[auth]\nsocks_method = \"userpass\"\n{}", each.collect::<String>())
}

/// Logs in and asks for a connection: the client and the reply code.
fn asked(proxy: &Proxy, user: &str, target: SocketAddr) -> (Client, u8) {
    let mut client = Client::to(proxy.socks);
    assert!(client.login(user, "secret"));
    client.send(&connect(target));
    let code = client.reply().0;
    (client, code)
}

/// A connection from an address of the loopback.
fn from(address: [u8; 4], proxy: &Proxy) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&proxy.socks.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    stream
}

/// Whether a client is let in: it is asked for its request, or closed.
fn is_let_in(mut stream: &TcpStream) -> bool {
    use std::io::Write;
    // Whoever is turned away may be gone before it has spoken.
    let spoke = stream.write_all(&[5, 1, 0]);
    let mut answer = [0; 2];
    spoke.is_ok() && stream.read_exact(&mut answer).is_ok() && answer == [5, 0]
}

fn refusals(proxy: &Proxy, limit: &str) -> f64 {
    let series = format!("rustsocks_limit_refusals_total{{limit=\"{limit}\"}}");
    Scrape::of(proxy.api.unwrap()).value(&series).unwrap()
}

fn edit_and_reload(proxy: &Proxy, edit: impl Fn(&str) -> String) {
    let path = proxy.directory().join("rustsocks.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, edit(&text)).unwrap();
    let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("\"needs_restart\":[]"), "{}", answer.body);
}

#[cfg(feature = "database")]
#[test]
fn a_user_has_no_more_sessions_than_he_may_over_all_workers() {
    let limits = "[limits]\nconnections_per_user = 3\n";
    let proxy = Proxy::with_sections("workers = 4", "", &(users(&["alice", "bob"]) + limits));
    let origin = Origin::echo();
    let mut inside = Vec::new();
    for _ in 0..3 {
        let (client, code) = asked(&proxy, "alice", origin.address);
        assert_eq!(code, 0);
        inside.push(client);
    }
    for _ in 0..5 {
        assert_eq!(asked(&proxy, "alice", origin.address).1, 1);
    }
    let (mut bob, code) = asked(&proxy, "bob", origin.address);
    assert_eq!(code, 0);
    bob.send(b"x");
    assert_eq!(bob.receive(1), b"x");
    assert_eq!(refusals(&proxy, "connections_per_user"), 5.0);
    let row = format!(
        "SELECT count(*) FROM sessions WHERE user = 'alice' AND close_code = 'over_limit' \
         AND status = 'failed' AND dest_ip = '127.0.0.1' AND dest_port = {}",
        origin.address.port()
    );
    proxy.wait_count(&row, 5);

    drop(inside.pop());
    let (client, code) = wait_for("the place of the one who has left", || {
        let (client, code) = asked(&proxy, "alice", origin.address);
        (code == 0).then_some((client, code))
    });
    assert_eq!(code, 0);
    inside.push(client);

    edit_and_reload(&proxy, |text| text.replace("per_user = 3", "per_user = 5"));
    for expected in [0, 0, 1] {
        let (client, code) = asked(&proxy, "alice", origin.address);
        assert_eq!(code, expected);
        inside.push(client);
    }
}

#[test]
fn who_was_inside_before_there_was_a_limit_is_counted() {
    let proxy = Proxy::with(&users(&["alice"]));
    let origin = Origin::echo();
    let inside: Vec<_> = (0..3).map(|_| asked(&proxy, "alice", origin.address)).collect();
    assert!(inside.iter().all(|(_, code)| *code == 0));
    edit_and_reload(&proxy, |text| format!("{text}\n[limits]\nconnections_per_user = 3\n"));
    // Sessions are looked at in the turns after the reload.
    wait_for("the limit", || (asked(&proxy, "alice", origin.address).1 == 1).then_some(()));
    drop(inside);
    wait_for("a place", || (asked(&proxy, "alice", origin.address).1 == 0).then_some(()));
}

#[cfg(feature = "database")]
#[test]
fn an_address_has_no_more_connections_than_it_may_and_others_have_theirs() {
    let mut proxy = Proxy::with_sections(
        "workers = 4\ndrain_timeout_secs = 0",
        "",
        "[limits]\nconnections_per_address = 2\n",
    );
    let inside = [from([127, 0, 0, 2], &proxy), from([127, 0, 0, 2], &proxy)];
    assert!(inside.iter().all(is_let_in));
    for _ in 0..7 {
        assert!(!is_let_in(&from([127, 0, 0, 2], &proxy)));
    }
    let other = from([127, 0, 0, 3], &proxy);
    assert!(is_let_in(&other));
    assert_eq!(refusals(&proxy, "connections_per_address"), 7.0);
    drop(inside);
    wait_for("a place", || is_let_in(&from([127, 0, 0, 2], &proxy)).then_some(()));
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    let reason: String = proxy
        .database()
        .query_row(
            "SELECT group_concat(source_ip || ' ' || status || ' ' || close_reason) FROM sessions \
             WHERE close_code = 'over_limit'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(reason.starts_with("127.0.0.2 failed a limit on connections"), "{reason}");
    // One record, whatever came while the place was waited for.
    assert_eq!(reason.matches("clients in this minute").count(), 1, "{reason}");
}

#[test]
fn an_address_that_opens_connections_too_fast_is_held_to_its_rate() {
    let limits = "[limits]\nconnection_rate_per_address = 2\nconnection_burst_per_address = 5\n";
    let proxy = Proxy::with(limits);
    let began = Instant::now();
    let mut let_in = 0;
    let mut came = 0;
    while began.elapsed() < Duration::from_millis(1500) {
        let_in += u64::from(is_let_in(&from([127, 0, 0, 2], &proxy)));
        came += 1;
    }
    let most = 5 + 2 * (began.elapsed().as_secs() + 1);
    assert!(came > most && (5..=most).contains(&let_in), "{let_in} of {came} let in");
    assert!(is_let_in(&from([127, 0, 0, 3], &proxy)));
    assert_eq!(refusals(&proxy, "connection_rate_per_address"), (came - let_in) as f64);
}
