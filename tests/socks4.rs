//! SOCKS4 and SOCKS4a, by the two notes that describe them ("SOCKS: A protocol for TCP proxy across
//! firewalls" by Ying-Da Lee, sections "1) CONNECT" and "2) BIND", and "SOCKS 4A"): each case names the
//! section that it checks. See `harness/conformance` for how they are held, and how against another
//! server.
#![cfg(feature = "dns-cares")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

#[path = "harness/conformance/mod.rs"]
mod conformance;
mod harness;
#[path = "harness/names.rs"]
mod names;

use std::net::{IpAddr, SocketAddr};

use conformance::Step::{
    self, Abandoned, BoundIsTrue, BoundIsUsable, Closed, Dialled, Eof, Finish, Heard, Offered4,
    Peer, PeerReceives, PeerSends, Receive, Reply4, Reset, Send,
};
use conformance::case::{self, Scene};
use conformance::{Case, Needs};

#[test]
fn socks4_is_what_its_notes_say() {
    conformance::hold("SOCKS4", "socks4_is_what_its_notes_say", CASES);
}

const fn case(
    section: &'static str,
    name: &'static str,
    steps: fn(&Scene<'_>) -> Vec<Step>,
) -> Case {
    case::case(section, name, steps).needs(Needs::Open)
}

/// A request of version 4.
fn request(command: u8, target: SocketAddr, userid: &[u8]) -> Vec<u8> {
    let IpAddr::V4(ip) = target.ip() else { panic!("{target} is not of IPv4") };
    let mut octets = vec![4, command];
    octets.extend(target.port().to_be_bytes());
    octets.extend(ip.octets());
    octets.extend(userid);
    octets.push(0);
    octets
}

/// One of 4a: the address 0.0.0.x says that a name follows.
fn named(x: u8, name: &[u8], port: u16, userid: &[u8]) -> Vec<u8> {
    let mut octets = request(1, SocketAddr::from(([0, 0, 0, x], port)), userid);
    octets.extend(name);
    octets.push(0);
    octets
}

const GRANTED: Step = Reply4 { granted: true };
const REJECTED: Step = Reply4 { granted: false };

/// This request leads to the target that sends back what it receives.
fn echoes(octets: Vec<u8>) -> Vec<Step> {
    vec![
        Send(octets),
        GRANTED,
        Send(b"there and back".to_vec()),
        Receive(b"there and back".to_vec()),
        Finish,
        Eof,
    ]
}

/// This request is rejected, and the connection ends.
fn rejected(octets: Vec<u8>) -> Vec<Step> {
    vec![Send(octets), REJECTED, Closed]
}

const CASES: &[Case] = &[
    case("CONNECT", "to an address", |scene| echoes(request(1, scene.places.echo, b""))),
    case("CONNECT", "with a user", |scene| echoes(request(1, scene.places.echo, b"fred"))),
    case("CONNECT", "with a user of 255 octets", |scene| {
        echoes(request(1, scene.places.echo, &[b'u'; 255]))
    }),
    case("CONNECT", "with a user of any octets", |scene| {
        echoes(request(1, scene.places.echo, &[0xff, 0x80, b' ', b'\n']))
    }),
    case("CONNECT", "a user without end: rejected, and the end", |scene| {
        rejected(request(1, scene.places.echo, &[b'u'; 4_000]))
    })
    .needs(Needs::Ours),
    case("CONNECT", "the reply names our address as the target sees it", |scene| {
        vec![Send(request(1, scene.places.who, b"")), GRANTED, BoundIsTrue, Eof]
    })
    .needs(Needs::Ours),
    case("CONNECT", "refused by the target: rejected, and the end", |scene| {
        rejected(request(1, scene.places.refused, b""))
    }),
    case("CONNECT", "no answer from the target: rejected, and the end", |scene| {
        rejected(request(1, scene.places.silent(), b""))
    }),
    case("CONNECT", "forbidden by a rule: rejected, and the end", |_| {
        rejected(request(1, SocketAddr::from(([169, 254, 169, 254], 80)), b""))
    })
    .needs(Needs::Ours),
    case("CONNECT", "where users must log in: rejected, and the end", |scene| {
        rejected(request(1, scene.places.echo, b"alice"))
    })
    .needs(Needs::OursLogin),
    case("CONNECT", "an unknown command: rejected, and the end", |scene| {
        rejected(request(9, scene.places.echo, b""))
    }),
    case("CONNECT", "a rejection reaches a client that has sent more", |scene| {
        let more = [request(1, scene.places.refused, b""), vec![0x5a; 100_000]].concat();
        rejected(more)
    }),
    case("CONNECT", "what is sent behind the request reaches the target", |scene| {
        let octets = [request(1, scene.places.echo, b"fred"), b"early".to_vec()].concat();
        vec![Send(octets), GRANTED, Receive(b"early".to_vec()), Finish, Eof]
    }),
    case("CONNECT", "a client that has said all hears the target out", |scene| {
        vec![
            Send(request(1, scene.places.counts, b"")),
            GRANTED,
            Send(vec![7; 40_000]),
            Finish,
            Receive(b"40000 octets".to_vec()),
            Eof,
        ]
    }),
    case("CONNECT", "a target that has said all hears the client out", |scene| {
        let mark = scene.places.mark();
        vec![
            Send(request(1, scene.places.speaks_first, b"")),
            GRANTED,
            Receive(b"first".to_vec()),
            Eof,
            Send(mark.clone()),
            Finish,
            Heard(mark),
        ]
    }),
    case("CONNECT", "a client that has reset is connected nowhere", |scene| {
        let target = scene.places.silent();
        vec![Send(request(1, target, b"")), Dialled(target), Reset, Abandoned(target)]
    })
    .needs(Needs::OursPlain),
    case("4A", "a name", |scene| echoes(named(1, b"localhost", scene.places.echo.port(), b""))),
    case("4A", "a name with a user, announced by 0.0.0.255", |scene| {
        echoes(named(255, b"localhost", scene.places.echo.port(), b"fred"))
    }),
    case("4A", "a name of the DNS", |scene| {
        echoes(named(1, b"known.test", scene.places.echo.port(), b""))
    })
    .needs(Needs::Ours),
    case("4A", "an address written as a name", |scene| {
        echoes(named(1, b"127.0.0.1", scene.places.echo.port(), b""))
    }),
    case("4A", "an IPv6 address written as a name", |scene| {
        echoes(named(1, b"::1", scene.places.echo.port(), b""))
    })
    .needs(Needs::Ours),
    case("4A", "no such name: rejected, and the end", |_| {
        rejected(named(1, b"no-such-name.invalid", 80, b""))
    }),
    case("4A", "an empty name: rejected, and the end", |_| rejected(named(1, b"", 80, b""))),
    case("4A", "a name without end: rejected, and the end", |_| {
        rejected(named(1, &[b'a'; 4_000], 80, b""))
    })
    .needs(Needs::Ours),
    case("4A", "0.0.0.0 announces no name", |_| {
        rejected(request(1, SocketAddr::from(([0, 0, 0, 0], 80)), b""))
    })
    .needs(Needs::Ours),
    case("4A", "what is sent behind the name reaches the target", |scene| {
        let name = named(1, b"localhost", scene.places.echo.port(), b"");
        let octets = [name, b"early".to_vec()].concat();
        vec![Send(octets), GRANTED, Receive(b"early".to_vec()), Finish, Eof]
    }),
    case("BIND", "where to, that somebody has come, and both ways", |_| {
        let peer = IpAddr::from([127, 0, 0, 1]);
        vec![
            Send(request(2, SocketAddr::new(peer, 21), b"")),
            Offered4,
            BoundIsUsable,
            Peer(peer),
            GRANTED,
            Send(b"to the peer".to_vec()),
            PeerReceives(b"to the peer".to_vec()),
            PeerSends(b"to the client".to_vec()),
            Receive(b"to the client".to_vec()),
        ]
    }),
    case("BIND", "another host than the expected one: it is not let in", |_| {
        let (stranger, peer) = (IpAddr::from([127, 0, 0, 9]), IpAddr::from([127, 0, 0, 5]));
        vec![
            Send(request(2, SocketAddr::new(peer, 21), b"")),
            Offered4,
            Peer(stranger),
            Peer(peer),
            GRANTED,
            PeerSends(b"it is me".to_vec()),
            Receive(b"it is me".to_vec()),
        ]
    })
    .needs(Needs::Ours),
    case("BIND", "nobody comes: rejected, and the end", |_| {
        let octets = request(2, SocketAddr::from(([127, 0, 0, 1], 21)), b"");
        vec![Send(octets), Offered4, REJECTED, Closed]
    })
    .needs(Needs::Ours),
    case("BIND", "where it is not offered: rejected, and the end", |scene| {
        rejected(request(2, scene.places.echo, b""))
    })
    .needs(Needs::OursPlain),
];
