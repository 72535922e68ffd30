//! `rustsocks user …`, and logins of those who are in the file.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

#[cfg(feature = "metrics")]
use harness::api;
use harness::client::{self, Client};
use harness::command::{refused, said};
use harness::origin::Origin;
use harness::proxy::Proxy;
#[cfg(feature = "metrics")]
use harness::scrape::Scrape;
use harness::wait_for;

/// Runs `rustsocks user …` on the file, with a line on its stdin.
fn user(file: &Path, arguments: &[&str], stdin: &str) -> Output {
    user_of("--file", file, arguments, stdin)
}

/// The same of what this option names.
fn user_of(option: &str, file: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .arg("user")
        .args(arguments)
        .arg(option)
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may refuse before it reads the password.
    let written = writeln!(child.stdin.take().unwrap(), "{stdin}");
    drop(written);
    child.wait_with_output().unwrap()
}

#[test]
fn users_are_added_changed_listed_checked_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    let told = |what: &str| format!("{}: {what}\n", file.canonicalize().unwrap().display());
    let added =
        said(user(&file, &["add", "alice", "--group", "staff", "--group", "ops"], "secret"));
    assert_eq!(added, told("\"alice\" is added"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&file, format!("# who\n\n{}", fs::read_to_string(&file).unwrap())).unwrap();
    said(user(&file, &["add", "bob"], "hidden"));
    assert_eq!(said(user(&file, &["list"], "")), "alice\tstaff,ops\nbob\n");
    said(user(&file, &["verify", "alice"], "secret"));
    refused(&user(&file, &["verify", "alice"], "hidden"), 1);
    refused(&user(&file, &["verify", "carol"], "hidden"), 1);
    assert!(refused(&user(&file, &["add", "bob"], "x"), 1).contains("is there already"));
    refused(&user(&file, &["add", "c:d"], "x"), 2);
    refused(&user(&file, &["add", "carol"], ""), 1);
    assert!(refused(&user(&file, &["add", "carol"], "one\ntwo"), 2).contains("more than one line"));
    refused(&user(&file, &["del", "carol"], ""), 1);
    refused(&user(&file, &["passwd", "carol"], "x"), 1);
    let changed = said(user(&file, &["passwd", "alice"], "changed"));
    assert_eq!(changed, told("\"alice\" has a new password"));
    refused(&user(&file, &["verify", "alice"], "secret"), 1);
    said(user(&file, &["verify", "alice"], "changed"));
    assert_eq!(said(user(&file, &["del", "bob"], "")), told("\"bob\" is deleted"));
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with("# who\n\nalice:$argon2id$") && text.ends_with(":staff,ops\n"),
        "{text}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn users_of_the_configuration_are_listed_and_checked_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (file, config) = (directory.path().join("users"), directory.path().join("rustsocks.toml"));
    said(user(&file, &["add", "bob"], "hidden"));
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    let alice = format!(
        "[auth]\nsocks_method = \"userpass\"\n{{more}}[[auth.users]]\nusername = \"alice\"\n\
         password_hash = \"{hash}\"\ngroups = [\"staff\", \"ops\"]\n"
    );
    let with = |more: &str| fs::write(&config, alice.replace("{more}", more)).unwrap();
    let by_config =
        |arguments: &[&str], stdin: &str| user_of("--config", &config, arguments, stdin);
    with("");
    assert_eq!(said(by_config(&["list"], "")), "alice\tstaff,ops\n");
    said(by_config(&["verify", "alice"], "secret"));
    refused(&by_config(&["verify", "bob"], "hidden"), 1);
    refused(&by_config(&["add", "carol"], "x"), 2);
    with(&format!("users_file = {file:?}\n"));
    assert_eq!(said(by_config(&["list"], "")), "alice\tstaff,ops\nbob\n");
    said(by_config(&["verify", "alice"], "secret"));
    said(by_config(&["verify", "bob"], "hidden"));
    refused(&by_config(&["verify", "bob"], "secret"), 1);
    // Where they are changed is said, and a file that no start would take is not made.
    for arguments in [["add", "alice"], ["passwd", "alice"], ["del", "alice"]] {
        let complaint = refused(&by_config(&arguments, "x"), 1);
        assert!(complaint.contains("\"alice\" is one of `[[auth.users]]`"), "{complaint}");
    }
    said(by_config(&["del", "bob"], ""));
    assert_eq!(said(by_config(&["list"], "")), "alice\tstaff,ops\n");
}

#[test]
fn changes_at_one_time_are_all_made() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    let link = directory.path().join("link");
    said(user(&file, &["add", "first"], "secret"));
    symlink(&file, &link).unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let path = if number % 2 == 0 { &file } else { &link };
            scope.spawn(move || said(user(path, &["add", &format!("user{number}")], "secret")));
        }
    });
    assert_eq!(said(user(&file, &["list"], "")).lines().count(), 9);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_file_with_a_fault_stays_as_it_is_and_the_fault_is_told_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    let text = "# one\nalice:hunter2\n";
    fs::write(&file, text).unwrap();
    let complaint = refused(&user(&file, &["add", "bob"], "x"), 78);
    assert!(complaint.contains("users:2:1: ") && !complaint.contains("hunter2"), "{complaint}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn whoever_is_in_the_file_logs_in_whatever_made_the_hash() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    said(user(&file, &["add", "argon2"], "secret"));
    let more = "\
        yescrypt:$y$j9T$abcdefghijklmnopqrstu.$7uryFExhLbAhrpK1WytVzeNObCUVaK3VoKccP3fJEIB\n\
        sha512:$6$saltstring$AIsRs/Ee56G/tC8MEHhvReZTfx8u3rXXMl6eYrjCG9ibix19DxoMBLogdTET5Ukw9Sf7eZTITsuk0Ry5qulYz.\n\
        sha256:$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.\n\
        bcrypt:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW:staff\n";
    fs::write(&file, fs::read_to_string(&file).unwrap() + more).unwrap();
    let proxy = Proxy::start_in(
        directory,
        "",
        "",
        "[auth]\nmax_failures = 0\nfailure_delay_ms = 0\nsocks_method = \"userpass\"\nusers_file = \"{dir}/users\"",
    );
    for name in ["argon2", "yescrypt", "sha512", "sha256", "bcrypt"] {
        for (password, right) in [("secret", true), ("Secret", false), ("secret\0", false)] {
            let mut client = Client::to(proxy.socks);
            assert_eq!(client.login(name, password), right, "{name} {password:?}");
        }
    }
    assert!(!Client::to(proxy.socks).login("nobody", "secret"));
}

