//! Which columns of a record are filled: each whose stage happened, and no other.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::net::{SocketAddr, TcpListener};

use harness::client::{self, Client};
use harness::origin::{Origin, Silent};
use harness::proxy::Proxy;
use harness::wait_for;

/// Columns that may be NULL and depend on how far a session came.
const COLUMNS: [&str; 14] = [
    "acl_decision",
    "acl_rule_matched",
    "policy_generation",
    "resolved_ip",
    "command",
    "auth_us",
    "resolve_us",
    "connect_us",
    "first_byte_us",
    "client_rtt_us",
    "upstream_rtt_us",
    "client_retransmits",
    "upstream_retransmits",
    "claimed_user",
];

const JUDGED: [&str; 3] = ["acl_decision", "acl_rule_matched", "policy_generation"];
const RELAYED: [&str; 5] = [
    "first_byte_us",
    "client_rtt_us",
    "upstream_rtt_us",
    "client_retransmits",
    "upstream_retransmits",
];

/// Asserts that of the only record with this close_code exactly these columns are filled.
#[track_caller]
fn assert_filled(proxy: &Proxy, close_code: &str, expected: &[&[&str]]) {
    let row = format!("FROM sessions WHERE close_code = '{close_code}'");
    proxy.wait_count(&format!("SELECT count(*) {row}"), 1);
    let mut expected = expected.concat();
    expected.sort_unstable();
    let mut filled: Vec<&str> = COLUMNS
        .into_iter()
        .filter(|column| proxy.count(&format!("SELECT {column} IS NOT NULL {row}")) == 1)
        .collect();
    filled.sort_unstable();
    assert_eq!(filled, expected, "{close_code}");
}

fn text(proxy: &Proxy, column: &str, close_code: &str) -> String {
    let sql =
        format!("SELECT CAST({column} AS TEXT) FROM sessions WHERE close_code = '{close_code}'");
    proxy.database().query_row(&sql, [], |row| row.get(0)).unwrap()
}

fn echo_one<'a>(mut client: Client, target: impl Into<client::Asked<'a>>) {
    client.send(&client::connect(target));
    assert_eq!(client.reply().0, 0);
    client.send(b"x");
    assert_eq!(client.receive(1), b"x");
    client.finish();
    client.receive_all();
}

fn with_users(server: &str) -> Proxy {
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    let auth = format!(
        "[auth]\nsocks_method = \"userpass\"\n[[auth.users]]\nusername = \"alice\"\n\
         password_hash = \"{hash}\"\n"
    );
    Proxy::with_sections(server, "", &auth)
}

#[test]
fn relayed_by_name_after_a_login() {
    let (proxy, origin) = (with_users(""), Origin::echo());
    let mut client = Client::to(proxy.socks);
    assert!(client.login("alice", "secret"));
    echo_one(client, ("localhost", origin.address.port()));
    let stages = ["resolved_ip", "command", "auth_us", "resolve_us", "connect_us"];
    assert_filled(&proxy, "client_closed", &[&JUDGED, &stages, &RELAYED]);
    let judged = text(
        &proxy,
        "acl_decision || '/' || acl_rule_matched || '/' || policy_generation",
        "client_closed",
    );
    assert_eq!(judged, "allow/default policy/1");
    assert_eq!(text(&proxy, "auth_us > 0 AND client_rtt_us > 0", "client_closed"), "1");
    assert_eq!(text(&proxy, "upstream_rtt_us > 0", "client_closed"), "1");
    assert_eq!(text(&proxy, "client_retransmits || upstream_retransmits", "client_closed"), "00");
}

#[test]
fn relayed_by_address_without_a_login() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let mut client = Client::to(proxy.socks);
    client.send(&[5, 1, 0]);
    assert_eq!(client.receive(2), [5, 0]);
    echo_one(client, origin.address);
    let stages = ["resolved_ip", "command", "connect_us"];
    assert_filled(&proxy, "client_closed", &[&JUDGED, &stages, &RELAYED]);
}

#[test]
fn refused_by_the_target() {
    let proxy = Proxy::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(Client::to(proxy.socks).negotiate(closed), 5);
    let stages = ["resolved_ip", "command", "connect_us"];
    assert_filled(&proxy, "connection_refused", &[&JUDGED, &stages]);
    assert_eq!(text(&proxy, "resolved_ip", "connection_refused"), "127.0.0.1");
}

#[test]
fn silent_target() {
    let proxy = Proxy::with_sections("connect_timeout_ms = 300", "", "");
    let silent = Silent::start();
    assert_eq!(Client::to(proxy.socks).negotiate(silent.address), 6);
    let stages = ["resolved_ip", "command", "connect_us"];
    assert_filled(&proxy, "connect_timeout", &[&JUDGED, &stages]);
    assert_eq!(text(&proxy, "resolved_ip", "connect_timeout"), "127.0.0.1");
    assert_eq!(text(&proxy, "connect_us >= 300000", "connect_timeout"), "1");
}

#[test]
fn cut_by_shutdown_while_the_target_is_silent() {
    let mut proxy = Proxy::with_sections("drain_timeout_secs = 0", "", "");
    let silent = Silent::start();
    let mut client = Client::to(proxy.socks);
    client.send(&[5, 1, 0]);
    assert_eq!(client.receive(2), [5, 0]);
    client.send(&client::connect(silent.address));
    wait_for("the session", || {
        let active = harness::api::get(proxy.api.unwrap(), "/api/sessions/active").json();
        (active["total"] == 1).then_some(())
    });
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    let stages = ["resolved_ip", "command", "connect_us"];
    assert_filled(&proxy, "shutdown", &[&JUDGED, &stages]);
    assert_eq!(text(&proxy, "status", "shutdown"), "failed");
}

#[test]
fn denied_by_a_rule_unknown_name_and_unsupported_command() {
    let proxy = Proxy::start();
    let metadata: SocketAddr = "169.254.169.254:80".parse().unwrap();
    assert_eq!(Client::to(proxy.socks).negotiate(metadata), 2);
    assert_filled(&proxy, "acl_denied", &[&JUDGED, &["command"]]);
    assert_eq!(text(&proxy, "acl_decision", "acl_denied"), "block");

    // A name longer than DNS can carry: nobody is asked.
    let name = ["a".repeat(63).as_str(); 4].join(".");
    assert_eq!(Client::to(proxy.socks).negotiate((name.as_str(), 80)), 4);
    assert_filled(&proxy, "name_not_found", &[&JUDGED, &["command", "resolve_us"]]);

    let mut client = Client::to(proxy.socks);
    client.send(&[5, 1, 0]);
    assert_eq!(client.receive(2), [5, 0]);
    client.send(&client::request(2, metadata));
    assert_eq!(client.reply().0, 7);
    assert_filled(&proxy, "unsupported_command", &[&["command"]]);
}

#[test]
fn failed_login_and_handshake_that_takes_too_long() {
    let proxy = with_users("");
    let mut client = Client::to(proxy.socks);
    assert!(!client.login("alice", "wrong"));
    assert_filled(&proxy, "auth_failed", &[&["auth_us", "claimed_user"]]);
    assert_eq!(text(&proxy, "auth_us > 0", "auth_failed"), "1");

    let proxy = with_users("handshake_timeout_ms = 300");
    let mut mute = Client::to(proxy.socks);
    assert_eq!(mute.receive_all(), b"");
    assert_filled(&proxy, "handshake_timeout", &[]);
    assert_eq!(text(&proxy, "duration_ms >= 300", "handshake_timeout"), "1");
}
