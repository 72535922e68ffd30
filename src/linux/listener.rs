//! Listening sockets.
//!
//! Each worker has its own listener on the same address (`SO_REUSEPORT`), and the kernel deals new
//! connections out among them. The price: a second process of the same user could join in unnoticed
//! and take a share, so a start [probes](probe) the address first, without the option.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::outgoing::Outgoing;

/// How to listen.
#[derive(Clone, Copy, Debug)]
pub struct ListenerOptions {
    /// Several listeners of this user may share the address.
    pub reuse_port: bool,
    /// Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn.
    pub backlog: u32,
    /// An IPv6 listener takes no IPv4 connections, so that `[::]` and `0.0.0.0` can be had side by side
    /// and addresses are what they look like.
    pub v6_only: bool,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self { reuse_port: true, backlog: BACKLOG, v6_only: true }
    }
}

/// Listens on `addr`, port 0 being any free one. What is accepted inherits TCP_NODELAY, and has urgent
/// octets in their place in the stream.
///
/// # Errors
/// Whatever socket(2), bind(2) and listen(2) say: in use, not ours, not permitted.
pub fn bind_listener(
    addr: SocketAddr,
    options: ListenerOptions,
) -> io::Result<mio::net::TcpListener> {
    listening(bound(addr, options, &Outgoing::default())?, options)
}

/// The same for those who come by the way that `out` says: by its interface alone. What is accepted
/// has its mark, too. Its address is not looked at; that is `addr`.
///
/// # Errors
/// As [`bind_listener`], and what `out` cannot have.
pub fn bind_listener_by(
    addr: SocketAddr,
    options: ListenerOptions,
    out: &Outgoing<'_>,
) -> io::Result<mio::net::TcpListener> {
    listening(bound(addr, options, out)?, options)
}

fn listening(socket: Socket, options: ListenerOptions) -> io::Result<mio::net::TcpListener> {
    inherit(&socket)?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(mio::net::TcpListener::from_std(TcpListener::from(socket)))
}

/// `listener`, which somebody else has opened, for so many who accept from it side by side. What they
/// accept inherits as of [`bind_listener`].
///
/// # Errors
/// Whatever the system says to another descriptor or an option.
pub fn adopt_listener(
    listener: &TcpListener,
    sharers: usize,
) -> io::Result<Vec<mio::net::TcpListener>> {
    // Of the open file, and so for all of its descriptors.
    listener.set_nonblocking(true)?;
    inherit(&SockRef::from(listener))?;
    (0..sharers).map(|_| Ok(mio::net::TcpListener::from_std(listener.try_clone()?))).collect()
}

/// Set here they are inherited: a system call per listener instead of one per connection.
fn inherit(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_out_of_band_inline(true)
}

/// Whether `addr` can be had by us alone: binds it without `SO_REUSEPORT` and lets it go again, never
/// having listened, so that no connection strays into it.
///
/// # Errors
/// As [`bind_listener`]; `AddrInUse` if anyone listens there, with `SO_REUSEPORT` or without.
pub fn probe(addr: SocketAddr) -> io::Result<()> {
    let options = ListenerOptions { reuse_port: false, ..ListenerOptions::default() };
    bound(addr, options, &Outgoing::default()).map(drop)
}

fn bound(addr: SocketAddr, options: ListenerOptions, out: &Outgoing<'_>) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(options.v6_only)?;
    }
    // On Linux this only disregards connections of an earlier process; listeners still conflict.
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    out.route(&socket)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// As many as the kernel's own default cap.
const BACKLOG: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn listeners_share_a_port_and_a_probe_does_not() {
        // An address of its own: nobody else takes the port once it is free again.
        let any = (Ipv4Addr::new(127, 77, 0, 1), 0).into();
        let first = bind_listener(any, ListenerOptions::default()).unwrap();
        let addr = first.local_addr().unwrap();
        let second = bind_listener(addr, ListenerOptions::default()).unwrap();
        assert_eq!(probe(addr).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop((first, second));
        probe(addr).unwrap();
        probe(addr).unwrap();
    }

    #[test]
    fn an_adopted_listener_is_one_queue_for_all_who_share_it() {
        let opened = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sharers = adopt_listener(&opened, 2).unwrap();
        let address = opened.local_addr().unwrap();
        assert!(sharers.iter().all(|sharer| sharer.local_addr().unwrap() == address));
        drop(opened);
        let _client = crate::linux::socket::dial(address, &Outgoing::default()).unwrap();
        let accepted = loop {
            if let Some((stream, _)) = sharers.iter().find_map(|sharer| sharer.accept().ok()) {
                break stream;
            }
        };
        assert!(accepted.nodelay().unwrap());
        let taken = sharers.iter().map(|sharer| sharer.accept().map(drop).unwrap_err().kind());
        assert_eq!(taken.collect::<Vec<_>>(), [io::ErrorKind::WouldBlock; 2]);
    }

    #[test]
    fn both_families_can_be_had_on_one_port() {
        let v6 = bind_listener((Ipv6Addr::UNSPECIFIED, 0).into(), ListenerOptions::default());
        // A host without IPv6 has nothing to show here.
        let Ok(v6) = v6 else { return };
        let port = v6.local_addr().unwrap().port();
        let v4 = (Ipv4Addr::UNSPECIFIED, port).into();
        probe(v4).unwrap();
        bind_listener(v4, ListenerOptions::default()).unwrap();
    }

    #[test]
    fn accepted_sockets_inherit_their_options() {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let listener = bind_listener(any, ListenerOptions::default()).unwrap();
        let _client =
            crate::linux::socket::dial(listener.local_addr().unwrap(), &Outgoing::default())
                .unwrap();
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).out_of_band_inline().unwrap());
    }
}
