//! Against the kernel: readiness is its word, and a script could only repeat ours.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use mio::{Events, Poll};

use super::*;
use crate::key::Key;
use crate::linux::outgoing::Outgoing;
use crate::linux::tcp_info::TcpInfo;
use crate::linux::{listener, socket};
use crate::relay::{Advance, BYTES_PER_TURN, Carrier, Direction, Meter, Relay, RelayEnd};
use crate::worker::token::Role;

/// A registered socket and its peer, and the poll that watches it.
struct Bench {
    poll: Poll,
    events: Events,
    socket: Socket,
    peer: std::net::TcpStream,
}

impl Bench {
    fn new() -> Self {
        let (stream, peer) = pair();
        let poll = Poll::new().unwrap();
        let mut socket = Socket::accepted(stream);
        socket.register(poll.registry(), token()).unwrap();
        Self { poll, events: Events::with_capacity(8), socket, peer }
    }

    /// Polls until the socket says what is waited for.
    fn until(&mut self, what: &str, holds: impl Fn(&Socket) -> bool) {
        for _ in 0..POLLS_MAX {
            if holds(&self.socket) {
                return;
            }
            self.poll.poll(&mut self.events, Some(POLL_PATIENCE)).unwrap();
            for event in &self.events {
                assert_eq!(Token::read(event.token()), Some(token()));
                self.socket.note(event);
            }
        }
        panic!("never {what}: {:?}", self.socket);
    }

    fn would_block(&mut self) -> bool {
        let mut buffer = [0; 64];
        self.socket.read(&mut buffer).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
    }
}

