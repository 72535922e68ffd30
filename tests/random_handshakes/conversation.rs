//! What a client says: a valid conversation, a mutant of one, or anything.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustsocks::acl::{Guard, OwnListeners};
use rustsocks::http;
use rustsocks::proxy_protocol;
use rustsocks::socks::{self, Command, Handshake, MethodSet, Outbox, Request};

use crate::harness::client::{self, Asked, userpass};
use crate::harness::random::Random;

/// What the proxy expects.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// Users must log in.
    pub(crate) login: bool,
    /// Connections begin with a PROXY protocol header.
    pub(crate) announced: bool,
}

/// Where clients are, and where they may want to go.
pub(crate) struct World {
    form: Form,
    pub(crate) proxy: SocketAddr,
    targets: [SocketAddr; 6],
    guard: Guard,
}

impl World {
    /// A world with an origin that answers, and one that is closed.
    pub(crate) fn new(
        form: Form,
        origin: SocketAddr,
        closed: SocketAddr,
        proxy: SocketAddr,
    ) -> Self {
        let six = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, closed.port()));
        let metadata = SocketAddr::from(([169, 254, 169, 254], 80));
        let multicast = SocketAddr::from(([224, 0, 0, 1], 9));
        let guard = Guard::Auto(OwnListeners { bound: vec![proxy], ..OwnListeners::default() });
        Self { form, proxy, targets: [origin, closed, six, metadata, multicast, proxy], guard }
    }

    /// What one client says, and what it may say behind that once it was answered.
    pub(crate) fn conversation(&self, random: &mut Random) -> (Vec<u8>, [u8; 64]) {
        loop {
            let behind = [random.octet(); 64];
            let octets = match random.below(16) {
                0 => Vec::new(),
                1 | 2 => anything(random),
                3..=5 => self.valid(random),
                _ => self.mutant(random),
            };
            if self.stays_here(&octets) && self.stays_here(&[&octets, &behind[..]].concat()) {
                return (octets, behind);
            }
        }
    }

    /// Whether nobody elsewhere is bothered: the proxy would dial none of this host's other services,
    /// and nobody beyond it.
    fn stays_here(&self, octets: &[u8]) -> bool {
        let octets = if self.form.announced {
            match proxy_protocol::parse(octets) {
                Ok(Some((_, used))) => &octets[used..],
                Ok(None) | Err(_) => return true,
            }
        } else {
            octets
        };
        let Some(Request { command, target }) = self.request(octets) else { return true };
        // The last one of the network is its broadcast address: nobody can connect to that, or look for
        // the way there.
        let nobodys = Ipv4Addr::new(127, 255, 255, 255);
        if target.host.ip().is_some_and(|ip| ip.to_canonical() == nobodys) {
            return false;
        }
        if command != Command::Connect {
            return true;
        }
        let known = self.targets[..3].iter().any(|it| it.port() == target.port);
        let Some(ip) = target.host.ip() else { return known };
        let address = SocketAddr::new(ip, target.port);
        self.guard.allows(Ipv4Addr::LOCALHOST.into(), address).is_err()
            || known && ip.to_canonical().is_loopback()
    }

    /// What the proxy would be asked for, if every login were good.
    fn request(&self, octets: &[u8]) -> Option<Request> {
        let methods = if self.form.login { MethodSet::USERPASS } else { MethodSet::NO_AUTH };
        let mut out = Outbox::new();
        if octets.first()?.is_ascii_uppercase() {
            let mut connect = http::Connect::new(methods);
            let mut progress = connect.feed(octets, &mut out).ok()?.1;
            if matches!(progress, http::Progress::Verify(_)) {
                connect.verdict(Ok(()), &mut out);
                progress = connect.feed(&[], &mut out).ok()?.1;
            }
            let http::Progress::Requested(request) = progress else { return None };
            return Some(request);
        }
        let mut handshake = Handshake::new(methods);
        let (used, mut progress) = handshake.feed(octets, &mut out).ok()?;
        if matches!(progress, socks::Progress::Verify(_)) {
            handshake.verdict(true, &mut out);
            progress = handshake.feed(&octets[used..], &mut out).ok()?.1;
        }
        let socks::Progress::Requested { request, .. } = progress else { return None };
        Some(request)
    }

    fn valid(&self, random: &mut Random) -> Vec<u8> {
        let mut octets = Vec::new();
        if self.form.announced && !random.one_in(10) {
            octets.extend(self.announcement(random));
        }
        match random.below(4) {
            0 => octets.extend(self.four(random)),
            1 => octets.extend(self.http(random)),
            _ => octets.extend(self.five(random)),
        }
        if random.one_in(2) {
            let length = random.below(200);
            octets.extend((0..length).map(|_| random.octet()));
        }
        octets
    }

    fn five(&self, random: &mut Random) -> Vec<u8> {
        let mut octets = vec![5];
        if random.one_in(2) == self.form.login {
            octets.extend([1, 2]);
            let password = if random.one_in(3) { "wrong" } else { "secret" };
            octets.extend(userpass(random.pick(&["alice", "bob"]), password));
        } else {
            octets.extend([3, 0, 1, 2]);
        }
        let command = random.pick(&[1, 1, 1, 1, 2, 3, 9]);
        let name = random.pick(&["origin.test", "missing.test", "a-name-with.many.labels.test"]);
        let target = if random.one_in(3) {
            Asked::Name(name, self.targets[random.below(2)].port())
        } else {
            Asked::Address(random.pick(&self.targets))
        };
        octets.extend(client::request(command, target));
        octets
    }

    fn four(&self, random: &mut Random) -> Vec<u8> {
        let target = random.pick(&self.targets);
        let mut octets = vec![4, random.pick(&[1, 1, 1, 2])];
        octets.extend(target.port().to_be_bytes());
        match target.ip() {
            IpAddr::V4(ip) if !random.one_in(3) => {
                octets.extend(ip.octets());
                octets.extend(b"user\0");
            }
            IpAddr::V4(_) | IpAddr::V6(_) => {
                octets.extend([0, 0, 0, 1]);
                octets.extend(b"\0origin.test\0");
            }
        }
        octets
    }

    fn http(&self, random: &mut Random) -> Vec<u8> {
        let target = random.pick(&self.targets);
        let mut head = match random.below(3) {
            0 => format!("CONNECT origin.test:{} HTTP/1.1\r\n", target.port()),
            1 => format!("CONNECT {target} HTTP/1.0\r\n"),
            _ => format!("{} {target} HTTP/1.1\r\n", random.pick(&["CONNECT", "GET", "POST"])),
        };
        if !random.one_in(5) {
            head.push_str(&format!("Host: {target}\r\n"));
        }
        if random.one_in(2) {
            // alice:secret
            head.push_str("Proxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n");
        }
        for _ in 0..random.below(4) {
            head.push_str(&format!("X-Some: {}\r\n", "x".repeat(random.below(600))));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn announcement(&self, random: &mut Random) -> Vec<u8> {
        let mut two = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        match random.below(4) {
            0 => return b"PROXY TCP4 127.0.0.9 127.0.0.1 40000 1080\r\n".to_vec(),
            1 => return b"PROXY UNKNOWN\r\n".to_vec(),
            2 => two.extend([0x20, 0, 0, 0]),
            _ => {
                let further = random.below(300);
                two.extend([0x21, 0x11]);
                two.extend((12 + further as u16).to_be_bytes());
                two.extend([203, 0, 113, 7, 127, 0, 0, 1, 0x9c, 0x40, 4, 56]);
                two.extend((0..further).map(|_| random.octet()));
            }
        }
        two
    }

    fn mutant(&self, random: &mut Random) -> Vec<u8> {
        let mut octets = self.valid(random);
        for _ in 0..1 + random.below(4) {
            let at = random.below(octets.len() + 1);
            match random.below(8) {
                0 => octets.truncate(at),
                1 => octets.insert(at, random.octet()),
                2 if at < octets.len() => drop(octets.remove(at)),
                3 if at < octets.len() => octets[at] ^= 1 << random.below(8),
                4 if at < octets.len() => octets[at] = random.pick(&[0, 1, 4, 5, 0x7f, 0xff]),
                5 => {
                    let again = octets[at..].to_vec();
                    octets.extend(again);
                }
                6 => {
                    octets.truncate(at);
                    octets.extend(self.valid(random));
                }
                _ => {
                    let length = if random.one_in(20) { 70_000 } else { random.below(600) };
                    let filler = random.octet();
                    octets.splice(at..at, std::iter::repeat_n(filler, length));
                }
            }
        }
        octets
    }
}

/// Octets, often with a beginning that promises more.
fn anything(random: &mut Random) -> Vec<u8> {
    let length = random.below(600);
    let mut octets: Vec<u8> = (0..length).map(|_| random.octet()).collect();
    if let Some(first) = octets.first_mut() {
        *first = match random.below(4) {
            0 => 4,
            1 => 5,
            2 => b'A' + random.below(26) as u8,
            _ => *first,
        };
    }
    octets
}
