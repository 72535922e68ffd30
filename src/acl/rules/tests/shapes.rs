use ipnet::IpNet;

use super::super::super::index::{COPIES_MIN, Likeness, said_by};
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
fn a_blocked_name_is_not_looked_up_for_what_networks_others_may_reach() {
    let looked_up = |count: u32, differ: &dyn Fn(u32, &mut Rule)| {
        let mut all = alike(count, |id, rule| {
            (rule.action, rule.destinations) =
                (Action::Allow, vec![Destination::Net(nth(id).into())]);
            differ(id, rule);
        })
        .ordered()
        .to_vec();
        all.push(Rule { destinations: names("a.test"), ..rule(count + 1, Action::Block, 1) });
        let rules = rules(all, Decision::Allow);
        assert_eq!(rules.crowds(), [], "each of them is alone in its network");
        let query = query_for("a.test");
        let verdict = rules.decide(&query, None, &mut ());
        rules.may_be_allowed(&query, verdict.rank)
    };
    assert!(looked_up(1, &|_, _| ()), "it may be there");
    let users = |id: u32, rule: &mut Rule| rule.who.users = vec![format!("user-{id}").into()];
    assert!(!looked_up(1000, &users), "others");
    assert!(!looked_up(1000, &|id, rule| rule.sources = vec![nth(id).into()]), "from elsewhere");
    assert!(
        !looked_up(1000, &|id, rule| rule.ports = Ports::of([(1000 + low(id), 1000 + low(id))]))
    );
    // These are tried one by one.
    let commands = |_, rule: &mut Rule| rule.commands = CommandSet::NONE.with(Command::Bind);
    assert_eq!([100, 256, 257].map(|count| looked_up(count, &commands)), [false, false, true]);
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
fn of_many_crowds_the_largest_are_told_of() {
    // One of each size from 257 on.
    let mut all = Vec::new();
    for size in 257..297 {
        all.extend((0..size).map(|_| size));
    }
    let sizes = all.clone();
    let all = alike(u32::try_from(all.len()).unwrap(), |id, rule| {
        rule.destinations = names(&format!("host-{}.test", sizes[id as usize - 1]));
        rule.commands = CommandSet::NONE.with(Command::Bind);
    });
    let told: Vec<usize> = all.crowds().iter().map(|crowd| crowd.count).collect();
    assert_eq!(told, (281..297).rev().collect::<Vec<_>>());
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

/// How often rules lie in the index, and how often they may.
fn copies(rules: &Rules) -> (usize, usize) {
    let said: usize = rules.ordered().iter().map(said_by).sum();
    // What they say lies under targets, once more above a name, and among what allows or blocks all.
    (rules.index.copies(), 4 * said + said + COPIES_MIN)
}

/// Decisions are those of a scan, whoever asks for these addresses from there.
fn is_as_a_scan(rules: &Rules, users: &[&str], addresses: &[IpAddr], clients: &[IpAddr]) {
    for user in users {
        for address in addresses {
            for client in clients {
                let (address, client) = (Some(*address), *client);
                let query = Query { user, name: None, address, client, ..query_for("") };
                assert_eq!(
                    by_index(rules, &query, None),
                    by_scan(rules, &query, None),
                    "{query:?}"
                );
            }
        }
    }
}

#[test]
fn what_rules_say_of_much_does_not_multiply_without_bound() {
    // Tenants with clients of their own and the same targets.
    let tenants = |count: u32, targets: u32, sources: u32| {
        alike(count, move |id, rule| {
            rule.destinations = (0..targets).map(|n| Destination::Net(nth(n).into())).collect();
            let own = (0..sources).map(|n| nth(id * 1000 + 2 * n).into());
            rule.sources = own.collect();
        })
    };
    let (addresses, clients) =
        ([nth(7), nth(5000)], [nth(9000), nth(290_002), nth(299_002), nth(1)]);
    let few = tenants(300, 40, 16);
    assert_eq!(few.crowds(), []);
    is_as_a_scan(&few, &["alice"], &addresses, &clients);
    let all = tenants(300, 300, 16);
    let (copies, most) = copies(&all);
    assert!(copies <= most, "{copies} of {most}");
    // Those tried first have room.
    let query = Query { name: None, address: Some(nth(7)), client: nth(1000), ..query_for("") };
    assert!(tried(&all, &query) < 300);
    is_as_a_scan(&all, &["alice"], &addresses, &clients);
    let large = tenants(600, 300, 16);
    let [crowd] = large.crowds() else { panic!("{:?}", large.crowds()) };
    assert!(crowd.count >= 500 && crowd.likeness == Likeness::Matter, "{crowd:?}");
}

#[test]
fn what_rules_say_of_many_people_does_not_either() {
    let users = |count: u32| (0..count).map(|n| format!("user-{n}").into()).collect::<Vec<_>>();
    let targets = |count: u32| (0..count).map(|n| Destination::Net(nth(n).into())).collect();
    let asking = ["user-0", "user-199", "user-1999", "alice"];
    let (addresses, clients) = ([nth(3), nth(5000)], [nth(9000), nth(9001), nth(29_000)]);
    // Each of the people has targets and clients, as many as the rule has.
    let all = alike(100, |id, rule| {
        rule.who.users = users(200);
        rule.destinations = targets(10);
        rule.sources = (0..20).map(|n| nth(id * 1000 + 2 * n).into()).collect();
    });
    let (of_all, most) = copies(&all);
    assert!(of_all <= most, "{of_all} of {most}");
    is_as_a_scan(&all, &asking, &addresses, &clients);
    // So many that they lie under everybody.
    let mut many: Vec<Rule> = alike(300, |id, rule| {
        rule.who.users = users(100 + 10 * id);
        rule.who.groups = vec!["staff".into()];
        rule.destinations = targets(200);
        rule.priority = i32::try_from(id).unwrap();
        rule.action = if id % 2 == 0 { Action::Allow } else { Action::Block };
    })
    .ordered()
    .to_vec();
    many.push(Rule { who: Who::default(), ..rule(301, Action::Block, -1) });
    let many = rules(many, Decision::Allow);
    assert!(many.index.is_of_many_people(0));
    let (of_many, most) = copies(&many);
    assert!(of_many <= most, "{of_many} of {most}");
    assert!(!many.crowds().is_empty());
    is_as_a_scan(&many, &asking, &addresses, &clients);
    // What blocks all for people that are not theirs is passed over, here as well.
    let walls = alike(1, |_, rule| {
        rule.who.users = users(400);
        rule.destinations = targets(400);
        rule.destinations.push(Destination::Any);
    });
    assert!(walls.index.is_of_many_people(0));
    let of = |user| walls.forbids_all(&Query { user, name: None, ..query_for("") }).is_some();
    assert_eq!((of("user-3"), of("alice")), (true, false));
}

#[test]
fn what_only_names_wait_for_takes_no_room_from_decisions() {
    // Of one network, so that they are told apart by their clients and ports.
    let all = alike(20_000, |id, rule| {
        rule.action = Action::Allow;
        rule.destinations = vec![Destination::Net(nth(1).into())];
        rule.sources = (0..5).map(|n| nth(id * 10 + 2 * n).into()).collect();
        rule.ports = Ports::of([0, 2000, 4000].map(|at| (at + low(id), at + low(id))));
    });
    assert_eq!(all.crowds(), []);
    let (copies, most) = copies(&all);
    assert!(copies <= most, "{copies} of {most}");
}

const MANY: u32 = 100_000;
