//! Root that goes on as root: what it keeps, in directories of its own, in somebody's, and in a container.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

use tempfile::TempDir;

use super::harness::api::ask;
use super::harness::origin::Origin;
use super::harness::proxy::Proxy;
use super::harness::wait_for;
use super::{NOBODY, directory_of_nobody, echo, is_root, of_threads, status};

/// What each thread may still do as root, and that all works with it.
fn as_root(
    directory: TempDir,
    (server, further): (&str, &str),
) -> (TempDir, String, BTreeMap<String, String>) {
    let server = format!("sandbox = \"strict\"\n{server}");
    let mut proxy = Proxy::start_in(directory, &server, "", further);
    let (pid, origin) = (proxy.pid(), Origin::echo());
    let is = status(&pid.to_string());
    assert_eq!((is["NoNewPrivs"].as_str(), is["Uid"].as_str()), ("1", "0\t0\t0\t0"));
    assert_eq!(is["CapBnd"], is["CapEff"]);
    let capabilities = of_threads(pid, "CapEff").into_iter().collect();
    echo(&proxy, &origin);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 1);
    fs::rename(proxy.directory().join("access.log"), proxy.directory().join("old.log")).unwrap();
    proxy.signal("USR1");
    let log = proxy.directory().join("access.log");
    wait_for("a new log", || log.exists().then_some(()));
    let reload = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(reload.status, 200, "{}", reload.body);
    echo(&proxy, &origin);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 2);
    let log = proxy.log();
    (proxy.stop(), log, capabilities)
}

const ACCESS_LOG: &str = "[logging]\naccess_log = \"{dir}/access.log\"\n";

#[test]
fn root_that_is_kept_is_warned_of_and_has_no_capabilities_in_directories_of_its_own() {
    if !is_root() {
        eprintln!("SKIPPED: this is not root");
        return;
    }
    for server in ["", "user = \"root\""] {
        let directory = tempfile::tempdir().unwrap();
        let (_directory, log, capabilities) = as_root(directory, (server, ACCESS_LOG));
        let said = "it goes on as root, without capabilities; set `server.user`";
        assert!(log.contains(said), "{log}");
        assert!(capabilities.len() > 5, "{capabilities:?}");
        assert!(capabilities.values().all(|of| of == "0000000000000000"), "{capabilities:?}");
    }
}

#[test]
fn root_in_somebodys_directory_reaches_what_is_there_and_leaves_it_to_its_owner() {
    if !is_root() {
        eprintln!("SKIPPED: this is not root");
        return;
    }
    let directory = directory_of_nobody();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let further = format!("[egress]\nmark = 7\n{ACCESS_LOG}");
    let (directory, log, capabilities) = as_root(directory, ("user = \"root\"", &further));
    let kept =
        "with the capabilities of CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_ADMIN";
    assert!(log.contains(&format!("it goes on as root, {kept}; set `server.user`")), "{log}");
    // Files are for those who write files, marks for those who have sockets.
    assert_eq!(capabilities["writer"], "0000000000000007");
    assert_eq!(capabilities["rustsocks"], "0000000000001007");
    assert_eq!(capabilities["worker-0"], "0000000000001000");
    assert_eq!(capabilities["hash-0"], "0000000000000000");
    for file in ["data", "data/sessions.db", "access.log", "old.log"] {
        assert_eq!(fs::metadata(directory.path().join(file)).unwrap().uid(), NOBODY, "{file}");
    }
}

#[test]
fn root_of_a_container_reads_again_what_belongs_to_others() {
    // Containers permit root to write all, and not the lesser right to read all.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_read_search", "--inh-caps", "-dac_read_search"]);
    command.arg(env!("CARGO_BIN_EXE_rustsocks")).env_remove("RUST_LOG");
    if !is_root()
        || !Command::new("setpriv")
            .args(command.get_args())
            .arg("help")
            .output()
            .is_ok_and(|it| it.status.success())
    {
        eprintln!("SKIPPED: this is not root, or setpriv cannot take capabilities away here");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (conf, users) = (directory.path().join("conf"), directory.path().join("conf/users"));
    fs::create_dir(&conf).unwrap();
    let list = |names: &[&str]| {
        let line = |name: &&str| {
            format!("{name}:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
        };
        let new = conf.join("new");
        fs::write(&new, names.iter().map(line).collect::<String>()).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&new, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::rename(&new, &users).unwrap();
    };
    list(&["alice", "bob"]);
    chown(&conf, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o700)).unwrap();
    let further = "[auth]\nsocks_method = \"userpass\"\nusers_file = \"{dir}/conf/users\"\n";
    let mut proxy = Proxy::launch(command, directory, "sandbox = \"strict\"", "", further);
    let capabilities: BTreeMap<_, _> = of_threads(proxy.pid(), "CapEff").into_iter().collect();
    // CAP_DAC_OVERRIDE is number 1.
    assert_eq!(capabilities["rustsocks"], "0000000000000002");
    assert_eq!(capabilities["worker-0"], "0000000000000000");
    list(&["alice"]);
    let reload = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()));
    assert_eq!(reload.status, 200, "{}", reload.body);
    assert!(reload.body.contains("auth.users"), "{}", reload.body);
    let log = proxy.log();
    assert!(log.contains("as root, with the capabilities of CAP_DAC_OVERRIDE; set"), "{log}");
    assert!(!log.contains("cannot be read"), "{log}");
    proxy.stop();
}
