use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::super::guard::{Guard, OwnListeners};
use super::super::hours::Hours;
use super::super::pattern::Pattern;
use super::super::ports::Ports;
use super::super::rule::{Destination, Who, normal_net, normal_nets};
use super::*;
use crate::socks::CommandSet;

/// What very many rules of one shape leave to be tried.
mod shapes;

fn rule(id: u32, action: Action, priority: i32) -> Rule {
    Rule {
        id,
        line: id,
        action,
        priority,
        text: format!("rule {id}").into(),
        who: Who::default(),
        destinations: Vec::new(),
        ports: Ports::default(),
        commands: CommandSet::ALL,
        sources: Vec::new(),
        hours: Hours::default(),
        egress: None,
        bandwidth: None,
    }
}

fn beside(otherwise: Decision) -> RulesBeside {
    RulesBeside { otherwise, members: HashMap::new(), utc_offset_minutes: 0 }
}

fn rules(rules: Vec<Rule>, otherwise: Decision) -> Rules {
    Rules::new(rules, beside(otherwise))
}

/// What the evaluator must find, rule by rule.
fn by_scan(rules: &Rules, query: &Query<'_>, forbidden: Option<Forbidden>) -> String {
    let (mut shadow, mut guarded) = (None, false);
    for rule in rules.ordered() {
        let Ok(reach) = rule.check(query) else { continue };
        match rule.action {
            Action::ShadowBlock => shadow = shadow.or(Some(rule.id)),
            Action::Allow if forbidden.is_some_and(|by| !reach.names(by)) => guarded = true,
            Action::Block if guarded => return format!("guard, shadow {shadow:?}"),
            Action::Allow | Action::Block => return format!("rule {}, shadow {shadow:?}", rule.id),
        }
    }
    let allowed = guarded || rules.otherwise == Decision::Allow;
    let by = if forbidden.is_some() && allowed { "guard" } else { "default" };
    format!("{by}, shadow {shadow:?}")
}

fn by_index(rules: &Rules, query: &Query<'_>, forbidden: Option<Forbidden>) -> String {
    let verdict = rules.decide(query, forbidden, &mut ());
    let shadow = verdict.shadow.map(|rule| rule.id);
    match verdict.by {
        By::Rule(rule) => format!("rule {}, shadow {shadow:?}", rule.id),
        By::Default => format!("default, shadow {shadow:?}"),
        By::Guard(_) => format!("guard, shadow {shadow:?}"),
    }
}

// Few values, so that rules and queries often meet.
const NAMES: [&str; 8] = [
    "example.com",
    "www.example.com",
    "a.www.example.com",
    "api.eu.example.com",
    "test",
    "b.test",
    "wwww.example.com",
    "www.test",
];
const PATTERNS: [&str; 20] = [
    "example.com",
    "*.example.com",
    ".example.com",
    "www.example.com",
    "api.*.example.com",
    "*.test",
    "a*.example.com",
    "www.*",
    "*w.example.com",
    "w*.example.com",
    "*ww.example.com",
    "ww*w.example.com",
    "w*w*.example.com",
    "*w*w.example.com",
    "*.eu.*.com",
    "*.eu.example.*",
    "a*.*.example.com",
    "a*.ww*.example.com",
    "exam*le.com",
    "*",
];
const NETS: [&str; 9] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3/32",
    "0.0.0.0/0",
    "::ffff:10.1.0.0/112",
    "2001:db8::/32",
    "2001:db8::1/128",
    "64:ff9b::/96",
    "::/0",
];
const ADDRESSES: [&str; 7] = [
    "10.1.2.3",
    "10.1.9.9",
    "10.200.0.1",
    "2001:db8::1",
    "64:ff9b::a01:203",
    // 10.1.2.3, and 10.1.9.9 as well.
    "64:ff9b:1:a01:2:300:a01:909",
    "198.51.100.1",
];
const USERS: [&str; 3] = ["alice", "bob", "carol"];
const GROUPS: [&str; 2] = ["staff", "ops"];
const PORTS: [u16; 4] = [80, 443, 8080, 9000];

fn any_destination() -> impl Strategy<Value = Destination> {
    prop_oneof![
        1 => Just(Destination::Any),
        4 => prop::sample::select(&PATTERNS)
            .prop_map(|text| Destination::Name(Pattern::parse(text).unwrap())),
        4 => prop::sample::select(&NETS)
            .prop_map(|text| Destination::Net(normal_net(text.parse().unwrap()))),
    ]
}

fn any_ports() -> impl Strategy<Value = Ports> {
    let port = prop::sample::select(&PORTS);
    prop_oneof![
        2 => Just(Ports::default()),
        2 => prop::collection::vec(port, 1..3)
            .prop_map(|ports| Ports::of(ports.into_iter().map(|port| (port, port)))),
        2 => prop::sample::select(&[(80, 9000), (0, 80), (443, 8079), (8080, 65_535), (1, 65_534)])
            .prop_map(|range| Ports::of([range])),
        // Too many to be told apart.
        1 => Just(Ports::of((40..150).map(|port| (2 * port, 2 * port)))),
    ]
}

