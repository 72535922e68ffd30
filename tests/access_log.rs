//! The access log of the real binary, one line for each session that has ended, and its own log in JSON.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::{scrape::Scrape, wait_for};
use serde_json::Value;

fn line_of(path: &std::path::Path, what: &str) -> String {
    wait_for(what, || {
        let text = fs::read_to_string(path).ok()?;
        text.lines().find(|line| line.contains(what)).map(str::to_owned)
    })
}

#[test]
fn each_ending_is_one_line_of_json_also_while_the_database_is_ill() {
    let proxy = Proxy::with("[logging]\naccess_log = \"{dir}/access.log\"\n");
    let origin = Origin::echo();
    let file = proxy.directory().join("access.log");
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"octets");
    assert_eq!(client.receive(6), b"octets");
    drop(client);
    let line: Value = serde_json::from_str(&line_of(&file, "client_closed")).unwrap();
    assert_eq!((&line["bytes_sent"], &line["status"]), (&6.into(), &"closed".into()));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 1);
    let id = line["session_id"].as_str().unwrap();
    assert_eq!(harness::api::get(proxy.api.unwrap(), &format!("/api/sessions/{id}")).json(), line);
    let lock = proxy.lock_database();
    let metadata = SocketAddr::from(([169, 254, 169, 254], 80));
    assert_eq!(Client::to(proxy.socks).negotiate(metadata), 2);
    line_of(&file, "acl_denied");
    drop(lock);
    let directory = proxy.stop();
    let text = fs::read_to_string(directory.path().join("access.log")).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn all_lines_are_there_after_a_stop_and_a_rename_loses_none() {
    let format = "{status} {bytes_sent} {claimed_user}";
    let proxy = Proxy::with(&format!(
        "[logging]\naccess_log = \"{{dir}}/access.log\"\naccess_log_format = \"{format}\"\n"
    ));
    let (file, moved) =
        (proxy.directory().join("access.log"), proxy.directory().join("access.log.1"));
    let origin = Origin::echo();
    let sessions = |count: usize| {
        for _ in 0..count {
            drop(Client::connected(proxy.socks, origin.address));
        }
    };
    sessions(20);
    wait_for("the first lines", || {
        (fs::read_to_string(&file).ok()?.lines().count() == 20).then_some(())
    });
    // As logrotate does it.
    fs::rename(&file, &moved).unwrap();
    proxy.signal("USR1");
    wait_for("the new file", || file.exists().then_some(()));
    sessions(20);
    let directory = proxy.stop();
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let (old, new) = (read("access.log.1"), read("access.log"));
    assert_eq!((old.lines().count(), new.lines().count()), (20, 20));
    assert!(old.lines().chain(new.lines()).all(|line| line == "closed 0 -"), "{old}{new}");
}

#[test]
fn on_stderr_it_stands_beside_the_log_and_is_counted() {
    let mut proxy = Proxy::with(
        "[logging]\naccess_log = \"stderr\"\naccess_log_format = \"over: {close_code}\"\n",
    );
    let origin = Origin::echo();
    drop(Client::connected(proxy.socks, origin.address));
    wait_for("the line", || {
        proxy.log().lines().any(|line| line == "over: client_closed").then_some(())
    });
    let metrics = Scrape::of(proxy.api.unwrap());
    let lines = |result: &str| {
        metrics.value(&format!("rustsocks_access_log_lines_total{{result=\"{result}\"}}"))
    };
    assert_eq!(lines("written"), Some(1.0));
    assert_eq!((lines("dropped"), lines("failed")), (Some(0.0), Some(0.0)));
    proxy.signal("USR1");
    wait_for("what became of the signal", || proxy.log().contains("open anew").then_some(()));
}

#[test]
fn a_place_that_cannot_be_written_to_is_said_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let run = |logging: &str| {
        let file = directory.path().join("rustsocks.toml");
        let text = format!("[server]\nbind_port = 0\n[sessions]\nstats_api_port = 0\n{logging}");
        fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
            .args(["run", "--config"])
            .arg(&file)
            .current_dir(directory.path())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run("[logging]\naccess_log = \"nowhere/access.log\"\n");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("logging.access_log: nowhere/access.log cannot be opened"), "{said}");
    for (logging, why) in [
        ("[logging]\naccess_log_format = \"{usr}\"\n", "expected one such as {user}"),
        ("[logging]\naccess_log_format = \"{user\"\n", "single brace"),
        ("enabled = false\n[logging]\naccess_log = \"a\"\n", "`sessions.enabled` is false"),
    ] {
        let (code, said) = run(logging);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(why) && said.contains("access_log"), "{said}");
    }
}

#[test]
fn what_is_logged_in_json_says_nothing_of_the_machine_it_was_built_on() {
    let mut proxy = Proxy::with("[logging]\nformat = \"json\"\n");
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    let log = proxy.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let says = |text: &str| {
        lines.iter().any(|line| line["fields"]["message"].as_str().unwrap().contains(text))
    };
    assert!(says("has schema version"), "{log}");
    assert!(!log.contains("\"log."), "{log}");
}
