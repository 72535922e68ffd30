//! A name server for tests, on a loopback port of its own: UDP and TCP, one thread, RFC 1035 by
//! hand. What it answers is a function of the name and the type asked for.
#![allow(dead_code, reason = "each test program uses its part")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use parking_lot::Mutex;
use rustsocks::clock;

/// The type of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    A,
    Aaaa,
}

/// What the server does about a question.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with those of the addresses that are of the type asked for, for a minute.
    Addresses(Vec<IpAddr>),
    /// NXDOMAIN.
    NoSuchName,
    /// NXDOMAIN with a SOA of these times, seconds (RFC 2308 §3).
    NoSuchNameFor { ttl: u32, minimum: u32 },
    /// SERVFAIL.
    ServerFailure,
    /// REFUSED.
    Refused,
    /// No answer at all.
    Silence,
    /// Does so later.
    Delayed(Duration, Box<Reply>),
    /// By UDP the bit that says "ask by TCP", by TCP the reply.
    Truncated(Box<Reply>),
}

/// What there is to say of a name.
type Zone = dyn Fn(&str, Kind) -> Reply + Send;

/// A running server; ends when dropped.
pub(crate) struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    waker: Waker,
    stop: AtomicBool,
    questions: AtomicUsize,
    tcp_questions: AtomicUsize,
    askers: Mutex<BTreeSet<IpAddr>>,
}

impl NameServer {
    /// Serves `zone` on a free port of 127.0.0.1.
    pub(crate) fn start(zone: impl Fn(&str, Kind) -> Reply + Send + 'static) -> Self {
        let poll = Poll::new().unwrap();
        let (mut udp, mut tcp) = sockets();
        let address = udp.local_addr().unwrap();
        poll.registry().register(&mut udp, UDP, Interest::READABLE).unwrap();
        poll.registry().register(&mut tcp, TCP, Interest::READABLE).unwrap();
        let shared = Arc::new(Shared {
            waker: Waker::new(poll.registry(), WAKER).unwrap(),
            stop: AtomicBool::new(false),
            questions: AtomicUsize::new(0),
            tcp_questions: AtomicUsize::new(0),
            askers: Mutex::default(),
        });
        let mut service = Service {
            poll,
            udp,
            tcp,
            clients: Vec::new(),
            delayed: Vec::new(),
            zone: Box::new(zone),
            shared: Arc::clone(&shared),
        };
        let thread = thread::Builder::new().name("name-server".to_owned());
        let thread = thread.spawn(move || service.run()).unwrap();
        Self { address, shared, thread: Some(thread) }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Questions so far, by either way; each type and each repetition counts.
    pub(crate) fn questions(&self) -> usize {
        self.shared.questions.load(Ordering::SeqCst)
    }

    /// Who has asked by UDP so far.
    pub(crate) fn askers(&self) -> BTreeSet<IpAddr> {
        self.shared.askers.lock().clone()
    }

    /// Questions that came by TCP.
    pub(crate) fn tcp_questions(&self) -> usize {
        self.shared.tcp_questions.load(Ordering::SeqCst)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.waker.wake().unwrap();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking(), "the name server panicked");
    }
}

struct Service {
    poll: Poll,
    udp: UdpSocket,
    tcp: TcpListener,
    clients: Vec<(TcpStream, Vec<u8>)>,
    delayed: Vec<(Instant, SocketAddr, Vec<u8>)>,
    zone: Box<Zone>,
    shared: Arc<Shared>,
}

impl Service {
    fn run(&mut self) {
        let mut events = Events::with_capacity(64);
        while !self.shared.stop.load(Ordering::SeqCst) {
            let due = self.delayed.iter().map(|(due, ..)| *due).min();
            let wait = due.map(|due| due.saturating_duration_since(clock::mono()));
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => panic!("{error}"),
                Ok(()) | Err(_) => {}
            }
            self.serve_udp();
            self.serve_tcp();
            self.send_due();
        }
    }

    fn serve_udp(&mut self) {
        let mut octets = [0; 1500];
        while let Ok((length, client)) = self.udp.recv_from(&mut octets) {
            let Some(question) = Question::read(&octets[..length]) else { continue };
            self.shared.questions.fetch_add(1, Ordering::SeqCst);
            self.shared.askers.lock().insert(client.ip());
            let mut reply = (self.zone)(&question.name, question.kind);
            let mut due = None;
            if let Reply::Delayed(delay, then) = reply {
                due = Some(clock::mono() + delay);
                reply = *then;
            }
            let Some(answer) = question.answer(&reply, false) else { continue };
            match due {
                Some(due) => self.delayed.push((due, client, answer)),
                None => self.send(client, &answer),
            }
        }
    }

    fn send_due(&mut self) {
        let now = clock::mono();
        let due = |(due, ..): &mut (Instant, SocketAddr, Vec<u8>)| *due <= now;
        for (_, client, answer) in self.delayed.extract_if(.., due).collect::<Vec<_>>() {
            self.send(client, &answer);
        }
    }

    /// A datagram that cannot be sent is lost, as datagrams are.
    fn send(&self, client: SocketAddr, answer: &[u8]) {
        self.udp.send_to(answer, client).unwrap_or_default();
    }

    fn serve_tcp(&mut self) {
        while let Ok((mut client, _)) = self.tcp.accept() {
            self.poll.registry().register(&mut client, CLIENT, Interest::READABLE).unwrap();
            self.clients.push((client, Vec::new()));
        }
        let (zone, shared) = (&self.zone, &self.shared);
        self.clients.retain_mut(|(client, octets)| serve_client(client, octets, zone, shared));
    }
}

