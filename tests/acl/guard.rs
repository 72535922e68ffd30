//! The guard: what nobody reaches whom no rule names it to, however it is spelt.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use super::harness::api::exchange;
use super::harness::client::{Asked, Client};
use super::harness::datagrams::Associated;
use super::harness::origin::Origin;
use super::harness::scrape::Scrape;
use super::harness::wait_for;
use super::names::NameServer;
use super::{reply, with_rules, zone};

#[test]
fn an_allow_rule_that_names_the_address_overrides_the_guard_and_no_other_does() {
    let origin = Origin::echo();
    let port = origin.address.port();
    // A public client, by the PROXY protocol: loopback targets are not for it.
    let server = "proxy_protocol_from = [\"127.0.0.0/8\"]";
    for (rule, expected) in [
        ("destinations = [\"*\"]", 2),
        ("destinations = [\"0.0.0.0/0\"]", 2),
        // Wider than what is forbidden: it was meant for something else.
        ("destinations = [\"0.0.0.0/1\"]", 2),
        ("destinations = [\"126.0.0.0/7\"]", 2),
        ("destinations = [\"127.0.0.1\"]", 0),
        ("destinations = [\"127.0.0.0/8\"]\nsources = [\"203.0.113.0/24\"]", 0),
        ("destinations = [\"127.0.0.0/8\"]\nsources = [\"198.51.100.0/24\"]", 2),
    ] {
        let proxy =
            with_rules(&format!("[[rules]]\naction = \"allow\"\n{rule}\n"), server, None, "");
        let mut client = Client::to(proxy.socks);
        client.send(b"PROXY TCP4 203.0.113.7 198.51.100.1 4000 1080\r\n");
        assert_eq!(client.negotiate(SocketAddr::from(([127, 0, 0, 1], port))), expected, "{rule}");
    }
}

#[test]
fn a_network_of_ipv6_does_not_name_what_lies_embedded_in_it_nor_our_own_listeners() {
    for (destinations, target, passes) in [
        (&["2000::/3"][..], "2002:7f00:1::", false),
        (&["2000::/3"], "2002:a9fe:a9fe::", false),
        (&["2002::/16"], "2002:a00:1::", false),
        (&["2002::/16", "10.0.0.0/8"], "2002:a00:1::", true),
        (&["2002:a00:1::"], "2002:a00:1::", true),
        (&["64:ff9b::/96"], "64:ff9b::808:808", true),
        (&["64:ff9b::/96"], "64:ff9b::a9fe:a9fe", false),
        (&["64:ff9b::/96", "8.0.0.0/5"], "64:ff9b::a00:1", false),
        (&["64:ff9b::/96", "10.0.0.1"], "64:ff9b::a00:1", true),
        // The IPv4 address alone is not what was asked for.
        (&["10.0.0.1"], "64:ff9b::a00:1", false),
        (&["::/1"], "64:ff9b:1:abcd::808:808", false),
        (&["64:ff9b::/32"], "64:ff9b:1:abcd::808:808", false),
        (&["64:ff9b:1:abcd::/96"], "64:ff9b:1:abcd::808:808", true),
        (&["64:ff9b:1:abcd::/96"], "64:ff9b:1:abcd::a00:1", false),
        (&["64:ff9b:1:abcd::/96", "10.0.0.0/8"], "64:ff9b:1:abcd::a00:1", true),
        (&["169.0.0.0/8"], "169.254.169.254", false),
        (&["169.254.169.254"], "169.254.169.254", true),
        (&["fc00::/6"], "fd00::1", false),
        (&["fd00::/8"], "fd00::1", true),
    ] {
        let rules = format!("[[rules]]\naction = \"allow\"\ndestinations = {destinations:?}\n");
        let proxy = with_rules(&rules, "", None, "");
        let api = proxy.api.unwrap();
        let target = SocketAddr::new(target.parse().unwrap(), 9).to_string();
        let question = serde_json::json!({ "target": target, "source": "203.0.113.7" }).to_string();
        let head = format!("POST /api/acl/explain HTTP/1.1\r\nHost: {api}\r\n");
        let answer =
            exchange(api, &format!("{head}Content-Length: {}\r\n\r\n{question}", question.len()));
        let decision = if passes { "allow" } else { "block" };
        assert_eq!(
            answer.json()["decision"],
            decision,
            "{destinations:?} {target}: {}",
            answer.body
        );
    }
    // A client of this host, so that nothing but the listener is forbidden.
    for (destinations, expected) in [("127.0.0.0/8", 2), ("127.0.0.1", 0)] {
        let rules = format!("[[rules]]\naction = \"allow\"\ndestinations = [\"{destinations}\"]\n");
        let proxy = with_rules(&rules, "", None, "");
        assert_eq!(reply(&proxy, proxy.socks), expected, "{destinations}");
    }
}

