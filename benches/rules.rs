//! What a decision costs with 10, 1 000 and 100 000 rules: a request by name and then by one address of
//! it, and a request by address, each with a rule that decides and with none. Then the same of files whose
//! rules are all alike but for one thing, with 10 and 100 000: what one file costs beside the other. And
//! how long such files take to be read.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rustsocks::acl::{Acl, Guard, OwnListeners};
use rustsocks::auth::Identity;
use rustsocks::clock;
use rustsocks::config::parse_rules;
use rustsocks::socks::{Command, Request};
use rustsocks::target::{Host, Target};

/// A file of the kind that people write, of any length: names, names below names, networks, ports, users
/// and groups.
fn rule_file(rules: u32) -> String {
    let mut text = "[global]\ndefault_policy = \"allow\"\n".to_owned();
    for number in 0..rules {
        let octets = number.to_be_bytes();
        let matter = match number % 6 {
            0 => format!("destinations = [\"host-{number}.example.com\"]"),
            1 => format!("destinations = [\"*.zone-{number}.example.net\"]"),
            2 => format!("destinations = [\"11.{}.{}.{}\"]", octets[1], octets[2], octets[3]),
            3 => format!(
                "destinations = [\"12.{}.{}.0/24\"]\nports = [25, 465]",
                octets[2], octets[3]
            ),
            4 => format!("users = [\"user-{number}\"]\nports = [22]"),
            _ => format!("destinations = [\"api-*.zone-{number}.example.org\"]"),
        };
        writeln!(text, "[[rules]]\naction = \"block\"\npriority = {}\n{matter}", number % 7)
            .unwrap();
    }
    text
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision");
    let (client, now) = (IpAddr::from([198, 51, 100, 7]), clock::mono());
    let identity = Identity::supposed("user-4", &["staff".into(), "ops".into()]);
    for count in [10, 1_000, 100_000] {
        let rules = Arc::new(parse_rules(None, &rule_file(count)).unwrap());
        let acl = Acl::with_rules(Guard::Auto(OwnListeners::default()), rules);
        let request = |host: &str| Request {
            command: Command::Connect,
            target: Target::new(Host::from_name(host.as_bytes()).unwrap(), 443),
        };
        for (name, host) in
            [("blocked name", "host-6.example.com"), ("blocked address", "11.0.0.8")]
        {
            let request = request(host);
            group.bench_function(BenchmarkId::new(name, count), |bench| {
                bench.iter(|| black_box(acl.on_request(&identity, client, &request, now)).is_err());
            });
        }
        let (named, literal) = (request("www.example.com"), request("192.0.2.7"));
        group.bench_function(BenchmarkId::new("allowed address", count), |bench| {
            bench.iter(|| black_box(acl.on_request(&identity, client, &literal, now)).is_ok());
        });
        group.bench_function(BenchmarkId::new("allowed name and its address", count), |bench| {
            bench.iter(|| {
                let permit = acl.on_request(&identity, client, &named, now).unwrap();
                acl.on_address(black_box(&permit), [192, 0, 2, 7].into()).is_ok()
            });
        });
    }
    group.finish();
}