/// Answers what a TCP client has asked so far; whether it is still there.
fn serve_client(
    client: &mut TcpStream,
    octets: &mut Vec<u8>,
    zone: &Zone,
    shared: &Shared,
) -> bool {
    match client.read_to_end(octets) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Ok(_) | Err(_) => return false,
    }
    while let [high, low, rest @ ..] = octets.as_slice() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(message) = rest.get(..length) else { break };
        shared.questions.fetch_add(1, Ordering::SeqCst);
        shared.tcp_questions.fetch_add(1, Ordering::SeqCst);
        let question = Question::read(message).unwrap();
        let reply = zone(&question.name, question.kind);
        if let Some(answer) = question.answer(&reply, true) {
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            // Small enough for any socket's buffer.
            if client.write_all(&[&length, answer.as_slice()].concat()).is_err() {
                return false;
            }
        }
        octets.drain(..2 + length);
    }
    true
}

/// RFC 1035 §4.1.1 and §4.1.2.
struct Question {
    id: [u8; 2],
    name: String,
    kind: Kind,
    /// The question as it came, to be repeated in the answer.
    section: Vec<u8>,
}

impl Question {
    fn read(message: &[u8]) -> Option<Self> {
        let (header, mut rest) = message.split_at_checked(12)?;
        let body = rest;
        let mut labels = Vec::new();
        loop {
            let (&length, after) = rest.split_first()?;
            let (label, after) = after.split_at_checked(usize::from(length))?;
            rest = after;
            if label.is_empty() {
                break;
            }
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        }
        let (kind, rest) = match rest {
            [0, 1, 0, 1, rest @ ..] => (Kind::A, rest),
            [0, 28, 0, 1, rest @ ..] => (Kind::Aaaa, rest),
            _ => return None,
        };
        let section = body[..body.len() - rest.len()].to_vec();
        Some(Self { id: [header[0], header[1]], name: labels.join("."), kind, section })
    }

    fn answer(&self, reply: &Reply, by_tcp: bool) -> Option<Vec<u8>> {
        match reply {
            Reply::Silence => None,
            Reply::NoSuchName => Some(self.message(3, false, &[])),
            Reply::NoSuchNameFor { ttl, minimum } => {
                let mut octets = self.message(3, false, &[]);
                octets[9] = 1;
                // The root, type SOA, class IN; MNAME and RNAME are the root, too.
                octets.extend([0, 0, 6, 0, 1]);
                octets.extend(ttl.to_be_bytes());
                octets.extend([0, 22, 0, 0]);
                // Serial, refresh, retry, expire.
                octets.extend([0; 16]);
                octets.extend(minimum.to_be_bytes());
                Some(octets)
            }
            Reply::ServerFailure => Some(self.message(2, false, &[])),
            Reply::Refused => Some(self.message(5, false, &[])),
            Reply::Addresses(ips) => Some(self.message(0, false, ips)),
            Reply::Truncated(reply) if by_tcp => self.answer(reply, true),
            Reply::Truncated(_) => Some(self.message(0, true, &[])),
            Reply::Delayed(_, then) => self.answer(then, by_tcp),
        }
    }

    fn message(&self, code: u8, truncated: bool, ips: &[IpAddr]) -> Vec<u8> {
        let fitting: Vec<_> =
            ips.iter().filter(|ip| ip.is_ipv4() == (self.kind == Kind::A)).collect();
        let count = u16::try_from(fitting.len()).unwrap().to_be_bytes();
        let mut octets = self.id.to_vec();
        // An answer, recursion desired and available.
        octets.extend([0x81 | u8::from(truncated) << 1, 0x80 | code, 0, 1]);
        octets.extend(count);
        octets.extend([0; 4]);
        octets.extend(&self.section);
        for ip in fitting {
            // The name of the question, its type and class, a minute to live.
            octets.extend([0xc0, 12]);
            match ip {
                IpAddr::V4(ip) => {
                    octets.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                    octets.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    octets.extend([0, 28, 0, 1, 0, 0, 0, 60, 0, 16]);
                    octets.extend(ip.octets());
                }
            }
        }
        octets
    }
}

/// UDP and TCP on the same port.
fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        // Someone else may have the port by TCP.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
    panic!("no port is free by both UDP and TCP");
}

const UDP: Token = Token(0);
const TCP: Token = Token(1);
const WAKER: Token = Token(2);
const CLIENT: Token = Token(3);
