//! Where it is asked: origins that send back what they get, and the proxy with its rules.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use super::harness::datagrams::UdpEcho;
use super::harness::origin::Origin;
use super::harness::proxy::Proxy;
use super::row::Target;

/// Origins at one port of several addresses, by TCP and UDP.
pub(crate) struct Place {
    tcp: Vec<Origin>,
    udp: Vec<UdpEcho>,
    port: u16,
    /// Peers of BIND that got through; they come to the proxy and not to an origin.
    pub(crate) peers: std::sync::atomic::AtomicU64,
}

/// Last octets of the addresses.
const ADDRESSES: [u8; 7] = [10, 11, 12, 13, 14, 15, 20];
/// So that tests of one process that run side by side do not look at the same ports.
static PORTS_TRIED: AtomicU16 = AtomicU16::new(0);
/// A port that a rule blocks.
const BLOCKED_PORT: u16 = 9;

impl Place {
    pub(crate) fn new() -> Self {
        let found = (0..100).find_map(|_| Self::at_one_port());
        found.expect("a port that is free at seven addresses")
    }

    fn at_one_port() -> Option<Self> {
        // Below those that the kernel deals out (ip_local_port_range): none of these is taken by a
        // connection of another test between the look and the bind.
        let nth = PORTS_TRIED.fetch_add(1, Ordering::Relaxed);
        let process = u16::try_from(std::process::id() % 500).unwrap();
        let port = 20_000 + process * 20 + nth % 2_000;
        let free = |last: u8| {
            let address = SocketAddr::from(([127, 0, 0, last], port));
            let tcp = std::net::TcpListener::bind(address).is_ok();
            tcp && std::net::UdpSocket::bind(address).is_ok()
        };
        if !ADDRESSES.iter().all(|last| free(*last)) {
            return None;
        }
        let at = |last: &u8| format!("127.0.0.{last}:{port}");
        let tcp = ADDRESSES.iter().map(|last| Origin::on(&at(last), echo)).collect();
        let udp = ADDRESSES.iter().map(|last| UdpEcho::on(&at(last))).collect();
        Some(Self { tcp, udp, port, peers: 0.into() })
    }

    /// A proxy that wants logins, or none, with rules for all that is asked for.
    pub(crate) fn proxy(&self, wanted: bool) -> Proxy {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("acl.toml"), RULES).unwrap();
        let method = if wanted { "userpass" } else { "none" };
        Proxy::start_in(
            directory,
            "commands = [\"connect\", \"bind\", \"udp_associate\"]",
            "",
            &format!(
                "[auth]\nsocks_method = \"{method}\"\nmax_failures = 0\nfailure_delay_ms = 0\n\
                 [[auth.users]]\nusername = \"alice\"\npassword_hash = \"{SECRET}\"\n\
                 groups = [\"staff\"]\n\
                 [[auth.users]]\nusername = \"bob\"\npassword_hash = \"{SECRET}\"\n\
                 [resolver.hosts]\n\"blocked.test\" = [\"127.0.0.10\"]\n\
                 \"sly.test\" = [\"127.0.0.11\"]\n\
                 [acl]\nenabled = true\nconfig_file = \"{{dir}}/acl.toml\"\n"
            ),
        )
    }

    /// The address and the port of what is asked for.
    pub(crate) fn address(&self, target: Target) -> SocketAddr {
        let port = if target == Target::ByPort { BLOCKED_PORT } else { self.port };
        SocketAddr::from(([127, 0, 0, target.last_octet()], port))
    }

    /// Connections, associations and peers that moved something.
    pub(crate) fn reached(&self) -> u64 {
        let tcp = self.tcp.iter().map(|origin| origin.count.connections.load(Ordering::SeqCst));
        let udp = self.udp.iter().map(|origin| origin.count.datagrams.load(Ordering::SeqCst));
        tcp.chain(udp).sum::<u64>() + self.peers.load(Ordering::SeqCst)
    }
}

fn echo(mut stream: std::net::TcpStream, _: &super::harness::origin::Count) {
    let mut sink = stream.try_clone().unwrap();
    // Ends with the client, however that ends.
    std::io::copy(&mut stream, &mut sink).unwrap_or_default();
}

/// `secret`, at the lowest cost.
const SECRET: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

const RULES: &str = "
[[rules]]
action = \"block\"
description = \"by address\"
priority = 300
destinations = [\"127.0.0.11\"]
[[rules]]
action = \"block\"
description = \"by user\"
priority = 300
destinations = [\"127.0.0.12\"]
users = [\"alice\"]
[[rules]]
action = \"block\"
description = \"by group\"
priority = 300
destinations = [\"127.0.0.13\"]
groups = [\"staff\"]
[[rules]]
action = \"block\"
description = \"by source\"
priority = 300
destinations = [\"127.0.0.14\"]
sources = [\"127.0.0.9/32\"]
[[rules]]
action = \"block\"
description = \"by name\"
priority = 300
destinations = [\"blocked.test\"]
[[rules]]
action = \"block\"
description = \"by port\"
priority = 300
ports = [9]
[[rules]]
action = \"shadow-block\"
description = \"in the shadow\"
priority = 300
destinations = [\"127.0.0.15\"]
[[rules]]
action = \"allow\"
description = \"allowed\"
destinations = [\"127.0.0.8/29\"]
";
