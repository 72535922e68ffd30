//! Rules through the real binary: who may reach what, and what stands in the record.
#![cfg(all(feature = "dns-cares", feature = "database"))]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

#[path = "acl/guard.rs"]
mod guard;
mod harness;
#[path = "harness/names.rs"]
mod names;

use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::api::{exchange, get};
use harness::client::{Asked, Client};
use harness::datagrams::{Associated, UdpEcho};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::wait_for;
use names::{Kind, NameServer, Reply};

/// A proxy with these rules, which asks this server for names.
fn with_rules(rules: &str, server: &str, names: Option<&NameServer>, further: &str) -> Proxy {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("acl.toml"), rules).expect("the rules are written");
    let acl = "[acl]\nenabled = true\nconfig_file = \"{dir}/acl.toml\"\n";
    let resolver = names.map_or(String::new(), |names| {
        format!("[resolver]\nservers = [\"{}\"]\n", names.address())
    });
    Proxy::start_in(directory, server, "", &format!("{acl}{resolver}{further}"))
}

/// What the rows say that have ended, oldest first.
fn rows(proxy: &Proxy, count: i64) -> Vec<String> {
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status <> 'active'", count);
    let sql = "SELECT concat_ws('|', dest_ip, status, close_code, acl_decision, acl_rule_matched, \
               rule_id, policy_generation) FROM sessions ORDER BY start_time, rowid";
    let database = proxy.database();
    let mut statement = database.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn reply<'a>(proxy: &Proxy, target: impl Into<Asked<'a>>) -> u8 {
    let mut client = Client::to(proxy.socks);
    client.negotiate(target)
}

fn zone(name: &str, kind: Kind) -> Reply {
    let addresses: &[&str] = match name {
        "here.test" | "sub.here.test" | "api.eu.here.test" => &["127.0.0.1"],
        "mapped.test" => &["::ffff:127.0.0.1"],
        "nat64.test" => &["64:ff9b::7f00:1"],
        "sixto4.test" => &["2002:7f00:1::"],
        "metadata.test" => &["169.254.169.254"],
        _ => return Reply::NoSuchName,
    };
    let _ = kind;
    Reply::Addresses(addresses.iter().map(|text| text.parse().unwrap()).collect())
}

#[test]
fn names_are_judged_by_name_and_by_address_and_the_record_says_by_which_rule() {
    let names = NameServer::start(zone);
    let origin = Origin::echo();
    let port = origin.address.port();
    let rules = format!(
        "[[rules]]\naction = \"block\"\ndescription = \"never\"\ndestinations = [\"*.here.test\"]\n\
         priority = 300\n\
         [[rules]]\naction = \"allow\"\ndestinations = [\"127.0.0.0/8\"]\nports = [{port}]\n"
    );
    let proxy = with_rules(&rules, "", Some(&names), "");
    assert_eq!(reply(&proxy, ("sub.here.test", port)), 2, "by name");
    assert_eq!(names.questions(), 0, "what a rule refuses by name is not looked up");
    assert_eq!(reply(&proxy, ("SUB.Here.TEST.", port)), 2, "in any spelling");
    assert_eq!(reply(&proxy, ("here.test", port)), 0, "no rule has its name, but one its address");
    assert_eq!(reply(&proxy, ("here.test", port.wrapping_add(1))), 2, "on that port only");
    assert_eq!(reply(&proxy, origin.address), 0);
    assert_eq!(reply(&proxy, ("none.test", port)), 4, "the address was to decide");
    let allowed = format!("allow 127.0.0.0/8 port {port}");
    let mut rows = rows(&proxy, 6);
    rows.sort();
    let mut expected = [
        "sub.here.test|rejected_by_acl|acl_denied|block|never|1|1".to_owned(),
        "sub.here.test|rejected_by_acl|acl_denied|block|never|1|1".to_owned(),
        format!("here.test|closed|client_closed|allow|{allowed}|2|1"),
        "here.test|rejected_by_acl|acl_denied|block|default policy|1".to_owned(),
        format!("127.0.0.1|closed|client_closed|allow|{allowed}|2|1"),
        "none.test|failed|name_not_found".to_owned(),
    ];
    expected.sort();
    assert_eq!(rows, expected);
}

