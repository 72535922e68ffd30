//! The parts that are counted in a process of their own.

use std::hint::black_box;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustsocks::acl::{Acl, Guard, OwnListeners};
use rustsocks::auth::Identity;
use rustsocks::clock;
use rustsocks::config::parse_rules;
use rustsocks::connection::{Input, Machine, Next};
use rustsocks::policy::Policy;
use rustsocks::socks::{Command, Handshake, MethodSet, Outbox, Progress, Request};
use rustsocks::target::{Host, Target};

use super::plain_policy::plain_policy;
use super::population::{Live, Population, now_ms};

/// All of them.
pub(crate) const NAMES: &[&str] = &[
    "greeting and request",
    "control machine, accept to relay",
    "decision by address",
    "decision by name, then by its address",
    "session opened and ended",
    "figures published",
    "opening and ending told to the writer",
];

/// Does one of them so many times.
pub(crate) fn run(name: &str, count: u64) -> io::Result<()> {
    match name {
        "greeting and request" => repeat(count, greeting_and_request),
        "control machine, accept to relay" => {
            let policy = plain_policy();
            repeat(count, || accept_to_relay(&policy));
        }
        "decision by address" => {
            let (acl, identity, now) = (acl(), identity(), clock::mono());
            let request = request("192.0.2.7");
            repeat(count, || assert!(acl.on_request(&identity, CLIENT, &request, now).is_ok()));
        }
        "decision by name, then by its address" => {
            let (acl, identity, now) = (acl(), identity(), clock::mono());
            let request = request("www.example.com");
            repeat(count, || {
                let permit = acl.on_request(&identity, CLIENT, &request, now).unwrap();
                assert!(acl.on_address(black_box(&permit), [192, 0, 2, 7].into()).is_ok());
            });
        }
        "session opened and ended" => {
            let (mut population, now) = (Population::new(), now_ms());
            repeat(count, || {
                let live = population.open(black_box(now));
                let ended = population.close(live, now);
                population.ledger.free(ended);
            });
        }
        "figures published" => {
            let (mut population, now) = (Population::new(), now_ms());
            let live = population.open(now);
            repeat(count, || live.moved(black_box(1460), now));
        }
        "opening and ending told to the writer" => told(count),
        other => return Err(io::Error::other(format!("no part `{other}`"))),
    }
    Ok(())
}

fn repeat(count: u64, mut what: impl FnMut()) {
    for _ in 0..count {
        what();
    }
}

fn greeting_and_request() {
    let mut handshake = Handshake::new(MethodSet::NO_AUTH);
    let mut out = Outbox::new();
    assert!(matches!(handshake.feed(black_box(GREETING), &mut out), Ok((3, Progress::NeedMore))));
    let fed = handshake.feed(black_box(REQUEST), &mut out);
    assert!(matches!(fed, Ok((_, Progress::Requested { .. }))));
}

fn accept_to_relay(policy: &Arc<Policy>) {
    let now = clock::mono();
    let mut machine = Machine::new(CLIENT, Arc::clone(policy), now);
    let mut out = Outbox::new();
    machine.handle(Input::Bytes(black_box(GREETING)), now, &mut out);
    machine.handle(Input::Flushed, now, &mut out);
    machine.handle(Input::Bytes(black_box(REQUEST)), now, &mut out);
    let (_, next) = machine.handle(Input::Opened, now, &mut out);
    let Next::Dial { attempt, permit } = next else { panic!("{next:?}") };
    let (reached, local) = (permit.address(), SocketAddr::from(([127, 0, 0, 1], 40_000)));
    machine.handle(Input::Connected { attempt, reached, local }, now, &mut out);
    let (_, next) = machine.handle(Input::Flushed, now, &mut out);
    assert!(matches!(next, Next::Relay));
}

/// Two sessions' words at a time are told and taken, so that the channel never fills.
fn told(count: u64) {
    let (mut population, now) = (Population::new(), now_ms());
    repeat(count, || {
        let live: Live = population.open(black_box(now));
        population.say_opened(&live);
        let ended = population.close(live, now);
        population.say_closed(ended);
        population.receive_all();
        population.ledger.free(ended);
    });
}

fn identity() -> Identity {
    Identity::supposed("user-4", &["staff".into(), "ops".into()])
}

fn request(host: &str) -> Request {
    let host = Host::from_name(host.as_bytes()).unwrap();
    Request { command: Command::Connect, target: Target::new(host, 443) }
}

/// Rules of each kind, none of which holds for what is asked.
fn acl() -> Acl {
    let rules = "[global]\ndefault_policy = \"allow\"\n\
        [[rules]]\naction = \"block\"\ndestinations = [\"host.example.com\"]\n\
        [[rules]]\naction = \"block\"\ndestinations = [\"*.example.net\"]\n\
        [[rules]]\naction = \"block\"\ndestinations = [\"11.0.0.0/8\"]\n\
        [[rules]]\naction = \"block\"\ndestinations = [\"12.0.0.0/24\"]\nports = [25, 465]\n\
        [[rules]]\naction = \"block\"\nusers = [\"user-4\"]\nports = [22]\n\
        [[rules]]\naction = \"block\"\ndestinations = [\"api-*.example.org\"]\n";
    let rules = Arc::new(parse_rules(None, rules).unwrap());
    Acl::with_rules(Guard::Auto(OwnListeners::default()), rules)
}

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
const GREETING: &[u8] = b"\x05\x01\x00";
const REQUEST: &[u8] = b"\x05\x01\x00\x01\x5d\xb8\xd8\x22\x01\xbb";
