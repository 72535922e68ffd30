//! `rustsocks backup` and the `.backup` of `sqlite3`, while the proxy records.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;

fn backup(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .arg("backup")
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

/// The rows of a copy that is whole.
fn rows(copy: &Path) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let copy = rusqlite::Connection::open_with_flags(copy, flags).unwrap();
    let verdict: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    copy.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap()
}

/// Fills the database with so many rows that a copy takes more than one step.
fn fill(proxy: &Proxy) {
    let sql = "INSERT INTO sessions (session_id, user, start_time, source_ip, source_port, dest_ip, \
               dest_port, protocol, bytes_sent, bytes_received, packets_sent, packets_received, status) \
               WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 59999) \
               SELECT 'row-' || i, 'u', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), '192.0.2.1', 1, \
               'example.com', 80, 'tcp', 1, 1, 1, 1, 'closed' FROM n";
    let status = Command::new("sqlite3")
        .arg(proxy.database_path())
        .args([".timeout 20000", sql])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Does `work` while sessions are recorded; more are before it, during it and after it.
fn under_load<T>(proxy: &Proxy, work: impl FnOnce() -> T) -> T {
    let (socks, origin) = (proxy.socks, Origin::echo());
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut client = Client::connected(socks, origin.address);
                client.send(b"x");
                client.receive(1);
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        let some_more = || {
            let target = done.load(Ordering::Relaxed) + 20;
            wait_for("more sessions", || (done.load(Ordering::Relaxed) >= target).then_some(()));
        };
        // A failure must not leave the load running.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            some_more();
            let result = work();
            some_more();
            result
        }));
        stop.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn a_backup_of_a_running_proxy_is_whole_and_its_owners_alone() {
    let proxy = Proxy::start();
    fill(&proxy);
    let copy = proxy.directory().join("copy.db");
    under_load(&proxy, || {
        let before = proxy.count("SELECT count(*) FROM sessions");
        let output = backup(proxy.directory(), &["copy.db", "--config", "rustsocks.toml"]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaint.is_empty(), "{complaint}");
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        let after = proxy.count("SELECT count(*) FROM sessions");
        let copied = rows(&copy);
        assert!((before..=after).contains(&copied), "{before} <= {copied} <= {after}");
    });
    let beside: Vec<_> = fs::read_dir(proxy.directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("copy.db"))
        .collect();
    assert_eq!(beside, ["copy.db"], "one file, and nothing beside it");
}

#[test]
fn what_holds_no_sessions_takes_no_backups_place() {
    let proxy = Proxy::start();
    assert!(backup(proxy.directory(), &["good.db"]).status.success());
    let of = |name: &str, sql: &str| {
        rusqlite::Connection::open(proxy.directory().join(name))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        backup(
            proxy.directory(),
            &["--database-url", &format!("sqlite://{name}"), "--force", "good.db"],
        )
    };
    for (name, sql, why) in [
        ("empty.db", "VACUUM", "it is empty"),
        ("other.db", "CREATE TABLE t (a)", "it holds the tables of another program"),
        (
            "version.db",
            "CREATE TABLE t (a); PRAGMA user_version = 3",
            "it holds the tables of another",
        ),
    ] {
        let output = of(name, sql);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{complaint}");
        assert!(complaint.contains(name) && complaint.contains(why), "{complaint}");
        assert_eq!(rows(&proxy.directory().join("good.db")), 0, "it is as it was");
    }
}

#[test]
fn a_proxy_runs_on_what_it_was_given_back() {
    let proxy = Proxy::start();
    let origin = Origin::echo();
    drop(Client::connected(proxy.socks, origin.address));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 1);
    assert!(backup(proxy.directory(), &["copy.db"]).status.success());
    let directory = proxy.stop();
    fs::rename(directory.path().join("copy.db"), directory.path().join("data/sessions.db"))
        .unwrap();
    let proxy = Proxy::start_in(directory, "", "", "");
    drop(Client::connected(proxy.socks, origin.address));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 2);
}

#[test]
fn what_is_there_is_replaced_only_by_force_and_the_database_never() {
    let proxy = Proxy::start();
    let directory = proxy.directory();
    proxy.wait_count("SELECT count(*) FROM sessions", 0);
    fs::write(directory.join("copy.db"), "dear").unwrap();
    for (arguments, status, named) in [
        (vec!["copy.db"], 1, "--force"),
        (vec!["data/sessions.db", "--force"], 2, "the database itself"),
        (vec!["./data/../data/sessions.db", "--force"], 2, "the database itself"),
        (vec!["data/sessions.db"], 2, "the database itself"),
        (vec!["data/sessions.db-wal", "--force"], 2, "the database itself"),
        (vec!["nowhere/copy.db"], 1, "nowhere/copy.db: No such file"),
        (vec!["other.db", "--database-url", "sqlite://nowhere.db"], 1, "nowhere.db"),
        (vec!["other.db", "--database-url", "sqlite://copy.db"], 78, "copy.db"),
        (vec![], 2, "<FILE>"),
    ] {
        let output = backup(directory, &arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {complaint}");
        assert!(complaint.contains(named), "{arguments:?}: {complaint}");
    }
    assert_eq!(fs::read(directory.join("copy.db")).unwrap(), b"dear");
    let left: Vec<_> = fs::read_dir(directory).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("other.db")), "{left:?}");
    assert!(backup(directory, &["copy.db", "--force"]).status.success());
    assert_eq!(rows(&directory.join("copy.db")), 0);
}

#[test]
fn the_backup_of_sqlite3_works_beside_the_running_proxy() {
    let proxy = Proxy::start();
    fill(&proxy);
    let copy = proxy.directory().join("theirs.db");
    under_load(&proxy, || {
        let before = proxy.count("SELECT count(*) FROM sessions");
        let output = Command::new("sqlite3")
            .arg(proxy.database_path())
            .args([".timeout 20000", ".backup theirs.db"])
            .current_dir(proxy.directory())
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaint.is_empty(), "{complaint}");
        let copied = rows(&copy);
        assert!(copied >= before, "{copied} >= {before}");
    });
}