#[test]
fn a_shadow_rule_counts_and_records_and_stops_nothing() {
    let origin = Origin::echo();
    let rules = "[[rules]]\naction = \"shadow-block\"\ndescription = \"no loopback\"\n\
                 destinations = [\"127.0.0.0/8\"]\n\
                 [[rules]]\naction = \"allow\"\ndescription = \"all\"\n";
    let proxy = with_rules(rules, "", None, "");
    assert_eq!(reply(&proxy, origin.address), 0);
    assert_eq!(rows(&proxy, 1), ["127.0.0.1|closed|client_closed|allow|all|2|1"]);
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE close_reason LIKE '_%; rule 1, on trial, would have blocked it'",
        1,
    );
    let scrape = Scrape::of(proxy.api.unwrap());
    assert_eq!(scrape.value("rustsocks_acl_shadow_blocks_total"), Some(1.0));
}

#[test]
fn every_datagram_is_judged_and_so_is_the_peer_of_a_bind() {
    let names = NameServer::start(zone);
    let (open, closed) = (UdpEcho::on("127.0.0.1:0"), UdpEcho::on("127.0.0.1:0"));
    let (first, second) = (open.address.port(), closed.address.port());
    let rules = format!(
        "[global]\ndefault_policy = \"allow\"\n\
         [[rules]]\naction = \"block\"\nprotocols = [\"udp\"]\nports = [{second}]\n\
         [[rules]]\naction = \"block\"\ncommands = [\"bind\"]\ndestinations = [\"127.0.0.1\"]\n"
    );
    let server = "commands = [\"connect\", \"udp_associate\", \"bind\"]";
    let proxy = with_rules(&rules, server, Some(&names), "");
    let client = Associated::with(proxy.socks);
    client.send(closed.address, b"no");
    client.send(("here.test", second), b"no");
    client.send(("here.test", first), b"yes");
    assert_eq!(client.receive().1, b"yes");
    client.send(open.address, b"yes too");
    assert_eq!(client.receive().1, b"yes too");
    let denied = "rustsocks_udp_dropped_total{reason=\"denied\"}";
    wait_for("two datagrams denied", || {
        (Scrape::of(proxy.api.unwrap()).value(denied) == Some(2.0)).then_some(())
    });
    let seen = closed.count.datagrams.load(Ordering::SeqCst);
    assert_eq!(seen, 0);
    // BIND: by the address of a name, too.
    for target in [Asked::Name("here.test", 21), Asked::Address(([127, 0, 0, 1], 21).into())] {
        let mut bind = Client::to(proxy.socks);
        assert_eq!(bind.ask(2, target).0, 2);
    }
}

