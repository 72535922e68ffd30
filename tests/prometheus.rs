//! Debian's Prometheus scrapes the running proxy, and the reference's PromQL answers sanely.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use harness::client::{self, Client};
use harness::origin::Origin;
use harness::prometheus::Prometheus;
use harness::proxy::Proxy;
use harness::scrape::promtool_is_silent;
use harness::wait_for;

const AVERAGE_DURATION: &str = "rate(rustsocks_session_duration_seconds_sum[5m]) / \
                                rate(rustsocks_session_duration_seconds_count[5m])";
const BANDWIDTH_BY_USER: &str = "rate(rustsocks_user_bandwidth_bytes_total{user=\"alice\"}[5m])";
const REJECTION_RATE: &str = "rate(rustsocks_sessions_rejected_total[5m]) / \
                              rate(rustsocks_sessions_total[5m])";

/// A session of alice through the proxy that has sent so many octets and got them back.
fn echoed(proxy: &Proxy, origin: &Origin, octets: usize) -> Client {
    let mut client = Client::to(proxy.socks);
    assert!(client.login("alice", "secret"));
    client.send(&client::connect(origin.address));
    assert_eq!(client.reply().0, 0);
    client.send(&vec![7; octets]);
    client.receive(octets);
    client
}

fn refused(proxy: &Proxy) {
    let mut client = Client::to(proxy.socks);
    assert!(client.login("alice", "secret"));
    client.send(&client::connect(SocketAddr::from(([169, 254, 169, 254], 80))));
    assert_eq!(client.reply().0, 2);
}

fn near(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= expected.abs() * 1e-6
}

#[test]
fn prometheus_scrapes_the_proxy_and_the_references_queries_answer() {
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    let proxy = Proxy::with(&format!(
        "[auth]\nsocks_method = \"userpass\"\n\
         [[auth.users]]\nusername = \"alice\"\npassword_hash = \"{hash}\"\n"
    ));
    let origin = Origin::echo();
    let prometheus = Prometheus::scraping(proxy.api.unwrap());
    wait_for("a scrape", || (prometheus.value("up") == Some(1.0)).then_some(()));

    // What grows must have been seen before: all but the user's series are there from the start.
    let seen = "min_over_time(rustsocks_sessions_total[5m])";
    assert_eq!(prometheus.value(seen), Some(0.0));
    for rounds in [1.0, 2.0] {
        let clients: Vec<_> = (0..4).map(|_| echoed(&proxy, &origin, 1000)).collect();
        wait_for("four active sessions, scraped", || {
            (prometheus.value("rustsocks_active_sessions") == Some(4.0)).then_some(())
        });
        drop(clients);
        refused(&proxy);
        for (series, expected) in [
            ("rustsocks_active_sessions", 0.0),
            ("rustsocks_sessions_total", 4.0),
            ("rustsocks_sessions_rejected_total", 1.0),
            ("rustsocks_session_duration_seconds_count", 4.0),
            ("rustsocks_bytes_sent_total", 4000.0),
            ("rustsocks_bytes_received_total", 4000.0),
            ("rustsocks_user_sessions_total{user=\"alice\"}", 4.0),
            ("rustsocks_user_bandwidth_bytes_total{user=\"alice\", direction=\"sent\"}", 4000.0),
            (
                "rustsocks_user_bandwidth_bytes_total{user=\"alice\", direction=\"received\"}",
                4000.0,
            ),
        ] {
            wait_for(&format!("{series} = {expected} × {rounds}"), || {
                (prometheus.value(series) == Some(expected * rounds)).then_some(())
            });
        }
    }

    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 8);
    let sum = "SELECT sum(duration_ms) FROM sessions WHERE status = 'closed'";
    let seconds = proxy.count(sum) as f64 / 1000.0;
    let average = prometheus.value(AVERAGE_DURATION).unwrap();
    assert!(near(average, seconds / 8.0), "{average} s, by the table {seconds} s / 8");
    let rejected = prometheus.value(REJECTION_RATE).unwrap();
    assert!(near(rejected, 2.0 / 8.0), "{rejected}");
    let bandwidth = prometheus.query(BANDWIDTH_BY_USER);
    let mut directions: Vec<_> = bandwidth.iter().map(|(labels, _)| &labels["direction"]).collect();
    directions.sort_by_key(|direction| direction.to_string());
    assert_eq!(directions, ["received", "sent"]);
    for (labels, rate) in &bandwidth {
        // The second round was seen to come, and perhaps some of the first; extrapolation to the
        // edges of the range at most doubles that.
        let octets = rate * 300.0;
        assert!((4000.0..=16_000.0).contains(&octets), "{labels}: {octets}");
    }

    let targets = prometheus.get("/api/v1/targets");
    let target = &targets["activeTargets"][0];
    assert_eq!((&target["health"], &target["lastError"]), (&"up".into(), &"".into()), "{target}");
    let log = prometheus.stop();
    assert!(!log.contains("level=warn") && !log.contains("level=error"), "{log}");
}

#[test]
fn promtool_has_nothing_to_say() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"x");
    client.receive(1);
    drop(client);
    // A scrape as the reference does it, once the user has its series.
    let text = wait_for("a scrape with every family", || {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--noproxy", "*"])
            .arg(format!("http://{}/metrics", proxy.api.unwrap()))
            .output()
            .expect("curl is installed (sh .ci/setup test)");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.contains("rustsocks_user_sessions_total{").then_some(text)
    });
    promtool_is_silent(&text);
}

/// Each alert is raised by what it is for, and by nothing else: its unit tests say so.
#[test]
fn the_alert_rules_pass_their_unit_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/prometheus");
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(&folder)
            .output()
            .expect("promtool is installed (sh .ci/setup test)");
        assert!(output.status.success(), "{output:?}");
    }
    let tests = std::fs::read_to_string(folder.join("alerts_test.yml")).unwrap();
    let rules = std::fs::read_to_string(folder.join("alerts.yml")).unwrap();
    let alerts: Vec<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        assert!(tests.contains(alert), "{alert} is never raised in alerts_test.yml");
    }
}

/// A rule over a family that is not there is never true.
#[test]
fn the_alert_rules_ask_for_families_that_are_there() {
    let proxy = Proxy::start();
    let metrics = harness::api::get(proxy.api.unwrap(), "/metrics").body;
    let rules = include_str!("../conf/prometheus/alerts.yml");
    let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let families =
        words.filter(|word| word.starts_with("rustsocks_") || word.starts_with("process_"));
    let mut count = 0;
    for family in families {
        assert!(metrics.contains(&format!("# TYPE {family} ")), "{family}");
        count += 1;
    }
    assert!(count > 10);
}
