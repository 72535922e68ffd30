use ipnet::IpNet;

use super::super::super::index::Likeness;
use super::*;

fn tried(rules: &Rules, query: &Query<'_>) -> usize {
    found(rules, query).len()
}

fn found(rules: &Rules, query: &Query<'_>) -> Vec<u32> {
    let mut candidates = Candidates::default();
    rules.index.find(query, &mut candidates);
    candidates.map(|(rank, _)| rank).collect()
}

fn alike(count: u32, differ: impl Fn(u32, &mut Rule)) -> Rules {
    let one = |id| {
        let mut rule = rule(id, Action::Block, 100);
        differ(id, &mut rule);
        rule
    };
    rules((1..=count).map(one).collect(), Decision::Allow)
}

fn net(text: &str) -> IpNet {
    normal_net(text.parse().unwrap())
}

fn names(text: &str) -> Vec<Destination> {
    vec![Destination::Name(Pattern::parse(text).unwrap())]
}

/// Addresses that differ.
fn nth(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + number).to_be_bytes())
}

fn low(number: u32) -> u16 {
    u16::try_from(number % 60_000).unwrap()
}

#[test]
fn a_hundred_thousand_rules_leave_a_handful_to_be_tried() {
    let all = alike(MANY, |id, rule| {
        rule.destinations = match id % 4 {
            0 => names(&format!("host-{id}.test")),
            1 => names(&format!("*.zone-{id}.test")),
            2 => vec![Destination::Net(IpAddr::from(id.to_be_bytes()).into())],
            _ => Vec::new(),
        };
        if id % 8 == 3 {
            rule.ports = Ports::of([(low(id), low(id))]);
        }
        if id % 8 == 7 {
            rule.who.users = vec![format!("user-{id}").into()];
        }
    });
    for name in ["host-400.test", "a.zone-401.test", "other.test"] {
        let tried = tried(&all, &query_for(name));
        assert!(tried <= 4, "{name}: {tried} rules tried");
    }
}

#[test]
fn rules_of_one_target_are_told_apart_by_their_clients() {
    // With one target, with all, with some that all have, and with other networks around.
    for targets in [&["192.0.2.0/24"][..], &[], &["10.0.0.0/8", "172.16.0.0/12", "192.0.2.0/24"]] {
        let all = alike(MANY, |id, rule| {
            rule.destinations = targets.iter().map(|text| Destination::Net(net(text))).collect();
            rule.sources = vec![nth(id).into()];
            if id % 1000 == 0 {
                rule.sources = vec![net(&format!("{}/25", nth(id)))];
            }
        });
        let query = Query { address: Some([192, 0, 2, 7].into()), name: None, ..query_for("") };
        assert_eq!(tried(&all, &query), 0);
        let query = Query { client: nth(70_003), ..query };
        assert!((1..=2).contains(&tried(&all, &query)), "{}", tried(&all, &query));
        assert_eq!(all.crowds(), []);
    }
    // 300 targets, each with 300 clients.
    let all = alike(90_000, |id, rule| {
        rule.destinations = vec![Destination::Net(nth(id / 300).into())];
        rule.sources = vec![nth(id % 300).into()];
    });
    let query = Query { address: Some(nth(7)), client: nth(9), name: None, ..query_for("") };
    assert_eq!(tried(&all, &query), 1);
}

#[test]
fn rules_of_one_target_are_told_apart_by_any_ports() {
    let all = alike(MANY, |id, rule| {
        rule.ports = Ports::of([(low(id), low(id) + 20)]);
    });
    assert_eq!(tried(&all, &Query { port: 65_000, ..query_for("a.test") }), 0);
    // So many have it.
    let have = all.ordered().iter().filter(|rule| rule.ports.contains(5000)).count();
    assert_eq!(tried(&all, &Query { port: 5000, ..query_for("a.test") }), have);
    let all = alike(MANY, |id, rule| {
        rule.destinations = names("cdn-*.test");
        rule.ports = Ports::of([(low(id), low(id))]);
    });
    assert_eq!(tried(&all, &Query { port: 65_000, ..query_for("cdn-1.test") }), 0);
}

#[test]
fn names_with_a_star_are_told_apart_by_all_that_is_around_it() {
    for (pattern, name) in [
        ("host-#-*.example.com", "host-400-a.example.com"),
        ("*-host-#.example.com", "a-host-400.example.com"),
        ("*.host-#.example.com", "a.host-400.example.com"),
        ("host-#.*", "host-400.test"),
        ("www.*.host-#", "www.a.host-400"),
        ("*.host-#.*.example.com", "a.host-400.b.example.com"),
        ("*.a*.host-#.*.com", "a.ab.host-400.b.com"),
        ("a*-host-#-*.example.com", "ab-host-400-b.example.com"),
    ] {
        let all = alike(10_000, |id, rule| {
            rule.destinations = names(&pattern.replace('#', &id.to_string()));
        });
        assert_eq!(tried(&all, &query_for(name)), 1, "{pattern}");
        let another = name.replace("400", "none");
        assert_eq!(tried(&all, &query_for(&another)), 0, "{pattern}");
        // The last is the one kind that is looked through.
        assert_eq!(all.crowds().is_empty(), pattern != "a*-host-#-*.example.com", "{pattern}");
    }
}

#[test]
fn patterns_that_all_name_it_are_met_in_order_at_little_cost_each() {
    let of = |count: u32| {
        let all = alike(count, |id, rule| {
            let (front, tail) = (id % 100 / 10, id % 10);
            let repeated = |times| "a".repeat(usize::try_from(times).unwrap());
            let text = format!("{}*{}.test", repeated(front), repeated(tail));
            rule.destinations = names(&text);
            rule.commands = CommandSet::NONE.with(Command::Bind);
        });
        let name = format!("{}.test", "a".repeat(60));
        assert_eq!(found(&all, &query_for(&name)), (0..count).collect::<Vec<_>>());
    };
    of(100);
    of(MANY);
}

#[test]
fn rules_that_are_tried_one_by_one_are_told_of_where_they_are_many() {
    let differ = |id: u32, rule: &mut Rule| {
        rule.destinations = names("a.test");
        rule.hours = Hours::parse([&*format!("{:02}:{:02}-24:00", id / 60, id % 60)]).unwrap();
    };
    assert_eq!(alike(256, differ).crowds(), []);
    let crowd = Crowd { rules: vec![1, 2, 3], count: 257, likeness: Likeness::Matter };
    assert_eq!(alike(257, differ).crowds(), [crowd]);
    // One in front of them decides, whatever is asked.
    let decided = alike(300, |id, rule| {
        differ(id, rule);
        if id == 2 {
            rule.hours = Hours::default();
        }
    });
    assert_eq!(decided.crowds(), []);
    // What names much of everything cannot lie everywhere.
    let wide = alike(300, |_, rule| {
        rule.destinations = (0..40).map(|n| Destination::Net(nth(n).into())).collect();
        rule.sources = (0..100).map(|n| nth(2 * n).into()).collect();
    });
    let crowd = Crowd { rules: vec![1, 2, 3], count: 300, likeness: Likeness::Matter };
    assert_eq!(wide.crowds(), [crowd]);
}

const MANY: u32 = 100_000;