#[test]
fn a_change_of_the_file_is_taken_over_and_a_deleted_users_session_ends() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    said(user(&file, &["add", "alice"], "secret"));
    said(user(&file, &["add", "bob"], "secret"));
    let origin = Origin::echo();
    let further = "[auth]\nmax_failures = 0\nfailure_delay_ms = 0\nsocks_method = \"userpass\"\nusers_file = \"{dir}/users\"";
    let mut proxy = Proxy::start_in(directory, "", "", further);
    let socks = proxy.socks;
    let relaying = |name: &str| {
        let mut client = Client::to(socks);
        assert!(client.login(name, "secret"));
        client.send(&client::connect(origin.address));
        assert_eq!(client.reply().0, 0);
        client
    };
    let (_alice, mut bob) = (relaying("alice"), relaying("bob"));
    said(user(&file, &["del", "alice"], ""));
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE user = 'alice' AND close_code = 'policy_changed'",
        1,
    );
    assert!(!Client::to(socks).login("alice", "secret"));
    bob.send(b"x");
    assert_eq!(bob.receive(1), b"x");
    // What cannot be read changes nothing.
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, "alice\n").unwrap();
    wait_for("the fault is told", || proxy.log().contains("users:1:1: ").then_some(()));
    assert!(Client::to(socks).login("bob", "secret"));
    fs::write(&file, before).unwrap();
    said(user(&file, &["add", "carol"], "secret"));
    wait_for("carol is let in", || Client::to(socks).login("carol", "secret").then_some(()));
}

/// A file that cannot be read is no file without users: whoever was in it stays, and that is seen.
#[cfg(feature = "metrics")]
#[test]
fn a_file_that_cannot_be_read_is_told_of_until_it_is_taken_over() {
    let nobody = rustix::process::geteuid().is_root().then_some(65_534);
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("conf");
    let (file, new) = (folder.join("users"), folder.join("new"));
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in ["alice", "bob"] {
        said(user(&file, &["add", name], "secret"));
    }
    for path in [directory.path(), &folder, &file] {
        chown(path, nobody, nobody).unwrap();
    }
    let server = nobody.map_or("", |_| "user = \"nobody\"\ngroup = \"nogroup\"");
    let further = "[auth]\nmax_failures = 0\nfailure_delay_ms = 0\nsocks_method = \"userpass\"\n\
                   users_file = \"{dir}/conf/users\"";
    let mut proxy = Proxy::start_in(directory, server, "", further);
    let (socks, api) = (proxy.socks, proxy.api.unwrap());
    let stale = |expected: f64| {
        wait_for("what the gauge says", || {
            (Scrape::of(api).value("rustsocks_policy_stale") == Some(expected)).then_some(())
        });
        let health = api::get(api, "/health").json();
        health["checks"]["policy"].as_str().unwrap().to_owned()
    };
    assert_eq!(stale(0.0), "ok");
    fs::copy(&file, &new).unwrap();
    said(user(&new, &["del", "alice"], ""));
    chown(&new, nobody, nobody).unwrap();
    mode(&new, 0);
    fs::rename(&new, &file).unwrap();
    let why = stale(1.0);
    assert!(why.contains("the file of users is not in force as it is: "), "{why}");
    assert!(why.contains("ermission denied") && why.contains("a restart may do"), "{why}");
    assert!(Client::to(socks).login("alice", "secret"));
    mode(&file, 0o600);
    assert_eq!(stale(0.0), "ok");
    assert!(!Client::to(socks).login("alice", "secret"));
    assert!(Client::to(socks).login("bob", "secret"));
    // The way to it is closed, and what is in force is found to be what it says when it is open again.
    mode(&folder, 0);
    let why = stale(1.0);
    assert!(why.contains("ermission denied"), "{why}");
    mode(&folder, 0o700);
    assert_eq!(stale(0.0), "ok");
    assert!(proxy.log().contains("policy 2 in "));
    assert!(!proxy.log().contains("policy 3 in "), "nothing else was read");
}

#[test]
fn the_folder_of_the_file_is_made_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    // Only root can give things away.
    let given = chown(directory.path(), Some(65_534), Some(65_533)).is_ok();
    let mut adding = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["user", "add", "alice", "--file", "data/users"])
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    adding.stdin.take().unwrap().write_all(b"pw\n").unwrap();
    assert!(adding.wait().unwrap().success());
    let made = fs::metadata(directory.path().join("data")).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o700);
    for path in ["data", "data/users"].iter().filter(|_| given) {
        let made = fs::metadata(directory.path().join(path)).unwrap();
        assert_eq!((made.uid(), made.gid()), (65_534, 65_533), "{path}: whoever runs the proxy");
    }
}
