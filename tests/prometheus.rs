//! Debian's Prometheus scrapes the running proxy, and the reference's PromQL answers sanely.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use harness::client::{self, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::scrape::promtool_is_silent;
use harness::{api, wait_for};
use serde_json::Value;
use tempfile::TempDir;

const AVERAGE_DURATION: &str = "rate(rustsocks_session_duration_seconds_sum[5m]) / \
                                rate(rustsocks_session_duration_seconds_count[5m])";
const BANDWIDTH_BY_USER: &str = "rate(rustsocks_user_bandwidth_bytes_total{user=\"alice\"}[5m])";
const REJECTION_RATE: &str = "rate(rustsocks_sessions_rejected_total[5m]) / \
                              rate(rustsocks_sessions_total[5m])";

/// A Prometheus that scrapes one target each second.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    log: Option<JoinHandle<Vec<String>>>,
    _directory: TempDir,
}

impl Prometheus {
    fn scraping(target: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs:\n\
             - job_name: rustsocks\n  \
               static_configs: [{{ targets: [\"{target}\"] }}]\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus is installed (sh .ci/setup test)");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut seen: Vec<String> = Vec::new();
        let mut address = None;
        for line in lines.by_ref() {
            if let Some((_, rest)) = line.split_once("msg=\"Listening on\" address=") {
                address = rest.split_whitespace().next().and_then(|word| word.parse().ok());
            }
            let ready = line.contains("Server is ready to receive web requests");
            seen.push(line);
            if ready {
                break;
            }
        }
        let Some(address) = address else {
            panic!("prometheus does not listen:\n{}", seen.join("\n"));
        };
        // Read to its end, so that it never waits for us.
        let log = thread::spawn(move || seen.into_iter().chain(lines).collect());
        Self { child, address, log: Some(log), _directory: directory }
    }

    fn get(&self, path: &str) -> Value {
        // HTTP/1.0, so that the answer ends with the connection.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        let answer = api::exchange(self.address, &request);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()["data"].clone()
    }

    /// The answer to a query, now: each series' labels and value.
    fn query(&self, promql: &str) -> Vec<(Value, f64)> {
        let mut path = "/api/v1/query?query=".to_owned();
        for octet in promql.bytes() {
            write!(path, "%{octet:02x}").unwrap();
        }
        let answer = self.get(&path);
        let series = answer["result"].as_array().unwrap();
        series
            .iter()
            .map(|series| {
                let value = series["value"][1].as_str().unwrap().parse().unwrap();
                (series["metric"].clone(), value)
            })
            .collect()
    }

    /// The value of a query that answers with one series, if it does.
    fn value(&self, promql: &str) -> Option<f64> {
        match &*self.query(promql) {
            [(_, value)] => Some(*value),
            _ => None,
        }
    }

    /// Ends it; what it logged.
    fn stop(mut self) -> String {
        let log = self.log.take();
        drop(self);
        log.unwrap().join().unwrap().join("\n")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

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
