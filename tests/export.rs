//! `rustsocks sessions export`: what `sqlite3` would select, beside the running proxy and without it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use serde_json::Value;

/// A user, a target and a rule that need quoting, live and finished rows, and every kind of NULL.
const ROWS: &str = "\
INSERT INTO sessions (session_id, user, start_time, source_ip, source_port, dest_ip, dest_port,
    protocol, bytes_sent, bytes_received, packets_sent, packets_received, status, end_time,
    close_reason, acl_rule_matched, duration_ms)
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
SELECT printf('row-%05d', i),
    CASE i % 4 WHEN 0 THEN 'alice' WHEN 1 THEN 'comma, \"quote\"' WHEN 2 THEN 'zwei' || char(10)
        || 'lines' ELSE 'ünï ''code''' END,
    strftime('%Y-%m-%dT%H:%M:%fZ', '2026-01-01', ((i * 7919) % 10000) || ' minutes'),
    '192.0.2.1', 1024 + i, CASE WHEN i % 5 THEN 'example.com' ELSE '' END, 443, 'tcp', i, i * 1000000007,
    1, 2, CASE i % 3 WHEN 0 THEN 'closed' WHEN 1 THEN 'failed' ELSE 'active' END,
    CASE WHEN i % 3 < 2 THEN '2026-02-01T00:00:00.000Z' END, CASE WHEN i % 7 THEN ' a reason ' END,
    CASE WHEN i % 11 THEN NULL ELSE '' END, CASE WHEN i % 2 THEN i END
FROM n;";

/// A proxy with its database, into which rows were put by another program.
fn filled() -> Proxy {
    // What is older than 90 days would go after ten seconds.
    let proxy = Proxy::with_sections("", "retention_days = 0", "");
    let origin = Origin::echo();
    drop(Client::connected(proxy.socks, origin.address));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 1);
    let status = Command::new("sqlite3")
        .arg(proxy.database_path())
        .args([".timeout 20000", ROWS])
        .status()
        .unwrap();
    assert!(status.success());
    proxy
}

