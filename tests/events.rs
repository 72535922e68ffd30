//! `/api/events`: what happens is told at once, to a few, and nobody waits for a listener.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::{PATIENCE, scrape::Scrape, wait_for};
use serde_json::Value;

/// Somebody who listens.
struct Listener(BufReader<TcpStream>);

impl Listener {
    /// One that is let in, and has heard how the health is.
    fn to(api: SocketAddr, query: &str) -> Self {
        let mut listener = Self::asks(api, query);
        assert!(listener.line().starts_with("HTTP/1.1 200 "));
        while !listener.line().is_empty() {}
        listener
    }

    fn asks(api: SocketAddr, query: &str) -> Self {
        let mut stream = TcpStream::connect(api).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /api/events{query} HTTP/1.1\r\nHost: {api}\r\n\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next event and its data; `None` at the end.
    fn next(&mut self) -> Option<(String, Value)> {
        let (mut name, mut data) = (String::new(), Value::Null);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end() {
                "" if !name.is_empty() => return Some((name, data)),
                line => match line.split_once(": ") {
                    Some(("event", text)) => name = text.to_owned(),
                    Some(("data", text)) => data = serde_json::from_str(text).unwrap(),
                    _ => {}
                },
            }
        }
    }

    /// The next event of this name that is about something.
    fn hear(&mut self, name: &str) -> Value {
        loop {
            let (found, data) = self.next().unwrap_or_else(|| panic!("waited for {name}"));
            if found == name {
                return data;
            }
        }
    }
}

#[test]
fn a_session_is_told_when_it_opens_and_when_it_ends() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let mut listener = Listener::to(proxy.api.unwrap(), "");
    assert_eq!(listener.hear("health")["status"], "ok");
    let mut client = Client::connected(proxy.socks, origin.address);
    let opened = listener.hear("opened");
    assert_eq!(opened["status"], "active");
    assert_eq!(opened["dest_port"], origin.address.port());
    client.send(b"octets");
    assert_eq!(client.receive(6), b"octets");
    drop(client);
    let closed = listener.hear("closed");
    assert_eq!(closed["session_id"], opened["session_id"]);
    assert_eq!(
        (&closed["bytes_sent"], &closed["close_code"]),
        (&6.into(), &"client_closed".into())
    );
    assert_ne!(Client::to(proxy.socks).negotiate(SocketAddr::from(([169, 254, 1, 1], 80))), 0);
    assert_eq!(listener.hear("refused")["close_code"], "acl_denied");
}

#[test]
fn a_listener_hears_only_what_it_asks_for_and_for_as_long() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let api = proxy.api.unwrap();
    let port = origin.address.port();
    let mut to_origin = Listener::to(api, &format!("?dest=127.0.0.1:{port}&event=closed"));
    let mut elsewhere = Listener::to(api, "?dest=example.com&event=closed&for_secs=2");
    drop(Client::connected(proxy.socks, origin.address));
    let (name, _) = to_origin.next().unwrap();
    assert_eq!(name, "closed", "neither health nor openings are among it");
    assert_eq!(elsewhere.next(), None, "the stream ends by itself");
}

#[test]
fn health_that_changes_is_told() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let mut listener = Listener::to(proxy.api.unwrap(), "?event=health");
    assert_eq!(listener.hear("health")["status"], "ok");
    let lock = proxy.lock_database();
    drop(Client::connected(proxy.socks, origin.address));
    let degraded = listener.hear("health");
    assert_eq!(degraded["status"], "degraded");
    assert_ne!(degraded["checks"]["writer"], "ok");
    drop(lock);
    while listener.hear("health")["status"] != "ok" {}
}

#[test]
fn one_more_listener_than_an_address_may_have_is_told_so_and_the_rest_go_on() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let api = proxy.api.unwrap();
    let mut listeners: Vec<Listener> = (0..4).map(|_| Listener::to(api, "")).collect();
    let mut fifth = Listener::asks(api, "");
    assert_eq!(fifth.line(), "HTTP/1.1 429 Too Many Requests");
    assert_eq!(harness::api::get(api, "/health").status, 200);
    drop(Client::connected(proxy.socks, origin.address));
    for listener in &mut listeners {
        listener.hear("closed");
    }
    listeners.pop();
    wait_for("a place", || {
        Listener::asks(api, "").line().starts_with("HTTP/1.1 200 ").then_some(())
    });
    let refused = Scrape::of(api).value("rustsocks_api_events_total{event=\"listener_refused\"}");
    assert!(refused >= Some(1.0), "{refused:?}");
}

#[test]
fn where_reading_wants_the_token_listening_does_too() {
    let proxy = Proxy::with_sections("api_require_token = true", "", "");
    let mut stranger = Listener::asks(proxy.api.unwrap(), "");
    assert_eq!(stranger.line(), "HTTP/1.1 401 Unauthorized");
}

#[test]
fn where_only_sums_are_kept_nothing_is_told_of_sessions() {
    let proxy = Proxy::with_sections("", "enabled = false", "");
    let origin = Origin::echo();
    let mut listener = Listener::to(proxy.api.unwrap(), "?for_secs=2");
    drop(Client::connected(proxy.socks, origin.address));
    while let Some((name, _)) = listener.next() {
        assert_eq!(name, "health");
    }
}
