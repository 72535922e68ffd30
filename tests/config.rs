//! The configuration: the files in `conf/` are complete and true, and every refusal says where.

#[path = "config/refusals.rs"]
mod refusals;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustsocks::auth::{Credentials, Verdict, verify};
use rustsocks::config::{
    ConfigError, Family, Level, ResolverKind, Settings, Storage, Synchronous, Workers,
};
use zeroize::Zeroizing;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$LfllOPhcSRDbw0qwjAwGqA$V5ooAUI+2C+9RczYR6gKjzePCPUhEBUQlGyFD4mspyU";

fn conf(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)
}

fn load(text: &str) -> Result<(Settings, Vec<String>), ConfigError> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("test.toml");
    std::fs::write(&path, text).expect("room for a file");
    Settings::load(Some(&path))
}

fn refusal(text: &str) -> String {
    let message = load(text).map(|_| ()).expect_err(text).to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// The dotted paths of all keys that hold values.
fn keys(text: &str) -> BTreeSet<String> {
    fn walk(above: &str, value: &toml::Value, into: &mut BTreeSet<String>) {
        if let toml::Value::Table(table) = value {
            for (key, value) in table {
                let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
                walk(&path, value, into);
            }
        } else if let toml::Value::Array(elements) = value
            && elements.iter().any(toml::Value::is_table)
        {
            elements.iter().for_each(|element| walk(above, element, into));
        } else {
            into.insert(above.to_owned());
        }
    }
    let mut all = BTreeSet::new();
    walk("", &toml::Value::Table(toml::from_str(text).expect("TOML")), &mut all);
    all
}

/// Makes the examples of a file live.
fn uncommented(text: &str) -> String {
    let live = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    text.lines().map(live).collect::<Vec<_>>().join("\n")
}

/// Switches off what this build lacks.
fn fit(text: &str) -> String {
    let mut text = text.to_owned();
    if cfg!(not(feature = "database")) {
        text = text.replace("storage = \"sqlite\"", "storage = \"memory\"");
    }
    if cfg!(not(feature = "dns-cares")) {
        text = text.replace("kind = \"cares\"", "kind = \"system\"");
    }
    if cfg!(not(feature = "metrics")) {
        text = text.replace("users_max", "enabled = false\nusers_max");
        text = text.replace("enabled = true\n# Users", "# Users");
    }
    text
}

#[test]
fn the_full_file_has_every_key_and_no_other() {
    let shipped = std::fs::read_to_string(conf("rustsocks.toml")).unwrap();
    let full = format!(
        "{}[[server.listen]]\naddress = \"::1\"\nport = 1\n[[auth.users]]\nusername = \"a\"\n\
         password_hash = \"{HASH}\"\n[resolver.hosts]\nnas = [\"::1\"]\n\
         [[egress.named]]\nname = \"second\"\n\
         [[limits.bandwidth]]\nname = \"home\"\nupload_kbit = 1\n\
         [[limits.quotas]]\nname = \"a\"\nusers = [\"*\"]\nperiod = \"day\"\nlimit_mib = 1\n",
        memory(),
    );
    let mut known = keys(&load(&full).unwrap().0.to_toml());
    // Shown as its hash.
    known.insert("auth.users.password".to_owned());
    assert_eq!(keys(&uncommented(&shipped)), known);
}

#[test]
fn every_key_of_the_full_file_has_a_line_of_meaning_above() {
    let shipped = std::fs::read_to_string(conf("rustsocks.toml")).unwrap();
    let lines: Vec<&str> = shipped.lines().collect();
    for pair in lines.windows(2) {
        if uncommented(pair[1]).contains(" = ") && !pair[1].starts_with("# ") {
            assert!(pair[0].starts_with("# "), "{}", pair[1]);
        }
    }
}

#[cfg(all(feature = "database", feature = "metrics", feature = "dns-cares"))]
#[test]
fn the_full_file_has_the_defaults() {
    let (shipped, warnings) = Settings::load(Some(&conf("rustsocks.toml"))).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let (defaults, warnings) = Settings::load(None).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(shipped, defaults);
    assert_eq!(shipped.to_toml(), defaults.to_toml());
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let (settings, _) = load(&memory()).unwrap();
    let server = &settings.server;
    assert_eq!(server.listen.len(), 1);
    assert_eq!(server.listen[0].address, "127.0.0.1:1080".parse().unwrap());
    assert_eq!((server.workers, server.max_connections), (Workers::Auto, 10_000));
    let seconds = [
        server.handshake_timeout,
        server.connect_timeout,
        server.idle_timeout,
        server.half_close_timeout,
        server.drain_timeout,
    ]
    .map(|time| time.as_secs());
    assert_eq!((seconds, server.keepalive_secs), ([10, 10, 600, 120, 10], 60));
    assert!(!settings.auth.required && settings.auth.users.is_empty());
    assert!(settings.acl.guard);
    assert_eq!(settings.acl.anonymous_user, "anonymous");
    assert!(settings.acl.rule_file.is_none() && !settings.acl.watch);
    let resolver = &settings.resolver;
    assert_eq!((resolver.tries, resolver.family), (5, Family::Any));
    let kind = if cfg!(feature = "dns-cares") { ResolverKind::Cares } else { ResolverKind::System };
    assert_eq!(resolver.kind, kind);
    assert_eq!(settings.sessions.api, Some("127.0.0.1:9090".parse().unwrap()));
    assert_eq!(settings.sessions.synchronous, Synchronous::Full);
    assert_eq!((settings.logging.level, settings.logging.json), (Level::Info, false));
    assert_eq!(settings.metrics.enabled, cfg!(feature = "metrics"));
}

#[test]
fn the_examples_of_the_full_file_load() {
    let shipped = std::fs::read_to_string(conf("rustsocks.toml")).unwrap();
    let live = uncommented(&fit(&shipped));
    let one_of_two: Vec<_> = live.lines().filter(|line| !line.starts_with("password = ")).collect();
    let (settings, _) = load(&one_of_two.join("\n")).unwrap();
    assert_eq!(settings.auth.users.len(), 1);
    assert_eq!(settings.server.listen[1].address, "[::1]:1080".parse().unwrap());
}

#[cfg(feature = "database")]
#[test]
fn the_minimal_file_loads_and_its_user_can_log_in() {
    let (settings, warnings) = Settings::load(Some(&conf("minimal.toml"))).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert!(settings.auth.required);
    let password = Zeroizing::new(b"change me".to_vec());
    let login = Credentials::new(b"alice".as_slice().into(), password);
    assert!(matches!(verify(&settings.auth.users, &login), Verdict::Accepted(_)));
}

#[test]
fn the_complete_example_of_the_reference_loads() {
    let text = fit(r#"
[sessions]
enabled = true
storage = "sqlite"  # or "memory"

# Database settings
database_url = "sqlite://data/sessions.db"
batch_size = 100
batch_interval_ms = 1000
retention_days = 90
cleanup_interval_hours = 24

# Traffic tracking
traffic_update_packet_interval = 10

# Statistics API
stats_api_enabled = true
stats_api_bind_address = "127.0.0.1"
stats_api_port = 9090
stats_window_hours = 24
"#);
    let (settings, warnings) = load(&text).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let sessions = &settings.sessions;
    let storage = if cfg!(feature = "database") { Storage::Sqlite } else { Storage::Memory };
    assert_eq!((sessions.enabled, sessions.storage), (true, storage));
    assert_eq!(sessions.database_url, "sqlite://data/sessions.db");
    assert_eq!((sessions.batch_size, sessions.batch_interval.as_millis()), (100, 1000));
    assert_eq!((sessions.retention_days, sessions.cleanup_interval.as_secs()), (90, 86_400));
    assert_eq!((sessions.publish_every, sessions.window_hours), (10, 24));
}

#[test]
fn what_is_shown_loads_as_the_same_settings() {
    let text = format!(
        "{}{}",
        memory(),
        r#"
[server]
workers = 3
bind_port = 0
idle_timeout_secs = 7
api_hosts = ["proxy.example"]
api_token_file = "/run/rustsocks/token"
api_require_token = true
[[server.listen]]
address = "::1"
port = 1081
[resolver]
servers = ["192.0.2.53", "[2001:db8::53]:5353"]
family = "ipv6"
[resolver.hosts]
"DB.example." = ["192.0.2.10", "2001:db8::10"]
[logging]
level = "debug"
format = "json"
"#
    );
    let (settings, _) = load(&text).unwrap();
    assert_eq!(settings.server.listen.len(), 2);
    assert_eq!(settings.resolver.servers[0], "192.0.2.53:53".parse().unwrap());
    assert_eq!(settings.resolver.servers[1], "[2001:db8::53]:5353".parse().unwrap());
    let (name, addresses) = &settings.resolver.hosts[0];
    assert_eq!((name.as_str(), addresses.len()), ("db.example", 2));
    let shown = settings.to_toml();
    let (again, warnings) = load(&shown).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(again, settings);
    assert_eq!(again.to_toml(), shown);
}

#[test]
fn others_may_reach_the_api_where_everybody_must_show_the_token() {
    let text = format!(
        "{}{}",
        memory(),
        "sessions.stats_api_bind_address = \"192.0.2.1\"\nserver.api_require_token = true\n"
    );
    let (settings, _) = load(&text).unwrap();
    assert_eq!(settings.sessions.api, Some("192.0.2.1:9090".parse().unwrap()));
    assert!(settings.server.api_require_token);
    assert_eq!(settings.server.api_token_file, Path::new("data/api-token"));
}

#[test]
fn passwords_and_hashes_are_nowhere_to_be_seen() {
    let text = format!(
        "{}[auth]\nsocks_method = \"userpass\"\n[[auth.users]]\nusername = \"alice\"\n\
         password_hash = \"{HASH}\"\ngroups = [\"staff\"]\n[[auth.users]]\nusername = \"bob\"\n\
         password = \"hunter2hunter2\"\n",
        memory(),
    );
    let (settings, warnings) = load(&text).unwrap();
    let shown = settings.to_toml();
    for text in [&shown, &format!("{settings:?}"), &warnings.join(" ")] {
        assert!(!text.contains("hunter2") && !text.contains("argon2id"), "{text}");
    }
    assert_eq!(shown.matches("password_hash = \"***\"").count(), 2);
    assert!(warnings[0].contains(":12:12: auth.users.password: "), "{warnings:?}");
    assert!(warnings[0].contains("`password_hash`") && warnings.len() == 1, "{warnings:?}");
    let (again, _) = load(&shown.replace("***", HASH)).unwrap();
    assert_eq!(again.server, settings.server);
    assert_eq!(again.auth.users.len(), 2);
    let password = Zeroizing::new(b"hunter2hunter2".to_vec());
    let login = Credentials::new(b"bob".as_slice().into(), password);
    assert!(matches!(verify(&settings.auth.users, &login), Verdict::Accepted(_)));
}

#[test]
fn a_password_in_the_wrong_place_is_not_repeated() {
    for text in [
        "[[auth.users]]\nusername = \"a\"\npassword = 12345678\n",
        "[[auth.users]]\nusername = \"a\"\npassword = \"\\q12345678\"\n",
        "[[auth.users]]\nusername = \"a\"\npassword = '12345678\n",
        "[[auth.users]]\nusername = \"a\"\npassword = 12345678 9\n",
        "[[auth.users]]\nusername = \"a\"\npassword_hash = \"12345678\"\n",
        "[[auth.users]]\nusername = \"a\"\npassword_hash = \"$12345678\"\n",
        "[[auth.users]]\nusername = \"a\"\npassword_hash = \"$12345678$\"\n",
        "[[auth.users]]\nusername = \"a\"\npassword_hash = [\"12345678\"]\n",
        "[[auth.users]]\nusername = \"a\"\npassword_hash = { 12345678 = 1 }\n",
    ] {
        let message = refusal(text);
        assert!(!message.contains("12345678"), "{message}");
        assert!(message.contains("test.toml:3:"), "{message}");
    }
}

#[test]
fn replaced_sections_are_warned_of_and_otherwise_ignored() {
    let text = format!(
        "{}[server.pool]\nenabled = true\nmax = {{ a = [1] }}\n[qos]\nrate = 5\n[[qos.users]]\n\
         name = \"x\"\n",
        memory(),
    );
    let (settings, warnings) = load(&text).unwrap();
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("test.toml:4:1: server.pool: "), "{warnings:?}");
    assert!(warnings[0].contains("use `server.max_connections`"), "{warnings:?}");
    assert!(warnings[1].contains("test.toml:7:1: qos: "), "{warnings:?}");
    assert!(warnings[1].contains("use `server.max_connections`"), "{warnings:?}");
    assert_eq!(settings, load(&memory()).unwrap().0);
}

#[test]
fn what_is_risky_is_warned_of() {
    let user = format!("[[auth.users]]\nusername = \"a\"\npassword_hash = \"{HASH}\"\n");
    for (text, expected) in [
        ("[acl]\nguard = \"off\"\n", "test.toml:5:9: acl.guard: \"off\""),
        (user.as_str(), "test.toml:4:1: auth.users: not used"),
        ("[acl]\nconfig_file = \"x\"\n", "test.toml:5:15: acl.config_file: not used"),
    ] {
        let (_, warnings) = load(&format!("{}{text}", memory())).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(expected), "{warnings:?}");
    }
}