#[test]
fn a_command_by_which_nothing_can_be_reached_is_refused_before_anything_is_opened() {
    let commands = "commands = [\"connect\", \"udp_associate\", \"bind\"]";
    let anybody = [([0, 0, 0, 0], 0).into(), "[::]:0".parse::<SocketAddr>().unwrap()];
    let (bind, associate) = (2, 3);
    // By the default policy, as whoever is allowed something is another, and by a rule.
    let by_default = "[[rules]]\naction = \"allow\"\nsources = [\"192.0.2.0/24\"]\n\
                      [[rules]]\naction = \"allow\"\nusers = [\"bob\"]\n\
                      [[rules]]\naction = \"allow\"\ncommands = [\"connect\"]\n";
    let proxy = with_rules(by_default, commands, None, "");
    for (command, target) in [(bind, anybody[0]), (bind, anybody[1]), (associate, anybody[0])] {
        assert_eq!(Client::to(proxy.socks).ask(command, target).0, 2, "{command} {target}");
    }
    let blocked =
        |target: &str, by: &str| format!("{target}|rejected_by_acl|acl_denied|block|{by}|1");
    let default = |target: &str| blocked(target, "default policy");
    assert_eq!(rows(&proxy, 3), [default("0.0.0.0"), default("::"), default("")]);
    let scrape = Scrape::of(proxy.api.unwrap());
    assert_eq!(scrape.value("rustsocks_sessions_rejected_total"), Some(3.0));
    let by_rule = "[global]\ndefault_policy = \"allow\"\n\
                   [[rules]]\naction = \"block\"\ndescription = \"no datagrams\"\n\
                   protocols = [\"udp\"]\n";
    let proxy = with_rules(by_rule, commands, None, "");
    assert_eq!(Client::to(proxy.socks).ask(associate, anybody[0]).0, 2);
    assert_eq!(rows(&proxy, 1), [blocked("", "no datagrams|1")]);
    assert_eq!(Client::to(proxy.socks).ask(bind, anybody[0]).0, 0, "something may come of it");
    // Something may come of a rule whose hours are over, too.
    let by_hour = "[[rules]]\naction = \"allow\"\nhours = [\"sun 00:00-00:01\"]\n";
    let proxy = with_rules(by_hour, commands, None, "");
    for command in [bind, associate] {
        assert_eq!(Client::to(proxy.socks).ask(command, anybody[0]).0, 0, "{command}");
    }
}