#[test]
fn the_guard_holds_whatever_the_spelling_and_whatever_a_name_turns_out_to_be() {
    let names = NameServer::start(zone);
    let proxy = with_rules(
        "[global]\ndefault_policy = \"allow\"\n",
        "proxy_protocol_from = [\"127.0.0.0/8\"]",
        Some(&names),
        "",
    );
    let origin = Origin::echo();
    let port = origin.address.port();
    let v6 = |text: &str| Asked::Address(SocketAddr::new(text.parse::<IpAddr>().unwrap(), port));
    let spellings = [
        Asked::Address(([127, 0, 0, 1], port).into()),
        v6("::1"),
        v6("::ffff:127.0.0.1"),
        v6("64:ff9b::7f00:1"),
        v6("2002:7f00:1::"),
        v6("::127.0.0.1"),
        Asked::Name("127.0.0.1", port),
        Asked::Name("127.0.0.1.", port),
        Asked::Name("::ffff:7f00:1", port),
        Asked::Name("localhost", port),
        Asked::Name("LocalHost.", port),
        Asked::Name("here.test", port),
        Asked::Name("HERE.test.", port),
        Asked::Name("mapped.test", port),
        Asked::Name("nat64.test", port),
        Asked::Name("sixto4.test", port),
        Asked::Name("metadata.test", 80),
    ];
    for (number, target) in spellings.into_iter().enumerate() {
        let mut client = Client::to(proxy.socks);
        client.send(b"PROXY TCP4 203.0.113.7 198.51.100.1 4000 1080\r\n");
        assert_eq!(client.negotiate(target), 2, "spelling {number}");
    }
    // Old spellings of IPv4 are names here, and have no address; where a resolver makes one of them,
    // that is judged.
    for name in OLD_SPELLINGS {
        let mut client = Client::to(proxy.socks);
        client.send(b"PROXY TCP4 203.0.113.7 198.51.100.1 4000 1080\r\n");
        let code = client.negotiate((name, port));
        assert!(code == 2 || code == 4, "{name}: {code}");
    }
    let connections = origin.count.connections.load(Ordering::SeqCst);
    assert_eq!(connections, 0, "nobody got through");
}

/// 127.0.0.1 as inet_aton(3) reads it, which getaddrinfo(3) does, too.
const OLD_SPELLINGS: [&str; 9] = [
    "2130706433",
    "0x7f000001",
    "0x7F.1",
    "017700000001",
    "0177.1",
    "0177.0.0.01",
    "00127.0.0.1",
    "127.1",
    "127.0.1",
];

#[test]
fn the_guard_holds_where_the_system_makes_an_address_of_an_old_spelling() {
    let proxy = with_rules(
        "[global]\ndefault_policy = \"allow\"\n",
        "proxy_protocol_from = [\"127.0.0.0/8\"]",
        None,
        "[resolver]\nkind = \"system\"\n",
    );
    let origin = Origin::echo();
    let port = origin.address.port();
    let ask = |client: &str, name: &str| {
        let mut stream = Client::to(proxy.socks);
        stream.send(format!("PROXY TCP4 {client} 198.51.100.1 4000 1080\r\n").as_bytes());
        stream.negotiate((name, port))
    };
    // 00127 is octal, and so 87.
    let (this_host, elsewhere): (Vec<_>, Vec<_>) =
        OLD_SPELLINGS.into_iter().partition(|name| !name.starts_with("00127"));
    assert_eq!(elsewhere.len(), 1);
    for name in &this_host {
        assert_eq!(ask("203.0.113.7", name), 2, "{name}");
        // It is that address: a client of this host is connected to it.
        assert_eq!(ask("127.0.0.1", name), 0, "{name}");
    }
    for name in ["0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518"] {
        assert_eq!(ask("127.0.0.1", name), 2, "the metadata of clouds is nobody's: {name}");
    }
    let denied = "SELECT count(*) FROM sessions WHERE close_code = 'acl_denied_address' AND \
                  status = 'rejected_by_acl' AND acl_rule_matched LIKE 'guard: %'";
    proxy.wait_count(denied, this_host.len() as i64 + 4);
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE status = 'closed'",
        this_host.len() as i64,
    );
    let connections = origin.count.connections.load(Ordering::SeqCst);
    assert_eq!(connections, this_host.len() as u64, "nobody else got through");
}

#[test]
fn the_guard_holds_for_datagrams_in_every_spelling() {
    let names = NameServer::start(zone);
    let proxy = with_rules("[global]\ndefault_policy = \"allow\"\n", "", Some(&names), "");
    let client = Associated::with(proxy.socks);
    let v6 = |text: &str| Asked::Address(SocketAddr::new(text.parse::<IpAddr>().unwrap(), 53));
    let spellings = [
        Asked::Address(([169, 254, 169, 254], 53).into()),
        v6("::ffff:169.254.169.254"),
        v6("64:ff9b::a9fe:a9fe"),
        v6("2002:a9fe:a9fe::"),
        v6("ff02::1"),
        Asked::Name("169.254.169.254.", 53),
        Asked::Name("metadata.test", 53),
        Asked::Name("METADATA.test.", 53),
    ];
    let count = spellings.len();
    for target in spellings {
        client.send(target, b"no");
    }
    let denied = "rustsocks_udp_dropped_total{reason=\"denied\"}";
    wait_for("all of them denied", || {
        (Scrape::of(proxy.api.unwrap()).value(denied) == Some(count as f64)).then_some(())
    });
}

#[test]
fn our_own_listeners_and_the_api_are_for_nobody() {
    let names = NameServer::start(zone);
    let proxy = with_rules("[global]\ndefault_policy = \"allow\"\n", "", Some(&names), "");
    let client = Associated::with(proxy.socks);
    for own in [proxy.socks, proxy.api.unwrap()] {
        let mapped = format!("[::ffff:127.0.0.1]:{}", own.port()).parse::<SocketAddr>().unwrap();
        assert_eq!(reply(&proxy, own), 2, "{own}");
        assert_eq!(reply(&proxy, mapped), 2, "{mapped}");
        assert_eq!(reply(&proxy, ("here.test", own.port())), 2);
        client.send(own, b"no");
    }
    let denied = "rustsocks_udp_dropped_total{reason=\"denied\"}";
    wait_for("the datagrams denied", || {
        (Scrape::of(proxy.api.unwrap()).value(denied) == Some(2.0)).then_some(())
    });
}
