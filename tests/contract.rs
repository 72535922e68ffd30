//! The names, types and defaults that users and their scripts rely on. What stands in these tables
//! may be added to; a change of what is there breaks somebody's query, dashboard or configuration.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use harness::api;
use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;
use serde_json::Value;

/// The columns of the reference, in its order: name, type, whether never NULL.
const COLUMNS: [(&str, &str, bool); 18] = [
    ("session_id", "TEXT", false), // the primary key
    ("user", "TEXT", true),
    ("start_time", "TEXT", true),
    ("end_time", "TEXT", false),
    ("duration_secs", "INTEGER", false),
    ("source_ip", "TEXT", true),
    ("source_port", "INTEGER", true),
    ("dest_ip", "TEXT", true),
    ("dest_port", "INTEGER", true),
    ("protocol", "TEXT", true),
    ("bytes_sent", "INTEGER", true),
    ("bytes_received", "INTEGER", true),
    ("packets_sent", "INTEGER", true),
    ("packets_received", "INTEGER", true),
    ("status", "TEXT", true),
    ("close_reason", "TEXT", false),
    ("acl_rule_matched", "TEXT", false),
    ("acl_decision", "TEXT", false),
];

/// Those that follow, all of which may be NULL.
const FURTHER_COLUMNS: [(&str, &str); 16] = [
    ("duration_ms", "INTEGER"),
    ("resolved_ip", "TEXT"),
    ("command", "TEXT"),
    ("close_code", "TEXT"),
    ("rule_id", "INTEGER"),
    ("policy_generation", "INTEGER"),
    ("node", "TEXT"),
    ("auth_us", "INTEGER"),
    ("resolve_us", "INTEGER"),
    ("connect_us", "INTEGER"),
    ("first_byte_us", "INTEGER"),
    ("client_rtt_us", "INTEGER"),
    ("upstream_rtt_us", "INTEGER"),
    ("client_retransmits", "INTEGER"),
    ("upstream_retransmits", "INTEGER"),
    ("claimed_user", "TEXT"),
];

/// Indexes by name; what they are on, as their statement says it.
const INDEXES: [(&str, &str); 4] = [
    ("idx_sessions_user", "sessions(user)"),
    ("idx_sessions_start_time", "sessions(start_time)"),
    ("idx_sessions_status", "sessions(status)"),
    ("idx_sessions_start_datetime", "sessions(datetime(start_time))"),
];

/// The metric families of the reference: name, type, labels.
const FAMILIES: [(&str, &str, &[&str]); 8] = [
    ("rustsocks_active_sessions", "gauge", &[]),
    ("rustsocks_sessions_total", "counter", &[]),
    ("rustsocks_sessions_rejected_total", "counter", &[]),
    ("rustsocks_session_duration_seconds", "histogram", &["le"]),
    ("rustsocks_bytes_sent_total", "counter", &[]),
    ("rustsocks_bytes_received_total", "counter", &[]),
    ("rustsocks_user_sessions_total", "counter", &["user"]),
    ("rustsocks_user_bandwidth_bytes_total", "counter", &["direction", "user"]),
];

