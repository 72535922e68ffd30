//! `/api/metrics/history`: what passed in each minute, stored at the latest when the proxy stops.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use harness::api;
use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;

/// The sums of all minutes: started, rejected, octets sent and received.
fn sums(proxy: &Proxy) -> [u64; 4] {
    let answer = api::get(proxy.api.unwrap(), "/api/metrics/history");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json = answer.json();
    let minutes = json["data"].as_array().unwrap();
    assert!(json["next_since"].is_null());
    ["started", "rejected", "bytes_sent", "bytes_received"]
        .map(|name| minutes.iter().map(|minute| minute[name].as_u64().unwrap()).sum())
}

#[test]
fn minutes_outlive_a_restart_and_add_up_to_what_passed() {
    let origin = Origin::echo();
    let mut directory = tempfile::tempdir().unwrap();
    for run in 1..=2 {
        let proxy = Proxy::start_in(directory, "", "", "");
        for _ in 0..3 {
            let mut client = Client::connected(proxy.socks, origin.address);
            client.send(&[1; 100]);
            client.receive(100);
        }
        assert_eq!(
            Client::to(proxy.socks).negotiate(std::net::SocketAddr::from(([169, 254, 1, 1], 80))),
            2
        );
        directory = proxy.stop();
        let proxy = Proxy::start_in(directory, "", "", "");
        // Both runs were in one minute or in two: the sums are the same.
        assert_eq!(sums(&proxy), [3 * run, run, 300 * run, 300 * run]);
        directory = proxy.stop();
    }
}

/// What is shown of the running minute is stored, so a crash cannot take it back.
#[test]
fn a_crash_takes_nothing_that_was_shown_and_adds_nothing() {
    let origin = Origin::echo();
    let proxy = Proxy::start();
    let mut held = Client::connected(proxy.socks, origin.address);
    held.send(&[1; 100]);
    held.receive(100);
    let moved = [1, 0, 100, 100];
    wait_for("the minute", || (sums(&proxy) == moved).then_some(()));
    let proxy = Proxy::start_in(proxy.kill(), "", "", "");
    assert_eq!(sums(&proxy), moved);
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(&[1; 50]);
    client.receive(50);
    wait_for("both lives together", || (sums(&proxy) == [2, 0, 150, 150]).then_some(()));
}

#[test]
fn bad_parameters_are_named() {
    // The sums are kept even where nothing about single sessions is.
    let proxy = Proxy::with_sections("", "enabled = false", "");
    let get = |query: &str| api::get(proxy.api.unwrap(), &format!("/api/metrics/history?{query}"));
    let memory = Proxy::with_sections("", "storage = \"memory\"", "");
    for api in [proxy.api, memory.api] {
        let answer = api::get(api.unwrap(), "/api/metrics/history?limit=5");
        // One may have ended meanwhile.
        let json = answer.json();
        assert!(json["data"].as_array().unwrap().len() <= 1 && json["next_since"].is_null());
    }
    for (query, name) in [
        ("since=yesterday", "since"),
        ("since=2026-01-02&until=2026-01-01", "until"),
        ("limit=0", "limit"),
        ("limit=1441", "limit"),
        ("window=1", "window"),
    ] {
        let answer = get(query);
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.body.contains(&format!("`{name}`")), "{query}: {}", answer.body);
    }
}
