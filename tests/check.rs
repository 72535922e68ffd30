//! `rustsocks check`: what it tells of a configuration and of the host, without serving.
#![cfg(feature = "database")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

struct Checked {
    directory: TempDir,
    output: Output,
}

fn check(config: &str) -> Checked {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().to_str().unwrap();
    let text = format!("sessions.ledger_path = \"{here}/ledger\"\n{config}").replace("{dir}", here);
    fs::write(directory.path().join("rustsocks.toml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["check", "--config", "rustsocks.toml"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    Checked { directory, output }
}

impl Checked {
    #[track_caller]
    fn says(&self, code: i32, lines: &[&str]) {
        let out = String::from_utf8_lossy(&self.output.stdout);
        let all = format!("{out}{}", String::from_utf8_lossy(&self.output.stderr));
        assert_eq!(self.output.status.code(), Some(code), "{all}");
        for line in lines {
            assert!(all.lines().any(|said| said.contains(line)), "{all}\nwithout\n{line}");
        }
    }

    /// Neither where warnings go nor elsewhere.
    #[track_caller]
    fn says_nothing_of(&self, what: &str) {
        for said in [&self.output.stdout, &self.output.stderr] {
            let said = String::from_utf8_lossy(said);
            assert!(!said.contains(what), "{said}");
        }
    }
}

#[test]
fn a_line_for_each_thing_and_nothing_is_made() {
    let checked = check("server.bind_port = 0\nsessions.stats_api_port = 0\n");
    checked.says(
        0,
        &[
            "SOCKS: 127.0.0.1:0 can be listened on",
            "API: 127.0.0.1:0 can be listened on",
            "descriptors: ",
            "logins: none wanted",
            "clock: 20",
            "/data will be made and has ",
            "/ledger will be made and has ",
            "rustsocks.toml: ok",
        ],
    );
    let made = fs::read_dir(checked.directory.path()).unwrap().count();
    assert_eq!(made, 1, "only the configuration is there");
}

#[test]
fn a_port_that_clients_and_the_api_would_share_is_refused() {
    check("server.bind_port = 9091\nsessions.stats_api_port = 9091\n")
        .says(78, &["sessions.stats_api_port: got 127.0.0.1:9091, where clients are accepted"]);
}

#[test]
fn files_that_cannot_be_read_are_told_by_key_and_whole_path() {
    let rules = check("[acl]\nenabled = true\nconfig_file = \"no/acl.toml\"\n");
    let here = rules.directory.path().display().to_string();
    rules.says(78, &[&format!("{here}/no/acl.toml: acl.config_file: cannot be read: ")]);
    let users = check("[auth]\nsocks_method = \"userpass\"\nusers_file = \"no/users\"\n");
    let here = users.directory.path().display().to_string();
    users.says(78, &[&format!("{here}/no/users: auth.users_file: cannot be read: ")]);
}

#[test]
fn what_a_start_would_fail_of_is_an_error() {
    check(
        "server.bind_port = 0\nsessions.stats_api_port = 0\n\
           sessions.database_url = \"sqlite://rustsocks.toml/data/sessions.db\"\n",
    )
    .says(77, &["rustsocks.toml/data cannot be written to ("]);
    check(
        "server.bind_address = \"192.0.2.1\"\nserver.bind_port = 0\n\
           server.allow_open_proxy = true\nsessions.stats_api_port = 0\n",
    )
    .says(1, &["SOCKS: 192.0.2.1:0 cannot be listened on"]);
}

#[test]
fn rules_that_let_anybody_do_everything_are_as_none() {
    let rules = tempfile::NamedTempFile::new().unwrap();
    let path = rules.path().display();
    let config = format!(
        "server.bind_address = \"0.0.0.0\"\nserver.bind_port = 0\nsessions.stats_api_port = 0\n\
         acl.enabled = true\nacl.config_file = \"{path}\"\n"
    );
    fs::write(rules.path(), "[global]\ndefault_policy = \"allow\"\n").unwrap();
    let whole =
        format!("{path}: global.default_policy: allows everything to anybody, 0.0.0.0:0 is ");
    check(&config).says(78, &[&whole]);
    check(&format!("server.allow_open_proxy = true\n{config}")).says(0, &[]);
    fs::write(rules.path(), "\n[[rules]]\naction = \"allow\"\n").unwrap();
    check(&config).says(78, &[&format!("{path}:2:1: rule 1: allows everything to anybody")]);
    check(&config.replace("0.0.0.0", "127.0.0.1")).says(0, &[]);
    fs::write(rules.path(), "[[rules]]\naction = \"allow\"\nsources = [\"10.0.0.0/8\"]\n").unwrap();
    check(&config).says(0, &[]);
}

#[test]
fn what_a_start_tries_is_tried_without_making_anything() {
    let quiet = "server.bind_port = 0\nsessions.stats_api_port = 0\n";
    check(&format!("{quiet}egress.addresses = [\"192.0.2.1\"]\n"))
        .says(78, &["egress.addresses: 192.0.2.1: is not an address of this host"]);
    check(&format!("{quiet}egress.interface = \"none0\"\n"))
        .says(78, &["egress.interface = \"none0\": there is no such interface"]);
    // The configuration itself is no database.
    check(&format!("{quiet}sessions.database_url = \"sqlite://rustsocks.toml\"\n"))
        .says(78, &["rustsocks.toml cannot be used as a database of sessions"]);
    check(&format!("{quiet}logging.access_log = \"no/access.log\"\n"))
        .says(78, &["logging.access_log: no/access.log cannot be opened: No such file"]);
    // A start makes the directory of the database.
    check(&format!("{quiet}logging.access_log = \"data/access.log\"\n")).says(0, &["ok"]);
    let fine = check(&format!("{quiet}logging.access_log = \"access.log\"\n"));
    fine.says(0, &[]);
    assert!(!fine.directory.path().join("access.log").exists());
}

#[test]
fn a_start_without_the_folder_of_its_access_log_is_not_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let text = "server.bind_port = 0\nsessions.stats_api_port = 0\nsessions.ledger_path = \"ledger\"\n\
                logging.access_log = \"no/access.log\"\n";
    fs::write(directory.path().join("rustsocks.toml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["run", "--config", "rustsocks.toml"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("logging.access_log: no/access.log cannot be opened"), "{said}");
}

#[test]
fn a_database_that_is_there_is_looked_at_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions.db");
    let url = format!("sqlite://{}", path.display());
    assert_eq!(rustsocks::store::migrate(&url).unwrap(), 3);
    let names = || {
        let files = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    check(&format!(
        "server.bind_port = 0\nsessions.stats_api_port = 0\nsessions.database_url = \"{url}\"\n"
    ))
    .says(0, &[]);
    assert_eq!(names(), before);
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    check(&format!("server.bind_port = {port}\nsessions.stats_api_port = 0\n"))
        .says(0, &[&format!("warning: SOCKS: 127.0.0.1:{port} is in use now")]);
}

#[cfg(not(feature = "pam"))]
#[test]
fn a_binary_without_pam_says_how_to_build_one_with_it() {
    check("[auth]\nsocks_method = \"userpass\"\npam_service = \"rustsocks\"\n").says(
        78,
        &["auth.pam_service: this binary cannot ask PAM; expected \"\", or one that was built with \
           `cargo build --release --features pam`"],
    );
}

#[test]
fn a_name_that_nobody_has_is_warned_of_and_no_error() {
    check(
        "server.bind_port = 0\nsessions.stats_api_port = 0\n[[limits.bandwidth]]\nname = \"home\"\n\
           users = [\"alice\"]\nupload_kbit = 1\n",
    )
    .says(0, &["warning: nobody is the user \"alice\", named by limits.bandwidth \"home\""]);
}

#[test]
fn a_bandwidth_under_which_nobody_falls_is_warned_of_unless_a_rule_names_it() {
    let rules = tempfile::NamedTempFile::new().unwrap();
    let config = format!(
        "server.bind_port = 0\nsessions.stats_api_port = 0\nacl.enabled = true\n\
         acl.config_file = \"{}\"\n[[limits.bandwidth]]\nname = \"slow\"\ndownload_kbit = 5\n",
        rules.path().display()
    );
    check(&config).says(0, &["warning: limits.bandwidth \"slow\" limits nobody: "]);
    fs::write(rules.path(), "[[rules]]\naction = \"allow\"\nbandwidth = \"slow\"\n").unwrap();
    let checked = check(&config);
    checked.says(0, &[]);
    checked.says_nothing_of("limits nobody");
}

#[test]
fn what_a_start_warns_of_is_warned_of() {
    let config = "server.bind_port = 0\nsessions.stats_api_port = 0\nresolver.kind = \"system\"\n\
                  egress.addresses = [\"127.0.0.1\"]\nlogging.access_log = \"/dev/shm/none.log\"\n";
    let written = "warning: sandbox: any file below /dev/shm can be written to ";
    check(config).says(0, &["warning: names are looked up by the system, whose", written]);
    let off = check(&format!("server.sandbox = \"off\"\n{config}"));
    off.says_nothing_of(written);
}

#[test]
fn rules_that_are_many_and_cannot_be_told_apart_are_warned_of_and_no_error() {
    let rules = tempfile::NamedTempFile::new().unwrap();
    let config = format!(
        "server.bind_port = 0\nsessions.stats_api_port = 0\nacl.enabled = true\n\
         acl.config_file = \"{}\"\n",
        rules.path().display()
    );
    let rule = |n| format!("[[rules]]\naction = \"block\"\ndestinations = [\"a*-{n}-*.test\"]\n");
    fs::write(rules.path(), (0..300).map(rule).collect::<String>()).unwrap();
    let warning = "warning: rules 1, 2, 3 and 297 more have names with more than one \"*\" that begin \
                   and end alike: they are tried one by one";
    check(&config).says(0, &[warning]);
}

#[test]
fn what_root_makes_in_a_directory_is_its_owners() {
    use std::os::unix::fs::{MetadataExt, chown};
    let directory = tempfile::tempdir().unwrap();
    // Only root can give things away.
    if chown(directory.path(), Some(65_534), Some(65_534)).is_err() {
        return;
    }
    let url = format!("sqlite://{}/new/data/sessions.db", directory.path().display());
    let migrated = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["migrate", "--database-url", &url])
        .status()
        .unwrap();
    assert!(migrated.success());
    for made in ["", "data", "data/sessions.db", "data/sessions.db.lock"] {
        let of = fs::metadata(directory.path().join("new").join(made)).unwrap();
        assert_eq!((of.uid(), of.gid()), (65_534, 65_534), "{made}");
        assert!(of.is_dir() || of.mode() & 0o777 == 0o600, "{made}");
    }
}
