//! Logins that the host's PAM decides on, with services of its own modules, against what pamtester says
//! of the same.
#![cfg(all(feature = "pam", feature = "database"))]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use harness::api::ask;
use harness::client::{self, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::wait_for;
use tempfile::TempDir;

/// A service of the host, as long as it lives.
struct Service {
    name: String,
    file: PathBuf,
}

impl Service {
    /// One of these lines; `None` where we may not make any.
    fn new(lines: &str) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can make a service of PAM");
            return None;
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("rustsocks-test-{}-{number}", std::process::id());
        let file = Path::new("/etc/pam.d").join(&name);
        fs::write(&file, lines).unwrap();
        Some(Self { name, file })
    }

    /// What pamtester says of a login from this host.
    fn lets_in(&self, user: &str, password: &str) -> bool {
        let mut tester = Command::new("pamtester")
            .args(["-I", "rhost=127.0.0.1", &self.name, user, "authenticate", "acct_mgmt"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tester.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
        tester.wait().unwrap().success()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        fs::remove_file(&self.file).unwrap_or_default();
    }
}

/// A directory with a file of passwords as `pam_userdb` reads it: names and passwords in turns.
fn passwords(users: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut load = Command::new("db_load")
        .args(["-T", "-t", "hash"])
        .arg(directory.path().join("passwords.db"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = load.stdin.take().unwrap();
    for (user, password) in users {
        writeln!(stdin, "{user}\n{password}").unwrap();
    }
    drop(stdin);
    assert!(load.wait().unwrap().success());
    directory
}

/// The lines that let in whom the passwords of this directory do, but not who is in `shut`, and only
/// from this host.
fn stack(directory: &Path) -> String {
    let at = directory.display();
    fs::write(directory.join("shut"), "carol\n").unwrap();
    fs::write(directory.join("hosts"), "127.0.0.1\n").unwrap();
    format!(
        "auth required pam_userdb.so db={at}/passwords crypt=none\n\
         account required pam_listfile.so item=user sense=deny file={at}/shut onerr=fail\n\
         account required pam_listfile.so item=rhost sense=allow file={at}/hosts onerr=fail\n"
    )
}

fn auth(service: &Service, further: &str) -> String {
    format!(
        "[auth]\nsocks_method = \"userpass\"\npam_service = \"{}\"\nfailure_delay_ms = 0\n{further}\n",
        service.name
    )
}

#[test]
fn whoever_pam_lets_in_is_let_in_and_nobody_else() {
    let long = "x".repeat(255);
    let directory =
        passwords(&[("alice", "right"), ("carol", "right"), ("dora", "hers"), ("élise", &long)]);
    let Some(service) = Service::new(&stack(directory.path())) else { return };
    let hash = rustsocks::auth::hash(b"listed").unwrap();
    let further = auth(
        &service,
        &format!(
            "max_failures = 0\npam_groups = [\"host\"]\n[[auth.users]]\nusername = \"dora\"\n\
             password_hash = \"{hash}\"\n[acl]\nenabled = true\nconfig_file = \"{{dir}}/acl.toml\""
        ),
    );
    let origin = Origin::echo();
    let rules = "[global]\ndefault_policy = \"block\"\n[[groups]]\nname = \"host\"\n\
                 [[groups.rules]]\naction = \"allow\"\ndestinations = [\"127.0.0.1\"]\n";
    fs::write(directory.path().join("acl.toml"), rules).unwrap();
    let mut proxy = Proxy::start_in(directory, "", "", &further);
    let names =
        |log: &str| log.contains(&format!("about all others the PAM service {:?}", service.name));
    assert!(names(&proxy.log()), "{}", proxy.log());
    // The third column: whether PAM is asked at all.
    let rows: [(&str, &str, bool, bool); 13] = [
        ("alice", "right", true, true),
        ("alice", "wrong", true, false),
        ("alice", "righ", true, false),
        ("alice", "rightt", true, false),
        ("alice", "right\0", false, false),
        ("Alice", "right", true, false),
        ("alice\0", "right", false, false),
        ("bob", "right", true, false),
        ("carol", "right", true, false),
        ("élise", &long, true, true),
        ("élise", &long[1..], true, false),
        ("dora", "hers", false, false),
        ("dora", "listed", false, true),
    ];
    for (user, password, asked, expected) in rows {
        let mut client = Client::to(proxy.socks);
        let let_in = client.login(user, password);
        assert_eq!(let_in, expected, "{user:?} {password:?}");
        if asked {
            assert_eq!(service.lets_in(user, password), expected, "pamtester: {user:?}");
        }
        if let_in {
            // Those whom PAM lets in are in its groups, and the rule is for these.
            client.send(&client::connect(origin.address));
            assert_eq!(client.reply().0, if asked { 0 } else { 2 }, "{user:?}");
        }
    }
    let said = |what: &str| format!("SELECT count(*) FROM sessions WHERE {what}");
    proxy.wait_count(&said("user = 'alice' AND status = 'closed'"), 1);
    proxy.wait_count(&said("user = 'dora' AND close_code = 'acl_denied'"), 1);
    proxy.wait_count(&said("close_code = 'auth_failed' AND claimed_user = 'carol'"), 1);
    proxy.wait_count(&said("close_code = 'auth_failed'"), 10);
    let threads = fs::read_dir(format!("/proc/{}/task", proxy.pid())).unwrap();
    let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm")).unwrap();
    let threads = threads.map(|thread| name(thread.unwrap()).trim().to_owned());
    assert_eq!(threads.filter(|name| name.starts_with("pam-")).count(), 8);
    proxy.stop();
}

#[test]
fn an_ended_service_ends_its_sessions_and_no_others() {
    let directory = passwords(&[("alice", "right")]);
    let Some(service) = Service::new(&stack(directory.path())) else { return };
    let hash = rustsocks::auth::hash(b"listed").unwrap();
    let listed = format!("[[auth.users]]\nusername = \"dora\"\npassword_hash = \"{hash}\"\n");
    let proxy = Proxy::start_in(directory, "", "", &auth(&service, &listed));
    let origin = Origin::echo();
    let relaying = |user: &str, password: &str| {
        let mut client = Client::to(proxy.socks);
        assert!(client.login(user, password));
        client.send(&client::connect(origin.address));
        assert_eq!(client.reply().0, 0);
        client
    };
    let (mut alice, mut dora) = (relaying("alice", "right"), relaying("dora", "listed"));
    let reload = || ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(reload().status, 200);
    for client in [&mut alice, &mut dora] {
        client.send(b"x");
        assert_eq!(client.receive(1), b"x");
    }
    let file = proxy.directory().join("rustsocks.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&format!("pam_service = \"{}\"", service.name), "")).unwrap();
    let answer = reload();
    assert_eq!(
        answer.json()["changed"],
        serde_json::json!(["auth.pam_service"]),
        "{}",
        answer.body
    );
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'policy_changed'", 1);
    dora.send(b"y");
    assert_eq!(dora.receive(1), b"y");
    assert!(!Client::to(proxy.socks).login("alice", "right"));
    fs::write(&file, text).unwrap();
    assert_eq!(reload().status, 200);
    assert!(Client::to(proxy.socks).login("alice", "right"));
    proxy.stop();
}

#[test]
fn a_service_that_is_named_later_takes_a_restart() {
    let directory = passwords(&[("alice", "right")]);
    let Some(service) = Service::new(&stack(directory.path())) else { return };
    let hash = rustsocks::auth::hash(b"listed").unwrap();
    let listed = format!("[[auth.users]]\nusername = \"dora\"\npassword_hash = \"{hash}\"\n");
    let further = auth(&service, &listed);
    let without = further.replace(&format!("pam_service = \"{}\"", service.name), "");
    let proxy = Proxy::start_in(directory, "", "", &without);
    let file = proxy.directory().join("rustsocks.toml");
    let text = fs::read_to_string(&file).unwrap().replace(&without, &further);
    fs::write(&file, text).unwrap();
    let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    let expected = serde_json::json!(["auth.pam_service"]);
    assert_eq!(answer.json()["needs_restart"], expected, "{}", answer.body);
    assert!(!Client::to(proxy.socks).login("alice", "right"));
    assert!(Client::to(proxy.socks).login("dora", "listed"));
    let directory = proxy.stop();
    let proxy = Proxy::start_in(directory, "", "", &further);
    assert!(Client::to(proxy.socks).login("alice", "right"));
    proxy.stop();
}

#[test]
fn a_service_that_cannot_answer_bans_nobody() {
    let broken = "auth required pam_of_another_host.so\naccount required pam_permit.so\n";
    let Some(service) = Service::new(broken) else { return };
    let mut proxy = Proxy::with(&auth(&service, "max_failures = 1"));
    for _ in 0..3 {
        assert!(!Client::to(proxy.socks).login("alice", "right"));
    }
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'server_busy'", 3);
    let log = proxy.log();
    assert!(log.contains("cannot answer: "), "{log}");
    assert!(!log.contains("banned after"), "{log}");
    proxy.stop();
}

#[test]
fn wrong_passwords_of_the_host_ban_as_ours_do() {
    let directory = passwords(&[("alice", "right")]);
    let Some(service) = Service::new(&stack(directory.path())) else { return };
    let mut proxy = Proxy::start_in(directory, "", "", &auth(&service, "max_failures = 3"));
    for number in 0..3 {
        assert!(!Client::to(proxy.socks).login("alice", &format!("wrong {number}")));
    }
    wait_for("the ban", || proxy.log().contains("banned after too many failures").then_some(()));
    proxy.stop();
}

#[test]
fn a_service_without_a_file_is_told_of_and_lets_nobody_in() {
    let Some(service) = Service::new("") else { return };
    fs::remove_file(&service.file).unwrap();
    let mut proxy = Proxy::with(&auth(&service, ""));
    let expected =
        format!("there is no /etc/pam.d/{}, so PAM asks the service \"other\"", service.name);
    assert!(proxy.log().contains(&expected), "{}", proxy.log());
    assert!(!Client::to(proxy.socks).login("root", "right"));
    proxy.stop();
}

/// A program for `pam_exec`, in this directory.
fn program(directory: &Path, text: &str) -> String {
    let path = directory.join("program");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!(
        "auth required pam_exec.so quiet expose_authtok {}\naccount required pam_permit.so\n",
        path.display()
    )
}

#[test]
fn modules_start_programs_only_without_the_sandbox() {
    let directory = tempfile::tempdir().unwrap();
    let lines = program(
        directory.path(),
        "[ \"$PAM_USER@$PAM_RHOST:$(tr -d '\\0')\" = alice@127.0.0.1:right ]",
    );
    let Some(service) = Service::new(&lines) else { return };
    let mut proxy = Proxy::with(&auth(&service, "max_failures = 0"));
    assert!(!Client::to(proxy.socks).login("alice", "right"));
    assert!(proxy.log().contains("refuses \"alice\": "), "{}", proxy.log());
    proxy.stop();
    let proxy = Proxy::with_sections("sandbox = \"off\"", "", &auth(&service, "max_failures = 0"));
    for (user, password, expected) in
        [("alice", "right", true), ("alice", "wrong", false), ("bob", "right", false)]
    {
        assert_eq!(Client::to(proxy.socks).login(user, password), expected, "{user} {password}");
    }
    proxy.stop();
}

#[test]
fn a_service_that_hangs_holds_up_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let lines = program(directory.path(), &format!("cat {} >/dev/null", gate.display()));
    let Some(service) = Service::new(&lines) else { return };
    let hash = rustsocks::auth::hash(b"listed").unwrap();
    let listed = format!("[[auth.users]]\nusername = \"dora\"\npassword_hash = \"{hash}\"\n");
    let proxy =
        Proxy::with_sections("sandbox = \"off\"\nworkers = 1", "", &auth(&service, &listed));
    let socks = proxy.socks;
    let held = thread::spawn(move || Client::to(socks).login("alice", "any"));
    // Opened once the program reads, so the check is under way.
    let gate = fs::File::options().write(true).open(&gate).unwrap();
    let origin = Origin::echo();
    let mut dora = Client::to(socks);
    assert!(dora.login("dora", "listed"));
    dora.send(&client::connect(origin.address));
    assert_eq!(dora.reply().0, 0);
    dora.send(b"x");
    assert_eq!(dora.receive(1), b"x");
    assert!(!held.is_finished());
    drop(gate);
    assert!(held.join().unwrap());
    proxy.stop();
}

#[test]
fn modules_that_hang_hold_no_more_threads_than_there_are_and_the_others_are_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (gate, open) = (directory.path().join("gate"), directory.path().join("open"));
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let hangs = format!("[ -e {} ] || cat {} >/dev/null", open.display(), gate.display());
    let Some(service) = Service::new(&program(directory.path(), &hangs)) else { return };
    let hash = rustsocks::auth::hash(b"listed").unwrap();
    let listed = format!("[[auth.users]]\nusername = \"dora\"\npassword_hash = \"{hash}\"\n");
    let server = "sandbox = \"off\"\nworkers = 1\nhandshake_timeout_ms = 1000";
    let mut proxy = Proxy::with_sections(server, "", &auth(&service, &listed));
    let (socks, api) = (proxy.socks, proxy.api.unwrap());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(!Client::to(socks).login("alice", "any")));
        }
    });
    let refused = || Scrape::of(api).value("rustsocks_logins_held_up_total").unwrap();
    wait_for("a login to be refused", || {
        assert!(!Client::to(socks).login("bob", "any"));
        (refused() > 0.0).then_some(())
    });
    let busy = "SELECT count(*) FROM sessions WHERE close_code = 'server_busy'";
    wait_for("its record", || (proxy.count(busy) > 0).then_some(()));
    for _ in 0..10 {
        assert!(!Client::to(socks).login("bob", "any"));
    }
    assert!(refused() >= 11.0);
    // From the same address.
    let origin = Origin::echo();
    let mut dora = Client::to(socks);
    assert!(dora.login("dora", "listed"));
    dora.send(&client::connect(origin.address));
    assert_eq!(dora.reply().0, 0);
    let said = "all 8 threads \"pam\" have been held for more than 1s";
    assert_eq!(proxy.log().matches(said).count(), 1, "{}", proxy.log());
    fs::write(&open, "").unwrap();
    drop(fs::File::options().write(true).open(&gate).unwrap());
    wait_for("a thread", || Client::to(socks).login("alice", "any").then_some(()));
    assert!(proxy.log().contains("one of the threads \"pam\" is free again"), "{}", proxy.log());
    proxy.stop();
}

#[test]
fn a_sandbox_that_kills_is_refused_beside_modules() {
    let Some(service) = Service::new("auth required pam_deny.so\n") else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rustsocks.toml");
    fs::write(&file, format!("[server]\nsandbox = \"strict\"\n{}", auth(&service, ""))).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    let expected =
        "rustsocks.toml:5:15: auth.pam_service: does not go with `server.sandbox = \"strict\"`";
    assert!(said.contains(expected), "{said}");
}
