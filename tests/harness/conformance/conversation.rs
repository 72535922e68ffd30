//! One conversation of a client with the server, held step by step.

use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::case::{ANY_SUCCESS, Step};
use super::places::Places;
use crate::harness::PATIENCE;

/// How the client's octets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Each message in one write, after the answer to the one before it.
    Whole,
    /// The same, each octet in a write of its own.
    Trickled,
    /// All messages in one write, as far as they do not depend on an answer.
    Pipelined,
}

/// All of them.
pub(crate) const WAYS: [Way; 3] = [Way::Whole, Way::Trickled, Way::Pipelined];

impl Way {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Trickled => "trickled",
            Self::Pipelined => "pipelined",
        }
    }
}

/// Why a conversation did not go as it should.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The server does not offer what the case is about.
    Lacks,
    /// What was expected, and what happened.
    Fault(String),
}

impl From<String> for Trouble {
    fn from(fault: String) -> Self {
        Self::Fault(fault)
    }
}

/// Holds a conversation with the server at this address.
pub(crate) fn hold(
    server: SocketAddr,
    steps: Vec<Step>,
    way: Way,
    places: &Places,
) -> Result<(), Trouble> {
    let mut talk = Talk::begin(server).map_err(|error| format!("connecting: {error}"))?;
    // Up to which step everything is sent.
    let mut sent = 0;
    for (at, step) in steps.iter().enumerate() {
        if way == Way::Pipelined && at >= sent {
            let flowing = steps[at..].iter().take_while(|step| step.may_be_pipelined_over());
            sent = at + flowing.clone().count();
            let octets: Vec<u8> = flowing.flat_map(Step::octets).copied().collect();
            talk.send(&octets);
        }
        let done = match (way, step) {
            (Way::Pipelined, Step::Send(_)) => Ok(()),
            (Way::Trickled, Step::Send(octets)) => {
                talk.trickle(octets);
                Ok(())
            }
            (Way::Whole | Way::Trickled | Way::Pipelined, step) => talk.take(step, places),
        };
        done.map_err(|trouble| match trouble {
            Trouble::Lacks => Trouble::Lacks,
            Trouble::Fault(fault) => {
                Trouble::Fault(format!("step {}, {step:.60?}: {fault}", at + 1))
            }
        })?;
    }
    Ok(())
}

impl Step {
    /// Whether a client that does not wait for answers could send beyond this step.
    const fn may_be_pipelined_over(&self) -> bool {
        matches!(
            self,
            Self::Send(_)
                | Self::Receive(_)
                | Self::ReceiveNot(_)
                | Self::Reply(_)
                | Self::Offered
                | Self::Reply4 { .. }
                | Self::Offered4
                | Self::Answer(_)
                | Self::Field(_)
                | Self::NoBody
                | Self::BoundIsTrue
                | Self::BoundIsUsable
        )
    }

    fn octets(&self) -> &[u8] {
        if let Self::Send(octets) = self { octets } else { &[] }
    }
}

/// The client's side.
struct Talk {
    server: SocketAddr,
    stream: TcpStream,
    /// BND.ADDR and BND.PORT of the last reply.
    bound: Option<SocketAddr>,
    /// The last head of a response.
    head: String,
    datagrams: Option<UdpSocket>,
    foreign: Option<UdpSocket>,
    peer: Option<TcpStream>,
    /// It has reset the connection: nothing can be said any more.
    reset: bool,
}

