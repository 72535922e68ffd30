//! `rustsocks explain`: why a request is decided as it is, and what other rules would have decided.
#![cfg(feature = "database")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use harness::api::exchange;
use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;

fn explain(directory: &Path, line: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["explain", "--config", "rustsocks.toml"])
        .args(line)
        .current_dir(directory)
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

const RULES: &str = "[[users]]\nusername = \"alice\"\ngroups = [\"staff\"]\n\
                     [[rules]]\naction = \"block\"\nports = [25]\npriority = 200\n\
                     [[rules]]\naction = \"allow\"\ndescription = \"work\"\n\
                     destinations = [\"*.example.com\", \"192.0.2.0/24\"]\ngroups = [\"staff\"]\n\
                     hours = [\"mon-fri 08:00-18:00\"]\n";

#[test]
fn each_rule_is_told_with_why_it_holds_or_does_not() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("acl.toml"), RULES).unwrap();
    let config = "[acl]\nenabled = true\nconfig_file = \"acl.toml\"\n";
    fs::write(directory.path().join("rustsocks.toml"), config).unwrap();
    // A Friday.
    let line = ["--user", "alice", "--at", "2026-01-30T12:00:00Z", "www.example.com:443"];
    assert_eq!(
        told(&explain(directory.path(), &line)),
        "nobody is the user \"alice\": this is what one of that name would be told\n\
         www.example.com:443: allow, by rule 2: work\n\
         \x20 missed   rule 1, line 4, priority 200, block: block * port 25\n\
         \x20          port 443 is none of 25\n\
         \x20 decides  rule 2, line 8, priority 100, allow: work\n\
         \x20          every condition holds\n"
    );
    let line = ["--user", "alice", "--at", "2026-01-31T12:00:00Z", "www.example.com:443"];
    let text = told(&explain(directory.path(), &line));
    assert!(text.contains("\nwww.example.com:443: block, by default policy\n"), "{text}");
    assert!(text.contains("sat 12:00 is none of mon 08:00 to mon 18:00, "), "{text}");
    let text = told(&explain(directory.path(), &line[2..]));
    assert!(text.starts_with("www.example.com:443: block, by default policy\n"), "{text}");
    let line = [
        "--group",
        "Staff",
        "--at",
        "2026-01-30T12:00:00Z",
        "--address",
        "192.0.2.9",
        "--address",
        "198.51.100.1",
        "other.test:443",
    ];
    let text = told(&explain(directory.path(), &line));
    assert!(text.starts_with("other.test:443: it depends on the address"), "{text}");
    assert!(text.contains("other.test:443 at 192.0.2.9: allow, by rule 2: work"), "{text}");
    assert!(text.contains("other.test:443 at 198.51.100.1: block, by default policy"), "{text}");
    let text = told(&explain(directory.path(), &["--command", "bind", "192.0.2.1:443"]));
    assert!(text.starts_with("bind is not one of server.commands: it is refused"), "{text}");
    assert!(text.contains("\n192.0.2.1:443: "), "{text}");
    for bad in
        [&["nowhere"][..], &["a.test:1", "--command", "fly"], &["a.test:1", "--at", "noon"], &[]]
    {
        assert_eq!(explain(directory.path(), bad).status.code(), Some(2), "{bad:?}");
    }
    fs::write(directory.path().join("acl.toml"), "[[rules]]\naction = \"x\"\n").unwrap();
    assert_eq!(explain(directory.path(), &["a.test:1"]).status.code(), Some(78));
}

