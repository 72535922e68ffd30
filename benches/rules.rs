//! What a decision costs with 10, 1 000 and 100 000 rules: a request by name and then by one address of
//! it, and a request by address, each with a rule that decides and with none.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::fmt::Write;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

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

criterion_group!(benches, decisions);
criterion_main!(benches);
