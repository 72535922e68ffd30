//! What a socket towards a target is bound to before it is connected or sent from.
//!
//! Primer. The order matters: the mark and the device come first, because the kernel looks a route up
//! as soon as an address is bound or connected. A bound address takes a port with it, which would make
//! the ports of one address the bound on all connections from it; IP_BIND_ADDRESS_NO_PORT leaves the
//! port to connect(2), where only those towards the same target share it. Datagram sockets are told
//! nothing of that: they need a port at once.
//!
//! SO_BINDTODEVICE needs CAP_NET_RAW before Linux 5.7, SO_MARK needs CAP_NET_ADMIN (or, from 5.17,
//! CAP_NET_RAW).

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::Socket;

/// What a socket is bound to; nothing leaves all of it to the kernel, and costs no system call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Its own address.
    pub source: Option<IpAddr>,
    /// The interface that it leaves by, and no other.
    pub interface: Option<&'a str>,
    /// The mark of its packets, for routing rules and filters.
    pub mark: Option<u32>,
}

impl Outgoing<'_> {
    /// Applies all of it to a stream that is new.
    ///
    /// # Errors
    /// What the kernel says: no such interface (ENODEV), not an address of ours (EADDRNOTAVAIL), not
    /// permitted (EPERM), no port left.
    pub(super) fn apply(&self, socket: &Socket) -> io::Result<()> {
        self.route(socket)?;
        let Some(source) = self.source else { return Ok(()) };
        // Kernels before 4.2 do not know it, and have the lower bound.
        setsockopt(socket, sockopt::IpBindAddressNoPort, &true).unwrap_or_default();
        socket.bind(&SocketAddr::new(source, 0).into())
    }

    /// Applies what decides about the route alone.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub(super) fn route(&self, socket: &Socket) -> io::Result<()> {
        if let Some(mark) = self.mark {
            socket.set_mark(mark)?;
        }
        if let Some(interface) = self.interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::linux::socket::dial;

    #[test]
    fn a_stream_leaves_from_its_address_and_its_port_is_chosen_late() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let source = Some(IpAddr::from([127, 0, 0, 9]));
        let out = Outgoing { source, ..Outgoing::default() };
        let stream = dial(listener.local_addr().unwrap(), &out).unwrap();
        let (_accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 9]));
        assert_eq!(stream.local_addr().unwrap(), peer);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        let source = Some(IpAddr::from([192, 0, 2, 1]));
        let error = dial(to, &Outgoing { source, ..Outgoing::default() }).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        let out = Outgoing { interface: Some("nosuch0"), ..Outgoing::default() };
        assert_eq!(dial(to, &out).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
