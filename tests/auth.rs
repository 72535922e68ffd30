//! Logins end to end.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use harness::client::{self, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::scrape::Scrape;

fn proxy() -> Proxy {
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    Proxy::with(&format!(
        "[auth]\nmax_failures = 0\nfailure_delay_ms = 0\nsocks_method = \"userpass\"\n[[auth.users]]\nusername = \"alice\"\npassword_hash = \"{hash}\"\n"
    ))
}

#[test]
fn the_right_password_lets_in_and_the_session_bears_the_name() {
    let (proxy, origin) = (proxy(), Origin::echo());
    for _ in 0..2 {
        // The second login is answered from the cache of recent verdicts, if the same worker has it.
        let mut client = Client::to(proxy.socks);
        assert!(client.login("alice", "secret"));
        client.send(&client::connect(origin.address));
        assert_eq!(client.reply().0, 0);
        client.send(b"x");
        assert_eq!(client.receive(1), b"x");
    }
    proxy.wait_count(
        "SELECT count(*) > 0 FROM sessions WHERE user = 'alice' AND status = 'closed' AND auth_us > 0",
        1,
    );
    proxy.wait_count("SELECT count(*) FROM sessions WHERE user = 'alice'", 2);
}

#[test]
fn a_wrong_password_is_refused_closed_and_recorded_under_the_claimed_name_only() {
    let mut proxy = proxy();
    let mut client = Client::to(proxy.socks);
    assert!(!client.login("alice", "wrong"));
    assert_eq!(client.receive_all(), b"");
    let mut client = Client::to(proxy.socks);
    assert!(!client.login("mallory\n\u{1b}[31m", "secret"));
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE close_code = 'auth_failed' AND user = 'anonymous' \
         AND claimed_user IN ('alice', 'mallory' || char(10) || char(27) || '[31m')",
        2,
    );
    let log = proxy.log();
    assert!(!log.contains("secret") && !log.contains("wrong") && !log.contains('\u{1b}'), "{log}");
}

/// Greeting, login and request are sent with payload behind them, all at once.
fn gets_its_echo(proxy: &Proxy, mut all: Vec<u8>) {
    all.extend(b"payload");
    let mut client = Client::to(proxy.socks);
    client.send(&all);
    client.finish();
    assert_eq!(client.receive(4), [5, 2, 1, 0]);
    assert_eq!(client.reply().0, 0);
    assert_eq!(client.receive_all(), b"payload");
}

#[test]
fn greeting_login_request_and_payload_in_one_segment_get_their_echo() {
    let (proxy, origin) = (proxy(), Origin::echo());
    let mut all = vec![5, 2, 0, 2];
    all.extend(client::userpass("alice", "secret"));
    all.extend(client::connect(origin.address));
    gets_its_echo(&proxy, all);
}

/// More octets than are held of a client before its relay, and not one too many for the protocol.
#[test]
fn the_longest_greeting_login_and_request_in_one_segment_are_read_to_their_end() {
    let (name, password) = ("u".repeat(255), "p".repeat(255));
    let hash = rustsocks::auth::hash(password.as_bytes()).unwrap();
    let proxy = Proxy::with(&format!(
        "[auth]\nmax_failures = 0\nfailure_delay_ms = 0\nsocks_method = \"userpass\"\n[[auth.users]]\nusername = \"{name}\"\npassword_hash = \"{hash}\"\n"
    ));
    let origin = Origin::echo();
    let host = format!("{}localhost", "a.".repeat(123));
    let mut all = vec![5, 255];
    all.extend([2; 255]);
    all.extend(client::userpass(&name, &password));
    all.extend([5, 1, 0, 3, 255]);
    all.extend(host.bytes());
    all.extend(origin.address.port().to_be_bytes());
    assert_eq!((host.len(), all.len()), (255, 1032));
    gets_its_echo(&proxy, all);
}

#[test]
fn a_start_proves_that_logins_are_wanted_and_leaves_no_record_of_it() {
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    let mut proxy = Proxy::with_sections(
        "[[server.listen]]\naddress = \"127.0.0.2\"\nport = 0\n\
         proxy_protocol_from = [\"127.0.0.0/8\"]\n",
        "",
        &format!(
            "[auth]\nsocks_method = \"userpass\"\n[[auth.users]]\nusername = \"alice\"\n\
             password_hash = \"{hash}\"\n"
        ),
    );
    let log = proxy.log();
    let proved = |line: &&str| line.contains(" turns away whoever has none");
    assert_eq!(log.lines().filter(proved).count(), 2, "{log}");
    assert!(!log.contains("it could not be proved"), "{log}");
    // Whoever comes next is the first in the books.
    let mut client = Client::to(proxy.socks);
    client.send(b"PROXY UNKNOWN\r\n");
    assert!(!client.login("alice", "wrong"));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'auth_failed'", 1);
    assert_eq!(proxy.count("SELECT count(*) FROM sessions"), 1);
    let scrape = Scrape::of(proxy.api.unwrap());
    assert_eq!(scrape.sum("rustsocks_sessions_ended_total"), 1.0);
}

#[test]
fn without_a_login_nothing_is_reached() {
    let (proxy, origin) = (proxy(), Origin::echo());
    let mut client = Client::to(proxy.socks);
    client.send(&[5, 1, 0]);
    assert_eq!(client.receive(2), [5, 0xff]);
    assert_eq!(client.receive_all(), b"");
    // A request instead of the login is no login.
    let mut client = Client::to(proxy.socks);
    client.send(&[5, 1, 2]);
    assert_eq!(client.receive(2), [5, 2]);
    client.send(&client::connect(origin.address));
    assert_eq!(client.receive_all(), b"");
    assert_eq!(origin.count.connections.load(std::sync::atomic::Ordering::Relaxed), 0);
}
