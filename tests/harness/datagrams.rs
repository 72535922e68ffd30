//! Datagrams: a client of an association, and an origin that sends back what it receives.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::PATIENCE;
use super::client::{self, Asked, Client};

/// An association with the socket of its client.
pub(crate) struct Associated {
    pub(crate) control: Client,
    pub(crate) socket: UdpSocket,
    /// BND.ADDR and BND.PORT.
    pub(crate) relay: SocketAddr,
}

impl Associated {
    /// Asks for one; the client has not said where it will send from.
    pub(crate) fn with(proxy: SocketAddr) -> Self {
        let mut control = Client::to(proxy);
        control.send(&[5, 1, 0]);
        assert_eq!(control.receive(2), [5, 0]);
        Self::of(control)
    }

    /// The same of a client that has been let in.
    pub(crate) fn of(mut control: Client) -> Self {
        control.send(&client::request(3, SocketAddr::from(([0, 0, 0, 0], 0))));
        let (code, mut relay) = control.reply();
        assert_eq!(code, 0, "the reply code");
        let mut any = control.stream.local_addr().expect("an address");
        any.set_port(0);
        if let (SocketAddr::V6(relay), SocketAddr::V6(any)) = (&mut relay, any) {
            // The reply has no room for the link.
            relay.set_scope_id(any.scope_id());
        }
        let socket = UdpSocket::bind(any).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { control, socket, relay }
    }

    /// Sends a datagram to a target.
    pub(crate) fn send<'a>(&self, target: impl Into<Asked<'a>>, payload: &[u8]) {
        self.send_raw(&wrapped(target, payload));
    }

    pub(crate) fn send_raw(&self, octets: &[u8]) {
        self.socket.send_to(octets, self.relay).expect("it is sent");
    }

    /// The next datagram: where it came from, and its payload.
    pub(crate) fn receive(&self) -> (SocketAddr, Vec<u8>) {
        let mut buffer = vec![0; 65_536];
        let (length, from) = self.socket.recv_from(&mut buffer).expect("an answer");
        assert_eq!(from, self.relay, "answers come from the relay");
        unwrapped(&buffer[..length])
    }

    /// The payload of the next datagram, if one comes while a test waits for anything.
    pub(crate) fn receive_in_time(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 2_048];
        let received = self.socket.recv(&mut buffer).ok();
        received.map(|length| unwrapped(&buffer[..length]).1)
    }

    /// The next datagram, if one comes soon; only to empty a socket with.
    pub(crate) fn receive_soon(&self) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let received = self.receive_in_time();
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        received
    }
}

/// A datagram with its header.
pub(crate) fn wrapped<'a>(target: impl Into<Asked<'a>>, payload: &[u8]) -> Vec<u8> {
    // The request begins with version, command and reserved octet, the header with as many zeros.
    let mut octets = client::request(0, target);
    octets[0] = 0;
    octets.extend(payload);
    octets
}

fn unwrapped(octets: &[u8]) -> (SocketAddr, Vec<u8>) {
    assert_eq!(octets[..3], [0, 0, 0], "RSV and FRAG");
    let port = |at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
    match octets[3] {
        1 => {
            let ip: [u8; 4] = octets[4..8].try_into().expect("four octets");
            (SocketAddr::from((ip, port(8))), octets[10..].to_vec())
        }
        4 => {
            let ip: [u8; 16] = octets[4..20].try_into().expect("sixteen octets");
            (SocketAddr::from((ip, port(20))), octets[22..].to_vec())
        }
        other => panic!("address type {other} in a datagram"),
    }
}

/// Sends back each datagram to where it came from, and counts.
pub(crate) struct UdpEcho {
    pub(crate) address: SocketAddr,
    pub(crate) count: Arc<UdpCount>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(crate) struct UdpCount {
    pub(crate) datagrams: AtomicU64,
    pub(crate) octets: AtomicU64,
    /// The port of the last sender.
    pub(crate) sender_port: AtomicU64,
}

impl UdpEcho {
    pub(crate) fn on(address: &str) -> Self {
        // As with `Origin::on`.
        let socket = super::wait_for("a free port", || UdpSocket::bind(address).ok());
        let address = socket.local_addr().expect("an address");
        let (count, stop) = (Arc::<UdpCount>::default(), Arc::<AtomicBool>::default());
        let (counted, stopped) = (Arc::clone(&count), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                counted.sender_port.store(from.port().into(), Ordering::SeqCst);
                counted.octets.fetch_add(length as u64, Ordering::SeqCst);
                counted.datagrams.fetch_add(1, Ordering::SeqCst);
                // Lost like any datagram, if it cannot be sent.
                socket.send_to(&buffer[..length], from).unwrap_or_default();
            }
        });
        Self { address, count, stop, thread: Some(thread) }
    }
}

impl Drop for UdpEcho {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let any = if self.address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        // Wakes the thread.
        drop(UdpSocket::bind(any).and_then(|socket| socket.send_to(&[], self.address)));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
