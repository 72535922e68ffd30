//! RFC 1928, SOCKS version 5: each case names the section that it checks. See
//! `harness/conformance` for how they are held, and how against another server.
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
    Abandoned, BoundIsTrue, BoundIsUsable, Closed, Datagram, DatagramFrom, Dialled, Eof, Finish,
    ForeignDatagram, Heard, NoForeignDatagram, Offered, Peer, PeerReceives, PeerSends, PortIsFree,
    Receive, Reply, Reset, Rest, SecondReply, Send, Untouched,
};
use conformance::case::{case, echoed};
use conformance::places::Places;
use conformance::{Case, Needs};
use harness::client::{connect, request};
use harness::datagrams::wrapped;

#[test]
fn socks5_is_what_rfc_1928_says() {
    conformance::hold("RFC 1928", "socks5_is_what_rfc_1928_says", CASES);
}

const CASES: &[Case] = &[
    // The choice of a method.
    case("1928 §3", "no authentication", |_| vec![Send(vec![5, 1, 0]), Receive(vec![5, 0])])
        .needs(Needs::Open),
    case("1928 §3", "one that suits among others that do not", |scene| {
        let suits = if scene.login.is_some() { 2 } else { 0 };
        vec![Send(vec![5, 4, 0x80, 0x93, suits, 0xfe]), Receive(vec![5, suits])]
    }),
    case("1928 §3", "the same one many times", |scene| {
        let suits = if scene.login.is_some() { 2 } else { 0 };
        let offer = [&[5, 255][..], &[suits; 255]].concat();
        vec![Send(offer), Receive(vec![5, suits])]
    }),
    case("1928 §3", "none that suits: X'FF', and the end", |_| {
        vec![Send(vec![5, 2, 0x80, 0xfe]), Receive(vec![5, 0xff]), Closed]
    }),
    case("1928 §3", "a login where none is wanted: X'FF', and the end", |_| {
        vec![Send(vec![5, 1, 2]), Receive(vec![5, 0xff]), Closed]
    })
    .needs(Needs::Ours),
    case("1928 §3", "no login where one is wanted: X'FF', and the end", |_| {
        vec![Send(vec![5, 1, 0]), Receive(vec![5, 0xff]), Closed]
    })
    .needs(Needs::Login),
    case("1928 §3", "no method at all: X'FF', and the end", |_| {
        vec![Send(vec![5, 0]), Receive(vec![5, 0xff]), Closed]
    }),
    case("1928 §3", "X'FF' is no method", |_| {
        vec![Send(vec![5, 1, 0xff]), Receive(vec![5, 0xff]), Closed]
    }),
    case("1928 §3", "another version: the end, and no answer of ours", |scene| {
        vec![Send(vec![6, 1, 0]), if scene.ours { Closed } else { Rest }]
    }),
    case("1928 §3", "after X'FF' a request is not carried out", |scene| {
        let target = scene.places.untouched();
        vec![
            Send([vec![5, 1, 0x80], connect(target)].concat()),
            Receive(vec![5, 0xff]),
            Closed,
            Untouched(target),
        ]
    }),
    // The request.
    case("1928 §4", "CONNECT to an IPv4 address", |scene| {
        scene.echoes(connect(scene.places.echo))
    }),
    case("1928 §4", "CONNECT to an IPv6 address", |scene| {
        scene.echoes(connect(scene.places.echo6))
    }),
    case("1928 §4", "CONNECT to a name", |scene| {
        scene.echoes(connect(("localhost", scene.places.echo.port())))
    }),
    case("1928 §4", "CONNECT to a name of the DNS", |scene| {
        scene.echoes(connect(("known.test", scene.places.echo.port())))
    })
    .needs(Needs::Ours),
    case("1928 §4", "an unknown command: X'07', and the end", |scene| {
        scene.refused(request(9, scene.places.echo), &[7])
    }),
    case("1928 §4", "command 0: X'07', and the end", |scene| {
        scene.refused(request(0, scene.places.echo), &[7])
    }),
    case("1928 §4", "command X'FF', with a name: X'07', and the end", |scene| {
        scene.refused(request(0xff, ("localhost", 80)), &[7])
    }),
    case("1928 §4", "BIND where it is not offered: X'07', and the end", |scene| {
        scene.refused(request(2, scene.places.echo), &[7])
    })
    .needs(Needs::OursPlain),
    case("1928 §4", "a request of another version is not carried out", |scene| {
        let mut octets = connect(scene.places.untouched());
        octets[0] = 4;
        scene.refused(octets, &[1])
    })
    .needs(Needs::Ours),
    // Addresses.
    case("1928 §5", "an unknown address type: X'08', and the end", |scene| {
        scene.refused(vec![5, 1, 0, 2, 127, 0, 0, 1, 0, 80], &[8])
    }),
    case("1928 §5", "address type 0: X'08', and the end", |scene| {
        scene.refused(vec![5, 1, 0, 0, 127, 0, 0, 1, 0, 80], &[8])
    }),
    case("1928 §5", "address type X'FF': X'08', and the end", |scene| {
        scene.refused(vec![5, 1, 0, 0xff, 127, 0, 0, 1, 0, 80], &[8])
    }),
    case("1928 §5", "an IPv4-mapped IPv6 address", |scene| {
        let SocketAddr::V4(echo) = scene.places.echo else { return Vec::new() };
        scene.echoes(connect(SocketAddr::new(echo.ip().to_ipv6_mapped().into(), echo.port())))
    }),
    case("1928 §5", "a name in capitals", |scene| {
        scene.echoes(connect(("LocalHost", scene.places.echo.port())))
    }),
    case("1928 §5", "an IPv4 address written as a name", |scene| {
        scene.echoes(connect(("127.0.0.1", scene.places.echo.port())))
    }),
    case("1928 §5", "an IPv6 address written as a name", |scene| {
        scene.echoes(connect(("::1", scene.places.echo.port())))
    }),
    case("1928 §5", "an empty name: a failure, and the end", |scene| {
        scene.refused(vec![5, 1, 0, 3, 0, 0, 80], scene.code(&[1], &[1, 2, 3, 4, 5, 6, 8]))
    }),
    case("1928 §5", "the longest name: a failure, and the end", |scene| {
        let octets = [&[5, 1, 0, 3, 255][..], &[b'a'; 255], &[0, 80]].concat();
        scene.refused(octets, scene.code(&[4], &[1, 3, 4]))
    }),
    case("1928 §5", "a name with a NUL is not the one before it", |scene| {
        let port = scene.places.echo.port();
        let name = connect(("localhost\0.example", port));
        scene.refused(name, scene.code(&[1], &[1, 2, 3, 4, 5, 6, 8]))
    }),
    // Replies.
    case("1928 §6", "BND.ADDR and BND.PORT are what the target sees", |scene| {
        let target = connect(scene.places.who);
        scene.then([Send(target), Reply(&[0]), BoundIsTrue, Eof])
    }),
    case("1928 §6", "the same of an IPv6 target", |scene| {
        let target = connect(scene.places.who6);
        scene.then([Send(target), Reply(&[0]), BoundIsTrue, Eof])
    }),
    case("1928 §6", "refused by the target: X'05', and the end", |scene| {
        scene.refused(connect(scene.places.refused), &[5])
    }),
    case("1928 §6", "no such name: X'04', and the end", |scene| {
        scene.refused(connect(("no-such-name.invalid", 80)), scene.code(&[4], &[1, 4]))
    }),
    case("1928 §6", "no route to the network: X'03', and the end", |scene| {
        scene.refused(connect(SocketAddr::from((Places::NO_NETWORK, 80))), &[3])
    })
    .needs(Needs::NoRoutes),
    case("1928 §6", "no route to the host: X'04', and the end", |scene| {
        scene.refused(connect(SocketAddr::from((Places::NO_HOST, 80))), &[4])
    })
    .needs(Needs::NoRoutes),
    case("1928 §6", "no answer from the target: X'06', and the end", |scene| {
        scene.refused(connect(scene.places.silent()), scene.code(&[6], &[1, 4, 6]))
    }),
    case("1928 §6", "forbidden by a rule: X'02', and the end", |scene| {
        scene.refused(connect(SocketAddr::from(([169, 254, 169, 254], 80))), &[2])
    })
    .needs(Needs::Ours),
    case("1928 §6", "a reply reaches a client that has sent more", |scene| {
        let more = [connect(scene.places.refused), vec![0x5a; 100_000]].concat();
        scene.refused(more, &[5])
    }),
    // What follows the reply.
    case("1928 §6", "what is sent behind the request reaches the target", |scene| {
        let octets = [connect(scene.places.echo), b"early".to_vec()].concat();
        scene.then([Send(octets), Reply(&[0]), Receive(b"early".to_vec()), Finish, Eof])
    }),
    case("1928 §6", "also where it is long", |scene| {
        let early: Vec<u8> = (0..=250).cycle().take(20_000).collect();
        let octets = [connect(scene.places.echo), early.clone()].concat();
        scene.then([Send(octets), Reply(&[0]), Receive(early), Finish, Eof])
    }),
    case("1928 §6", "a client that has said all hears the target out", |scene| {
        let target = connect(scene.places.counts);
        scene.then([
            Send(target),
            Reply(&[0]),
            Send(vec![7; 40_000]),
            Finish,
            Receive(b"40000 octets".to_vec()),
            Eof,
        ])
    }),
    case("1928 §6", "also if it has said all before the reply", |scene| {
        let octets = [connect(scene.places.counts), vec![7; 40]].concat();
        scene.then([Send(octets), Finish, Reply(&[0]), Receive(b"40 octets".to_vec()), Eof])
    }),
    case("1928 §6", "a target that has said all hears the client out", |scene| {
        let mark = scene.places.mark();
        scene.then([
            Send(connect(scene.places.speaks_first)),
            Reply(&[0]),
            Receive(b"first".to_vec()),
            Eof,
            Send(mark.clone()),
            Finish,
            Heard(mark),
        ])
    }),
    case("1928 §6", "a client that has reset is connected nowhere", |scene| {
        let target = scene.places.silent();
        scene.then([Send(connect(target)), Dialled(target), Reset, Abandoned(target)])
    })
    .needs(Needs::OursPlain),
    case("1928 §6", "a client that has hung up is connected nowhere", |scene| {
        let target = scene.places.silent();
        scene.then([Send(connect(target)), Dialled(target), Finish, Abandoned(target)])
    })
    .needs(Needs::OursPlain),
    // BIND.
    case("1928 §4, §6", "BIND: where to, who has come, and both ways", |scene| {
        let peer = IpAddr::from([127, 0, 0, 1]);
        scene.then([
            Send(request(2, SocketAddr::new(peer, 21))),
            Offered,
            BoundIsUsable,
            Peer(peer),
            SecondReply,
            Send(b"to the peer".to_vec()),
            PeerReceives(b"to the peer".to_vec()),
            PeerSends(b"to the client".to_vec()),
            Receive(b"to the client".to_vec()),
        ])
    }),
    case("1928 §4, §6", "BIND: what is sent behind the request reaches the peer", |scene| {
        let peer = IpAddr::from([127, 0, 0, 1]);
        let octets = [request(2, SocketAddr::new(peer, 21)), b"early".to_vec()].concat();
        scene.then([
            Send(octets),
            Offered,
            Peer(peer),
            SecondReply,
            PeerReceives(b"early".to_vec()),
        ])
    }),
    case("1928 §4, §6", "BIND: another host than the expected one is not let in", |scene| {
        let (stranger, peer) = (IpAddr::from([127, 0, 0, 9]), IpAddr::from([127, 0, 0, 5]));
        scene.then([
            Send(request(2, SocketAddr::new(peer, 21))),
            Offered,
            Peer(stranger),
            Peer(peer),
            SecondReply,
        ])
    })
    .needs(Needs::Ours),
    case("1928 §4, §6", "BIND: nobody comes: X'06', and the end", |scene| {
        let octets = request(2, SocketAddr::from(([127, 0, 0, 1], 21)));
        scene.then([Send(octets), Offered, Reply(&[6]), Closed])
    })
    .needs(Needs::Ours),
    case("1928 §4, §6", "BIND: no route to the peer's network: X'03', and the end", |scene| {
        let peer = SocketAddr::from((Places::NO_NETWORK, 21));
        scene.refused(request(2, peer), scene.code(&[3], &[1, 3, 7]))
    })
    .needs(Needs::NoRoutes),
    case("1928 §4, §6", "BIND: no route to the peer's host: X'04', and the end", |scene| {
        let peer = SocketAddr::from((Places::NO_HOST, 21));
        scene.refused(request(2, peer), scene.code(&[4], &[1, 4, 7]))
    })
    .needs(Needs::NoRoutes),
    // Datagrams.
    case("1928 §6, §7", "BND.ADDR and BND.PORT are where datagrams are taken", |scene| {
        let datagram = Datagram(wrapped(scene.places.udp, b"x"));
        let back = DatagramFrom(scene.places.udp, b"x".to_vec());
        scene.associated([BoundIsUsable, datagram, back])
    }),
    case("1928 §7", "datagrams to an IPv4 address and back", |scene| {
        let udp = scene.places.udp;
        let long = vec![0x5a; 8_000];
        let all = [&b"one"[..], b"", b"three", &long].map(|payload| echoed(udp, udp, payload));
        scene.associated(all.into_iter().flatten())
    }),
    case("1928 §7", "datagrams to an IPv6 address and back", |scene| {
        scene.associated(echoed(scene.places.udp6, scene.places.udp6, b"six"))
    }),
    case("1928 §7", "datagrams to a name and back", |scene| {
        let udp = scene.places.udp;
        scene.associated(echoed(("known.test", udp.port()), udp, b"named"))
    })
    .needs(Needs::Ours),
    case("1928 §7", "datagrams to an address written as a name", |scene| {
        let udp = scene.places.udp;
        scene.associated(echoed(("127.0.0.1", udp.port()), udp, b"written"))
    }),
    case("1928 §7", "an association serves more than one target", |scene| {
        let (four, six) = (scene.places.udp, scene.places.udp6);
        let both = [echoed(four, four, b"4"), echoed(six, six, b"6"), echoed(four, four, b"4")];
        scene.associated(both.into_iter().flatten())
    }),
    case("1928 §7", "a fragment is dropped in silence", |scene| {
        let udp = scene.places.udp;
        let mut fragment = wrapped(udp, b"fragment");
        fragment[2] = 1;
        let mut last = wrapped(udp, b"the last one");
        last[2] = 0x82;
        let whole = echoed(udp, udp, b"whole");
        scene.associated([Datagram(fragment), Datagram(last)].into_iter().chain(whole))
    }),
    case("1928 §7", "what has no whole header is dropped in silence", |scene| {
        let udp = scene.places.udp;
        let header = wrapped(udp, b"");
        let short = (0..header.len()).map(|length| Datagram(header[..length].to_vec()));
        let strange = Datagram(vec![0, 0, 0, 9, 127, 0, 0, 1, 0, 80]);
        scene.associated(short.chain([strange]).chain(echoed(udp, udp, b"whole")))
    }),
    case("1928 §7", "another host's datagrams are dropped in silence", |scene| {
        let udp = scene.places.udp;
        let foreign = ForeignDatagram([127, 0, 0, 9].into(), wrapped(udp, b"foreign"));
        let ours = echoed(udp, udp, b"ours");
        scene.associated([foreign].into_iter().chain(ours).chain([NoForeignDatagram]))
    }),
    case("1928 §7", "the association ends with its TCP connection", |scene| {
        let udp = scene.places.udp;
        let used = echoed(udp, udp, b"x");
        scene.associated(used.into_iter().chain([Finish, PortIsFree]))
    }),
    case("1928 §7", "also by a reset", |scene| {
        let udp = scene.places.udp;
        let used = echoed(udp, udp, b"x");
        scene.associated(used.into_iter().chain([Reset, PortIsFree]))
    }),
];
