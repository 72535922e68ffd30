//! Everything that a client and an operator can do.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;

use crate::harness::api::get;
use crate::harness::client::{self, Client};
use crate::harness::datagrams::{Associated, UdpEcho};
use crate::harness::origin::Origin;
use crate::names::{Kind, Reply};

/// What the server of names says.
pub(crate) fn zone(name: &str, kind: Kind) -> Reply {
    match (name, kind) {
        ("here.test", Kind::A) => Reply::Addresses(vec![IpAddr::from([127, 0, 0, 1])]),
        ("here.test", Kind::Aaaa) => Reply::Addresses(Vec::new()),
        _ => Reply::NoSuchName,
    }
}

/// Everything that a client and an operator can do, at once.
pub(crate) fn load((socks, api): (SocketAddr, SocketAddr), login: bool) {
    let (tcp, udp) = (Origin::echo(), UdpEcho::on("127.0.0.1:0"));
    let port = tcp.address.port();
    let open = || {
        let mut client = Client::to(socks);
        if login {
            assert!(client.login("alice", "secret"));
        } else {
            client.send(&[5, 1, 0]);
            assert_eq!(client.receive(2), [5, 0]);
        }
        client
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..25 {
                    let mut client = open();
                    client.send(&match round % 3 {
                        0 => client::connect(tcp.address),
                        1 => client::connect(("here.test", port)),
                        _ => client::connect(("none.test", port)),
                    });
                    let code = client.reply().0;
                    assert_eq!(code, if round % 3 == 2 { 4 } else { 0 });
                    if code == 0 {
                        client.send(b"x");
                        assert_eq!(client.receive(1), b"x");
                    }
                }
            });
        }
        // So much that it is relayed inside the kernel.
        scope.spawn(|| {
            let mut client = open();
            client.send(&client::connect(tcp.address));
            assert_eq!(client.reply().0, 0);
            let mut writer = client.stream.try_clone().unwrap();
            let portion = vec![7; 1 << 20];
            let sent = thread::spawn(move || {
                for _ in 0..32 {
                    writer.write_all(&portion).unwrap();
                }
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            });
            assert_eq!(std::io::copy(&mut client.stream, &mut std::io::sink()).unwrap(), 32 << 20);
            sent.join().unwrap();
        });
        scope.spawn(|| {
            let mut bind = open();
            bind.send(&client::request(2, SocketAddr::from(([127, 0, 0, 1], 21))));
            let (code, bound) = bind.reply();
            assert_eq!(code, 0);
            let mut peer = TcpStream::connect(bound).unwrap();
            assert_eq!(bind.reply().0, 0);
            peer.write_all(b"x").unwrap();
            assert_eq!(bind.receive(1), b"x");
        });
        if !login {
            scope.spawn(|| {
                let client = Associated::with(socks);
                for _ in 0..50 {
                    client.send(udp.address, b"x");
                    assert_eq!(client.receive().1, b"x");
                }
                client.send(("here.test", udp.address.port()), b"y");
                assert_eq!(client.receive().1, b"y");
            });
            scope.spawn(|| {
                let mut client = Client::to(socks);
                let head = format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", tcp.address);
                client.send(head.as_bytes());
                assert!(client.receive(12).ends_with(b"200"));
                let mut client = Client::to(socks);
                client.send(&[&[4, 1][..], &port.to_be_bytes(), &[127, 0, 0, 1], &[0]].concat());
                assert_eq!(client.receive(8)[1], 90);
                // And what is none of all that.
                Client::to(socks).send(&[9; 64]);
            });
        } else {
            scope.spawn(|| assert!(!Client::to(socks).login("alice", "wrong")));
        }
        scope.spawn(|| {
            for path in PATHS {
                let answer = get(api, path);
                assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.body);
            }
        });
    });
}

const PATHS: [&str; 12] = [
    "/",
    "/health",
    "/metrics",
    "/api/sessions/active",
    "/api/sessions/history?limit=1000&total=true",
    "/api/sessions/stats",
    "/api/users/alice/sessions",
    "/api/metrics/history",
    "/api/acl/rules",
    "/api/bans",
    "/api/system/resources",
    "/nothing",
];

/// All commands, and a filter that ends the process at a call that it has not.
pub(crate) const SERVER: &str =
    "sandbox = \"strict\"\ncommands = [\"connect\", \"bind\", \"udp_associate\"]";
