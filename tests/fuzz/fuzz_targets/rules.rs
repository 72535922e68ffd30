//! The rule file: a fault is one line, rules are in their order, and nothing but a rule that names an
//! address opens what the guard forbids.
#![no_main]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rustsocks::acl::{
    Acl, Action, Decision, Destination, Guard, OwnListeners, Rule, Rules,
};
use rustsocks::auth::Identity;
use rustsocks::config::parse_rules;
use rustsocks::socks::{Command, Request};
use rustsocks::target::{Host, Target};
use rustsocks_fuzz::{moment, reachable};

const CLIENT: [u8; 4] = [198, 51, 100, 7];

fuzz_target!(|input: &[u8]| {
    let Ok(text) = str::from_utf8(input) else { return };
    match parse_rules(Some(Path::new("a.toml")), text) {
        Ok(rules) => {
            let ordered = rules.ordered();
            for pair in ordered.windows(2) {
                assert!(pair[0].priority >= pair[1].priority, "rules out of their order");
            }
            decide(&Arc::new(rules));
        }
        Err(error) => {
            let line = error.to_string();
            assert!(line.starts_with("a.toml:") && !line.contains(['\n', '\r']), "{line:?}");
        }
    }
});

/// What the rules say of some requests, and of the addresses of their targets.
fn decide(rules: &Arc<Rules>) {
    let acl = Acl::with_rules(Guard::Auto(OwnListeners::default()), Arc::clone(rules));
    let identity = Identity::anonymous("alice");
    let client = IpAddr::from(CLIENT);
    let hosts = ["example.com", "a.example.com", "192.0.2.1", "127.0.0.1", "2001:db8::1"];
    for (host, port) in hosts.iter().zip([443, 80, 25, 8080, 0]) {
        let host = Host::from_name(host.as_bytes()).expect("a host");
        for command in Command::ALL {
            let request = Request { command, target: Target::new(host.clone(), port) };
            let judged = acl.on_request(&identity, client, &request, moment());
            let Ok(permit) = judged else { continue };
            let again = acl.on_request(&identity, client, &request, moment());
            let again = again.expect("the same question has the same answer");
            assert_eq!(permit.ruling(), again.ruling());
            if let Some(ruling) = permit.ruling() {
                assert_eq!(ruling.decision, Decision::Allow);
            }
            for address in [[203, 0, 113, 9], [127, 0, 0, 1], [10, 0, 0, 1]].map(IpAddr::from) {
                if let Ok(dialled) = acl.on_address(&permit, address) {
                    assert_eq!(dialled.address(), SocketAddr::new(address, port));
                    let open = reachable(address) || is_named(rules, address);
                    assert!(open, "{address} is for nobody outside");
                }
            }
        }
    }
}

/// Whether a rule allows this address by naming it or its network; only such a one overrides the guard.
fn is_named(rules: &Rules, address: IpAddr) -> bool {
    let names = |destination: &Destination| match destination {
        Destination::Net(net) => net.contains(&address),
        Destination::Any | Destination::Name(_) => false,
    };
    let allows = |rule: &Rule| rule.action == Action::Allow && rule.destinations.iter().any(names);
    rules.ordered().iter().any(allows)
}
