//! Reload through the real binary: under load, of a broken file, of users, by every way there is.
#![cfg(feature = "database")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;
#[path = "reload/load.rs"]
mod load;

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use harness::api::{Answer, ask, get};
use harness::client::Client;
use harness::datagrams::{Associated, UdpEcho};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::wait_for;
use load::Load;
use serde_json::{Value, json};

const ACL: &str = "[acl]\nenabled = true\nconfig_file = \"{dir}/acl.toml\"\n";
const ALLOW_ALL: &str = "[global]\ndefault_policy = \"allow\"\n";

fn start(rules: &str, further: &str) -> Proxy {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("acl.toml"), rules).unwrap();
    Proxy::start_in(directory, "", "", &format!("{ACL}{further}"))
}

fn write_rules(proxy: &Proxy, rules: &str) {
    // As editors do: whoever reads sees the old file or the new one.
    let path = proxy.directory().join("acl.toml");
    fs::write(path.with_extension("new"), rules).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
}

fn edit_config(proxy: &Proxy, edit: impl Fn(&str) -> String) {
    let path = proxy.directory().join("rustsocks.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, edit(&text)).unwrap();
}

fn reload(proxy: &Proxy) -> Answer {
    ask(proxy.api.unwrap(), "POST", "/api/admin/reload", Some(&proxy.token()))
}

fn reloaded(proxy: &Proxy) -> Value {
    let answer = reload(proxy);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn generation(proxy: &Proxy) -> u64 {
    get(proxy.api.unwrap(), "/api/acl/rules").json()["generation"].as_u64().unwrap()
}

fn block(port: u16) -> String {
    format!("{ALLOW_ALL}[[rules]]\naction = \"block\"\nports = [{port}]\n")
}

const POLICY_CHANGED: &str =
    "SELECT count(*) FROM sessions WHERE close_code = 'policy_changed' AND status = 'closed'";

/// `RELOADS=100` for the whole of it.
#[test]
fn reloads_under_load_harm_no_session_that_stays_allowed_and_end_those_that_do_not() {
    let reloads = std::env::var("RELOADS").map_or(20, |text| text.parse().unwrap());
    let (staying, leaving) = (Origin::echo(), Origin::echo());
    let mut proxy = start(ALLOW_ALL, "");
    let load = Load::start(&proxy, &staying, 8, 64);
    let (mut ended, mut longest) = (0, Duration::ZERO);
    for round in 0..reloads {
        let mut short: Vec<Client> =
            (0..4).map(|_| Client::connected(proxy.socks, leaving.address)).collect();
        let rules = block(leaving.address.port());
        write_rules(&proxy, &rules);
        let began = Instant::now();
        if round % 2 == 0 {
            proxy.signal("HUP");
            wait_for("the generation", || (generation(&proxy) == 2 + 2 * round).then_some(()));
        } else {
            assert_eq!(reloaded(&proxy)["generation"], json!(2 + 2 * round));
        }
        for client in &mut short {
            let mut octet = [0];
            let end = client.stream.read(&mut octet);
            assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
            ended += 1;
        }
        longest = longest.max(began.elapsed());
        assert_eq!(Client::to(proxy.socks).negotiate(leaving.address), 2);
        if round % 10 == 0 {
            load.wait_for_progress();
        }
        write_rules(&proxy, ALLOW_ALL);
        let answer = reloaded(&proxy);
        assert_eq!(answer["workers"], 2);
        assert_eq!(answer["changed"], json!(["rules (0 added, 1 removed)"]));
    }
    load.wait_for_progress();
    let moved = load.end();
    eprintln!(
        "the last forbidden session had ended {longest:?} after a reload was asked for, at most"
    );
    proxy.wait_count(POLICY_CHANGED, ended);
    let port = staying.address.port();
    let sent = format!(
        "SELECT coalesce(sum(bytes_sent), 0) FROM sessions WHERE dest_port = {port} AND \
         close_code = 'client_closed' AND bytes_sent = bytes_received"
    );
    proxy.wait_count(&sent, i64::try_from(moved).unwrap());
    assert!(!proxy.log().contains("ERROR"), "{}", proxy.log());
}

#[test]
fn a_broken_file_changes_nothing_and_says_why() {
    let origin = Origin::echo();
    let mut proxy = start(ALLOW_ALL, "");
    let mut client = Client::connected(proxy.socks, origin.address);
    write_rules(&proxy, "[[rules]]\naction = \"block\"\nports = [99999]\n");
    let answer = reload(&proxy);
    assert_eq!(answer.status, 409, "{}", answer.body);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("acl.toml:3:10: rules.ports: rule 1: got \"99999\""), "{detail}");
    proxy.signal("HUP");
    wait_for("the log", || proxy.log().contains("reload by SIGHUP refused").then_some(()));
    edit_config(&proxy, |text| text.replace("[acl]", "[acl]\nwatches = true"));
    let detail = reload(&proxy).json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("acl.watches: unknown key; did you mean `acl.watch`?"), "{detail}");
    assert_eq!(generation(&proxy), 1);
    client.send(b"still here");
    assert_eq!(client.receive(10), b"still here");
    let scrape = Scrape::of(proxy.api.unwrap());
    let refused = "rustsocks_policy_reloads_total{result=\"refused\"}";
    assert_eq!(scrape.value(refused), Some(3.0));
}

