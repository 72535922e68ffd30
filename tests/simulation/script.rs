//! What a client is going to say before its payload.

use std::net::{IpAddr, SocketAddr};

use crate::dice::Dice;

/// The protocol and what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    Socks5 {
        login: bool,
        command: Wish,
    },
    Socks4 {
        command: Wish,
    },
    Http,
    /// Octets that mean nothing, or something by chance.
    Noise,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Connect,
    Bind,
    Associate,
}

/// The host that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Address(IpAddr),
    Name(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) speech: Speech,
    pub(crate) asked: Asked,
    pub(crate) port: u16,
    pub(crate) octets: Vec<u8>,
    /// Octets of a PROXY protocol header in front of it.
    pub(crate) header: usize,
    /// Whom that header announces.
    pub(crate) announced: Option<SocketAddr>,
}

impl Script {
    /// `announced` for a listener that wants a PROXY protocol header.
    pub(crate) fn new(dice: &mut Dice, announced: bool, number: usize) -> Self {
        let mut octets = Vec::new();
        let mut client = None;
        if announced {
            client = announce(dice, number, &mut octets);
        }
        let header = octets.len();
        let asked = match dice.below(10) {
            0..=4 => Asked::Name(dice.pick(&["a.test", "b.test", "long-name.example.test"])),
            5..=7 => Asked::Address(dice.pick(&PUBLIC)),
            _ => Asked::Address(dice.pick(&OTHER)),
        };
        let port = dice.between(1, 65_535) as u16;
        let command = match dice.below(10) {
            0..=6 => Wish::Connect,
            7 => Wish::Bind,
            _ => Wish::Associate,
        };
        let speech = match dice.below(20) {
            0..=6 => Speech::Socks5 { login: false, command },
            7..=12 => Speech::Socks5 { login: true, command },
            13..=15 if command == Wish::Associate => Speech::Http,
            13..=15 => Speech::Socks4 { command },
            16..=18 => Speech::Http,
            _ => Speech::Noise,
        };
        let script = Self { speech, asked, port, octets, header, announced: client };
        script.spoken(dice)
    }

    fn spoken(mut self, dice: &mut Dice) -> Self {
        let mut said = Vec::new();
        match self.speech {
            Speech::Socks5 { login, command } => {
                said.extend(if login { [5, 1, 2] } else { [5, 1, 0] });
                if login {
                    let password = if dice.chance(80) { PASSWORD } else { "wrong" };
                    said.extend([1, 5]);
                    said.extend(b"alice");
                    said.push(password.len() as u8);
                    said.extend(password.bytes());
                }
                said.extend([5, 1 + command as u8, 0]);
                if command == Wish::Associate {
                    said.extend([1, 0, 0, 0, 0, 0, 0]);
                } else {
                    self.write_target(&mut said);
                }
            }
            Speech::Socks4 { command } => {
                said.extend([4, 1 + command as u8]);
                said.extend(self.port.to_be_bytes());
                match self.asked {
                    Asked::Address(IpAddr::V4(ip)) => {
                        said.extend(ip.octets());
                        said.extend(b"fred\0");
                    }
                    Asked::Address(IpAddr::V6(ip)) => {
                        said.extend(b"\0\0\0\x01\0");
                        said.extend(ip.to_string().bytes());
                        said.push(0);
                    }
                    Asked::Name(name) => {
                        said.extend(b"\0\0\0\x01\0");
                        said.extend(name.bytes());
                        said.push(0);
                    }
                }
            }
            Speech::Http => {
                let target = match self.asked {
                    Asked::Address(IpAddr::V6(ip)) => format!("[{ip}]:{}", self.port),
                    Asked::Address(IpAddr::V4(ip)) => format!("{ip}:{}", self.port),
                    Asked::Name(name) => format!("{name}:{}", self.port),
                };
                let filler = "x".repeat(if dice.chance(10) { 3000 } else { 10 });
                let login = match dice.below(4) {
                    0 => "",
                    1 => "Proxy-Authorization: Basic YWxpY2U6d3Jvbmc=\r\n",
                    _ => "Proxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n",
                };
                let head = format!(
                    "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nX: {filler}\r\n{login}\r\n"
                );
                said.extend(head.bytes());
            }
            Speech::Noise => {
                let length = dice.between(1, 80);
                said.extend((0..length).map(|_| dice.pick(&[0, 1, 2, 3, 4, 5, b'G', b'\r', 255])));
            }
        }
        // A request may be damaged, or never be finished.
        if self.speech != Speech::Noise && dice.chance(12) {
            self.speech = Speech::Noise;
            match dice.chance(50) {
                true => {
                    let at = dice.below(said.len() as u64) as usize;
                    said[at] = dice.next() as u8;
                }
                false => said.truncate(dice.below(said.len() as u64) as usize),
            }
        }
        self.octets.extend(said);
        self
    }

    fn write_target(&self, said: &mut Vec<u8>) {
        match self.asked {
            Asked::Address(IpAddr::V4(ip)) => {
                said.push(1);
                said.extend(ip.octets());
            }
            Asked::Address(IpAddr::V6(ip)) => {
                said.push(4);
                said.extend(ip.octets());
            }
            Asked::Name(name) => {
                said.extend([3, name.len() as u8]);
                said.extend(name.bytes());
            }
        }
        said.extend(self.port.to_be_bytes());
    }
}

/// A PROXY protocol header, mostly of a client.
fn announce(dice: &mut Dice, number: usize, octets: &mut Vec<u8>) -> Option<SocketAddr> {
    let client = SocketAddr::from(([203, 0, 113, 50], 2000 + number as u16));
    match dice.below(4) {
        0 => {
            octets.extend(b"PROXY UNKNOWN\r\n");
            None
        }
        1 => {
            octets.extend(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x32\xc0\0\x02\x01");
            octets.extend(client.port().to_be_bytes());
            octets.extend([4, 56]);
            Some(client)
        }
        _ => {
            let line = format!("PROXY TCP4 {} 192.0.2.1 {} 1080\r\n", client.ip(), client.port());
            octets.extend(line.bytes());
            Some(client)
        }
    }
}

/// The one password that is right.
pub(crate) const PASSWORD: &str = "secret";

/// Hosts that everybody may reach.
pub(crate) const PUBLIC: [IpAddr; 3] = [
    IpAddr::V4(std::net::Ipv4Addr::new(93, 184, 216, 34)),
    IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)),
    IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)),
];

/// Hosts that some or all may not reach, and one that stands for anybody.
pub(crate) const OTHER: [IpAddr; 5] = [
    IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
];