#[test]
fn a_replay_counts_what_new_rules_would_decide_otherwise_with_examples() {
    let (kept, lost) = (Origin::echo(), Origin::echo());
    let proxy = Proxy::start();
    for origin in [&kept, &lost, &lost] {
        drop(Client::connected(proxy.socks, origin.address));
    }
    assert_eq!(Client::to(proxy.socks).negotiate(proxy.socks), 2, "the guard");
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status <> 'active'", 4);
    let port = lost.address.port();
    let rules = format!(
        "[global]\ndefault_policy = \"allow\"\n\
         [[rules]]\naction = \"block\"\ndescription = \"away\"\nports = [{port}]\n\
         [[rules]]\naction = \"shadow-block\"\ndescription = \"perhaps\"\nports = [{}]\n",
        kept.address.port()
    );
    fs::write(proxy.directory().join("new.toml"), rules).unwrap();
    let text = told(&explain(proxy.directory(), &["--replay", "1h", "--rules", "new.toml"]));
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("4 sessions since 20"), "{text}");
    // The ports are chosen anew by each start, so this command's guard knows none of them.
    assert!(
        first.contains(": 0 decided alike, 4 otherwise, 0 that depend on an address"),
        "{text}"
    );
    assert!(first.ends_with(", 0 without a decision"), "{text}");
    assert!(
        text.lines().nth(1).unwrap().starts_with("approximate: users are in the groups"),
        "{text}"
    );
    assert!(text.contains("\nallow -> block by rule 1 (away): 2 sessions\n"), "{text}");
    assert!(text.contains(&format!(" anonymous 127.0.0.1 -> 127.0.0.1:{port}")), "{text}");
    let shadow = "\nallow -> allow by default policy, but rule 2, on trial (perhaps), would block: 1 sessions";
    assert!(text.contains(shadow), "{text}");
    assert!(text.contains("\nblock -> allow by default policy: 1 sessions\n"), "{text}");
    let text = told(&explain(proxy.directory(), &["--replay", "1h"]));
    assert!(text.contains("3 decided alike, 1 otherwise"), "{text}");
    for bad in ["7", "d", "0d", "7w", ""] {
        assert_eq!(explain(proxy.directory(), &["--replay", bad]).status.code(), Some(2), "{bad}");
    }
}

#[test]
fn what_is_refused_before_a_target_is_known_is_explained_and_replayed_as_it_is_decided() {
    let directory = tempfile::tempdir().unwrap();
    let open = "[global]\ndefault_policy = \"allow\"\n";
    let closed = format!(
        "{open}[[rules]]\naction = \"block\"\nports = [25]\npriority = 200\n\
         [[rules]]\naction = \"block\"\ndescription = \"closed\"\n\
         commands = [\"bind\", \"udp_associate\"]\n"
    );
    fs::write(directory.path().join("acl.toml"), closed).unwrap();
    fs::write(directory.path().join("open.toml"), open).unwrap();
    let commands = "commands = [\"connect\", \"bind\", \"udp_associate\"]";
    let acl = "[acl]\nenabled = true\nconfig_file = \"{dir}/acl.toml\"\n";
    let proxy = Proxy::start_in(directory, commands, "", acl);
    let anybody = SocketAddr::from(([0; 4], 0));
    for command in [2, 3] {
        assert_eq!(Client::to(proxy.socks).ask(command, anybody).0, 2, "{command}");
    }
    proxy.wait_count("SELECT count(*) FROM sessions WHERE acl_rule_matched = 'closed'", 2);
    let told = |line: &[&str]| told(&explain(proxy.directory(), line));
    let api = proxy.api.unwrap();
    for (word, depends) in [("bind", "who comes"), ("udp_associate", "what each datagram is for")] {
        assert_eq!(
            told(&["--command", word, "0.0.0.0:0"]),
            "0.0.0.0:0: block, by rule 2: closed\n\
             \x20 decides  rule 2, line 7, priority 100, block: closed\n\
             \x20          it blocks every target, and no rule before it can allow one\n\
             \x20 and 1 more that do not hold\n"
        );
        assert_eq!(
            told(&["--command", word, "--rules", "open.toml", "[::]:0"]),
            format!("[::]:0: it depends on {depends}\n")
        );
        let body = format!("{{\"target\":\"0.0.0.0:0\",\"command\":\"{word}\"}}");
        let head = format!("POST /api/acl/explain HTTP/1.1\r\nHost: {api}\r\n");
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        let answer = exchange(api, &format!("{head}{body}")).json();
        assert_eq!(
            (&answer["decision"], &answer["rule_id"]),
            (&"block".into(), &2.into()),
            "{word}"
        );
    }
    let text = told(&["--replay", "1h"]);
    assert!(text.contains(": 2 decided alike, 0 otherwise, 0 that depend"), "{text}");
    let text = told(&["--replay", "1h", "--rules", "open.toml"]);
    assert!(text.contains(": 0 decided alike, 0 otherwise, 2 that depend"), "{text}");
}