fn export(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["sessions", "export"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

fn exported(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = export(directory, arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{arguments:?}: {complaint}");
    output.stdout
}

fn sqlite3(database: &Path, sql: &str) -> Vec<u8> {
    let output = Command::new("sqlite3")
        .args(["-csv", "-header", "-cmd", ".timeout 20000"])
        .arg(database)
        .arg(sql)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Records of fields, whatever was quoted.
fn fields(text: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
    let fields = |record: csv::StringRecord| record.iter().map(str::to_owned).collect();
    reader.records().map(|record| fields(record.unwrap())).collect()
}

#[test]
fn csv_is_what_sqlite3_selects() {
    let proxy = filled();
    let (directory, database) = (proxy.directory(), proxy.database_path());
    for (arguments, sql) in [
        (vec![], "SELECT * FROM sessions"),
        (vec!["--user", "alice"], "SELECT * FROM sessions WHERE user = 'alice' ORDER BY rowid"),
        (
            vec!["--since", "2026-01-03", "--until", "2026-01-05T12:00:00+01:00"],
            "SELECT * FROM sessions WHERE start_time >= '2026-01-03' \
             AND start_time < '2026-01-05T11:00:00.000Z' ORDER BY start_time, rowid",
        ),
        (
            vec![
                "--until",
                "2026-01-03",
                "--user",
                "comma, \"quote\"",
                "--columns",
                "bytes_sent,user",
            ],
            "SELECT bytes_sent, user FROM sessions WHERE start_time < '2026-01-03' \
             AND user = 'comma, \"quote\"' ORDER BY rowid",
        ),
        (vec!["--user", "nobody"], "SELECT * FROM sessions WHERE false"),
    ] {
        let arguments = [vec!["--config", "rustsocks.toml"], arguments].concat();
        let ours = fields(&exported(directory, &arguments));
        let theirs = fields(&sqlite3(&database, sql));
        assert_eq!(ours.first().map(Vec::len), ours.last().map(Vec::len));
        if theirs.is_empty() {
            // sqlite3 prints no names where there are no rows.
            assert_eq!(ours.len(), 1, "{arguments:?}");
        } else {
            assert!(ours == theirs, "{arguments:?}: {} and {} lines", ours.len(), theirs.len());
        }
    }
    assert_eq!(fields(&exported(directory, &[])).len(), 10_002, "the names, and all rows");
}

#[test]
fn ndjson_has_numbers_nulls_and_the_same_rows() {
    let proxy = filled();
    let text = exported(proxy.directory(), &["--format", "ndjson"]);
    let rows: Vec<Value> = text
        .split(|octet| *octet == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 10_001);
    let row = rows.iter().find(|row| row["session_id"] == "row-00006").unwrap();
    assert_eq!(row["user"], "zwei\nlines");
    assert_eq!(row["bytes_received"], 6_000_000_042_u64);
    assert_eq!(row["duration_ms"], Value::Null);
    assert_eq!(row.as_object().unwrap().len(), fields(&exported(proxy.directory(), &[]))[0].len());
    let sum: u64 = rows.iter().map(|row| row["bytes_sent"].as_u64().unwrap()).sum();
    assert_eq!(sum, u64::try_from(proxy.count("SELECT sum(bytes_sent) FROM sessions")).unwrap());
}

#[test]
fn it_reads_the_file_of_a_proxy_that_has_stopped() {
    let directory = filled().stop();
    let text = exported(directory.path(), &["--database-url", "sqlite://data/sessions.db"]);
    assert_eq!(fields(&text).len(), 10_002);
}

#[test]
fn a_file_is_for_its_owner_and_is_replaced_only_by_force() {
    let proxy = filled();
    let directory = proxy.directory();
    assert!(exported(directory, &["--output", "out.csv"]).is_empty());
    let file = directory.join("out.csv");
    let whole = fs::read(&file).unwrap();
    assert_eq!(fields(&whole).len(), 10_002);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let refused = export(directory, &["--output", "out.csv", "--user", "alice"]);
    assert_eq!(refused.status.code(), Some(1));
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(complaint.contains("out.csv") && complaint.contains("--force"), "{complaint}");
    assert_eq!(fs::read(&file).unwrap(), whole);

    exported(directory, &["--output", "out.csv", "--user", "alice", "--force"]);
    assert_eq!(fields(&fs::read(&file).unwrap()).len(), 2501);
    let left: Vec<_> = fs::read_dir(directory).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("partial")), "{left:?}");
}

#[test]
fn whoever_has_read_enough_may_go() {
    let proxy = filled();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["sessions", "export"])
        .current_dir(proxy.directory())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("session_id,user,start_time,"), "{line}");
    drop(stdout);
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!((child.wait().unwrap().code(), complaint.as_str()), (Some(0), ""));
}

#[test]
fn what_is_wrong_is_said_with_the_status_of_its_kind() {
    let proxy = Proxy::start();
    let directory = proxy.directory();
    fs::write(directory.join("memory.toml"), "[sessions]\nstorage = \"memory\"\n").unwrap();
    fs::write(directory.join("wrong.toml"), "[sessions]\nbatch = 1\n").unwrap();
    fs::write(directory.join("text.db"), "x".repeat(5000)).unwrap();
    for (arguments, status, named) in [
        (vec!["--columns", "user,colour"], 2, "colour"),
        (vec!["--since", "yesterday"], 2, "--since"),
        (vec!["--since", "2026-02-01", "--until", "2026-01-01"], 2, "--until"),
        (vec!["--format", "xml"], 2, "ndjson"),
        (vec!["--force"], 2, "--output"),
        (vec!["--output", "data/sessions.db", "--force"], 2, "the database itself"),
        (vec!["--database-url", "mysql://x"], 78, "mysql://x"),
        (vec!["--database-url", "sqlite://text.db"], 78, "text.db"),
        (vec!["--config", "wrong.toml"], 78, "batch"),
        (vec!["--config", "memory.toml"], 1, "not recorded"),
        (vec!["--database-url", "sqlite://nowhere.db"], 1, "nowhere.db"),
        (vec!["--output", "nowhere/out.csv"], 1, "nowhere/out.csv"),
    ] {
        let output = export(directory, &arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {complaint}");
        assert!(complaint.contains(named), "{arguments:?}: {complaint}");
        assert!(!directory.join("nowhere.db").exists(), "reading makes no database");
    }
}