#[test]
fn a_change_of_the_rule_file_is_seen_and_a_broken_one_is_not_taken() {
    let origin = Origin::echo();
    let mut proxy = start(ALLOW_ALL, "watch = true\n");
    let mut client = Client::connected(proxy.socks, origin.address);
    write_rules(&proxy, "nonsense");
    wait_for("the log", || {
        proxy.log().contains("reload by a change of the rule file refused").then_some(())
    });
    assert_eq!(generation(&proxy), 1);
    write_rules(&proxy, &block(origin.address.port()));
    wait_for("the change", || (generation(&proxy) == 2).then_some(()));
    let mut octet = [0];
    let end = client.stream.read(&mut octet);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    proxy.wait_count(POLICY_CHANGED.trim_end_matches(" AND status = 'closed'"), 1);
}

#[test]
fn a_change_of_the_configuration_is_a_reload_and_a_broken_one_is_none() {
    let origin = Origin::echo();
    let mut proxy = start(ALLOW_ALL, "watch = true\n");
    let mut client = Client::connected(proxy.socks, origin.address);
    edit_config(&proxy, |text| text.replace("[acl]", "[acl]\nwatches = true"));
    let said = |proxy: &mut Proxy, what: &str| {
        wait_for(what, || proxy.log().contains(what).then_some(()));
    };
    said(&mut proxy, "reload by a change of the configuration refused");
    said(&mut proxy, "unknown key; did you mean `acl.watch`?");
    assert_eq!(generation(&proxy), 1);
    edit_config(&proxy, |text| {
        let mended = text.replace("watches = true\n", "");
        mended.replace("workers = 2", "workers = 1\nidle_timeout_secs = 77")
    });
    wait_for("the change", || (generation(&proxy) == 2).then_some(()));
    said(&mut proxy, "reloaded by a change of the configuration: policy 2 in 2 workers");
    said(&mut proxy, "changed: server.idle_timeout_secs");
    said(&mut proxy, "a restart is needed to apply server.workers");
    // What was reloaded by somebody else is no change any more, and one that nobody wants to be watched is none.
    edit_config(&proxy, |text| text.replace("watch = true", "watch = false"));
    wait_for("the change", || (generation(&proxy) == 3).then_some(()));
    edit_config(&proxy, |text| text.replace("idle_timeout_secs = 77", "idle_timeout_secs = 78"));
    assert_eq!(reloaded(&proxy)["generation"], json!(4));
    client.send(b"still here");
    assert_eq!(client.receive(10), b"still here");
}