impl Talk {
    fn begin(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            server,
            stream,
            bound: None,
            head: String::new(),
            datagrams: None,
            foreign: None,
            peer: None,
            reset: false,
        })
    }

    /// A server that has hung up is noticed by the next thing that is expected of it.
    fn send(&mut self, octets: &[u8]) {
        drop(self.stream.write_all(octets));
    }

    fn trickle(&mut self, octets: &[u8]) {
        let (single, rest) = octets.split_at(octets.len().min(TRICKLED_OCTETS_MAX));
        for octet in single {
            self.send(std::slice::from_ref(octet));
            std::thread::yield_now();
        }
        self.send(rest);
    }

    fn take(&mut self, step: &Step, places: &Places) -> Result<(), Trouble> {
        match step {
            Step::Send(octets) => self.send(octets),
            Step::Finish => self.stream.shutdown(Shutdown::Write).map_err(told)?,
            Step::Reset => self.reset()?,
            Step::Receive(octets) => self.receive_exactly(octets)?,
            Step::ReceiveNot(octets) => {
                let [octet] = self.receive()?;
                expect(!octets.contains(&octet), || format!("{octet:#04x} came"))?;
            }
            Step::Reply(codes) => self.reply(codes)?,
            Step::Offered => self.reply(&[0]).map_err(|trouble| self.lacking(trouble))?,
            Step::SecondReply => self.second_reply()?,
            Step::Reply4 { granted } => self.reply4(if *granted { 90 } else { 91 })?,
            Step::Offered4 => match self.reply4(90) {
                Err(_) if self.bound.is_none() => return Err(Trouble::Lacks),
                done => done?,
            },
            Step::Answer(statuses) => self.answer(statuses)?,
            Step::Field(name) => {
                expect(self.field(name).is_some(), || format!("not in {:?}", self.head))?;
            }
            Step::NoBody => {
                let absent = ["content-length", "transfer-encoding"];
                let there = absent.iter().any(|name| self.field(name).is_some());
                expect(!there, || format!("there is one in {:?}", self.head))?;
            }
            Step::Rest => self.rest()?,
            Step::BoundIsTrue => self.bound_is_true()?,
            Step::BoundIsUsable => {
                let bound = self.bound.ok_or_else(|| "there was no reply".to_owned())?;
                expect(!bound.ip().is_unspecified() && bound.port() != 0, || bound.to_string())?;
            }
            Step::Closed => self.ended(true)?,
            Step::Eof => self.ended(false)?,
            Step::Heard(octets) => {
                wait_until(|| places.has_heard(octets), "the target has heard something else")?;
            }
            Step::Untouched(target) => {
                expect(!places.is_touched(*target), || format!("{target} was connected to"))?;
            }
            Step::Dialled(target) => {
                wait_until(|| is_being_dialled(*target), "nobody connects to the target")?;
            }
            Step::Abandoned(target) => {
                wait_until(|| !is_being_dialled(*target), "it goes on connecting to the target")?;
            }
            Step::Datagram(octets) => {
                let relay = self.relay()?;
                self.client_socket()?.send_to(octets, relay).map_err(told)?;
            }
            Step::ForeignDatagram(from, octets) => {
                let relay = self.relay()?;
                let socket = UdpSocket::bind((*from, 0)).map_err(told)?;
                socket.send_to(octets, relay).map_err(told)?;
                self.foreign = Some(socket);
            }
            Step::DatagramFrom(target, payload) => self.datagram_from(*target, payload)?,
            Step::NoForeignDatagram => {
                let socket =
                    self.foreign.take().ok_or_else(|| "there is nobody else".to_owned())?;
                socket.set_nonblocking(true).map_err(told)?;
                let nothing = socket.recv(&mut [0; 64]).is_err();
                expect(nothing, || "somebody else was served".to_owned())?;
            }
            Step::PortIsFree => {
                let relay = self.relay()?;
                wait_until(|| UdpSocket::bind(relay).is_ok(), "the port is still held")?;
            }
            Step::Peer(from) => self.peer_comes(*from)?,
            Step::PeerSends(octets) => self.peer()?.write_all(octets).map_err(told)?,
            Step::PeerReceives(octets) => {
                let mut came = vec![0; octets.len()];
                self.peer()?.read_exact(&mut came).map_err(told)?;
                expect(came == *octets, || format!("{came:02x?} came"))?;
            }
        }
        Ok(())
    }

    fn receive<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        let mut octets = [0; N];
        self.read_all(&mut octets)?;
        Ok(octets)
    }

    fn read_all(&mut self, mut octets: &mut [u8]) -> Result<(), Trouble> {
        while !octets.is_empty() {
            match self.stream.read(octets) {
                Ok(0) => return Err(fault("the connection ended")),
                Ok(read) => octets = &mut octets[read..],
                Err(error) => return Err(told(error)),
            }
        }
        Ok(())
    }

    fn receive_exactly(&mut self, expected: &[u8]) -> Result<(), Trouble> {
        let mut octets = vec![0; expected.len()];
        self.read_all(&mut octets)?;
        expect(octets == expected, || format!("{octets:02x?} came"))
    }

    fn reply(&mut self, codes: &[u8]) -> Result<(), Trouble> {
        let [version, code, reserved, kind] = self.receive()?;
        expect((version, reserved) == (5, 0), || {
            format!("VER is {version}, REP {code}, RSV {reserved}")
        })?;
        let ip: IpAddr = match kind {
            1 => Ipv4Addr::from(self.receive::<4>()?).into(),
            4 => Ipv6Addr::from(self.receive::<16>()?).into(),
            3 => {
                // Allowed, and of no use to a client.
                let [length] = self.receive()?;
                let mut name = vec![0; length.into()];
                self.read_all(&mut name)?;
                Ipv4Addr::UNSPECIFIED.into()
            }
            other => return Err(fault(format!("the reply has ATYP {other}"))),
        };
        let port = u16::from_be_bytes(self.receive()?);
        if !codes.contains(&code) {
            return Err(fault(format!("REP is {code}")));
        }
        self.bound = Some(SocketAddr::new(ip, port));
        Ok(())
    }

    /// What "command not supported" means where the command is not the case's point.
    fn lacking(&self, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::Fault(fault) if fault == "REP is 7" => Trouble::Lacks,
            trouble @ (Trouble::Fault(_) | Trouble::Lacks) => trouble,
        }
    }

    fn second_reply(&mut self) -> Result<(), Trouble> {
        let came = self.peer()?.local_addr().map_err(told)?;
        self.reply(&[0])?;
        expect(self.bound == Some(came), || format!("{:?}, and {came} has come", self.bound))
    }

    fn reply4(&mut self, expected: u8) -> Result<(), Trouble> {
        let [version, code, high, low, a, b, c, d] = self.receive()?;
        expect(version == 0, || format!("VN is {version}"))?;
        expect(code == expected, || format!("CD is {code}"))?;
        let port = u16::from_be_bytes([high, low]);
        self.bound = Some((Ipv4Addr::new(a, b, c, d), port).into());
        Ok(())
    }

    fn answer(&mut self, statuses: &[u16]) -> Result<(), Trouble> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let came: Result<[u8; 1], _> = self.receive();
            let said = || String::from_utf8_lossy(&head).into_owned();
            match came {
                Ok([octet]) if head.len() < HEAD_OCTETS_MAX => head.push(octet),
                Ok(_) => return Err(fault(format!("an endless head: {:.80}", said()))),
                Err(Trouble::Fault(why)) => {
                    return Err(fault(format!("{why} after {:.80?}", said())));
                }
                Err(Trouble::Lacks) => return Err(Trouble::Lacks),
            }
        }
        self.head = String::from_utf8_lossy(&head).into_owned();
        let status =
            self.head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let right = status.is_some_and(|status| {
            statuses.contains(&status)
                || (statuses.contains(&ANY_SUCCESS) && (200..300).contains(&status))
        });
        expect(right, || format!("{:?} came", self.head.lines().next().unwrap_or_default()))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// RFC 9112 §6.3 and §9.6, for responses other than those that open a tunnel.
    fn rest(&mut self) -> Result<(), Trouble> {
        let length = self.field("content-length").map(str::parse::<usize>);
        let closes =
            self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if let Some(length) = length {
            let mut body = vec![0; length.map_err(told)?];
            self.read_all(&mut body)?;
            if !closes {
                return Ok(());
            }
            return self.ended(true);
        }
        self.stream.set_read_timeout(Some(CLOSED_WITHIN)).map_err(told)?;
        self.stream.read_to_end(&mut Vec::new()).map(drop).map_err(told)
    }

    fn bound_is_true(&mut self) -> Result<(), Trouble> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(self.receive::<1>()?[0]);
        }
        let line = String::from_utf8_lossy(&line);
        let came: SocketAddr = line.trim_end().parse().map_err(told)?;
        expect(self.bound == Some(came), || format!("{:?}, and {came} has come", self.bound))
    }

    fn reset(&mut self) -> Result<(), Trouble> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).map_err(told)?;
        // The socket goes with its last owner; this one is of no use to anybody.
        let other = UdpSocket::bind("127.0.0.1:0").map_err(told)?;
        self.stream = TcpStream::from(std::os::fd::OwnedFd::from(other));
        self.reset = true;
        Ok(())
    }

    fn ended(&mut self, by_reset_too: bool) -> Result<(), Trouble> {
        self.stream.set_read_timeout(Some(CLOSED_WITHIN)).map_err(told)?;
        match self.stream.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(fault("more came")),
            Err(error) if error.kind() == ErrorKind::ConnectionReset && by_reset_too => Ok(()),
            Err(error) => Err(told(error)),
        }
    }

    /// Where datagrams go: the address of the reply, at the server's where that says none.
    fn relay(&self) -> Result<SocketAddr, Trouble> {
        let mut relay = self.bound.ok_or_else(|| fault("there was no reply"))?;
        if relay.ip().is_unspecified() {
            relay.set_ip(self.server.ip());
        }
        Ok(relay)
    }

    fn client_socket(&mut self) -> Result<&UdpSocket, Trouble> {
        if self.datagrams.is_none() {
            let ip = self.stream.local_addr().map_err(told)?.ip();
            let socket = UdpSocket::bind((ip, 0)).map_err(told)?;
            socket.set_read_timeout(Some(DATAGRAM_WITHIN)).map_err(told)?;
            self.datagrams = Some(socket);
        }
        self.datagrams.as_ref().ok_or_else(|| fault("no socket"))
    }

    fn datagram_from(&mut self, target: SocketAddr, payload: &[u8]) -> Result<(), Trouble> {
        let relay = self.relay()?;
        let mut buffer = vec![0; 65_536];
        let (length, from) = self.client_socket()?.recv_from(&mut buffer).map_err(told)?;
        expect(from == relay, || format!("it came from {from}, not from {relay}"))?;
        let expected = crate::harness::datagrams::wrapped(target, payload);
        let came = &buffer[..length];
        expect(came == expected, || format!("{:02x?} came", &came[..length.min(40)]))
    }

    fn peer_comes(&mut self, from: IpAddr) -> Result<(), Trouble> {
        let bound = self.relay()?;
        let socket = Socket::new(Domain::for_address(bound), Type::STREAM, None).map_err(told)?;
        socket.bind(&SocketAddr::new(from, 0).into()).map_err(told)?;
        socket.connect(&bound.into()).map_err(told)?;
        let peer = TcpStream::from(socket);
        peer.set_read_timeout(Some(PATIENCE)).map_err(told)?;
        self.peer = Some(peer);
        Ok(())
    }

    fn peer(&mut self) -> Result<&mut TcpStream, Trouble> {
        self.peer.as_mut().ok_or_else(|| fault("no peer has come"))
    }
}