fn any_commands() -> impl Strategy<Value = CommandSet> {
    prop_oneof![
        3 => Just(CommandSet::ALL),
        1 => Just(CommandSet::NONE.with(Command::Connect)),
        1 => Just(CommandSet::NONE.with(Command::UdpAssociate).with(Command::Bind)),
    ]
}

fn any_who() -> impl Strategy<Value = Who> {
    let users = prop::collection::vec(prop::sample::select(&USERS), 0..2);
    let groups = prop::collection::vec(prop::sample::select(&GROUPS), 0..2);
    (users, groups).prop_map(|(users, groups)| Who {
        users: users.into_iter().map(Into::into).collect(),
        groups: groups.into_iter().map(Into::into).collect(),
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let action =
        prop::sample::select(&[Action::Allow, Action::Allow, Action::Block, Action::ShadowBlock]);
    let sources = prop::collection::vec(prop::sample::select(&NETS), 0..3);
    let hours = prop::sample::select(&["", "", "mon-wed", "22:00-06:00"]);
    (
        (action, 0..3_i32, any_who()),
        prop::collection::vec(any_destination(), 0..3),
        (any_ports(), any_commands(), sources, hours),
    )
        .prop_map(
            |((action, priority, who), destinations, (ports, commands, sources, hours))| Rule {
                who,
                destinations,
                ports,
                commands,
                sources: normal_nets(sources.into_iter().map(|net| net.parse().unwrap())),
                hours: Hours::parse(Some(hours).filter(|hours| !hours.is_empty())).unwrap(),
                ..rule(0, action, priority)
            },
        )
}

/// Rules of all kinds, or such as are alike but for one thing and differ in that.
fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    let alike = |first: Rule, (others, by): (Vec<Rule>, usize)| -> Vec<Rule> {
        let like = |other: Rule| {
            let mut rule = Rule { action: other.action, commands: other.commands, ..first.clone() };
            match by {
                0 => rule.sources = other.sources,
                1 => rule.ports = other.ports,
                2 => (rule.sources, rule.ports) = (other.sources, other.ports),
                _ => rule.destinations = other.destinations,
            }
            rule
        };
        others.into_iter().map(like).collect()
    };
    let others = (prop::collection::vec(any_rule(), 0..40), 0..4_usize);
    prop_oneof![
        prop::collection::vec(any_rule(), 0..40),
        (any_rule(), others).prop_map(move |(first, others)| alike(first, others)),
    ]
}

#[derive(Clone, Debug)]
struct Question {
    user: &'static str,
    groups: Vec<Box<str>>,
    name: Option<&'static str>,
    address: Option<IpAddr>,
    client: IpAddr,
    command: Command,
    port: u16,
    minute: u16,
    forbidden: Option<u8>,
}

fn any_question() -> impl Strategy<Value = Question> {
    let groups = prop::collection::vec(prop::sample::select(&["Staff", "ops", "nobody"]), 0..2);
    let address = prop::sample::select(&ADDRESSES).prop_map(|text| text.parse::<IpAddr>().unwrap());
    let command = prop::sample::select(&Command::ALL);
    let forbidden = prop::option::of(prop::sample::select(&[1, 8, 16, 32, 128]));
    (
        (prop::sample::select(&USERS), groups),
        prop::option::of(prop::sample::select(&NAMES)),
        prop::option::of(address.clone()),
        (address, command, prop::sample::select(&PORTS), 0..7 * 24 * 60_u16, forbidden),
    )
        .prop_map(
            |((user, groups), name, address, (client, command, port, minute, forbidden))| {
                Question {
                    user,
                    groups: groups.into_iter().map(Into::into).collect(),
                    name,
                    address,
                    client,
                    command,
                    port,
                    minute,
                    forbidden: forbidden.filter(|_| address.is_some()),
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn the_index_finds_what_a_scan_finds(
        drafts in any_rules(),
        questions in prop::collection::vec(any_question(), 1..8),
        allow in any::<bool>(),
        few in prop::sample::select(&[0, 1, 3, FEW]),
    ) {
        let numbered = (1..).zip(drafts).map(|(id, rule)| Rule { id, ..rule }).collect();
        let otherwise = if allow { Decision::Allow } else { Decision::Block };
        let rules = Rules::indexed(numbered, beside(otherwise), few);
        for question in &questions {
            let (address, embedded) = match question.address.map(both) {
                Some((address, embedded)) => (Some(address), embedded),
                None => (None, Embedded::NONE),
            };
            let query = Query {
                user: question.user,
                groups: &question.groups,
                client: question.client,
                command: question.command,
                name: question.name,
                address,
                embedded,
                port: question.port,
                minute: question.minute,
            };
            let forbidden = question.forbidden.map(|prefix| Forbidden {
                sentence: "guard: no",
                prefix: if embedded.is_empty() { prefix } else { 128 },
                inner_prefixes: embedded.iter().fold([0; 4], |mut all, (place, _)| {
                    all[place] = prefix;
                    all
                }),
            });
            prop_assert_eq!(
                by_index(&rules, &query, forbidden),
                by_scan(&rules, &query, forbidden),
                "{:?}", question
            );
            let before = rules.ordered().len();
            prop_assert_eq!(
                rules.may_be_allowed(&query, before),
                rules.ordered().iter().any(|rule| allows_a_network(rule, &query)),
                "{:?}", question
            );
        }
    }
}

/// Whether it may let a name pass by an address of it.
fn allows_a_network(rule: &Rule, query: &Query<'_>) -> bool {
    let has_net = rule.destinations.iter().any(|of| matches!(of, Destination::Net(_)));
    let holds = rule.is_about(query) && rule.miss_beside(query).is_none();
    rule.action == Action::Allow && has_net && holds
}

fn query_for(name: &str) -> Query<'_> {
    Query {
        user: "alice",
        groups: &[],
        client: [192, 0, 2, 1].into(),
        command: Command::Connect,
        name: Some(name),
        address: None,
        embedded: Embedded::NONE,
        port: 443,
        minute: 0,
    }
}

#[test]
fn order_is_priority_then_block_then_place_in_the_file() {
    let all = vec![
        rule(1, Action::Allow, 100),
        rule(2, Action::Block, 100),
        rule(3, Action::ShadowBlock, 100),
        rule(4, Action::Allow, 200),
        rule(5, Action::Block, 50),
        rule(6, Action::Block, 100),
    ];
    let rules = rules(all, Decision::Block);
    let order: Vec<u32> = rules.ordered().iter().map(|rule| rule.id).collect();
    assert_eq!(order, [4, 2, 3, 6, 1, 5]);
}

#[test]
fn a_shadow_rule_is_told_of_and_decides_nothing() {
    let all = vec![rule(1, Action::ShadowBlock, 200), rule(2, Action::Allow, 100)];
    let rules = rules(all, Decision::Block);
    let verdict = rules.decide(&query_for("a.test"), None, &mut ());
    let ruling = rules.ruling(&verdict);
    assert_eq!(
        (ruling.decision, ruling.rule_id, ruling.shadow),
        (Decision::Allow, Some(2), Some(1))
    );
    assert_eq!(&*ruling.rule, "rule 2");
}

#[test]
fn an_address_of_local_nat64_is_held_to_each_of_its_readings() {
    // 127.0.0.1 with a prefix of 48 bits, 10.0.0.1 with one of 96.
    let target = "64:ff9b:1:7f00:0:100:a00:1".parse::<IpAddr>().unwrap();
    let decides = |guard: &Guard, client: &str, action, nets: &[&str]| {
        let net = |text: &&str| Destination::Net(normal_net(text.parse().unwrap()));
        let about = Rule { destinations: nets.iter().map(net).collect(), ..rule(1, action, 200) };
        let rules = rules(vec![about, rule(2, Action::Allow, 100)], Decision::Block);
        let (address, embedded) = both(target);
        let client = client.parse().unwrap();
        let query = Query { client, name: None, address: Some(address), embedded, ..query_for("") };
        by_index(&rules, &query, guard.allows(client, SocketAddr::new(target, 443)).err())
    };
    let guard = Guard::Auto(OwnListeners::default());
    let (rule, other) = ("rule 1, shadow None", "rule 2, shadow None");
    for net in ["10.0.0.1/32", "127.0.0.0/8", "64:ff9b:1::/48"] {
        assert_eq!(decides(&guard, "127.0.0.1", Action::Block, &[net]), rule, "{net}");
    }
    assert_eq!(decides(&guard, "127.0.0.1", Action::Block, &["10.0.0.2/32"]), other);
    let own = OwnListeners { bound: vec!["10.0.0.1:443".parse().unwrap()], ..Default::default() };
    // What a rule must name, and what is not enough.
    let whole = "64:ff9b:1::/48";
    for (guard, client) in [(&guard, "198.51.100.1"), (&Guard::Auto(own), "198.51.100.1")] {
        for nets in [&[whole][..], &[whole, "127.0.0.1/32"], &[whole, "10.0.0.1/32"]] {
            let by = decides(guard, client, Action::Allow, nets);
            assert_eq!(by, "guard, shadow None", "{nets:?}");
        }
        for nets in
            [&[whole, "127.0.0.1/32", "10.0.0.1/32"][..], &["64:ff9b:1:7f00:0:100:a00:1/128"]]
        {
            assert_eq!(decides(guard, client, Action::Allow, nets), rule, "{nets:?}");
        }
    }
    let own = OwnListeners { bound: vec!["10.0.0.1:443".parse().unwrap()], ..Default::default() };
    let by = decides(&Guard::Auto(own), "127.0.0.1", Action::Allow, &[whole, "127.0.0.1/32"]);
    assert_eq!(by, "guard, shadow None", "it is named by another reading of it");
}
