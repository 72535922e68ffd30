//! Asks as a row says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::Ordering;

use base64ct::{Base64, Encoding};
use socket2::{Domain, Socket, Type};

use super::harness::client::{self, Asked, Client, userpass};
use super::harness::datagrams::wrapped;
use super::harness::proxy::Proxy;
use super::harness::scrape::Scrape;
use super::harness::{PATIENCE, wait_for};
use super::place::Place;
use super::row::{Dialect, Row};

pub(crate) struct Asking<'a> {
    place: &'a Place,
    proxy: &'a Proxy,
    /// Datagrams that were refused so far.
    denied: f64,
}

impl<'a> Asking<'a> {
    pub(crate) const fn new(place: &'a Place, proxy: &'a Proxy) -> Self {
        Self { place, proxy, denied: 0.0 }
    }

    /// Where the client was, whether it got through, and what it was told.
    pub(crate) fn ask(&mut self, row: &Row) -> (SocketAddr, bool, String) {
        let stream = self.connected(row);
        let client = stream.local_addr().unwrap();
        let mut client_side = Client { stream };
        let (through, reply) = match row.dialect {
            Dialect::Connect | Dialect::Bind | Dialect::Udp => self.socks5(&mut client_side, row),
            Dialect::Socks4 | Dialect::Socks4a => self.socks4(&mut client_side, row),
            Dialect::Http => self.http(&mut client_side, row),
        };
        (client, through, reply)
    }

    fn connected(&self, row: &Row) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, row.target.client()], 0)).into()).unwrap();
        socket.connect(&self.proxy.socks.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn asked(&self, row: &Row) -> Asked<'static> {
        let address = self.place.address(row.target);
        match row.target.name() {
            Some(name) if row.dialect.takes_names() => Asked::Name(name, address.port()),
            Some(_) | None => Asked::Address(address),
        }
    }

    fn socks5(&mut self, client: &mut Client, row: &Row) -> (bool, String) {
        let said = row.login.said(row.dialect);
        // Who has a login offers it beside none.
        client.send(if said.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] });
        match client.receive(2)[1] {
            0 => {}
            2 => {
                let (name, password) = said.unwrap();
                client.send(&userpass(&name, &password));
                if client.receive(2) != [1, 0] {
                    assert_eq!(client.receive_all(), b"", "it is closed");
                    return (false, "login failed".to_owned());
                }
            }
            0xff => {
                assert_eq!(client.receive_all(), b"", "it is closed");
                return (false, "no method".to_owned());
            }
            other => return (false, format!("method {other}")),
        }
        match row.dialect {
            Dialect::Bind => self.bind(client, row),
            Dialect::Udp => self.datagram(client, row),
            Dialect::Connect | Dialect::Socks4 | Dialect::Socks4a | Dialect::Http => {
                client.send(&client::connect(self.asked(row)));
                let code = client.reply().0;
                (echoes(client, code == 0), code.to_string())
            }
        }
    }

    fn bind(&self, client: &mut Client, row: &Row) -> (bool, String) {
        client.send(&client::request(2, self.asked(row)));
        let (code, bound) = client.reply();
        if code != 0 {
            return (echoes(client, false), code.to_string());
        }
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let ip = self.place.address(row.target).ip();
        socket.bind(&SocketAddr::new(ip, 0).into()).unwrap();
        socket.connect(&bound.into()).unwrap();
        let mut peer = TcpStream::from(socket);
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let second = client.reply().0;
        client.send(b"ping");
        let mut octets = [0; 4];
        peer.read_exact(&mut octets).unwrap();
        peer.write_all(&octets).unwrap();
        assert_eq!(client.receive(4), b"ping");
        client.finish();
        assert_eq!(peer.read(&mut octets).unwrap(), 0);
        drop(peer);
        client.receive_all();
        self.place.peers.fetch_add(1, Ordering::SeqCst);
        (true, second.to_string())
    }

    fn datagram(&mut self, client: &mut Client, row: &Row) -> (bool, String) {
        client.send(&client::request(3, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))));
        let (code, relay) = client.reply();
        if code != 0 {
            return (echoes(client, false), code.to_string());
        }
        let from = SocketAddr::new(client.stream.local_addr().unwrap().ip(), 0);
        let socket = UdpSocket::bind(from).unwrap();
        socket.send_to(&wrapped(self.asked(row), b"ping"), relay).unwrap();
        let through = self.datagram_passes(&socket);
        if !through {
            self.denied += 1.0;
        }
        (through, code.to_string())
    }

    /// Whether it comes back, or is counted as refused.
    fn datagram_passes(&self, socket: &UdpSocket) -> bool {
        socket.set_nonblocking(true).unwrap();
        let mut octets = [0; 64];
        wait_for("the datagram, or its refusal", || {
            if let Ok(length) = socket.recv(&mut octets) {
                assert!(octets[..length].ends_with(b"ping"));
                return Some(true);
            }
            let series = "rustsocks_udp_dropped_total{reason=\"denied\"}";
            let denied = Scrape::of(self.proxy.api.unwrap()).value(series)?;
            (denied > self.denied).then_some(false)
        })
    }

    fn socks4(&self, client: &mut Client, row: &Row) -> (bool, String) {
        let address = self.place.address(row.target);
        let SocketAddr::V4(v4) = address else { panic!("an address of IPv4") };
        // A NUL ends the USERID, so none is in it.
        let said = row.login.said(row.dialect).map(|(name, _)| name.replace('\0', ""));
        let userid = said.unwrap_or_default();
        let mut octets = vec![4, 1];
        octets.extend(v4.port().to_be_bytes());
        let name = match row.dialect {
            Dialect::Socks4a => Some(row.target.name().map_or(v4.ip().to_string(), str::to_owned)),
            Dialect::Connect | Dialect::Bind | Dialect::Udp | Dialect::Socks4 | Dialect::Http => {
                None
            }
        };
        octets.extend(name.as_ref().map_or(v4.ip().octets(), |_| [0, 0, 0, 1]));
        octets.extend(userid.as_bytes());
        octets.push(0);
        if let Some(name) = name {
            octets.extend(name.as_bytes());
            octets.push(0);
        }
        client.send(&octets);
        let code = client.receive(8)[1];
        (echoes(client, code == 90), code.to_string())
    }

    fn http(&self, client: &mut Client, row: &Row) -> (bool, String) {
        let address = self.place.address(row.target);
        let host = row.target.name().map_or(address.ip().to_string(), str::to_owned);
        let target = format!("{host}:{}", address.port());
        let login = row.login.said(row.dialect).map_or(String::new(), |(name, password)| {
            let basic = Base64::encode_string(format!("{name}:{password}").as_bytes());
            format!("Proxy-Authorization: Basic {basic}\r\n")
        });
        client
            .send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n").as_bytes());
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(client.receive(1));
        }
        let head = String::from_utf8(head).unwrap();
        let code = head.split(' ').nth(1).unwrap().to_owned();
        (echoes(client, code == "200"), code)
    }
}

/// Says something and gets it back, where it was let through; else the proxy says no more.
fn echoes(client: &mut Client, through: bool) -> bool {
    if through {
        client.send(b"ping");
        assert_eq!(client.receive(4), b"ping");
        client.finish();
    }
    assert_eq!(client.receive_all(), b"");
    through
}
