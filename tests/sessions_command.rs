//! `rustsocks sessions list|show|terminate` against a running proxy.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::process::{Command, Output};

use harness::client::Client;
use harness::command::{self, said};
use harness::origin::Origin;
use harness::proxy::Proxy;

/// Runs `rustsocks sessions …` beside the proxy.
fn sessions(proxy: &Proxy, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .arg("sessions")
        .args(arguments)
        .args(["--config", "rustsocks.toml", "--api", &proxy.api.unwrap().to_string()])
        .current_dir(proxy.directory())
        // The proxy on this machine is asked, and nobody in between.
        .env("http_proxy", "http://127.0.0.1:1")
        .output()
        .unwrap()
}

#[track_caller]
fn refused(output: &Output, code: i32) -> String {
    let complaint = command::refused(output, code);
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    complaint
}

fn relaying(proxy: &Proxy, origin: &Origin) -> Client {
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"x");
    assert_eq!(client.receive(1), b"x");
    client
}

#[test]
fn sessions_are_listed_shown_and_ended_by_id_and_by_filter() {
    let (proxy, origin, other) = (Proxy::start(), Origin::echo(), Origin::echo());
    let mut first = relaying(&proxy, &origin);
    let mut second = relaying(&proxy, &other);
    let list = said(sessions(&proxy, &["list"]));
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(list.contains(&origin.address.to_string()), "{list}");
    assert_eq!(said(sessions(&proxy, &["list", "--user", "nobody"])).lines().count(), 1);
    assert_eq!(said(sessions(&proxy, &["list", "--limit", "1"])).lines().count(), 2);
    let dest = origin.address.to_string();
    let line = said(sessions(&proxy, &["list", "--json", "--dest", &dest]));
    let session: serde_json::Value = serde_json::from_str(&line).unwrap();
    let id = session["session_id"].as_str().unwrap();

    let shown = said(sessions(&proxy, &["show", id]));
    assert!(shown.lines().any(|line| line == "status                active"), "{shown}");
    assert_eq!(said(sessions(&proxy, &["terminate", id])), "1 session told to end\n");
    assert_eq!(first.stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(refused(&sessions(&proxy, &["terminate", id]), 1).contains("has ended already"));
    let json = said(sessions(&proxy, &["show", "--json", id]));
    let session: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(session["close_code"], "terminated_by_admin");

    let told =
        said(sessions(&proxy, &["terminate", "--user", "anonymous", "--source", "127.0.0.1"]));
    assert_eq!(told, "1 session told to end\n");
    assert_eq!(second.stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let unknown = "00000000-0000-7000-8000-000000000000";
    assert!(refused(&sessions(&proxy, &["terminate", unknown]), 1).contains("no session"));
    assert!(refused(&sessions(&proxy, &["show", unknown]), 1).contains("no session"));
}

/// One page of the API holds a thousand.
#[test]
fn a_list_longer_than_a_page_is_whole_and_has_no_session_twice() {
    let proxy = Proxy::start();
    // Nobody takes them in: the kernel has connected them, which is enough.
    let target = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    target.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    target.listen(2048).unwrap();
    let address = target.local_addr().unwrap().as_socket().unwrap();
    let _clients: Vec<_> = (0..1050).map(|_| Client::connected(proxy.socks, address)).collect();
    let ids = |arguments: &[&str]| -> BTreeSet<String> {
        let lines = said(sessions(&proxy, arguments));
        let sessions = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        let ids: Vec<String> = sessions
            .map(|session: serde_json::Value| session["session_id"].as_str().unwrap().to_owned())
            .collect();
        let distinct: BTreeSet<_> = ids.iter().cloned().collect();
        assert_eq!(distinct.len(), ids.len());
        distinct
    };
    let all = ids(&["list", "--json", "--limit", "5000"]);
    assert_eq!(all.len(), 1050);
    let some = ids(&["list", "--json", "--limit", "1020"]);
    assert_eq!(some.len(), 1020);
    assert!(some.is_subset(&all));
}

#[test]
fn the_token_is_shown_where_it_is_wanted_and_its_lack_is_said() {
    let (proxy, origin) =
        (Proxy::with_sections("api_require_token = true", "", ""), Origin::echo());
    let _client = relaying(&proxy, &origin);
    assert_eq!(said(sessions(&proxy, &["list"])).lines().count(), 2);
    let wrong = proxy.directory().join("wrong");
    std::fs::write(&wrong, "0".repeat(64)).unwrap();
    for command in [&["list"][..], &["terminate", "--user", "anonymous"]] {
        let with = |file: &str| sessions(&proxy, &[command, &["--token-file", file]].concat());
        assert!(refused(&with("wrong"), 77).contains("wrong"));
        assert!(refused(&with("missing"), 1).contains("missing"));
    }
    assert!(
        !refused(&sessions(&proxy, &["list", "--token-file", "wrong"]), 77)
            .contains(&proxy.token())
    );
    assert_eq!(said(sessions(&proxy, &["list"])).lines().count(), 2, "nobody was ended");
}

#[test]
fn nothing_is_ended_by_a_line_that_does_not_say_what() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let mut client = relaying(&proxy, &origin);
    let id = "00000000-0000-7000-8000-000000000000";
    for arguments in
        [&["terminate"][..], &["terminate", id, "--user", "anonymous"], &["terminate", "x"]]
    {
        assert_eq!(sessions(&proxy, arguments).status.code(), Some(2), "{arguments:?}");
    }
    let said = |arguments: &[&str]| String::from_utf8(sessions(&proxy, arguments).stderr).unwrap();
    let nothing = said(&["terminate"]);
    for word in ["ID", "--user", "--dest", "--source"] {
        assert!(nothing.contains(word), "{nothing}");
    }
    for command in ["terminate", "show"] {
        assert!(said(&[command, "foo"]).contains("a UUID such as"), "{}", said(&[command, "foo"]));
    }
    client.send(b"y");
    assert_eq!(client.receive(1), b"y");
}

#[test]
fn where_no_proxy_runs_that_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["sessions", "list", "--api", &closed.to_string()])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(output.stdout.is_empty(), "a heading over nothing: {output:?}");
    let complaint = refused(&output, 1);
    assert!(complaint.contains(&closed.to_string()), "{complaint}");
}

#[test]
fn health_is_told_in_lines_and_by_the_exit_status_without_a_token() {
    let mut proxy = Proxy::with_sections("api_require_token = true", "", "");
    let api = proxy.api.unwrap().to_string();
    let health = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rustsocks"));
        command.args(["health", "--api", &api, "--token-file", "none"]).output().unwrap()
    };
    let text = said(health());
    assert!(text.starts_with("status       ok\n"), "{text}");
    assert!(text.contains("stage        ready\n"), "{text}");
    proxy.signal("TERM");
    proxy.wait();
    assert_eq!(health().status.code(), Some(1));
}
