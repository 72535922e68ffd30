//! What is refused, and in which words.

use std::path::Path;

use rustsocks::config::Settings;

use super::{HASH, load, refusal};

#[test]
fn every_refusal_names_file_line_key_and_what_was_expected() {
    let user = format!("[[auth.users]]\nusername = \"a\"\npassword_hash = \"{HASH}\"\n");
    let twice = format!("{user}{user}");
    let both = format!("{user}password = \"x\"\n");
    let long = format!("[acl]\nanonymous_user = \"{}\"\n", "x".repeat(256));
    let cases: &[(&str, &[&str])] = &[
        // Keys.
        (
            "[sessions]\nretention_dayz = 3\n",
            &[
                ":2:1: sessions.retention_dayz: unknown key; did you mean `sessions.retention_days`?",
            ],
        ),
        ("[server]\n\n  bind_prot = 3\n", &[":3:3: server.bind_prot: ", "`server.bind_port`?"]),
        ("server = { bind_prot = 3 }\n", &[":1:12: server.bind_prot: ", "`server.bind_port`?"]),
        ("bind_port = 3\n", &[":1:1: bind_port: unknown key; did you mean `server.bind_port`?"]),
        ("[metrics]\ntries = 3\n", &[":2:1: metrics.tries: ", "did you mean `resolver.tries`?"]),
        ("[session]\n", &[":1:2: session: unknown key; did you mean `sessions`?"]),
        ("[server.pol]\n", &[":1:9: server.pol: unknown key, expected one of bind_address, "]),
        ("[xyzzy]\n", &[":1:2: xyzzy: unknown key, expected one of server, auth, acl, "]),
        (
            "[[auth.users]]\nusernam = \"a\"\n",
            &[":2:1: auth.users.usernam: ", "`auth.users.username`?"],
        ),
        ("[[auth.users]]\n", &[":1:1: auth.users.username: missing, expected a name"]),
        (
            "[[server.listen]]\naddress = \"::1\"\n",
            &[":1:1: server.listen.port: missing, expected the number"],
        ),
        // Types, words and TOML itself.
        (
            "[server]\nbind_port = \"x\"\n",
            &[":2:13: server.bind_port: got string \"x\", expected a number"],
        ),
        ("[server]\nallow_open_proxy = 1\n", &[":2:20: server.allow_open_proxy: got integer `1`"]),
        ("server = 5\n", &[":1:10: server: got integer `5`"]),
        (
            "[auth]\nsocks_method = \"userpas\"\n",
            &[
                ":2:16: auth.socks_method: got \"userpas\", expected \"none\" or \"userpass\"; did you mean `userpass`?",
            ],
        ),
        (
            "[logging]\nlevel = \"loud\"\n",
            &[":2:9: logging.level: got \"loud\", expected \"error\" or"],
        ),
        (
            "[server]\nworkers = 0\n",
            &[
                ":2:11: server.workers: got integer `0`, expected \"auto\" or a number from 1 to 256",
            ],
        ),
        ("[server]\nworkers = 257\n", &["server.workers: got integer `257`"]),
        (
            "[server]\nworkers = \"all\"\n",
            &["server.workers: got string \"all\", expected \"auto\""],
        ),
        ("[server\n", &[":1:8: "]),
        (
            "[server]\nbind_port = 1\nbind_port = 2\n",
            &[":3:1: bind_port: written twice, expected once"],
        ),
        (
            "[server]\ncommands = \"x\"\n",
            &[":2:12: server.commands: got string \"x\", expected an array"],
        ),
        ("[auth.users]\nusername = \"a\"\n", &[": auth.users: got a table, expected an array"]),
        // Ranges.
        (
            "[server]\nbind_port = 65536\n",
            &[":2:13: server.bind_port: got 65536, expected 0 to 65535"],
        ),
        ("[server]\nbind_port = -1\n", &["server.bind_port: got -1, expected 0 to 65535"]),
        ("[server]\nbind_port = 99999999999999999999\n", &[":2:13: server.bind_port: "]),
        (
            "[server]\nidle_timeout_secs = 0\n",
            &[":2:21: server.idle_timeout_secs: got 0, expected 1 to 604800"],
        ),
        ("[server]\ntcp_keepalive_secs = 40000\n", &["expected 0 to 32767"]),
        (
            "[sessions]\nstats_window_hours = 169\n",
            &["sessions.stats_window_hours: got 169, expected 1 to 168"],
        ),
        (
            "[sessions]\nstats_window_max_hours = 5\n",
            &["test.toml: sessions.stats_window_hours: got 24, expected 1 to 5"],
        ),
        (
            "[sessions]\nretention_days = 7\n",
            &[":2:18: sessions.retention_days: got 7, expected 0 (for ever) or more than the 168"],
        ),
        (
            "[sessions]\nstats_window_max_hours = 2160\n",
            &["test.toml: sessions.retention_days: got 90", "so 91 or more"],
        ),
        (
            "[metrics]\nusers_max = -5\n",
            &[":2:13: metrics.users_max: got -5, expected 0 to 100000"],
        ),
        (&long, &[":2:18: acl.anonymous_user: got a name of 256 octets, expected 1 to 255"]),
        // Addresses.
        (
            "[server]\nbind_address = \"localhost\"\n",
            &[":2:16: server.bind_address: got \"localhost\", expected an IP address"],
        ),
        (
            "[limits]\nconnections_per_user = -1\n",
            &[":2:24: limits.connections_per_user: got -1, expected 0 to 1000000"],
        ),
        (
            "[[limits.bandwidth]]\nname = \"a\"\n",
            &[":2:8: limits.bandwidth: limits nothing, expected `upload_kbit`"],
        ),
        (
            "[[limits.bandwidth]]\nname = \"a/b\"\nupload_kbit = 1\n",
            &[":2:8: limits.bandwidth.name: got \"a/b\", expected a name without slashes"],
        ),
        (
            "[[limits.quotas]]\nname = \"a\"\nperiod = \"day\"\nlimit_mib = 1\n",
            &[":2:8: limits.quotas: is nobody's, expected `users`"],
        ),
        (
            "[[limits.quotas]]\nname = \"a\"\nperiod = \"year\"\nlimit_mib = 1\n",
            &[":3:10: limits.quotas.period: got \"year\", expected \"hour\" or \"day\""],
        ),
        (
            "[egress]\naddresses = [\"eth0\"]\n",
            &[":2:14: egress.addresses: got \"eth0\", expected an IP address"],
        ),
        (
            "[egress]\naddresses = [\"192.0.2.1\", \"::ffff:192.0.2.1\"]\n",
            &[":2:27: egress.addresses: got 192.0.2.1 twice"],
        ),
        (
            "[egress]\ninterface = \"a name much too long\"\n",
            &[
                ":2:13: egress.interface: got \"a name much too long\", expected the name of an interface",
            ],
        ),
        ("[egress]\nmark = -1\n", &[":2:8: egress.mark: got -1, expected 0 to 4294967295"]),
        (
            "[egress]\nspread = \"random\"\n",
            &[":2:10: egress.spread: got \"random\", expected \"client\" or \"turns\""],
        ),
        (
            "[[egress.named]]\nname = \"a\"\nusers = [\"zoe\"]\n",
            &[":3:10: egress.named.users: got \"zoe\", expected a user of `[[auth.users]]`"],
        ),
        (
            "[[egress.named]]\nname = \"a\"\ngroups = [\"staff\"]\n",
            &[":3:11: egress.named.groups: got \"staff\", expected a group of"],
        ),
        (
            "[[egress.named]]\nname = \"a\"\n[[egress.named]]\nname = \"a\"\n",
            &[":4:8: egress.named.name: got \"a\" twice"],
        ),
        (
            "[[limits.quotas]]\nname = \"a\"\nperiod = \"day\"\n",
            &[":1:1: limits.quotas.limit_mib: missing, expected a number"],
        ),
        (
            "[logging]\naccess_log_format = \"{foo}\"\n",
            &[":2:21: logging.access_log_format: got {foo}, which is no column", " such as {user}"],
        ),
        ("[[egress.named]]\nmark = 7\n", &["egress.named.name: missing"]),
        (
            "[resolver.hosts]\na = [\"192.0.2.1\", \"b\"]\n",
            &[":2:19: resolver.hosts.a: got \"b\", expected an IP address"],
        ),
        (
            "[resolver.hosts]\n\"192.0.2.1\" = [\"192.0.2.1\"]\n",
            &[":2:1: resolver.hosts.192.0.2.1: expected a host name"],
        ),
        (
            "[resolver.hosts]\nB = [\"::1\"]\nb = [\"::1\"]\n",
            &[":3:1: resolver.hosts.b: written twice"],
        ),
        (
            "[resolver.hosts]\na = []\n",
            &[":2:1: resolver.hosts.a: got 0 addresses, expected 1 to 16"],
        ),
        (
            "[resolver]\nservers = [\"::1\", \"dns\"]\n",
            &[":2:19: resolver.servers: got \"dns\", expected an address"],
        ),
        ("[server]\napi_hosts = [\"http://x\"]\n", &[":2:14: server.api_hosts: got \"http://x\""]),
        (
            "[[server.listen]]\naddress = \"127.0.0.1\"\nport = 1080\n",
            &[":2:11: server.listen.address: got 127.0.0.1:1080 twice"],
        ),
        (
            "[[server.listen]]\naddress = \"::ffff:127.0.0.1\"\nport = 1080\n",
            &[":2:11: server.listen.address: got [::ffff:127.0.0.1]:1080 beside 127.0.0.1:1080"],
        ),
        (
            "[sessions]\nstats_api_port = 1080\n",
            &[
                ":2:18: sessions.stats_api_port: got 127.0.0.1:1080, where clients are accepted",
                "expected a port of its own",
            ],
        ),
        (
            "[server]\napi_require_token = true\n[sessions]\nstats_api_port = 1080\n\
             stats_api_bind_address = \"::\"\n",
            &[":4:18: sessions.stats_api_port: got [::]:1080, where clients are accepted"],
        ),
        (
            "[server]\nbind_port = 9090\n",
            &["test.toml: sessions.stats_api_port: got 127.0.0.1:9090, where clients are accepted"],
        ),
        (
            "[sessions]\ndatabase_url = \"postgres://x\"\n",
            &[":2:16: sessions.database_url: got \"postgres://x\", expected `sqlite://`"],
        ),
        ("[acl]\nenabled = true\n", &[":2:11: acl.config_file: got none, expected the path"]),
        // What cannot be meant.
        (
            "[server]\nbind_address = \"0.0.0.0\"\n",
            &[":2:16: server.bind_address: ", "`server.allow_open_proxy = true`"],
        ),
        ("[server]\nbind_address = \"::\"\n", &[":2:16: server.bind_address: ", "\"userpass\""]),
        (
            "[[server.listen]]\naddress = \"192.0.2.1\"\nport = 1\n",
            &[":2:11: server.listen.address: ", "allow_open_proxy"],
        ),
        (
            "[server]\ncommands = [\"connect\", \"resolve\"]\n",
            &[":2:24: server.commands: got \"resolve\", expected some of \"connect\", "],
        ),
        (
            "[server]\ngroup = \"nogroup\"\n",
            &[":2:9: server.group: goes with `server.user`, which is not set"],
        ),
        (
            "[server]\nsandbox = \"maybe\"\n",
            &[":2:11: server.sandbox: got \"maybe\", expected \"on\" or \"strict\" or \"off\""],
        ),
        ("[server]\ncommands = [\"Connect\"]\n", &["did you mean `connect`?"]),
        ("[server]\ncommands = [\"udp-associate\"]\n", &["did you mean `udp_associate`?"]),
        (
            "[server]\ncommands = []\n",
            &[":2:12: server.commands: got none, expected some of \"connect\", "],
        ),
        (
            "[server]\nudp_port_range = \"40999-40000\"\n",
            &[":2:18: server.udp_port_range: got \"40999-40000\", expected two ports such as"],
        ),
        ("[server]\nudp_port_range = \"0-9\"\n", &["server.udp_port_range: got \"0-9\""]),
        ("[server]\nudp_port_range = \"4000\"\n", &["server.udp_port_range: got \"4000\""]),
        (
            "[server]\nudp_advertised_address = \"proxy.test\"\n",
            &[":2:26: server.udp_advertised_address: got \"proxy.test\", expected an IP address"],
        ),
        (
            "[auth]\nsocks_method = \"userpass\"\n",
            &[":2:16: auth.socks_method: ", "`[[auth.users]]`"],
        ),
        (&twice, &[":5:12: auth.users.username: got \"a\" twice"]),
        (
            "[[auth.users]]\nusername = \"\"\npassword = \"x\"\n",
            &[":2:12: auth.users.username: got a name of 0 octets, expected 1 to 255"],
        ),
        (
            &both,
            &[":4:12: auth.users.password: \"a\" has `password` and `password_hash`, expected one"],
        ),
        (
            "[[auth.users]]\nusername = \"a\"\n",
            &[":1:1: auth.users.password_hash: missing for \"a\", expected"],
        ),
        (
            "[[auth.users]]\nusername = \"a\"\npassword = \"\"\n",
            &[":3:12: auth.users.password: got 0 octets, expected 1 to 255"],
        ),
        (
            "[[auth.users]]\nusername = \"a\"\npassword_hash = \"$2y$10$abc\"\n",
            &[":3:17: auth.users.password_hash: ", "expected `$2b$COST$`"],
        ),
        (
            "[sessions]\nstats_api_bind_address = \"0.0.0.0\"\n",
            &[
                ":2:26: sessions.stats_api_bind_address: got 0.0.0.0, expected a loopback address",
                "server.api_require_token",
            ],
        ),
        (
            "[server]\napi_token_file = \"\"\n",
            &[":2:18: server.api_token_file: got none, expected a path"],
        ),
    ];
    for (text, expected) in cases {
        // Behind the case, so that its lines keep their numbers.
        let message = refusal(&behind(text));
        assert!(message.contains("test.toml:"), "{message}");
        for part in *expected {
            assert!(message.contains(part), "{text}\n{message}\nwithout\n{part}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Settings::load(Some(Path::new("no/such.toml"))).unwrap_err().to_string();
    assert!(error.starts_with("no/such.toml: cannot be read: "), "{error}");
}

#[test]
fn what_this_build_lacks_is_refused_by_name() {
    for (built, section, line, feature) in [
        (cfg!(feature = "database"), "sessions", "storage = \"sqlite\"", "database"),
        (cfg!(feature = "metrics"), "metrics", "enabled = true", "metrics"),
        (cfg!(feature = "dns-cares"), "resolver", "kind = \"cares\"", "dns-cares"),
    ] {
        let result = load(&behind(&format!("[{section}]\n{line}\n")));
        match result {
            Ok(_) => assert!(built, "{line}"),
            Err(error) => {
                let message = error.to_string();
                assert!(!built && message.contains(&format!("`{feature}`")), "{message}");
                assert!(message.contains("test.toml:2:"), "{message}");
            }
        }
    }
}

#[test]
fn an_open_proxy_may_be_meant() {
    for text in [
        "[server]\nbind_address = \"0.0.0.0\"\nallow_open_proxy = true\n".to_owned(),
        format!(
            "server.bind_address = \"::\"\nauth.socks_method = \"userpass\"\n[[auth.users]]\nusername = \"a\"\npassword_hash = \"{HASH}\"\n"
        ),
        "[server]\nbind_address = \"127.1.2.3\"\n".to_owned(),
        "[server]\nbind_address = \"::ffff:127.0.0.1\"\n".to_owned(),
    ] {
        load(&behind(&text)).unwrap();
    }
}

/// Adds what lets any build load, after the text and only where the text is silent.
fn behind(text: &str) -> String {
    let mut text = text.to_owned();
    if cfg!(not(feature = "database")) && !text.contains("storage") {
        if !text.contains("[sessions]") {
            text.push_str("[sessions]\n");
        }
        text.push_str("storage = \"memory\"\n");
    }
    text
}