/// Files of rules that differ by one thing only, with what is asked: for what the last one holds, and for
/// what none does.
struct Shape {
    name: &'static str,
    rule: fn(u32) -> String,
    /// The client, the host and the port for which rule `number` holds.
    held: fn(u32) -> (IpAddr, String, u16),
    /// The same for which none does.
    none: (IpAddr, &'static str, u16),
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const TARGET: &str = "192.0.2.7";

fn client(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("10.{a}.{b}.{c}")
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "one target, a client each",
        rule: |n| format!("destinations = [\"192.0.2.0/24\"]\nsources = [\"{}\"]", client(n)),
        held: |n| (client(n).parse().unwrap(), TARGET.to_owned(), 443),
        none: (CLIENT, TARGET, 443),
    },
    Shape {
        name: "316 targets, 316 clients, each with each",
        rule: |n| {
            let (target, client) = (n / 316, client(n % 316));
            let [a, b] = [target / 256, target % 256];
            format!("destinations = [\"192.88.{a}.{b}\"]\nsources = [\"{client}\"]")
        },
        held: |n| {
            let target = n / 316;
            let target = format!("192.88.{}.{}", target / 256, target % 256);
            (client(n % 316).parse().unwrap(), target, 443)
        },
        none: (CLIENT, "192.88.0.0", 443),
    },
    Shape {
        name: "names with a * that end alike",
        rule: |n| format!("destinations = [\"host-{n}-*.example.com\"]"),
        held: |n| (CLIENT, format!("host-{n}-a.example.com"), 443),
        none: (CLIENT, "www.example.com", 443),
    },
    Shape {
        name: "names with a * at the end",
        rule: |n| format!("destinations = [\"site-{n}.*\"]"),
        held: |n| (CLIENT, format!("site-{n}.test"), 443),
        none: (CLIENT, "site.test", 443),
    },
    Shape {
        name: "names with a * in two labels",
        rule: |n| format!("destinations = [\"*.svc-{n}.*.example.com\"]"),
        held: |n| (CLIENT, format!("a.svc-{n}.b.example.com"), 443),
        none: (CLIENT, "a.svc.b.example.com", 443),
    },
    Shape {
        name: "any target, 21 ports each",
        rule: |n| {
            let first = ports_of(n);
            format!("ports = [\"{first}-{}\"]", first + 20)
        },
        held: |n| (CLIENT, TARGET.to_owned(), ports_of(n)),
        none: (CLIENT, TARGET, 80),
    },
    Shape {
        name: "one name with a *, a port each",
        rule: |n| format!("destinations = [\"cdn-*.example.com\"]\nports = [{}]", 1 + n % 60_000),
        held: |n| (CLIENT, "cdn-1.example.com".to_owned(), u16::try_from(1 + n % 60_000).unwrap()),
        none: (CLIENT, "cdn-1.example.com", 65_000),
    },
];

fn ports_of(number: u32) -> u16 {
    u16::try_from(1024 + number * 7 % 60_000).unwrap()
}

fn shape_file(shape: &Shape, rules: u32) -> String {
    let mut text = "[global]\ndefault_policy = \"allow\"\n".to_owned();
    for number in 0..rules {
        let matter = (shape.rule)(number);
        writeln!(text, "[[rules]]\naction = \"block\"\n{matter}").unwrap();
    }
    text
}

fn shapes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shape");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    let now = clock::mono();
    let identity = Identity::supposed("user-4", &["staff".into(), "ops".into()]);
    for shape in SHAPES {
        for count in [10, 100_000] {
            let rules = Arc::new(parse_rules(None, &shape_file(shape, count)).unwrap());
            let acl = Acl::with_rules(Guard::Auto(OwnListeners::default()), rules);
            let none = (shape.none.0, shape.none.1.to_owned(), shape.none.2);
            for (what, (client, host, port)) in [("held", (shape.held)(count - 1)), ("none", none)]
            {
                let host = Host::from_name(host.as_bytes()).unwrap();
                let request =
                    Request { command: Command::Connect, target: Target::new(host, port) };
                group.bench_function(
                    BenchmarkId::new(format!("{}, {what}", shape.name), count),
                    |b| {
                        b.iter(|| {
                            black_box(acl.on_request(&identity, client, &request, now)).is_ok()
                        });
                    },
                );
            }
        }
    }
    group.finish();
}

/// How long 100 000 rules take to be read.
fn loads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    let shapes = SHAPES.iter().map(|shape| (shape.name, shape_file(shape, RULES)));
    for (name, text) in shapes.chain([("of every kind", rule_file(RULES))]) {
        group.bench_function(BenchmarkId::new(name, RULES), |bench| {
            bench.iter_with_large_drop(|| parse_rules(None, black_box(&text)).unwrap());
        });
    }
    group.finish();
}

const RULES: u32 = 100_000;

criterion_group!(benches, decisions, shapes, loads);
criterion_main!(benches);
