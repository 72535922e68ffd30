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
use harness::scrape::{Scrape, promtool_is_silent};
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

#[test]
fn a_thousand_users_have_a_hundred_series_exact_sums_and_counters_that_never_fall() {
    log_in_all(1000, "", 100);
}

#[test]
fn the_number_of_series_is_the_operators_to_choose() {
    log_in_all(300, "[metrics]\nusers_max = 10\n", 10);
}

/// One session for each of so many users, scraped meanwhile; `users_max` of them have series.
fn log_in_all(users: usize, metrics: &str, users_max: usize) {
    const THREADS: usize = 8;
    let hash = cheap_hash();
    let mut config = format!("{metrics}[auth]\nsocks_method = \"userpass\"\n");
    for number in 0..users {
        config += &format!(
            "[[auth.users]]\nusername = \"user {number} \\\"quoted\\\"\"\n\
             password_hash = \"{hash}\"\n"
        );
    }
    let proxy = Proxy::with(&config);
    let (api, socks, origin) = (proxy.api.unwrap(), proxy.socks, Origin::echo());
    let target = origin.address;
    let clients: Vec<_> = (0..THREADS)
        .map(|thread| {
            std::thread::spawn(move || {
                for number in (thread..users).step_by(THREADS) {
                    let mut client = Client::to(socks);
                    assert!(client.login(&format!("user {number} \"quoted\""), "secret"));
                    client.send(&client::connect(target));
                    assert_eq!(client.reply().0, 0);
                    let octets = vec![7; number % 50 + 1];
                    client.send(&octets);
                    assert_eq!(client.receive(octets.len()), octets);
                }
            })
        })
        .collect();
    // With `_other`; `_gone` comes when a label was given up, after an hour.
    let labels_max = users_max + 1;
    let mut before = Scrape::of(api);
    let mut scrapes = 0;
    let last = wait_for("every session in the sums", || {
        let scrape = Scrape::of(api);
        for (series, value) in before.counters() {
            let now = scrape.value(series).unwrap_or_else(|| panic!("{series} is gone"));
            assert!(now >= value, "{series} fell from {value} to {now}");
        }
        let labels = scrape.family("rustsocks_user_sessions_total").count();
        assert!(labels <= labels_max, "{labels} series");
        scrapes += 1;
        if scrapes == 3 {
            promtool_is_silent(&scrape.text);
        }
        let sessions = scrape.sum("rustsocks_user_sessions_total");
        before = scrape;
        (sessions == users as f64).then(|| Scrape::of(api))
    });
    clients.into_iter().for_each(|client| client.join().unwrap());
    promtool_is_silent(&last.text);
    assert_eq!(last.family("rustsocks_user_sessions_total").count(), labels_max);
    assert_eq!(last.family("rustsocks_user_bandwidth_bytes_total").count(), 2 * labels_max);
    let octets: usize = (0..users).map(|number| number % 50 + 1).sum();
    assert_eq!(last.sum("rustsocks_user_bandwidth_bytes_total"), 2.0 * octets as f64);
    assert_eq!(last.value("rustsocks_bytes_sent_total"), Some(octets as f64));
    let others = (users - users_max) as f64;
    assert_eq!(last.value("rustsocks_user_sessions_total{user=\"_other\"}"), Some(others));
}

#[test]
fn records_that_wait_grow_older_until_the_database_is_free_again() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let api = proxy.api.unwrap();
    let waiting = |scrape: &Scrape| scrape.value("rustsocks_writer_oldest_unsaved_seconds");
    assert_eq!(waiting(&Scrape::of(api)), Some(0.0));
    let lock = proxy.lock_database();
    let mut client = Client::connected(proxy.socks, origin.address);
    client.finish();
    client.receive_all();
    let first = wait_for("a record that waits", || {
        waiting(&Scrape::of(api)).filter(|seconds| *seconds > 0.0)
    });
    wait_for("the same record, older, and retries", || {
        let scrape = Scrape::of(api);
        let queue = scrape.value("rustsocks_writer_queue_entries");
        let retries = scrape.value("rustsocks_writer_retries_total");
        (waiting(&scrape).unwrap() > first
            && queue >= Some(1.0)
            && retries >= Some(1.0)
            && scrape.value("rustsocks_writer_degraded") == Some(1.0))
        .then_some(())
    });
    drop(lock);
    wait_for("nothing that waits", || {
        let scrape = Scrape::of(api);
        (waiting(&scrape) == Some(0.0)
            && scrape.value("rustsocks_writer_queue_entries") == Some(0.0)
            && scrape.value("rustsocks_writer_degraded") == Some(0.0))
        .then_some(())
    });
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE status = 'closed'"), 1);
}

#[test]
fn a_ledger_whose_file_is_gone_is_not_durable() {
    let proxy = Proxy::start();
    let api = proxy.api.unwrap();
    let durable = || Scrape::of(api).value("rustsocks_ledger_durable");
    assert_eq!(durable(), Some(1.0));
    for file in std::fs::read_dir(proxy.directory().join("ledger")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    wait_for("an alarm", || (durable() == Some(0.0)).then_some(()));
}

/// A hash of `secret` that takes next to no time: a thousand logins are not what is tested.
fn cheap_hash() -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(b"secret").unwrap().to_string()
}