#[test]
fn the_answer_says_what_changed_and_what_needs_a_restart() {
    let proxy = start(ALLOW_ALL, "");
    edit_config(&proxy, |text| {
        text.replace("workers = 2", "workers = 1\nidle_timeout_secs = 77\nmax_connections = 99")
    });
    for _ in 0..2 {
        let answer = reloaded(&proxy);
        let restart = json!(["server.max_connections", "server.workers"]);
        assert_eq!(answer["needs_restart"], restart, "it is said until it is done");
    }
    assert_eq!(generation(&proxy), 3);
    edit_config(&proxy, |text| text.replace("idle_timeout_secs = 77", "idle_timeout_secs = 78"));
    assert_eq!(reloaded(&proxy)["changed"], json!(["server.idle_timeout_secs"]));
    write_rules(
        &proxy,
        &format!("{ALLOW_ALL}[[users]]\nusername = \"dave\"\ngroups = [\"staff\"]\n"),
    );
    let changed = reloaded(&proxy)["changed"].clone();
    assert_eq!(changed, json!(["rules (0 added, 0 removed, other members of groups)"]));
    let carol = "[[users]]\nusername = \"carol\"\n[[users.rules]]\naction = \"block\"\n";
    write_rules(&proxy, &format!("{ALLOW_ALL}{carol}"));
    let warnings = reloaded(&proxy)["warnings"].clone();
    assert_eq!(warnings, json!(["nobody is the user \"carol\", named by rule 1 (line 5)"]));
    let answer = ask(proxy.api.unwrap(), "POST", "/api/admin/reload", None);
    assert_eq!(answer.status, 401, "whoever changes something shows the token");
}

#[test]
fn hits_of_rules_go_on_over_a_reload_that_leaves_the_rules_alone() {
    let target = SocketAddr::from(([127, 0, 0, 1], 1));
    let proxy = start(&block(target.port()), "");
    let refused = || assert_eq!(Client::to(proxy.socks).negotiate(target), 2);
    let hits = || get(proxy.api.unwrap(), "/api/acl/rules").json()["data"][0]["hits"].clone();
    refused();
    assert_eq!(hits(), json!(1));
    edit_config(&proxy, |text| text.replace("[server]", "[server]\nidle_timeout_secs = 77"));
    assert_eq!(reloaded(&proxy)["changed"], json!(["server.idle_timeout_secs"]));
    assert_eq!(hits(), json!(1));
    refused();
    assert_eq!(hits(), json!(2));
    // By its number a rule is another then.
    write_rules(&proxy, &block(target.port()).replace("ports = [1]", "ports = [1, 2]"));
    reloaded(&proxy);
    assert_eq!(hits(), json!(0));
    refused();
    assert_eq!(hits(), json!(1));
}

