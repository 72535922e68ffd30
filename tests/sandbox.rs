//! What the process has given up once it runs, and that it misses nothing of it: under every kind of
//! load, with filters that would end it at the first system call that is not on its list.
#![cfg(all(feature = "database", feature = "dns-cares"))]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;
#[path = "sandbox/load.rs"]
mod load;
#[path = "harness/names.rs"]
mod names;
#[path = "sandbox/root.rs"]
mod root;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::process::Command;

use harness::api::ask;
use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;
use load::{SERVER, load, zone};
use names::NameServer;
use tempfile::TempDir;

/// A user and a group that own nothing, wherever Debian is.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory of nobody's.
fn directory_of_nobody() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    directory
}

/// What `/proc` says of a process or a thread.
fn status(of: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{of}/status")).unwrap();
    let line = |line: &str| line.split_once(':').map(|(k, v)| (k.to_owned(), v.trim().to_owned()));
    text.lines().filter_map(line).collect()
}

/// Of each thread, its name and the value.
fn of_threads(pid: u32, key: &str) -> Vec<(String, String)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let one = |thread: fs::DirEntry| {
        let all = status(&format!("{pid}/task/{}", thread.file_name().to_str().unwrap()));
        (all["Name"].clone(), all[key].clone())
    };
    threads.map(|thread| one(thread.unwrap())).collect()
}

#[track_caller]
fn echo(proxy: &Proxy, origin: &Origin) {
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"x");
    assert_eq!(client.receive(1), b"x");
}

#[test]
fn root_is_given_up_for_good_with_everything_that_is_not_needed() {
    if !is_root() {
        eprintln!("SKIPPED: only root can become somebody else");
        return;
    }
    let server = "user = \"nobody\"\ngroup = \"nogroup\"\nsandbox = \"strict\"";
    let mut proxy = Proxy::start_in(directory_of_nobody(), server, "", "");
    let (pid, origin) = (proxy.pid(), Origin::echo());
    let is = status(&pid.to_string());
    let nobody = format!("{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}");
    assert_eq!((&is["Uid"], &is["Gid"]), (&nobody, &nobody));
    assert_eq!(is["Groups"], NOBODY.to_string());
    assert_eq!(is["NoNewPrivs"], "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let threads = of_threads(pid, set);
        assert!(threads.len() > 5, "{threads:?}");
        assert!(threads.iter().all(|(_, of)| of == "0000000000000000"), "{set}: {threads:?}");
    }
    let filtered = of_threads(pid, "Seccomp");
    assert!(filtered.iter().all(|(_, mode)| mode == "2"), "{filtered:?}");
    // And it works: sessions, records, the API, a reload.
    echo(&proxy, &origin);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 1);
    let reload = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(reload.status, 200, "{}", reload.body);
    let log = proxy.log();
    assert!(log.contains("it goes on as nobody, without capabilities"), "{log}");
    assert!(log.contains("only our own files can be reached"), "{log}");
    proxy.stop();
}

