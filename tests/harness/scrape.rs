//! A scrape of `/metrics`, as numbers by series.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::api;

/// What one scrape said.
pub(crate) struct Scrape {
    pub(crate) text: String,
    series: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Scrape {
    /// Scrapes the API at this address.
    ///
    /// # Panics
    /// When the answer is no exposition, or has a series twice.
    pub(crate) fn of(api: SocketAddr) -> Self {
        let answer = api::get(api, "/metrics");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut scrape =
            Self { text: answer.body, series: BTreeMap::new(), kinds: BTreeMap::new() };
        for line in scrape.text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                scrape.kinds.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').expect("a series and a value");
                let value = value.parse().expect("a number");
                let before = scrape.series.insert(series.to_owned(), value);
                assert_eq!(before, None, "{series} is there twice");
            }
        }
        scrape
    }

    /// The value of this series, written as in the exposition.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    /// The series of a family: what stands in the braces, and the value.
    pub(crate) fn family<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.series.iter().filter_map(move |(series, value)| {
            let labels = series.strip_prefix(name)?;
            let labels = match labels.strip_prefix('{') {
                Some(inside) => inside.strip_suffix('}')?,
                None if labels.is_empty() => labels,
                None => return None,
            };
            Some((labels, *value))
        })
    }

    /// The sum over a family's series.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.family(name).map(|(_, value)| value).sum()
    }

    /// Every series that may only grow: counters, and the buckets, sums and counts of histograms.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (&str, f64)> {
        self.series.iter().filter_map(|(series, value)| {
            let name = series.split('{').next().expect("a name");
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .filter(|family| self.kinds.get(*family).is_some_and(|kind| kind == "histogram"));
            let counter = self.kinds.get(name).is_some_and(|kind| kind == "counter");
            (family.is_some() || counter).then_some((series.as_str(), *value))
        })
    }
}

/// Prometheus' own checker finds nothing wrong with an exposition.
///
/// # Panics
/// When it does, or is not installed.
pub(crate) fn promtool_is_silent(text: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (sh .ci/setup test)");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}