#[test]
fn sessions_of_users_who_are_taken_away_end_and_others_do_not_notice() {
    let origin = Origin::echo();
    let user = |name: &str| format!("[[auth.users]]\nusername = \"{name}\"\npassword = \"pw\"\n");
    let auth = "[auth]\nsocks_method = \"userpass\"\n";
    let further = format!("{auth}{}{}", user("alice"), user("bob"));
    let proxy = start(ALLOW_ALL, &further);
    let login = |name: &str| {
        let mut client = Client::to(proxy.socks);
        assert!(client.login(name, "pw"));
        client.send(&harness::client::connect(origin.address));
        assert_eq!(client.reply().0, 0);
        client
    };
    let (mut alice, mut bob) = (login("alice"), login("bob"));
    // One who has logged in and not asked yet.
    let mut waiting = Client::to(proxy.socks);
    assert!(waiting.login("bob", "pw"));
    edit_config(&proxy, |text| text.replace(&user("bob"), ""));
    let changed = reloaded(&proxy)["changed"].clone();
    assert_eq!(changed, json!(["auth.users"]));
    for client in [&mut bob, &mut waiting] {
        let mut octet = [0];
        let end = client.stream.read(&mut octet);
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    assert!(!Client::to(proxy.socks).login("bob", "pw"), "nor is he remembered");
    assert_eq!(reloaded(&proxy)["changed"], json!([]), "a plain password that is as it was");
    edit_config(&proxy, |text| text.replace("\"pw\"", "\"other\""));
    assert_eq!(reloaded(&proxy)["changed"], json!(["auth.users"]));
    assert!(Client::to(proxy.socks).login("alice", "other"));
    alice.send(b"fine");
    assert_eq!(alice.receive(4), b"fine");
    proxy.wait_count(POLICY_CHANGED.trim_end_matches(" AND status = 'closed'"), 2);
}

#[test]
fn an_association_goes_on_by_the_new_rules_and_ends_with_its_own_target() {
    let (first, second) = (UdpEcho::on("127.0.0.1:0"), UdpEcho::on("127.0.0.1:0"));
    let proxy = start(ALLOW_ALL, "");
    let mut client = Associated::with(proxy.socks);
    client.send(first.address, b"1");
    assert_eq!(client.receive().1, b"1");
    client.send(second.address, b"2");
    assert_eq!(client.receive().1, b"2");
    write_rules(&proxy, &block(second.address.port()));
    reloaded(&proxy);
    client.send(second.address, b"no");
    client.send(first.address, b"3");
    assert_eq!(client.receive().1, b"3", "the other target is refused, this one is not");
    write_rules(&proxy, &block(first.address.port()));
    reloaded(&proxy);
    let mut octet = [0];
    let end = client.control.stream.read(&mut octet);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    proxy.wait_count(POLICY_CHANGED, 1);
    // A write to what has ended is no failure of the test.
    drop(client.control.stream.write(b"x"));
}

#[test]
fn a_record_of_a_refused_association_names_the_policy_that_refused_it() {
    let echo = UdpEcho::on("127.0.0.1:0");
    let proxy = start(ALLOW_ALL, "");
    let client = Associated::with(proxy.socks);
    let before = generation(&proxy);
    write_rules(&proxy, &block(echo.address.port()));
    reloaded(&proxy);
    client.send(echo.address, b"no");
    wait_for("a refusal", || {
        let series = "rustsocks_udp_dropped_total{reason=\"denied\"}";
        (Scrape::of(proxy.api.unwrap()).value(series) == Some(1.0)).then_some(())
    });
    drop(client);
    let refused = "SELECT count(*) FROM sessions WHERE close_code = 'acl_denied'";
    proxy.wait_count(refused, 1);
    assert_eq!(proxy.count(&format!("{refused} AND policy_generation > {before}")), 1);
}

#[test]
fn a_command_that_is_taken_away_ends_its_associations_and_who_waits_for_a_peer() {
    let commands = |list: &str| format!("commands = [{list}]");
    let all = commands("\"connect\", \"bind\", \"udp_associate\"");
    let proxy = Proxy::with_sections(&all, "", "");
    let (echo, origin) = (UdpEcho::on("127.0.0.1:0"), Origin::echo());
    let mut stays = Client::connected(proxy.socks, origin.address);
    let mut used = Associated::with(proxy.socks);
    used.send(echo.address, b"1");
    assert_eq!(used.receive().1, b"1");
    let mut unused = Associated::with(proxy.socks);
    let mut waits = Client::to(proxy.socks);
    assert_eq!(waits.ask(2, echo.address).0, 0);
    edit_config(&proxy, |text| text.replace(&all, &commands("\"connect\"")));
    reloaded(&proxy);
    for control in [&mut used.control.stream, &mut unused.control.stream] {
        let end = control.read(&mut [0]);
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    // The second reply is a refusal.
    assert_ne!(waits.reply().0, 0);
    stays.send(b"fine");
    assert_eq!(stays.receive(4), b"fine");
    proxy.wait_count(POLICY_CHANGED.trim_end_matches(" AND status = 'closed'"), 3);
}

#[test]
fn rules_that_allow_nothing_any_more_end_who_waits_for_any_target() {
    let all = "commands = [\"connect\", \"bind\", \"udp_associate\"]";
    let proxy = start(ALLOW_ALL, "");
    edit_config(&proxy, |text| text.replacen("[server]", &format!("[server]\n{all}"), 1));
    reloaded(&proxy);
    let mut unused = Associated::with(proxy.socks);
    let mut waits = Client::to(proxy.socks);
    assert_eq!(waits.ask(2, SocketAddr::from(([0, 0, 0, 0], 0))).0, 0);
    write_rules(&proxy, "[[rules]]\naction = \"allow\"\ncommands = [\"connect\"]\n");
    reloaded(&proxy);
    let end = unused.control.stream.read(&mut [0]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    // The second reply is a refusal.
    assert_ne!(waits.reply().0, 0);
    proxy.wait_count(POLICY_CHANGED.trim_end_matches(" AND status = 'closed'"), 2);
}

#[test]
fn a_reload_opens_no_public_listener_to_anybody() {
    let origin = Origin::echo();
    let user = "[[auth.users]]\nusername = \"alice\"\npassword = \"pw\"\n";
    let further = format!("[auth]\nsocks_method = \"userpass\"\n{user}");
    let server = "bind_address = \"0.0.0.0\"\napi_require_token = true";
    let proxy = Proxy::with_sections(server, "", &further);
    let socks = SocketAddr::from(([127, 0, 0, 1], proxy.socks.port()));
    let logged_in = || {
        let mut stranger = Client::to(socks);
        stranger.send(&[5, 1, 0]);
        assert_eq!(stranger.receive(2), [5, 0xff], "nobody gets in without a login");
        let mut client = Client::to(socks);
        assert!(client.login("alice", "pw"));
        client.send(&harness::client::connect(origin.address));
        assert_eq!(client.reply().0, 0);
    };
    // The file says loopback by now, but that takes a restart: the listener is where it was.
    for address in ["0.0.0.0", "127.0.0.1"] {
        edit_config(&proxy, |text| {
            text.replace("\"0.0.0.0\"", &format!("\"{address}\""))
                .replace("\"userpass\"", "\"none\"")
                .replace("api_require_token = true", "api_require_token = false")
        });
        let answer = reload(&proxy);
        assert_eq!(answer.status, 409, "{address}: {}", answer.body);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("anybody could use the proxy"), "{detail}");
        logged_in();
        let active = get(proxy.api.unwrap(), "/api/sessions/active");
        assert_eq!(active.status, 401, "nor does it open the API");
    }
    // Users who are gone leave nobody who may log in, and that is refused, too.
    edit_config(&proxy, |text| text.replace("\"none\"", "\"userpass\"").replace(user, ""));
    assert_eq!(reload(&proxy).status, 409);
    logged_in();
    // Who means it says so.
    edit_config(&proxy, |text| {
        text.replace("\"userpass\"", "\"none\"")
            .replace("[server]", "[server]\nallow_open_proxy = true")
    });
    reloaded(&proxy);
    drop(Client::connected(socks, origin.address));
}

#[test]
fn rules_that_would_let_anybody_do_everything_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let some = "[[rules]]\naction = \"allow\"\nsources = [\"127.0.0.0/8\"]\n";
    fs::write(directory.path().join("acl.toml"), some).unwrap();
    let proxy = Proxy::start_in(directory, "bind_address = \"0.0.0.0\"", "", ACL);
    for open in [ALLOW_ALL, "[[rules]]\naction = \"allow\"\n"] {
        write_rules(&proxy, open);
        let answer = reload(&proxy);
        assert_eq!(answer.status, 409, "{}", answer.body);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("acl.toml") && detail.contains("anybody could use"), "{detail}");
    }
    write_rules(&proxy, some);
    reloaded(&proxy);
}

