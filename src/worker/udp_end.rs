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

use super::token::Token;
use crate::linux;
use crate::linux::outgoing::Outgoing;
use crate::udp::Dropped;

/// A non-blocking UDP socket that remembers whether it is worth asking.
#[derive(Debug)]
pub(super) struct UdpEnd {
    socket: UdpSocket,
    readable: bool,
    /// What the kernel had dropped when it was asked last.
    overflowed: u32,
}

impl UdpEnd {
    /// Binds a socket, and registers it once for its life.
    ///
    /// # Errors
    /// As [`linux::datagram::bind`], or what epoll_ctl(2) says.
    pub(super) fn bind(addr: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        Self::registered(linux::datagram::bind(addr)?, registry, token)
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
        Self::registered(linux::datagram::towards(host, out)?, registry, token)
    }

    fn registered(mut socket: UdpSocket, registry: &Registry, token: Token) -> io::Result<Self> {
        registry.register(&mut socket, token.into(), Interest::READABLE)?;
        // What came before it was registered is worth a first look.
        Ok(Self { socket, readable: true, overflowed: 0 })
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

    /// Takes the next datagram: its length and its source. `None` if there is none now; an error is
    /// about one datagram only.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Option<io::Result<(usize, SocketAddr)>> {
        if !self.readable {
            return None;
        }
        match self.socket.recv_from(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                None
            }
            received => Some(received),
        }
    }

    /// How many datagrams the kernel had no room for since this was asked last; one that cannot say has
    /// dropped none.
    pub(super) fn overflow(&mut self) -> u32 {
        let overflowed = linux::datagram::overflowed(&self.socket).unwrap_or(self.overflowed);
        overflowed.wrapping_sub(std::mem::replace(&mut self.overflowed, overflowed))
    }

    pub(super) fn send(&self, octets: &[u8], to: SocketAddr) -> Result<(), Dropped> {
        match self.socket.send_to(octets, to) {
            Ok(_) => Ok(()),
            Err(error) => Err(send_failure(&error)),
        }
    }
}

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

// errno(3)
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EMSGSIZE: i32 = 90;
const EAFNOSUPPORT: i32 = 97;
const EADDRNOTAVAIL: i32 = 99;
const ENOBUFS: i32 = 105;
