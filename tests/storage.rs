//! The database in trouble: sessions go on, and afterwards every one of them is in the table.
//!
//! Disks that fail are played by a library that is preloaded into the proxy (storage/fault.c), so
//! these tests need no privileges; one more fills a real file system where the user may mount one.
//! `RUSTSOCKS_FAULT_SECS` is how long each trouble lasts (2).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may block, read the clock and panic"
)]

mod harness;
#[path = "storage/load.rs"]
mod load;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use harness::api::{ask, get};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::{PATIENCE, wait_for};
use load::{Load, OCTETS};
use rusqlite::Connection;

/// What /health says during a trouble.
enum Told {
    /// Nothing: rows are stored, if slowly.
    Nothing,
    /// One of these, until the trouble's end.
    Until(&'static [&'static str]),
    /// This, until the proxy has mended it.
    AtFirst(&'static str),
}

/// Runs sessions before, during and after a trouble that `begin` makes and `end` ends.
fn endure<T>(
    mut proxy: Proxy,
    begin: impl FnOnce(&Proxy) -> T,
    told: &Told,
    end: impl FnOnce(&Proxy, T),
) -> Proxy {
    let origin = Origin::echo();
    let load = Load::start(proxy.socks, origin.address);
    let before = load.wait_for_more(300);
    assert_eq!(health(&proxy)["status"], "ok");
    let (began, trouble) = (Instant::now(), begin(&proxy));
    let degraded = |why: &[&str]| {
        let health = health(&proxy);
        let said = health["checks"]["writer"].as_str().unwrap().to_owned();
        health["status"] == "degraded" && why.iter().any(|why| said.contains(why))
    };
    match told {
        Told::Nothing => {}
        Told::Until(why) => wait_for("degraded health", || degraded(why).then_some(())),
        Told::AtFirst(why) => wait_for("degraded health", || degraded(&[why]).then_some(())),
    }
    let during = load.wait_for_more(300);
    wait_for("the trouble's time", || (began.elapsed() >= trouble_time()).then_some(()));
    match told {
        Told::Nothing => assert_eq!(health(&proxy)["status"], "ok"),
        Told::Until(why) => assert!(degraded(why), "{}", health(&proxy)),
        Told::AtFirst(_) => {}
    }
    end(&proxy, trouble);
    wait_for("health", || (health(&proxy)["status"] == "ok").then_some(()));
    load.wait_for_more(100);
    let done = load.stop();
    println!("{done} sessions, {before:.0}/s before and {during:.0}/s during the trouble");
    proxy.wait_count(
        &format!(
            "SELECT count(*) FROM sessions WHERE status = 'closed' AND bytes_sent = {OCTETS} AND \
             bytes_received = {OCTETS}"
        ),
        done,
    );
    assert_eq!(proxy.count("SELECT count(*) FROM sessions"), done);
    for kind in ["ending", "session"] {
        let dropped = format!("rustsocks_records_dropped_total{{kind=\"{kind}\"}}");
        assert!(metric(&proxy, &dropped) < 1.0, "{dropped}");
    }
    let log = proxy.log();
    assert!(log.matches("ERROR").count() < 10, "a line for each failure:\n{log}");
    proxy
}