/// Further families: name, type, labels.
const FURTHER_FAMILIES: [(&str, &str, &[&str]); 38] = [
    ("rustsocks_udp_datagrams_total", "counter", &["direction"]),
    ("rustsocks_udp_dropped_total", "counter", &["reason"]),
    ("rustsocks_sessions_ended_total", "counter", &["close_code"]),
    ("rustsocks_stage_duration_seconds", "histogram", &["le", "stage"]),
    ("rustsocks_acl_shadow_blocks_total", "counter", &[]),
    ("rustsocks_policy_reloads_total", "counter", &["result"]),
    ("rustsocks_policy_stale", "gauge", &[]),
    ("rustsocks_auth_failures_total", "counter", &[]),
    ("rustsocks_over_limit_total", "counter", &[]),
    ("rustsocks_limit_refusals_total", "counter", &["limit"]),
    ("rustsocks_quota_marks_total", "counter", &["mark"]),
    ("rustsocks_connections", "gauge", &[]),
    ("rustsocks_connections_limit", "gauge", &[]),
    ("rustsocks_worker_accepted_total", "counter", &["worker"]),
    ("rustsocks_worker_active_sessions", "gauge", &["worker"]),
    ("rustsocks_worker_loop_lag_seconds", "gauge", &["worker"]),
    ("rustsocks_worker_busy_seconds_total", "counter", &["worker"]),
    ("rustsocks_worker_spliced_bytes_total", "counter", &["worker"]),
    ("rustsocks_worker_pipes", "gauge", &["worker"]),
    ("rustsocks_writer_queue_entries", "gauge", &[]),
    ("rustsocks_writer_oldest_unsaved_seconds", "gauge", &[]),
    ("rustsocks_writer_commit_seconds", "histogram", &["le"]),
    ("rustsocks_writer_degraded", "gauge", &[]),
    ("rustsocks_writer_wal_bytes", "gauge", &[]),
    ("rustsocks_records_dropped_total", "counter", &["kind"]),
    ("rustsocks_ledger_slots_used", "gauge", &[]),
    ("rustsocks_ledger_slots_max", "gauge", &[]),
    ("rustsocks_ledger_durable", "gauge", &[]),
    ("rustsocks_windows_complete", "gauge", &[]),
    ("rustsocks_windows_memory_bytes", "gauge", &[]),
    ("rustsocks_windows_dropped_total", "counter", &[]),
    ("rustsocks_build_info", "gauge", &["features", "version"]),
    ("process_cpu_seconds_total", "counter", &[]),
    ("process_resident_memory_bytes", "gauge", &[]),
    ("process_open_fds", "gauge", &[]),
    ("process_max_fds", "gauge", &[]),
    ("process_threads", "gauge", &[]),
    ("process_start_time_seconds", "gauge", &[]),
];

/// The first buckets of the durations, in seconds.
const BUCKETS: [&str; 8] = ["0.1", "0.5", "1", "5", "10", "30", "60", "300"];

/// The reference's complete example: what is written there is what is meant without a file.
const SESSIONS_EXAMPLE: &str = r#"[sessions]
enabled = true
storage = "sqlite"  # or "memory"

# Database settings
database_url = "sqlite://data/sessions.db"
batch_size = 100
batch_interval_ms = 1000
retention_days = 90
cleanup_interval_hours = 24

# Traffic tracking
traffic_update_packet_interval = 10

# Statistics API
stats_api_enabled = true
stats_api_bind_address = "127.0.0.1"
stats_api_port = 9090
stats_window_hours = 24
"#;

/// Further defaults that are promised: section, key, value as TOML.
const DEFAULTS: [(&str, &str, &str); 18] = [
    ("server", "bind_address", "\"127.0.0.1\""),
    ("server", "bind_port", "1080"),
    ("server", "workers", "\"auto\""),
    ("server", "handshake_timeout_ms", "10000"),
    ("server", "connect_timeout_ms", "10000"),
    ("server", "idle_timeout_secs", "600"),
    ("server", "half_close_timeout_secs", "120"),
    ("server", "tcp_keepalive_secs", "60"),
    ("server", "drain_timeout_secs", "10"),
    ("server", "allow_open_proxy", "false"),
    ("auth", "socks_method", "\"none\""),
    ("acl", "anonymous_user", "\"anonymous\""),
    ("acl", "guard", "\"auto\""),
    ("sessions", "stats_window_max_hours", "168"),
    ("sessions", "history_max_sessions", "10000"),
    ("sessions", "synchronous", "\"full\""),
    ("sessions", "ledger_slots_max", "262144"),
    ("metrics", "users_max", "100"),
];

