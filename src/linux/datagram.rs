//! Sockets for datagrams.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::outgoing::Outgoing;
use super::socket_option::option;

/// A non-blocking socket of the family of `host`, for sending to it, bound as `out` says to any free port.
///
/// # Errors
/// As [`bind`], and what `out` cannot have.
pub fn towards(host: IpAddr, out: &Outgoing<'_>) -> io::Result<mio::net::UdpSocket> {
    let any: IpAddr =
        if host.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    bound(SocketAddr::new(out.source.unwrap_or(any), 0), out)
}

/// Binds a non-blocking socket to `addr`, port 0 being any free one. An IPv6 socket takes no IPv4
/// datagrams, so that addresses are what they look like.
///
/// It is not connected, and so is told of no ICMP errors (udp(7)).
///
/// # Errors
/// Whatever socket(2) and bind(2) say: in use, no such address, no descriptor, no such family.
pub fn bind(addr: SocketAddr) -> io::Result<mio::net::UdpSocket> {
    bound(addr, &Outgoing::default())
}

fn bound(addr: SocketAddr, out: &Outgoing<'_>) -> io::Result<mio::net::UdpSocket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    out.route(&socket)?;
    socket.bind(&addr.into())?;
    Ok(mio::net::UdpSocket::from_std(UdpSocket::from(socket)))
}

/// How many datagrams for this socket the kernel has dropped since it was made, because its receive
/// buffer was full (or, rarely, because they were damaged). Wraps around.
///
/// # Errors
/// Whatever getsockopt(2) says; kernels before 4.12 do not know.
pub fn overflowed(socket: &impl AsFd) -> io::Result<u32> {
    let memory: [u32; MEMORY_WORDS] = option(socket, libc::SOL_SOCKET, libc::SO_MEMINFO)?;
    Ok(memory[DROPS])
}

/// Words of SO_MEMINFO (linux/sock_diag.h), and which of them counts drops.
const MEMORY_WORDS: usize = 9;
const DROPS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_wait_and_does_not_share() {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let error = socket.recv_from(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let taken = socket.local_addr().unwrap();
        assert_eq!(bind(taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn it_sends_from_where_it_is_told_to() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let out = Outgoing { source: Some([127, 0, 0, 9].into()), ..Outgoing::default() };
        let socket = towards(Ipv4Addr::LOCALHOST.into(), &out).unwrap();
        socket.send_to(b"x", receiver.local_addr().unwrap()).unwrap();
        let (_, source) = receiver.recv_from(&mut [0; 1]).unwrap();
        assert_eq!(source.ip(), IpAddr::from([127, 0, 0, 9]));
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nothing_else() {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = socket.local_addr().unwrap();
        let sent = (0..2000).filter(|_| sender.send_to(&[0; 1000], to).is_ok()).count();
        let mut taken = 0;
        while socket.recv_from(&mut [0; 1000]).is_ok() {
            taken += 1;
        }
        assert!(taken > 0);
        assert_eq!(sent, taken + overflowed(&socket).unwrap() as usize);
    }
}