#[test]
fn one_reload_waits_while_another_is_under_way_and_who_comes_then_is_told_when_to_come_again() {
    let proxy = start(ALLOW_ALL, "");
    // Reading this takes as long as the test wants.
    let pipe = proxy.directory().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    edit_config(&proxy, |text| text.replace("acl.toml", "pipe"));
    let (answers, answered) = std::sync::mpsc::channel();
    let (api, token) = (proxy.api.unwrap(), proxy.token());
    let ask_for_one = || {
        let (answers, token) = (answers.clone(), token.clone());
        thread::spawn(move || {
            answers.send(ask(api, "POST", "/api/admin/reload", Some(&token))).unwrap();
        });
    };
    ask_for_one();
    // Opened as soon as it is read.
    let mut rules = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    ask_for_one();
    ask_for_one();
    let answer = answered.recv().unwrap();
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.head.contains("\r\nRetry-After: 1\r\n"), "{}", answer.head);
    assert!(answer.body.contains("nothing has changed"), "{}", answer.body);
    for generation in [2, 3] {
        rules.write_all(ALLOW_ALL.as_bytes()).unwrap();
        drop(rules);
        let answer = answered.recv().unwrap();
        assert_eq!((answer.status, &answer.json()["generation"]), (200, &json!(generation)));
        if generation == 3 {
            break;
        }
        rules = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    }
}
