//! The metrics end to end: what is measured, and that it stays bounded, exact and monotonic.
#![cfg(feature = "metrics")]
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
use harness::wait_for;

const STAGES: [&str; 4] = ["auth", "resolve", "connect", "first_byte"];

/// How often each stage was measured.
fn stage_counts(scrape: &Scrape) -> [Option<f64>; 4] {
    STAGES.map(|stage| {
        scrape.value(&format!("rustsocks_stage_duration_seconds_count{{stage=\"{stage}\"}}"))
    })
}

#[test]
fn each_stage_of_a_session_is_measured_once_and_agrees_with_its_record() {
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    let proxy = Proxy::with(&format!(
        "[auth]\nsocks_method = \"userpass\"\n[[auth.users]]\nusername = \"alice\"\n\
         password_hash = \"{hash}\"\n"
    ));
    let (api, origin) = (proxy.api.unwrap(), Origin::echo());
    assert_eq!(stage_counts(&Scrape::of(api)), [Some(0.0); 4]);
    let mut client = Client::to(proxy.socks);
    assert!(client.login("alice", "secret"));
    client.send(&client::connect(("localhost", origin.address.port())));
    assert_eq!(client.reply().0, 0);
    for _ in 0..3 {
        client.send(b"x");
        client.receive(1);
    }
    drop(client);
    // A login that fails has been judged, and goes no further.
    assert!(!Client::to(proxy.socks).login("alice", "wrong"));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status IN ('closed', 'failed')", 2);
    let scrape = Scrape::of(api);
    assert_eq!(stage_counts(&scrape), [Some(2.0), Some(1.0), Some(1.0), Some(1.0)]);
    assert_eq!(scrape.value("rustsocks_auth_failures_total"), Some(1.0));
    for stage in STAGES {
        let series = format!("rustsocks_stage_duration_seconds_sum{{stage=\"{stage}\"}}");
        let recorded = proxy.count(&format!("SELECT sum({stage}_us) FROM sessions"));
        assert_eq!((scrape.value(&series).unwrap() * 1e6).round() as i64, recorded, "{stage}");
        let bucket =
            format!("rustsocks_stage_duration_seconds_bucket{{stage=\"{stage}\",le=\"+Inf\"}}");
        let count = format!("rustsocks_stage_duration_seconds_count{{stage=\"{stage}\"}}");
        assert_eq!(scrape.value(&bucket), scrape.value(&count), "{stage}");
    }
}

#[test]
fn every_ending_is_counted_under_its_code_and_none_under_two() {
    let proxy = Proxy::start();
    let (api, origin) = (proxy.api.unwrap(), Origin::echo());
    let mut client = Client::connected(proxy.socks, origin.address);
    client.finish();
    client.receive_all();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(Client::to(proxy.socks).negotiate(closed), 5);
    assert_eq!(Client::to(proxy.socks).negotiate(proxy.socks), 2);
    let scrape = wait_for("three endings", || {
        let scrape = Scrape::of(api);
        (scrape.sum("rustsocks_sessions_ended_total") == 3.0).then_some(scrape)
    });
    for code in ["client_closed", "connection_refused", "acl_denied"] {
        let series = format!("rustsocks_sessions_ended_total{{close_code=\"{code}\"}}");
        assert_eq!(scrape.value(&series), Some(1.0), "{code}");
    }
    assert_eq!(scrape.value("rustsocks_sessions_total"), Some(2.0));
    assert_eq!(scrape.value("rustsocks_sessions_rejected_total"), Some(1.0));
    assert_eq!(scrape.sum("rustsocks_worker_accepted_total"), 3.0);
    assert_eq!(scrape.value("rustsocks_session_duration_seconds_count"), Some(2.0));
}