#[test]
fn no_core_is_left_with_the_sandbox_and_without() {
    for sandbox in ["on", "strict", "off"] {
        let mut command = by_nobody();
        command.env_remove("RUST_LOG");
        let server = format!("sandbox = \"{sandbox}\"");
        let proxy = Proxy::launch(command, own_directory(), &server, "", "");
        let limits = fs::read_to_string(format!("/proc/{}/limits", proxy.pid())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let values: Vec<_> = core.split_whitespace().rev().skip(1).take(2).collect();
        assert_eq!(values, ["0", "0"], "{sandbox}: {core}");
        // Whoever may be dumped has its files in /proc itself, else they are root's (proc(5)).
        let memory = fs::metadata(format!("/proc/{}/mem", proxy.pid())).unwrap();
        assert_eq!(memory.uid(), 0, "{sandbox}");
        proxy.stop();
    }
}

#[test]
fn a_capability_that_the_settings_need_is_kept_and_no_other() {
    if !is_root() {
        eprintln!("SKIPPED: only root has capabilities to keep");
        return;
    }
    let server = "user = \"nobody\"\nsandbox = \"strict\"";
    let proxy = Proxy::start_in(directory_of_nobody(), server, "", "[egress]\nmark = 7\n");
    let is = status(&proxy.pid().to_string());
    // CAP_NET_ADMIN is number 12.
    assert_eq!(
        (is["CapEff"].as_str(), is["CapPrm"].as_str()),
        ("0000000000001000", is["CapEff"].as_str())
    );
    assert_eq!(is["CapBnd"], is["CapEff"]);
    echo(&proxy, &Origin::echo());
    proxy.stop();
}

#[test]
fn ports_that_a_capability_is_lacking_for_are_refused_and_not_each_association() {
    let mut command = by_nobody();
    command.env_remove("RUST_LOG");
    let proxy = Proxy::launch(command, own_directory(), "", "", "");
    let start = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if start.trim().parse::<u16>().unwrap() < 1000 {
        eprintln!("SKIPPED: anybody may listen on any port here");
        return;
    }
    let config = proxy.directory().join("rustsocks.toml");
    let text = fs::read_to_string(&config).unwrap();
    let low = text.replace("[server]", "[server]\nudp_port_range = \"900-999\"");
    fs::write(&config, &low).unwrap();
    let reload = || ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    let answer = reload();
    assert_eq!(answer.status, 409, "{}", answer.body);
    let expected = "900 may not be listened on without CAP_NET_BIND_SERVICE";
    assert!(answer.body.contains(expected), "{}", answer.body);
    fs::write(&config, low.replace("900-999", "40000-40999")).unwrap();
    assert_eq!(reload().status, 200);
    // A start says the same.
    let directory = proxy.stop();
    fs::write(directory.path().join("rustsocks.toml"), &low).unwrap();
    let mut command = by_nobody();
    command.args(["run", "--config", "rustsocks.toml"]).current_dir(directory.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{said}");
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_reload_that_wants_what_was_given_up_is_refused_and_says_that_a_restart_may_do() {
    let proxy = Proxy::start();
    let config = proxy.directory().join("rustsocks.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[egress]\nmark = 7\n")).unwrap();
    let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(answer.status, 409, "{}", answer.body);
    for expected in ["egress.mark = 7: needs CAP_NET_ADMIN", "a restart may do"] {
        assert!(answer.body.contains(expected), "{}", answer.body);
    }
    echo(&proxy, &Origin::echo());
    let directory = proxy.stop();
    if is_root() {
        Proxy::start_in(directory, "", "", "[egress]\nmark = 7\n").stop();
    }
}

/// The binary, run by nobody.
fn by_nobody() -> Command {
    if !is_root() {
        return Command::new(env!("CARGO_BIN_EXE_rustsocks"));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(env!("CARGO_BIN_EXE_rustsocks"));
    command
}

fn own_directory() -> TempDir {
    if is_root() { directory_of_nobody() } else { tempfile::tempdir().unwrap() }
}

#[test]
fn whoever_is_not_root_is_held_to_the_same_and_becomes_nobody_else() {
    let mut command = by_nobody();
    command.env_remove("RUST_LOG");
    let proxy = Proxy::launch(command, own_directory(), "sandbox = \"strict\"", "", "");
    let is = status(&proxy.pid().to_string());
    assert_eq!((is["NoNewPrivs"].as_str(), is["CapEff"].as_str()), ("1", "0000000000000000"));
    assert_eq!(is["Seccomp"], "2");
    echo(&proxy, &Origin::echo());
    let directory = proxy.stop();
    let config = directory.path().join("other.toml");
    fs::write(
        &config,
        "[server]\nuser = \"root\"\nbind_port = 0\n[sessions]\nstats_api_port = 0\n",
    )
    .unwrap();
    let output = by_nobody().args(["run", "--config"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{said}");
    assert!(said.contains("server.user = \"root\": only root can become somebody else"), "{said}");
}

#[test]
fn a_user_that_is_none_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("rustsocks.toml");
    fs::write(
        &config,
        "[server]\nuser = \"no such user\"\nbind_port = 0\n[sessions]\nstats_api_port = 0\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["run", "--config"])
        .arg(&config)
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    let expected = "server.user = \"no such user\": this host has no such user or group";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_file_elsewhere_is_out_of_reach_for_a_process_that_runs() {
    let elsewhere = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let rules = elsewhere.path().join("acl.toml");
    fs::write(&rules, "[global]\ndefault_policy = \"allow\"\n").unwrap();
    let proxy = Proxy::start();
    let config = proxy.directory().join("rustsocks.toml");
    let mut text = fs::read_to_string(&config).unwrap();
    text += &format!("[acl]\nenabled = true\nconfig_file = \"{}\"\n", rules.display());
    fs::write(&config, text).unwrap();
    let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    let expected = format!("{}: acl.config_file: cannot be read: ", rules.display());
    assert!(answer.status != 200 && answer.body.contains(&expected), "{}", answer.body);
    assert!(answer.body.contains("a restart"), "{}", answer.body);
    echo(&proxy, &Origin::echo());
}

#[test]
fn of_a_home_no_more_is_reached_than_the_files_that_were_named() {
    // Not below the directory of temporary files, which may be written to anyway.
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let ledger = elsewhere.path().join("ledger");
    let there = home.path().to_path_buf();
    let path = |name: &str| there.join(name);
    let rules = |action: &str| format!("[global]\ndefault_policy = \"{action}\"\n");
    fs::write(path("acl.toml"), rules("allow")).unwrap();
    fs::write(path("letters.toml"), rules("allow")).unwrap();
    let environment =
        [("HOME", there.as_os_str()), ("RUSTSOCKS_SESSIONS_LEDGER_PATH", ledger.as_os_str())];
    let further = "[acl]\nenabled = true\nconfig_file = \"acl.toml\"\n";
    let (file, new) = (path("acl.toml"), path("new"));
    let (config, letters) = (path("rustsocks.toml"), path("letters.toml"));
    let mut proxy = Proxy::start_with(&environment, home, "", "", further);
    let log = proxy.log();
    let said = format!("only {} can be read", file.display());
    assert!(log.contains(&said), "{log}");
    let reload = || ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    fs::write(&file, rules("block")).unwrap();
    let answer = reload();
    assert!(answer.body.contains("another default policy"), "{}", answer.body);
    // Another file of the same directory is out of reach, whether it is named so or has taken the place.
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("acl.toml", letters.to_str().unwrap())).unwrap();
    let refused = |what: &str| {
        let answer = reload();
        assert!(
            answer.status != 200 && answer.body.contains("a restart"),
            "{what}: {}",
            answer.body
        );
        assert!(answer.body.contains("cannot be read"), "{what}: {}", answer.body);
    };
    refused("another file");
    fs::write(&config, text).unwrap();
    assert_eq!(reload().status, 200);
    fs::write(&new, rules("allow")).unwrap();
    fs::rename(&new, &file).unwrap();
    refused("a replaced one");
    // A restart does.
    let home = proxy.stop();
    Proxy::start_with(&environment, home, "", "", further).stop();
}

#[test]
fn a_home_that_has_to_be_written_to_is_named() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let there = home.path().to_path_buf();
    let further = "[logging]\naccess_log = \"access.log\"\n";
    let mut proxy = Proxy::start_with(&[("HOME", there.as_os_str())], home, "", "", further);
    let log = proxy.log();
    let said = format!(
        "any file below {} can be written to as far as the user may: the access log lies",
        there.display()
    );
    assert!(log.contains(&said), "{log}");
    proxy.stop();
}

#[test]
fn files_that_are_links_are_read_and_written_where_they_lie() {
    // Not below the directory of temporary files, which may be written to anyway.
    let directory = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (named, elsewhere) = (directory(), directory());
    let (rules, database) =
        (elsewhere.path().join("rules.toml"), elsewhere.path().join("stored.db"));
    let (users, origin) = (elsewhere.path().join("users"), Origin::echo());
    fs::write(&rules, "[global]\ndefault_policy = \"allow\"\n").unwrap();
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    let line = |name: &str| format!("{name}:{hash}\n");
    fs::write(&users, line("alice")).unwrap();
    fs::write(&database, "").unwrap();
    fs::create_dir(named.path().join("data")).unwrap();
    symlink(&rules, named.path().join("acl.toml")).unwrap();
    symlink(&users, named.path().join("users")).unwrap();
    symlink(&database, named.path().join("data/sessions.db")).unwrap();
    let further = "[acl]\nenabled = true\nconfig_file = \"acl.toml\"\n[auth]\n\
                   socks_method = \"userpass\"\nusers_file = \"users\"\n";
    let ledger = [("RUSTSOCKS_SESSIONS_LEDGER_PATH", "own".as_ref())];
    let proxy = Proxy::start_with(&ledger, named, "", "", further);
    let reply = |user: &str| {
        let mut client = Client::to(proxy.socks);
        client.login(user, "secret").then(|| {
            client.send(&harness::client::connect(origin.address));
            client.reply().0
        })
    };
    let reload = || {
        let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    assert_eq!((reply("alice"), reply("bob")), (Some(0), None));
    // Once in its place, once with another put there.
    fs::write(&rules, "[global]\ndefault_policy = \"block\"\n").unwrap();
    fs::write(elsewhere.path().join("new"), line("alice") + &line("bob")).unwrap();
    fs::rename(elsewhere.path().join("new"), &users).unwrap();
    reload();
    assert_eq!((reply("alice"), reply("bob")), (Some(2), Some(2)));
    // And a file in the place of a link.
    let link = proxy.directory().join("acl.toml");
    fs::remove_file(&link).unwrap();
    fs::write(&link, "[global]\ndefault_policy = \"allow\"\n").unwrap();
    reload();
    assert_eq!(reply("bob"), Some(0));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status <> 'active'", 5);
    let health = ask(proxy.api.unwrap(), "GET", "/health", None);
    assert_eq!(health.json()["status"], "ok", "{}", health.body);
    assert!(elsewhere.path().join("stored.db-wal").exists());
    proxy.stop();
}

#[test]
fn what_a_removed_data_directory_cannot_take_waits_for_the_next_start() {
    // Not below the directory of temporary files, which may be written to anyway.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let proxy = Proxy::start_in(directory, "", "", "");
    let (data, origin) = (proxy.directory().join("data"), Origin::echo());
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir(&data).unwrap();
    let health = || ask(proxy.api.unwrap(), "GET", "/health", None).json()["status"].clone();
    wait_for("the trouble", || (health() == "degraded").then_some(()));
    echo(&proxy, &origin);
    let directory = proxy.kill();
    let proxy = Proxy::start_in(directory, "", "", "");
    proxy.wait_count("SELECT count(*) FROM sessions", 1);
    proxy.stop();
}

/// Lives on, reloads by signal and by the API, ends with everything stored.
fn hold(further: &str, login: bool) {
    let names = NameServer::start(zone);
    let further = further.replace("{names}", &names.address().to_string());
    let mut proxy = Proxy::with_sections(SERVER, "", &further);
    load((proxy.socks, proxy.api.unwrap()), login);
    proxy.signal("HUP");
    wait_for("the reload", || proxy.log().contains("reloaded by SIGHUP").then_some(()));
    let api = proxy.api.unwrap();
    let reload = ask(api, "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(reload.status, 200, "{}", reload.body);
    let filtered = of_threads(proxy.pid(), "Seccomp");
    assert!(filtered.iter().all(|(_, mode)| mode == "2"), "{filtered:?}");
    load((proxy.socks, proxy.api.unwrap()), login);
    let directory = proxy.stop();
    // A second start reads what the first has left.
    let proxy = Proxy::start_in(directory, SERVER, "", &further);
    assert!(proxy.count("SELECT count(*) FROM sessions WHERE status = 'closed'") > 100);
    proxy.stop();
}

#[test]
fn no_thread_misses_a_system_call_under_load() {
    hold("[resolver]\nservers = [\"{names}\"]\n", false);
}

#[test]
fn nor_where_logins_are_wanted() {
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    hold(
        &format!(
            "[resolver]\nservers = [\"{{names}}\"]\n[auth]\nsocks_method = \"userpass\"\n\
             failure_delay_ms = 0\n[[auth.users]]\nusername = \"alice\"\n\
             password_hash = \"{hash}\"\n"
        ),
        true,
    );
}

#[test]
fn nor_where_the_system_is_asked_for_names() {
    let proxy = Proxy::with_sections(SERVER, "", "[resolver]\nkind = \"system\"\n");
    let origin = Origin::echo();
    for _ in 0..20 {
        let target = ("localhost", origin.address.port());
        let mut client = Client::connected(proxy.socks, target);
        client.send(b"x");
        let mut octet = [0];
        client.stream.read_exact(&mut octet).unwrap();
    }
    proxy.stop();
}