#[test]
fn the_api_lists_rules_with_their_hits_and_explains_decisions_by_the_data_paths_own_evaluator() {
    let origin = Origin::echo();
    let port = origin.address.port();
    let rules = format!(
        "[[users]]\nusername = \"alice\"\ngroups = [\"staff\"]\n\
         [[rules]]\naction = \"block\"\nports = [25]\npriority = 200\n\
         [[rules]]\naction = \"shadow-block\"\ndestinations = [\"127.0.0.1\"]\n\
         [[rules]]\naction = \"allow\"\ndestinations = [\"127.0.0.0/8\"]\nports = [{port}]\n\
         [[groups]]\nname = \"staff\"\n\
         [[groups.rules]]\naction = \"allow\"\ndestinations = [\"*.example.com\"]\n"
    );
    let proxy = with_rules(&rules, "", None, "");
    assert_eq!(reply(&proxy, origin.address), 0);
    assert_eq!(reply(&proxy, SocketAddr::from(([127, 0, 0, 1], 25))), 2);
    let api = proxy.api.unwrap();
    let page = get(api, "/api/acl/rules?limit=3").json();
    let hits: Vec<_> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| (rule["rule_id"].as_u64(), rule["hits"].as_u64(), rule["shadow_hits"].as_u64()))
        .collect();
    let some = |id, hits, shadow| (Some(id), Some(hits), Some(shadow));
    assert_eq!(hits, [some(1, 1, 0), some(2, 0, 1), some(3, 1, 0)]);
    assert_eq!((page["total"].as_u64(), page["next_cursor"].as_u64()), (Some(4), Some(3)));
    let rest = get(api, "/api/acl/rules?cursor=3").json();
    assert_eq!(rest["data"][0]["groups"], serde_json::json!(["staff"]));
    assert_eq!(rest["next_cursor"], serde_json::Value::Null);

    let explain = |body: serde_json::Value| {
        let body = body.to_string();
        let head = format!("POST /api/acl/explain HTTP/1.1\r\nHost: {api}\r\n");
        exchange(api, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    let answer = explain(serde_json::json!({ "target": format!("127.0.0.1:{port}") })).json();
    assert_eq!(answer["decision"], "allow");
    assert_eq!((answer["rule_id"].as_u64(), answer["shadow_rule_id"].as_u64()), (Some(3), Some(2)));
    let results: Vec<_> =
        answer["trace"].as_array().unwrap().iter().map(|step| step["result"].as_str()).collect();
    assert_eq!(results, [Some("missed"), Some("shadows"), Some("decides")]);
    assert_eq!(answer["trace"][0]["why"], format!("port {port} is none of 25"));
    assert_eq!(answer["user_known"], true);

    let answer = explain(serde_json::json!({
        "target": "www.example.com:443", "user": "alice", "source": "203.0.113.7",
        "addresses": ["192.0.2.1", "127.0.0.1"],
    }))
    .json();
    assert_eq!((&answer["decision"], answer["rule_id"].as_u64()), (&"allow".into(), Some(4)));
    assert_eq!(answer["addresses"][0]["decision"], "allow");
    assert_eq!(answer["addresses"][1]["decision"], "block");
    let of_guard = "guard: loopback targets are for loopback clients";
    assert_eq!(answer["addresses"][1]["rule"], of_guard);
    assert_eq!(answer["addresses"][1]["shadow_rule_id"], 2);
    assert_eq!(answer["command_offered"], true);
    assert_eq!(answer["user_known"], false, "nobody need log in, so nobody is alice");
    let answer =
        explain(serde_json::json!({ "target": format!("www.example.com:{port}"), "user": "bob" }))
            .json();
    assert_eq!(answer["decision"], serde_json::Value::Null, "an address may be allowed");
    let why =
        answer["trace"].as_array().unwrap().last().unwrap()["why"].as_str().unwrap().to_owned();
    assert_eq!(why, "user \"bob\" (no group) is none of staff");
    for bad in [
        serde_json::json!({}),
        serde_json::json!({ "target": "no port" }),
        serde_json::json!({ "target": "a.test:1", "source": "x" }),
        serde_json::json!({ "target": "a.test:1", "command": "fly" }),
        serde_json::json!({ "target": "a.test:1", "what": 1 }),
    ] {
        assert_eq!(explain(bad).status, 400);
    }
    // Asking counts nothing.
    assert_eq!(get(api, "/api/acl/rules").json()["data"][1]["shadow_hits"], 1);
}

#[test]
fn a_name_that_changes_its_answer_is_dialled_at_the_address_that_was_judged_or_not_at_all() {
    // The first answer is the one that is allowed, and every other question gets another one.
    let asked = AtomicUsize::new(0);
    let names = NameServer::start(move |_, kind| match kind {
        Kind::A => {
            let last = 2 + asked.fetch_add(1, Ordering::SeqCst) % 2;
            Reply::Addresses(vec![IpAddr::from([127, 0, 0, u8::try_from(last).unwrap()])])
        }
        Kind::Aaaa => Reply::Addresses(Vec::new()),
    });
    let serve = |mut stream: std::net::TcpStream, _: &_| {
        let mut octet = [0];
        while let Ok(1..) = stream.read(&mut octet) {}
    };
    let allowed = Origin::on("127.0.0.2:0", serve);
    let port = allowed.address.port();
    let forbidden = Origin::on(&format!("127.0.0.3:{port}"), serve);
    let rules = "[[rules]]\naction = \"allow\"\ndestinations = [\"127.0.0.2\"]\n";
    let proxy = with_rules(rules, "", Some(&names), "cache_max_ttl_secs = 0\n");
    let codes: Vec<u8> = (0..8).map(|_| reply(&proxy, ("changing.test", port))).collect();
    assert!(codes.contains(&0) && codes.contains(&2), "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, 0 | 2)), "{codes:?}");
    let through = codes.iter().filter(|code| **code == 0).count() as u64;
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status <> 'active'", 8);
    let elsewhere = "SELECT count(*) FROM sessions WHERE acl_decision = 'allow' AND \
                     resolved_ip <> '127.0.0.2'";
    assert_eq!(proxy.count(elsewhere), 0);
    assert_eq!(allowed.count.connections.load(Ordering::SeqCst), through);
    assert_eq!(forbidden.count.connections.load(Ordering::SeqCst), 0);
}
