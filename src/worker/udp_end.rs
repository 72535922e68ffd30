//! `UdpEnd`: a socket for datagrams and what is remembered of its readiness.
//!
//! As with a [`Socket`](super::socket::Socket) an event only sets a flag, and `WouldBlock` clears it.
//! Only reading is registered: the kernel reports a datagram socket as writable after each datagram
//! that has left, and one that finds no room is dropped, as on any full link.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::event::Event;
use mio::net::UdpSocket;
use mio::{Interest, Registry};
use smallvec::SmallVec;

use super::token::Token;
use super::udp_portion::Datagrams;
use crate::linux;
use crate::linux::batch::{self, BATCH_MAX, Parcel};
use crate::linux::outgoing::Outgoing;
use crate::udp::Dropped;

/// A non-blocking UDP socket that remembers whether it is worth asking.
#[derive(Debug)]
pub(super) struct UdpEnd {
    socket: UdpSocket,
    ipv4: bool,
    readable: bool,
    /// How many datagrams are asked for together.
    expected: usize,
    /// What the kernel had dropped when it was asked last.
    overflowed: u32,
}

impl UdpEnd {
    /// Binds a socket, and registers it once for its life.
    ///
    /// # Errors
    /// As [`linux::datagram::bind`], or what epoll_ctl(2) says.
    pub(super) fn bind(addr: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        Self::registered(linux::datagram::bind(addr)?, addr.ip(), registry, token)
    }

    /// A socket for sending to `host`, bound as `out` says, and registered once for its life.
    ///
    /// # Errors
    /// As [`linux::datagram::towards`], or what epoll_ctl(2) says.
    pub(super) fn towards(
        host: IpAddr,
        out: &Outgoing<'_>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        Self::registered(linux::datagram::towards(host, out)?, host, registry, token)
    }

    fn registered(
        mut socket: UdpSocket,
        host: IpAddr,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        registry.register(&mut socket, token.into(), Interest::READABLE)?;
        // What came before it was registered is worth a first look.
        let (ipv4, expected) = (host.is_ipv4(), EXPECTED_MIN);
        Ok(Self { socket, ipv4, readable: true, expected, overflowed: 0 })
    }

    pub(super) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_error();
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether a datagram may have come.
    pub(super) const fn may_read(&self) -> bool {
        self.readable
    }

    /// Takes datagrams, at most so many, and no more than it brings together of late; how many. `None` if
    /// there are none now; none at all if one was lost.
    pub(super) fn receive(&mut self, most: usize, batch: &mut Datagrams) -> Option<usize> {
        if !self.readable {
            return None;
        }
        let asked = self.expected.min(most);
        let received = batch.receive(&self.socket, self.ipv4, asked);
        let came = received.as_ref().map_or(0, |came| *came);
        if came < asked {
            let fewer = if came == 0 { asked / 2 } else { 2 * came };
            self.expected = fewer.clamp(EXPECTED_MIN, BATCH_MAX);
        } else if asked == self.expected {
            self.expected = (2 * asked).min(BATCH_MAX);
        }
        match received {
            Ok(came) => {
                // Had there been more of them, they would have come too.
                self.readable = came == asked;
                Some(came)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                None
            }
            // About one datagram that was lost, or sent by us.
            Err(_) => Some(0),
        }
    }

    /// How many datagrams the kernel had no room for since this was asked last; one that cannot say has
    /// dropped none.
    pub(super) fn overflow(&mut self) -> u32 {
        let overflowed = linux::datagram::overflowed(&self.socket).unwrap_or(self.overflowed);
        overflowed.wrapping_sub(std::mem::replace(&mut self.overflowed, overflowed))
    }

    /// Sends datagrams; what became of each.
    pub(super) fn send(&self, parcels: &[Parcel<'_>]) -> Sent {
        let mut sent = Sent::new();
        batch::send(&self.socket, self.ipv4, parcels, |result| {
            sent.push(result.map_err(|error| send_failure(&error)));
        });
        sent
    }
}

/// What became of each of the datagrams that were to leave together.
pub(super) type Sent = SmallVec<[Result<(), Dropped>; BATCH_MAX]>;

/// What it means for a datagram that it could not be sent.
fn send_failure(error: &io::Error) -> Dropped {
    match error.raw_os_error() {
        Some(EMSGSIZE) => Dropped::TooLong,
        Some(EAGAIN | ENOBUFS | ENOMEM) => Dropped::BufferFull,
        Some(_) | None => Dropped::Unreachable,
    }
}

/// What it means for a datagram that there is no socket for it.
pub(super) fn bind_failure(error: &io::Error) -> Dropped {
    match error.raw_os_error() {
        // The host does not speak that family.
        Some(EAFNOSUPPORT | EADDRNOTAVAIL) => Dropped::Unreachable,
        Some(_) | None => Dropped::NoSocket,
    }
}

/// Asked for together where they come one by one: the second is seen not to be there by the same call.
const EXPECTED_MIN: usize = 2;

// errno(3)
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EMSGSIZE: i32 = 90;
const EAFNOSUPPORT: i32 = 97;
const EADDRNOTAVAIL: i32 = 99;
const ENOBUFS: i32 = 105;
