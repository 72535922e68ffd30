//! The dashboard for Grafana: every query of it has an answer from a live scrape.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::collections::BTreeSet;

use harness::client::Client;
use harness::origin::Origin;
use harness::prometheus::Prometheus;
use harness::proxy::Proxy;
use harness::wait_for;
use serde_json::Value;

fn dashboard() -> Value {
    serde_json::from_str(include_str!("../conf/grafana/rustsocks.json")).unwrap()
}

/// Panel and query of each target.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push((title.to_owned(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    queries
}

/// As Grafana fills its variables in.
fn filled(query: &str, instance: &str) -> String {
    let query = query.replace("$instance", instance).replace("$__rate_interval", "1m");
    assert!(!query.contains('$'), "{query}");
    query
}

#[test]
fn every_query_has_an_answer_from_a_live_scrape() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let prometheus = Prometheus::scraping(proxy.api.unwrap());
    wait_for("a scrape", || (prometheus.value("up") == Some(1.0)).then_some(()));
    let mut live = Client::connected(proxy.socks, ("localhost", origin.address.port()));
    live.send(b"x");
    live.receive(1);
    // What is summed by user or ending has series only once something has happened, and grows from there.
    let instance = proxy.api.unwrap().to_string();
    for (panel, query) in queries(&dashboard()) {
        let query = filled(&query, &instance);
        wait_for(&format!("{panel}: {query}"), || {
            let mut client = Client::connected(proxy.socks, origin.address);
            client.send(b"x");
            client.receive(1);
            let series = prometheus.query(&query);
            let is_number = |(_, value): &(Value, f64)| !value.is_nan();
            (!series.is_empty() && series.iter().any(is_number)).then_some(())
        });
    }
    let dashboard = dashboard();
    let annotation = dashboard["annotations"]["list"][0]["expr"].as_str().unwrap();
    let without_condition = filled(annotation.strip_suffix(" > 0").unwrap(), &instance);
    assert_eq!(prometheus.query(&without_condition).len(), 1, "{without_condition}");
    let names = prometheus.get("/api/v1/label/instance/values");
    assert_eq!(names, serde_json::json!([instance]), "what the variable offers");
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "rustsocks");
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels have one id");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(x < 24 && taken.insert((x, y)), "{} lies over another", panel["title"]);
            }
        }
        if panel["type"] != "row" {
            assert!(!panel["description"].as_str().unwrap().is_empty(), "{}", panel["title"]);
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
    }
    assert!(queries(&dashboard).len() > 20);
}
