//! Debian's Prometheus, scraping one target.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use serde_json::Value;
use tempfile::TempDir;

use super::api;

/// A Prometheus that scrapes one target each second.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    log: Option<JoinHandle<Vec<String>>>,
    _directory: TempDir,
}

impl Prometheus {
    pub(crate) fn scraping(target: SocketAddr) -> Self {
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

    pub(crate) fn get(&self, path: &str) -> Value {
        // HTTP/1.0, so that the answer ends with the connection.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        let answer = api::exchange(self.address, &request);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()["data"].clone()
    }

    /// The answer to a query, now: each series' labels and value.
    pub(crate) fn query(&self, promql: &str) -> Vec<(Value, f64)> {
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
    pub(crate) fn value(&self, promql: &str) -> Option<f64> {
        match &*self.query(promql) {
            [(_, value)] => Some(*value),
            _ => None,
        }
    }

    /// Ends it; what it logged.
    pub(crate) fn stop(mut self) -> String {
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