/// The keys of the statistics: the reference's, then ours.
const STATISTICS: [&str; 14] = [
    "window_hours",
    "active_sessions",
    "total_sessions",
    "total_bytes_sent",
    "total_bytes_received",
    "top_users",
    "top_destinations",
    "generated_at",
    "window_start",
    "as_of",
    "complete",
    "closed_sessions",
    "failed_sessions",
    "rejected_sessions",
];

/// One finished session and one refused one; the proxy that has them.
fn proxy_with_sessions() -> Proxy {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"octets");
    assert_eq!(client.receive(6), b"octets");
    drop(client);
    let metadata: std::net::SocketAddr = ([169, 254, 169, 254], 80).into();
    assert_eq!(Client::to(proxy.socks).negotiate(metadata), 2);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status <> 'active'", 2);
    proxy
}

#[test]
fn the_table_has_the_columns_of_the_reference_then_ours() {
    let proxy = Proxy::start();
    let database = proxy.database();
    let mut statement = database.prepare("PRAGMA table_info(sessions)").unwrap();
    let columns: Vec<(String, String, bool, bool)> = statement
        .query_map([], |row| {
            Ok((row.get("name")?, row.get("type")?, row.get("notnull")?, row.get("pk")?))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let (reference, further) = columns.split_at(COLUMNS.len());
    for (found, (name, kind, not_null)) in reference.iter().zip(COLUMNS) {
        let key = name == "session_id";
        assert_eq!(*found, (name.to_owned(), kind.to_owned(), not_null, key));
    }
    for (_, _, not_null, key) in further {
        assert!(!not_null && !key, "nobody need know the further columns: {further:?}");
    }
    for (name, kind) in FURTHER_COLUMNS {
        let found = further.iter().find(|column| column.0 == name);
        assert_eq!(found.map(|column| &*column.1), Some(kind), "{name}");
    }
}

#[test]
fn the_indexes_have_their_names() {
    let proxy = Proxy::start();
    for (name, on) in INDEXES {
        let sql: String = proxy
            .database()
            .query_row(
                "SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'sessions' \
                 AND name = ?1",
                [name],
                |row| row.get(0),
            )
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(sql.contains(&format!(" ON {on}")), "{name}: {sql}");
    }
}

#[test]
fn a_row_is_written_as_promised() {
    let proxy = proxy_with_sessions();
    let time = "'[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T\
                [0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9]Z'";
    let whole = format!(
        "SELECT count(*) FROM sessions WHERE start_time GLOB {time} AND end_time GLOB {time} \
         AND length(session_id) = 36 AND substr(session_id, 15, 1) = '7' \
         AND julianday(end_time) >= julianday(start_time) \
         AND duration_secs = duration_ms / 1000 AND protocol = 'tcp' AND command = 'connect' \
         AND length(close_reason) > 0"
    );
    assert_eq!(proxy.count(&whole), 2);
    let by = |status: &str, rest: &str| {
        proxy.count(&format!("SELECT count(*) FROM sessions WHERE status = '{status}' AND {rest}"))
    };
    assert_eq!(by("closed", "acl_decision = 'allow' AND acl_rule_matched = 'default policy'"), 1);
    assert_eq!(by("rejected_by_acl", "acl_decision = 'block' AND close_code = 'acl_denied'"), 1);
}

#[test]
fn a_session_in_json_has_the_names_of_the_columns() {
    let proxy = proxy_with_sessions();
    let id: String = proxy
        .database()
        .query_row("SELECT session_id FROM sessions WHERE status = 'closed'", [], |row| row.get(0))
        .unwrap();
    let answer = api::get(proxy.api.unwrap(), &format!("/api/sessions/{id}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let found = keys(&answer.json());
    let names = COLUMNS.iter().map(|column| column.0).chain(FURTHER_COLUMNS.map(|column| column.0));
    let missing: Vec<_> = names.filter(|name| !found.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_metric_families_have_their_names_types_labels_and_buckets() {
    let proxy = proxy_with_sessions();
    let text = wait_for("the user's series", || {
        let text = api::get(proxy.api.unwrap(), "/metrics").body;
        text.contains("rustsocks_user_sessions_total{").then_some(text)
    });
    let mut kinds = BTreeMap::new();
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(kinds.insert(name, kind), None, "{name} is there twice");
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, inside) = series.split_once('{').unwrap_or((series, ""));
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .filter(|family| kinds.get(family) == Some(&"histogram"))
                .unwrap_or(name);
            let of_line = inside.trim_end_matches('}').split(',').filter_map(|label| {
                let (name, _) = label.split_once('=')?;
                Some(name)
            });
            labels.entry(family).or_default().extend(of_line);
        }
    }
    for (name, kind, expected) in FAMILIES.into_iter().chain(FURTHER_FAMILIES) {
        assert_eq!(kinds.get(name), Some(&kind), "{name}");
        assert_eq!(labels[name], BTreeSet::from_iter(expected.iter().copied()), "{name}");
    }
    let buckets: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("rustsocks_session_duration_seconds_bucket{le=\""))
        .filter_map(|rest| rest.split_once('"'))
        .map(|(bound, _)| bound)
        .collect();
    assert_eq!(buckets[..BUCKETS.len()], BUCKETS);
    assert_eq!(buckets.last(), Some(&"+Inf"));
    for direction in ["sent", "received"] {
        let label = format!("direction=\"{direction}\"");
        assert!(text.contains(&label), "{label}");
    }
}

#[test]
fn the_references_example_is_what_is_meant_without_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let example = directory.path().join("example.toml");
    std::fs::write(&example, SESSIONS_EXAMPLE).unwrap();
    let rustsocks = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
            .args(arguments)
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let without: toml::Table = rustsocks(&["show-config"]).parse().unwrap();
    let with: toml::Table =
        rustsocks(&["show-config", "--config", "example.toml"]).parse().unwrap();
    assert_eq!(with, without);
    let example: toml::Table = SESSIONS_EXAMPLE.parse().unwrap();
    for (key, value) in example["sessions"].as_table().unwrap() {
        assert_eq!(without["sessions"].get(key), Some(value), "{key}");
    }
    for (section, key, value) in DEFAULTS {
        let expected: toml::Table = format!("{key} = {value}").parse().unwrap();
        let found = without.get(section).and_then(|section| section.get(key));
        assert_eq!(found, expected.get(key), "[{section}] {key}");
    }
}

#[test]
fn the_statistics_have_the_references_names_then_ours() {
    let proxy = proxy_with_sessions();
    let ask = || api::get(proxy.api.unwrap(), "/api/sessions/stats?window_hours=48").json();
    let stats = wait_for("both sessions in the statistics", || {
        let stats = ask();
        (stats["total_sessions"] == 2).then_some(stats)
    });
    let missing: Vec<_> = STATISTICS.iter().filter(|name| stats.get(name).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} of {stats}");
    assert_eq!(stats["window_hours"], 48);
    assert_eq!(stats["total_bytes_sent"], 6);
    assert_eq!(stats["total_bytes_received"], 6);
    assert_eq!(stats["closed_sessions"], 1);
    assert_eq!(stats["rejected_sessions"], 1);
    let users = stats["top_users"].as_array().unwrap();
    let targets = stats["top_destinations"].as_array().unwrap();
    assert_eq!((users.len(), targets.len()), (1, 2), "{stats}");
    for (list, name) in [(users, "user"), (targets, "dest")] {
        for entry in list {
            let expected = BTreeSet::from([name, "sessions", "bytes"].map(str::to_owned));
            assert!(keys(entry).is_superset(&expected), "{entry}");
        }
    }
    // Without a window it is the configured one.
    let default = api::get(proxy.api.unwrap(), "/api/sessions/stats").json();
    assert_eq!(default["window_hours"], 24);
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}
