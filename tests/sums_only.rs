//! `sessions.enabled = false`: nothing about single sessions is kept or shown, only sums.
#![cfg(feature = "metrics")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use harness::api::get;
use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;

#[test]
fn users_have_their_sums_and_nothing_else_is_left_of_their_sessions() {
    let proxy = Proxy::with_sections("", "enabled = false\ncheckpoint_interval_secs = 1", "");
    let (api, origin) = (proxy.api.unwrap(), Origin::echo());
    let metrics = |line: &str| {
        let text = get(api, "/metrics").body;
        text.lines().any(|it| it == line).then_some(())
    };
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"hello");
    assert_eq!(client.receive(5), b"hello");
    // A session that lives is in the sums, and nowhere else.
    wait_for("the octets so far", || {
        metrics("rustsocks_user_bandwidth_bytes_total{direction=\"sent\",user=\"anonymous\"} 5")
    });
    let active = get(api, "/api/sessions/active").json();
    assert_eq!((&active["total"], active["data"].as_array().unwrap().len()), (&0.into(), 0));
    client.send(b"again");
    assert_eq!(client.receive(5), b"again");
    client.finish();
    client.receive_all();
    wait_for("all octets", || {
        metrics("rustsocks_user_bandwidth_bytes_total{direction=\"sent\",user=\"anonymous\"} 10")
    });
    wait_for("one session", || metrics("rustsocks_user_sessions_total{user=\"anonymous\"} 1"));
    assert_eq!(get(api, "/api/sessions/00000000-0000-7000-8000-000000000000").status, 404);
    // What came to nothing is in the sums too.
    let metadata = std::net::SocketAddr::from(([169, 254, 169, 254], 80));
    assert_eq!(Client::to(proxy.socks).negotiate(metadata), 2);
    let stats = wait_for("the refused attempt", || {
        let stats = get(api, "/api/sessions/stats").json();
        (stats["rejected_sessions"] == 1).then_some(stats)
    });
    assert_eq!((&stats["total_sessions"], &stats["closed_sessions"]), (&2.into(), &1.into()));
    assert!(!proxy.database_path().exists());
}