fn metric(proxy: &Proxy, name: &str) -> f64 {
    let text = get(proxy.api.unwrap(), "/metrics").body;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn health(proxy: &Proxy) -> serde_json::Value {
    get(proxy.api.unwrap(), "/health").json()
}

fn trouble_time() -> Duration {
    let seconds = std::env::var("RUSTSOCKS_FAULT_SECS").map_or(2, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

/// A proxy whose disk can be made to fail, and the file that says how.
fn on_a_disk_that_fails() -> (Proxy, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let library = directory.path().join("fault.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/storage/fault.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(compiled.success());
    let (fault, data) = (directory.path().join("fault"), directory.path().join("data"));
    let environment = [
        ("LD_PRELOAD", library.as_os_str()),
        ("FAULT_FILE", fault.as_os_str()),
        ("FAULT_DIR", data.as_os_str()),
    ];
    let proxy = Proxy::start_with(&environment, directory, "", "", "");
    (proxy, fault)
}

fn endure_disk(word: &str, told: &Told) -> Proxy {
    let (proxy, fault) = on_a_disk_that_fails();
    let switch = fault.clone();
    let begin = |_: &Proxy| fs::write(&fault, word).unwrap();
    endure(proxy, begin, told, |_, ()| fs::remove_file(switch).unwrap())
}

#[test]
fn a_lock_that_another_process_holds() {
    let begin = |proxy: &Proxy| {
        let other = Connection::open(proxy.database_path()).unwrap();
        other.busy_timeout(PATIENCE).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        other
    };
    let proxy = endure(Proxy::start(), begin, &Told::Until(&["locked"]), |_, other| drop(other));
    drop(proxy.stop());
}

#[test]
fn a_disk_that_is_full() {
    drop(endure_disk("full", &Told::Until(&["full"])).stop());
}

#[test]
fn a_disk_that_becomes_read_only() {
    drop(endure_disk("read-only", &Told::Until(&["disk I/O error"])).stop());
}

#[test]
fn a_disk_that_breaks() {
    drop(endure_disk("broken", &Told::Until(&["disk I/O error"])).stop());
}

#[test]
fn a_disk_that_takes_half_a_second_for_each_fsync() {
    let proxy = endure_disk("slow", &Told::Nothing);
    let commits =
        |suffix: &str| metric(&proxy, &format!("rustsocks_writer_commit_seconds{suffix}"));
    assert!(commits("_count") > commits("_bucket{le=\"0.25\"}"), "none was slow");
    drop(proxy.stop());
}

#[test]
fn a_file_system_that_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::tmpfs(&directory.path().join("data"), "64m") else { return };
    let begin = |proxy: &Proxy| {
        let filler = proxy.directory().join("data/filler");
        // Fails for want of room, having used it up.
        fs::write(&filler, vec![0; 80 << 20]).unwrap_err();
        filler
    };
    let proxy = Proxy::start_in(directory, "", "", "");
    let proxy =
        endure(proxy, begin, &Told::Until(&["full"]), |_, filler| fs::remove_file(filler).unwrap());
    // The file system must outlive it.
    drop(proxy.stop());
}

#[test]
fn a_database_that_is_deleted() {
    let begin = |proxy: &Proxy| {
        for suffix in ["", "-wal", "-shm"] {
            fs::remove_file(format!("{}{suffix}", proxy.database_path().display())).unwrap();
        }
    };
    let mut proxy =
        endure(Proxy::start(), begin, &Told::AtFirst("was deleted while in use"), |_, ()| {});
    assert!(proxy.log().contains("was put back"));
    drop(proxy.stop());
}

#[test]
fn a_database_that_is_replaced() {
    let begin = |proxy: &Proxy| {
        let stranger = proxy.directory().join("stranger.db");
        let connection = Connection::open(&stranger).unwrap();
        connection.execute_batch("CREATE TABLE cats (name TEXT)").unwrap();
        drop(connection);
        fs::rename(stranger, proxy.database_path()).unwrap();
    };
    let proxy =
        endure(Proxy::start(), begin, &Told::AtFirst("was replaced while in use"), |_, ()| {});
    let directory = proxy.stop();
    let names = fs::read_dir(directory.path().join("data")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    let aside = names.iter().any(|name| name.to_str().unwrap().contains("sessions.db.replaced-"));
    assert!(aside, "{names:?}");
}

#[test]
fn a_lock_file_that_is_deleted_is_made_anew_so_that_nobody_else_takes_the_database() {
    let mut proxy = Proxy::start();
    let lock = proxy.directory().join("data/sessions.db.lock");
    fs::remove_file(&lock).unwrap();
    wait_for("a new lock", || lock.exists().then_some(()));
    wait_for("a line about it", || proxy.log().contains("lock").then_some(()));
    let output = run(proxy.directory(), &["migrate", "--config", "rustsocks.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(one_line(&output).contains(&format!("as process {}", proxy.pid())), "{output:?}");
}

#[test]
fn a_second_start_and_a_migration_say_which_process_runs() {
    let proxy = Proxy::start();
    let config = proxy.directory().join("second.toml");
    fs::write(&config, format!("[server]\nbind_port = {}\n", proxy.socks.port())).unwrap();
    for command in ["run", "migrate"] {
        let output = run(proxy.directory(), &[command, "--config", "second.toml"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let line = one_line(&output);
        assert!(line.contains(&format!("as process {}", proxy.pid())), "{line}");
    }
}

/// An index whose root is garbage is noticed with the first row.
#[test]
fn damage_that_shows_itself_while_running_is_told_and_kills_nobody() {
    let proxy = Proxy::start();
    let (root, page): (u64, u64) = proxy
        .database()
        .query_row(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size)
             FROM sqlite_schema WHERE name = 'idx_sessions_user'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let directory = proxy.stop();
    let database = directory.path().join("data/sessions.db");
    let mut octets = fs::read(&database).unwrap();
    let (from, to) = ((root - 1) * page, root * page);
    octets[from as usize..to as usize].fill(0x5a);
    fs::write(&database, octets).unwrap();
    let mut proxy = Proxy::start_in(directory, "", "", "");
    let origin = Origin::echo();
    let load = Load::start(proxy.socks, origin.address);
    wait_for("degraded health", || {
        let said = health(&proxy);
        (said["status"] == "degraded" && said["checks"]["writer"].as_str()?.contains("malformed"))
            .then_some(())
    });
    load.wait_for_more(100);
    load.stop();
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(1));
    let log = proxy.log();
    assert!(log.contains("malformed") && log.contains("could not be stored"), "{log}");
}

#[test]
fn what_is_no_database_of_ours_is_refused_in_one_line_that_names_it() {
    let refused = |prepare: &dyn Fn(&Path), status: i32, says: &str| {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("data/sessions.db");
        fs::create_dir(database.parent().unwrap()).unwrap();
        prepare(&database);
        let config = directory.path().join("c.toml");
        fs::write(
            &config,
            format!(
                "[server]\nbind_port = 0\n[sessions]\nstats_api_port = 0\nledger_path = \"{}\"\n",
                directory.path().join("ledger").display()
            ),
        )
        .unwrap();
        for arguments in [["run", "--config"], ["migrate", "--config"]] {
            let output = run(directory.path(), &[arguments[0], arguments[1], "c.toml"]);
            assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
            let line = one_line(&output);
            assert!(line.contains("data/sessions.db") && line.contains(says), "{line}");
        }
    };
    refused(&|path| fs::write(path, [b'x'; 8192]).unwrap(), 78, "not a database");
    let foreign = |path: &Path| {
        Connection::open(path).unwrap().execute_batch("CREATE TABLE cats (name TEXT)").unwrap();
    };
    refused(&foreign, 78, "another program");
    let newer = |path: &Path| {
        Connection::open(path).unwrap().pragma_update(None, "user_version", 999).unwrap();
    };
    refused(&newer, 78, "version 999");
    let truncated = |path: &Path| {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("CREATE TABLE a (b); CREATE TABLE c (d)").unwrap();
        drop(connection);
        let octets = fs::read(path).unwrap();
        fs::write(path, &octets[..4096]).unwrap();
    };
    refused(&truncated, 78, "");
    refused(&|path| fs::create_dir(path).unwrap(), 78, "");
}

#[test]
fn a_database_that_may_not_be_written_is_a_matter_of_permission() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let Some(mount) = Mount::tmpfs(&data, "4m") else { return };
    fs::write(data.join("sessions.db"), "").unwrap();
    mount.read_only();
    let started = Instant::now();
    let output = run(directory.path(), &["run"]);
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(one_line(&output).contains("data/sessions.db"), "{output:?}");
    assert!(started.elapsed() < PATIENCE);
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// The one line of an error; what was logged before it does not count.
#[track_caller]
fn one_line(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("rustsocks: ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    lines[0].to_owned()
}

/// A file system of its own, as long as this lives.
struct Mount(PathBuf);

impl Mount {
    /// `None`, with a word about it, where the user may not mount.
    fn tmpfs(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
            .arg(at)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        println!("skipped: whoever runs this may not mount a file system");
        None
    }

    fn read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Also if something still holds it: it goes with its last user.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn where_reading_wants_the_token_health_tells_nobody_else_where_the_database_is() {
    let proxy = Proxy::with_sections("api_require_token = true", "", "");
    let (api, token) = (proxy.api.unwrap(), proxy.token());
    fs::remove_dir_all(proxy.directory().join("data")).unwrap();
    let health = |token| ask(api, "GET", "/health", token);
    let told = wait_for("the trouble", || {
        let told = health(Some(&token));
        (told.json()["status"] == "degraded").then_some(told)
    });
    assert!(told.body.contains("sessions.db"), "{}", told.body);
    for shown in [None, Some("wrong")] {
        let untold = health(shown);
        assert_eq!((untold.status, &untold.json()["status"]), (200, &"degraded".into()));
        assert!(!untold.body.contains("sessions.db"), "{}", untold.body);
    }
}