#[test]
fn the_example_of_a_rule_file_loads() {
    let rules = rustsocks::config::load_rules(&conf("acl.toml")).unwrap();
    assert_eq!(rules.ordered().len(), 5);
    assert_eq!(&*rules.ordered()[0].text, "the wiki on this host");
}

/// Three lines with which any build loads.
fn memory() -> String {
    let metrics = cfg!(feature = "metrics");
    format!("metrics.enabled = {metrics}\nsessions.storage = \"memory\"\n\n")
}

fn rustsocks(arguments: &[&str], variables: &[(&str, &str)]) -> std::process::Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("the binary starts")
}

#[test]
fn variables_win_over_the_file_and_strays_are_warned_of() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("test.toml");
    let text = format!("{}[server]\nbind_port = 1081\nmax_connections = 7\n", memory());
    std::fs::write(&path, text).expect("a file");
    let path = path.to_str().expect("text");
    let port = ("RUSTSOCKS_SERVER_BIND_PORT", "1082");
    let shown = rustsocks(&["show-config", "--config", path], &[port]);
    let shown = String::from_utf8(shown.stdout).expect("text");
    for line in ["bind_port = 1082  # $RUSTSOCKS_SERVER_BIND_PORT", "max_connections = 7  # line 6"]
    {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let stray = ("RUSTSOCKS_SERVER_BINDPORT", "1");
    let shown = rustsocks(&["show-config", "--config", path], &[port, stray]);
    let warning = String::from_utf8(shown.stderr).expect("text");
    assert!(shown.status.success(), "{warning}");
    assert!(warning.contains("did you mean `RUSTSOCKS_SERVER_BIND_PORT`?"), "{warning}");
    let wrong = rustsocks(&["check", "--config", path], &[("RUSTSOCKS_SERVER_BIND_PORT", "many")]);
    assert_eq!(wrong.status.code(), Some(78), "{wrong:?}");
    let said = String::from_utf8(wrong.stderr).expect("text");
    assert!(said.contains("RUSTSOCKS_SERVER_BIND_PORT"), "{said}");
}
