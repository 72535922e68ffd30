//! A SOCKS5 client, octet by octet.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// A connection to the proxy.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

/// What the client asks for, as DST.ADDR.
pub(crate) enum Asked<'a> {
    Address(SocketAddr),
    Name(&'a str, u16),
}

impl From<SocketAddr> for Asked<'_> {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl<'a> From<(&'a str, u16)> for Asked<'a> {
    fn from((name, port): (&'a str, u16)) -> Self {
        Self::Name(name, port)
    }
}

impl Client {
    /// A bare connection.
    pub(crate) fn to(proxy: SocketAddr) -> Self {
        let stream = TcpStream::connect(proxy).expect("the proxy accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream }
    }

    /// A connection through the proxy, without login.
    ///
    /// # Panics
    /// When the proxy refuses.
    pub(crate) fn connected<'a>(proxy: SocketAddr, target: impl Into<Asked<'a>>) -> Self {
        let mut client = Self::to(proxy);
        assert_eq!(client.negotiate(target), 0, "the reply code");
        client
    }

    /// Greets without login, asks, and returns the reply code.
    pub(crate) fn negotiate<'a>(&mut self, target: impl Into<Asked<'a>>) -> u8 {
        self.ask(1, target).0
    }

    /// Greets without login, sends a request of this command, and reads the reply.
    pub(crate) fn ask<'a>(
        &mut self,
        command: u8,
        target: impl Into<Asked<'a>>,
    ) -> (u8, SocketAddr) {
        self.send(&[5, 1, 0]);
        assert_eq!(self.receive(2), [5, 0]);
        self.send(&request(command, target));
        self.reply()
    }

    /// Greets and logs in; whether it was let in.
    pub(crate) fn login(&mut self, user: &str, password: &str) -> bool {
        self.send(&[5, 1, 2]);
        assert_eq!(self.receive(2), [5, 2]);
        self.send(&userpass(user, password));
        self.receive(2) == [1, 0]
    }

    /// Reads a reply: its code, and BND.ADDR with BND.PORT.
    pub(crate) fn reply(&mut self) -> (u8, SocketAddr) {
        let head = self.receive(4);
        assert_eq!((head[0], head[2]), (5, 0), "{head:?}");
        let bound = match head[3] {
            1 => {
                let octets = self.receive(6);
                let ip: [u8; 4] = octets[..4].try_into().expect("four octets");
                (Ipv4Addr::from(ip), port(&octets[4..])).into()
            }
            4 => {
                let octets = self.receive(18);
                let ip: [u8; 16] = octets[..16].try_into().expect("sixteen octets");
                (std::net::Ipv6Addr::from(ip), port(&octets[16..])).into()
            }
            other => panic!("address type {other} in a reply"),
        };
        (head[1], bound)
    }

    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).expect("the proxy takes it");
    }

    pub(crate) fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut octets = vec![0; count];
        self.stream.read_exact(&mut octets).expect("the proxy sends it");
        octets
    }

    /// Everything up to EOF.
    pub(crate) fn receive_all(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        self.stream.read_to_end(&mut octets).expect("the proxy sends it");
        octets
    }

    /// Closes the sending side.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// Makes the next drop of this client a reset.
    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
    }
}

/// A CONNECT request.
pub(crate) fn connect<'a>(target: impl Into<Asked<'a>>) -> Vec<u8> {
    request(1, target)
}

/// A request with this command.
pub(crate) fn request<'a>(command: u8, target: impl Into<Asked<'a>>) -> Vec<u8> {
    let mut octets = vec![5, command, 0];
    let port = match target.into() {
        Asked::Address(SocketAddr::V4(address)) => {
            octets.push(1);
            octets.extend(address.ip().octets());
            address.port()
        }
        Asked::Address(SocketAddr::V6(address)) => {
            octets.push(4);
            octets.extend(address.ip().octets());
            address.port()
        }
        Asked::Name(name, port) => {
            octets.push(3);
            octets.push(u8::try_from(name.len()).expect("a short name"));
            octets.extend(name.as_bytes());
            port
        }
    };
    octets.extend(port.to_be_bytes());
    octets
}

/// An RFC 1929 request.
pub(crate) fn userpass(user: &str, password: &str) -> Vec<u8> {
    let mut octets = vec![1, u8::try_from(user.len()).expect("a short name")];
    octets.extend(user.as_bytes());
    octets.push(u8::try_from(password.len()).expect("a short password"));
    octets.extend(password.as_bytes());
    octets
}

fn port(octets: &[u8]) -> u16 {
    u16::from_be_bytes(octets.try_into().expect("two octets"))
}