fn fault(text: impl Into<String>) -> Trouble {
    Trouble::Fault(text.into())
}

fn told(error: impl Display) -> Trouble {
    let text = error.to_string();
    // What the kernel calls the end of a read timeout.
    let waited = text.contains("temporarily unavailable");
    Trouble::Fault(if waited { "nothing came in time".to_owned() } else { text })
}

fn expect(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), Trouble> {
    if condition { Ok(()) } else { Err(Trouble::Fault(otherwise())) }
}

fn wait_until(condition: impl Fn() -> bool, otherwise: &str) -> Result<(), Trouble> {
    let until = Instant::now() + SOON;
    while !condition() {
        expect(Instant::now() < until, || otherwise.to_owned())?;
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(())
}

/// Whether a socket of this machine has sent its SYN to this address and waits (proc_net_tcp: 02).
fn is_being_dialled(target: SocketAddr) -> bool {
    let SocketAddr::V4(target) = target else { return false };
    let [a, b, c, d] = target.ip().octets();
    let remote = format!("{d:02X}{c:02X}{b:02X}{a:02X}:{:04X}", target.port());
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("the kernel's table");
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(2);
        words.next() == Some(&*remote) && words.next() == Some("02")
    })
}

/// Octets of one message that go alone; what is beyond them is payload.
const TRICKLED_OCTETS_MAX: usize = 600;
const HEAD_OCTETS_MAX: usize = 65_536;
/// RFC 1928 §6 gives a server ten seconds; two more for a busy machine.
const CLOSED_WITHIN: Duration = Duration::from_secs(12);
const DATAGRAM_WITHIN: Duration = Duration::from_secs(5);
/// Less than any patience with targets that is not configured: 10 s.
const SOON: Duration = Duration::from_secs(5);
