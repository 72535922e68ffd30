//! What the process uses, and how its workers are loaded.
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

/// One session that moves five octets each way, and one that is refused.
fn traffic(proxy: &Proxy, origin: &Origin) {
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"hello");
    assert_eq!(client.receive(5), b"hello");
    assert_eq!(Client::to(proxy.socks).negotiate(proxy.socks), 2);
}

#[test]
fn the_resources_of_the_process_and_the_load_of_its_workers_are_shown() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let ask = || api::get(proxy.api.unwrap(), "/api/system/resources").json();
    let before = ask();
    for _ in 0..5 {
        traffic(&proxy, &origin);
    }
    let running = Client::connected(proxy.socks, origin.address);
    let after = wait_for("the workers' load", || {
        let after = ask();
        (sum(&after, "accepted") == 11.0 && sum(&after, "active_sessions") == 1.0).then_some(after)
    });
    let number = |answer: &serde_json::Value, name: &str| answer[name].as_f64().unwrap();
    assert!(number(&after, "uptime_seconds") > number(&before, "uptime_seconds"));
    assert!(number(&after, "cpu_seconds") > number(&before, "cpu_seconds"));
    assert!(number(&after, "resident_bytes") > 1_000_000.0);
    // Two workers, writer, gate, handlers, hashes, signals, the main thread.
    assert!(number(&after, "threads") >= 8.0, "{after}");
    let listed = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).unwrap().count();
    let opened = number(&after, "open_descriptors");
    assert!((opened - listed as f64).abs() <= 8.0, "{opened} against {listed}");
    assert_eq!(after["workers"].as_array().unwrap().len(), 2);
    assert!(sum(&after, "turns") > sum(&before, "turns"));
    assert!(sum(&after, "busy_seconds") > 0.0);
    assert!(sum(&after, "longest_turn_seconds") >= sum(&after, "loop_lag_seconds"));
    assert!(sum(&after, "loop_lag_seconds") > 0.0);
    drop(running);
}

/// The sum of one number over the workers.
fn sum(resources: &serde_json::Value, name: &str) -> f64 {
    let workers = resources["workers"].as_array().unwrap();
    workers.iter().map(|worker| worker[name].as_f64().unwrap()).sum()
}