/// An accepted stream and its peer, which blocks.
fn pair() -> (TcpStream, std::net::TcpStream) {
    let options = listener::ListenerOptions { reuse_port: false, ..Default::default() };
    let bound = listener::bind_listener((Ipv4Addr::LOCALHOST, 0).into(), options).unwrap();
    let dialled = socket::dial(bound.local_addr().unwrap(), &Outgoing::default()).unwrap();
    let stream = loop {
        match bound.accept() {
            Ok((stream, _)) => break stream,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    };
    let peer = std::net::TcpStream::from(dialled);
    peer.set_nonblocking(false).unwrap();
    (stream, peer)
}

fn token() -> Token {
    Token::of(Key { slot: 3, generation: 5 }, Role::Client)
}

const POLL_PATIENCE: Duration = Duration::from_millis(500);
const POLLS_MAX: usize = 20;

#[test]
fn a_short_read_clears_readiness_and_new_octets_set_it_again() {
    let mut bench = Bench::new();
    assert!(bench.would_block());
    for _ in 0..3 {
        assert!(!bench.socket.is_readable());
        bench.peer.write_all(b"hello").unwrap();
        bench.until("readable", Socket::is_readable);
        let mut buffer = [0; 64];
        assert_eq!(bench.socket.read(&mut buffer).unwrap(), 5);
        assert!(!bench.socket.is_readable());
        assert!(bench.would_block());
    }
}

#[test]
fn a_read_that_fills_its_buffer_leaves_readiness_alone() {
    let mut bench = Bench::new();
    assert!(bench.would_block());
    bench.peer.write_all(b"hello").unwrap();
    bench.until("readable", Socket::is_readable);
    let mut buffer = [0; 2];
    assert_eq!(bench.socket.read(&mut buffer).unwrap(), 2);
    assert!(bench.socket.is_readable());
}

#[test]
fn octets_and_fin_together_are_read_to_the_end_without_another_event() {
    let mut bench = Bench::new();
    assert!(bench.would_block());
    bench.peer.write_all(b"last words").unwrap();
    bench.peer.shutdown(Shutdown::Write).unwrap();
    bench.until("hung up", |socket| socket.hung_up);
    let mut buffer = [0; 64];
    assert_eq!(bench.socket.read(&mut buffer).unwrap(), 10);
    assert_eq!(bench.socket.read(&mut buffer).unwrap(), 0);
    assert_eq!(bench.socket.read(&mut buffer).unwrap(), 0);
}

#[test]
fn a_fin_after_a_short_read_is_announced() {
    let mut bench = Bench::new();
    assert!(bench.would_block());
    bench.peer.write_all(b"words").unwrap();
    bench.until("readable", Socket::is_readable);
    let mut buffer = [0; 64];
    assert_eq!(bench.socket.read(&mut buffer).unwrap(), 5);
    assert!(bench.would_block());
    bench.peer.shutdown(Shutdown::Write).unwrap();
    bench.until("readable", Socket::is_readable);
    assert_eq!(bench.socket.read(&mut buffer).unwrap(), 0);
}

#[test]
fn a_full_sink_is_announced_when_the_peer_has_read() {
    let mut bench = Bench::new();
    let chunk = vec![7; 64 * 1024];
    let mut sent = 0;
    while bench.socket.is_writable() {
        match bench.socket.write(&chunk) {
            Ok(written) => sent += written,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    assert!(bench.socket.write(&chunk).is_err());
    let mut reader = bench.peer.try_clone().unwrap().take(sent as u64);
    assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), sent as u64);
    bench.until("writable", Socket::is_writable);
    assert!(bench.socket.write(&chunk).unwrap() > 0);
}

#[test]
fn a_reset_makes_both_directions_worth_asking() {
    let mut bench = Bench::new();
    assert!(bench.would_block());
    bench.socket.writable = false;
    socket::abort_on_close(&bench.peer).unwrap();
    let Bench { mut poll, mut events, mut socket, peer } = bench;
    drop(peer);
    while !socket.hung_up {
        poll.poll(&mut events, Some(POLL_PATIENCE)).unwrap();
        assert!(!events.is_empty(), "no event for a reset");
        events.iter().for_each(|event| socket.note(event));
    }
    assert!(socket.is_readable() && socket.is_writable());
    let error = socket.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn octets_behind_an_urgent_one_are_not_forgotten() {
    let mut bench = Bench::new();
    assert!(bench.would_block());
    let peer = socket2::SockRef::from(&bench.peer);
    peer.send(b"before").unwrap();
    assert_eq!(peer.send_out_of_band(b"!").unwrap(), 1);
    peer.send(b"behind").unwrap();
    let mut got = Vec::new();
    while got.len() < 13 {
        bench.until("readable", Socket::is_readable);
        let mut buffer = [0; 64];
        match bench.socket.read(&mut buffer) {
            Ok(read) => got.extend_from_slice(&buffer[..read]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    // The urgent octet stays in its place: nothing of the stream is lost.
    assert_eq!(got, b"before!behind");
}

#[test]
fn a_dialled_socket_tells_how_its_connect_went() {
    // An address of its own: nobody else takes the port once it is free again.
    let listening = TcpListener::bind((Ipv4Addr::new(127, 77, 0, 2), 0)).unwrap();
    let open = listening.local_addr().unwrap();
    assert!(dial_and_wait(open).is_ok());
    drop(listening);
    let refused = dial_and_wait(open).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

fn dial_and_wait(addr: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let mut socket = Socket::dialled(socket::dial(addr, &Outgoing::default())?);
    assert!(socket.connected().is_none());
    socket.register(poll.registry(), token())?;
    loop {
        poll.poll(&mut events, Some(POLL_PATIENCE))?;
        assert!(!events.is_empty(), "no event for a connect");
        events.iter().for_each(|event| socket.note(event));
        if let Some(connected) = socket.connected() {
            return connected;
        }
    }
}

/// A relay between two registered sockets, as a worker runs it.
struct Relaying {
    poll: Poll,
    client: Socket,
    upstream: Socket,
    relay: Relay,
    carrier: Carrier,
    booked: [usize; 2],
}

impl Meter for [usize; 2] {
    fn moved(&mut self, direction: Direction, octets: usize) {
        self[direction as usize] += octets;
    }
}

impl Relaying {
    fn new(client: TcpStream, upstream: TcpStream) -> Self {
        Self::with(client, upstream, Carrier::new())
    }

    fn with(client: TcpStream, upstream: TcpStream, mut carrier: Carrier) -> Self {
        let poll = Poll::new().unwrap();
        let [mut client, mut upstream] = [client, upstream].map(Socket::accepted);
        let key = token().key;
        client.register(poll.registry(), Token::of(key, Role::Client)).unwrap();
        upstream.register(poll.registry(), Token::of(key, Role::UpstreamA)).unwrap();
        let relay = Relay::new(&[], carrier.pool());
        Self { poll, client, upstream, relay, carrier, booked: [0; 2] }
    }

    fn advance(&mut self) -> Advance {
        let Self { client, upstream, relay, carrier, booked, .. } = self;
        relay.advance(client, upstream, carrier, BYTES_PER_TURN, booked)
    }

    fn run(&mut self) -> RelayEnd {
        let mut events = Events::with_capacity(8);
        loop {
            match self.advance() {
                Advance::Ended(end) => return end,
                Advance::Again => {}
                Advance::Waiting => {
                    self.poll.poll(&mut events, Some(RELAY_PATIENCE)).unwrap();
                    assert!(!events.is_empty(), "stalled: {:?} {:?}", self.client, self.upstream);
                }
            }
            for event in &events {
                let token = Token::read(event.token()).unwrap();
                if token.role == Role::Client {
                    self.client.note(event);
                } else {
                    self.upstream.note(event);
                }
            }
            events.clear();
        }
    }
}

const RELAY_PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_relay_between_real_sockets_carries_both_ways_and_both_fins() {
    carries_both_ways_and_both_fins(Carrier::new());
}

#[test]
fn so_does_one_that_splices() {
    let carrier = carries_both_ways_and_both_fins(Carrier::with_pipes(4));
    assert!(carrier.pipes().sums().octets > 0);
    assert_eq!(carrier.pipes().lent(), 0);
}

fn carries_both_ways_and_both_fins(carrier: Carrier) -> Carrier {
    let ((client, mut client_peer), (upstream, mut target)) = (pair(), pair());
    let mut relaying = Relaying::with(client, upstream, carrier);
    let sent: Vec<u8> = (0..=250).cycle().take(6_000_000).collect();
    std::thread::scope(|scope| {
        let mut writer = client_peer.try_clone().unwrap();
        scope.spawn(|| {
            for part in sent.chunks(100_003) {
                writer.write_all(part).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
            drop(writer);
        });
        // Echoes as it reads, so that both directions are busy, and closes when the client has.
        scope.spawn(move || {
            let mut echo = target.try_clone().unwrap();
            assert_eq!(io::copy(&mut target, &mut echo).unwrap(), 6_000_000);
        });
        let reader = scope.spawn(move || {
            let mut got = Vec::new();
            client_peer.read_to_end(&mut got).unwrap();
            got
        });
        assert_eq!(relaying.run(), RelayEnd::ClientClosed);
        assert!(reader.join().unwrap() == sent, "the echo differs");
    });
    assert_eq!(relaying.booked, [6_000_000; 2]);
    assert_eq!(relaying.carrier.pool().lent(), 0);
    relaying.carrier
}

#[test]
fn a_splice_that_meets_an_urgent_octet_is_finished_by_reading() {
    let ((client, client_peer), (upstream, mut target)) = (pair(), pair());
    let mut relaying = Relaying::with(client, upstream, Carrier::with_pipes(4));
    let half: Vec<u8> = (0..=250).cycle().take(3_000_000).collect();
    std::thread::scope(|scope| {
        let half = &half;
        scope.spawn(move || {
            let mut said = &client_peer;
            said.write_all(half).unwrap();
            socket2::SockRef::from(said).send_out_of_band(b"!").unwrap();
            said.write_all(half).unwrap();
            client_peer.shutdown(Shutdown::Write).unwrap();
            assert_eq!((&client_peer).read(&mut [0; 8]).unwrap(), 0);
        });
        let reader = scope.spawn(move || {
            let mut got = Vec::new();
            target.read_to_end(&mut got).unwrap();
            got
        });
        assert_eq!(relaying.run(), RelayEnd::ClientClosed);
        let got = reader.join().unwrap();
        assert!(got == [half, &b"!"[..], half].concat(), "{} octets differ", got.len());
    });
    assert!(relaying.carrier.pipes().sums().octets > 0);
    assert!(relaying.client.urgent && relaying.client.fd().is_none());
}

#[test]
fn a_reset_reaches_the_target_as_a_reset_after_what_was_sent_before_it() {
    for download_finds_it in [false, true] {
        let ((client, mut client_peer), (upstream, mut target)) = (pair(), pair());
        let mut relaying = Relaying::new(client, upstream);
        if download_finds_it {
            target.write_all(b"download").unwrap();
        }
        assert_eq!(relaying.advance(), Advance::Waiting);
        client_peer.write_all(b"last words").unwrap();
        if download_finds_it {
            target.write_all(b"more").unwrap();
        }
        socket::abort_on_close(&client_peer).unwrap();
        drop(client_peer);
        if download_finds_it {
            // The download meets the reset before anyone has been told that there is more to read.
            relaying.upstream.readable = true;
            assert_eq!(relaying.advance(), Advance::Waiting);
            assert_eq!(relaying.relay.failing(), Some(RelayEnd::ClientReset));
        }
        assert_eq!(relaying.run(), RelayEnd::ClientReset);
        assert_eq!(relaying.booked[0], 10);
        let acknowledged = (0..1_000_000)
            .any(|_| TcpInfo::of(relaying.upstream.stream()).unwrap().is_all_acknowledged());
        assert!(acknowledged);
        socket::abort_on_close(relaying.upstream.stream()).unwrap();
        drop(relaying);
        let mut got = Vec::new();
        let error = target.read_to_end(&mut got).unwrap_err();
        assert_eq!((&*got, error.kind()), (&b"last words"[..], io::ErrorKind::ConnectionReset));
    }
}
