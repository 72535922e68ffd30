//! Old sessions go: by themselves, and by `rustsocks cleanup` beside the proxy.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::path::Path;
use std::process::{Command, Output};

use harness::api::get;
use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;

/// Adds so many rows that began so many days ago.
fn add(database: &Path, rows: u32, days: u32, status: &str) {
    let sql = format!(
        "INSERT INTO sessions (session_id, user, start_time, source_ip, source_port, dest_ip,
         dest_port, protocol, bytes_sent, bytes_received, packets_sent, packets_received, status)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         SELECT '{status}-{days}-' || i, 'u', strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{days} days'),
         '192.0.2.1', 1, 'example.com', 80, 'tcp', 1, 1, 1, 1, '{status}' FROM n"
    );
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.busy_timeout(harness::PATIENCE).unwrap();
    connection.execute(&sql, []).unwrap();
}

fn cleanup(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["cleanup", "--config", "rustsocks.toml"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8([&*output.stdout, &*output.stderr].concat()).unwrap()
}

#[test]
fn by_hand_old_sessions_go_beside_the_proxy_and_live_ones_stay() {
    let proxy = Proxy::start();
    let origin = Origin::echo();
    let mut client = Client::connected(proxy.socks, origin.address);
    add(&proxy.database_path(), 5000, 40, "closed");
    add(&proxy.database_path(), 3, 20, "closed");
    add(&proxy.database_path(), 1, 50, "active");
    let directory = proxy.directory();
    let counted = cleanup(directory, &["--older-than", "30", "--dry-run"]);
    assert!(said(&counted).contains("5000 sessions are older than 30 days"), "{counted:?}");
    assert!(said(&counted).contains(&format!("as process {}, and would go on", proxy.pid())));
    let young = said(&cleanup(directory, &["--older-than", "7", "--dry-run"]));
    assert!(young.contains("5003 sessions") && young.contains("must be stopped first"), "{young}");
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE status = 'closed'"), 5003);
    // By the configuration's 90 days none is old.
    let none = cleanup(directory, &[]);
    assert!(none.status.success() && said(&none).contains(": 0 sessions"), "{none:?}");
    let done = cleanup(directory, &["--older-than", "30"]);
    assert!(done.status.success() && said(&done).contains("5000 sessions"), "{done:?}");
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE status = 'closed'"), 3);
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE session_id = 'active-50-1'"), 1);
    // The proxy's statistics reach back a week: what they count stays in the table.
    let refused = cleanup(directory, &["--older-than", "7"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(said(&refused).contains("168 hours"), "{refused:?}");
    client.send(b"still");
    assert_eq!(client.receive(5), b"still");
    drop(client);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE bytes_sent = 5", 1);
    let directory = proxy.stop();
    let alone = said(&cleanup(directory.path(), &["--older-than", "7", "--dry-run"]));
    assert!(alone.contains("3 sessions") && !alone.contains("a proxy runs"), "{alone}");
    let done = cleanup(directory.path(), &["--older-than", "7"]);
    assert!(done.status.success() && said(&done).contains(": 3 sessions"), "{done:?}");
}

#[test]
fn what_is_older_than_the_retention_goes_by_itself() {
    let proxy = Proxy::start();
    add(&proxy.database_path(), 5000, 40, "closed");
    add(&proxy.database_path(), 7, 20, "closed");
    let directory = proxy.stop();
    let sessions = "retention_days = 30\ncheckpoint_interval_secs = 1";
    let proxy = Proxy::start_in(directory, "", sessions, "");
    proxy.wait_count("SELECT count(*) FROM sessions", 7);
    wait_for("the metrics", || {
        let text = get(proxy.api.unwrap(), "/metrics").body;
        (text.contains("rustsocks_writer_deleted_rows_total 5000")
            && text.contains("rustsocks_writer_cleaning 0"))
        .then_some(())
    });
}
