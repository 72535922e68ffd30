//! Streams: dialling, and the options that std lacks.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::outgoing::Outgoing;

/// Begins to connect to `addr`, bound as `out` says, without waiting. The stream is writable once that
/// has succeeded or failed; it has TCP_NODELAY, and urgent octets stay in their place in the stream. A
/// mapped address is dialled as the IPv4 address that it is.
///
/// # Errors
/// What is known at once: no route, no local port, no descriptor. Everything else, refusal usually
/// among it, is the stream's to tell.
pub fn dial(addr: SocketAddr, out: &Outgoing<'_>) -> io::Result<mio::net::TcpStream> {
    let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_out_of_band_inline(true)?;
    out.apply(&socket)?;
    match socket.connect(&addr.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    Ok(mio::net::TcpStream::from_std(TcpStream::from(socket)))
}

/// The address of ours from which a socket that is bound as `out` says would send to the host of
/// `towards`, with the scope that a link-local one has, and port 0. Nothing is sent.
///
/// # Errors
/// Whatever connect(2) says: no route; and what `out` cannot have.
pub fn source_towards(mut towards: SocketAddr, out: &Outgoing<'_>) -> io::Result<SocketAddr> {
    if let Some(source) = out.source {
        return Ok(SocketAddr::new(source, 0));
    }
    let kind = Type::DGRAM.nonblocking().cloexec();
    towards.set_port(DISCARD_PORT);
    let socket = Socket::new(Domain::for_address(towards), kind, Some(Protocol::UDP))?;
    out.route(&socket)?;
    socket.connect(&towards.into())?;
    let ours = socket.local_addr()?.as_socket();
    let mut ours = ours.ok_or(io::ErrorKind::AddrNotAvailable)?;
    ours.set_port(0);
    Ok(ours)
}

/// Whether a stream of the family of `host` can be bound as `out` says; nothing is left of it.
///
/// # Errors
/// What `out` cannot have: no such interface (ENODEV), not an address of ours (EADDRNOTAVAIL), not
/// permitted (EPERM).
pub fn try_outgoing(host: IpAddr, out: &Outgoing<'_>) -> io::Result<()> {
    let domain = Domain::for_address(SocketAddr::new(host, 0));
    out.apply(&Socket::new(domain, Type::STREAM.cloexec(), Some(Protocol::TCP))?)
}

/// Has the kernel ask a silent peer whether it is still there: after `idle_secs` of silence, then
/// every 15 s; the fourth question without an answer fails the socket with `TimedOut`. 0 switches it
/// off.
///
/// # Errors
/// Whatever setsockopt(2) says; `InvalidInput` above 32 767 s.
pub fn keepalive(socket: &impl AsFd, idle_secs: u32) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if idle_secs == 0 {
        return socket.set_keepalive(false);
    }
    let params = TcpKeepalive::new()
        .with_time(Duration::from_secs(idle_secs.into()))
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&params)
}

/// Makes the coming close a reset. What the kernel has not sent by then is lost, so wait until
/// [`TcpInfo::is_all_acknowledged`](super::tcp_info::TcpInfo::is_all_acknowledged) where it matters.
///
/// # Errors
/// Whatever setsockopt(2) says.
pub fn abort_on_close(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// Some port, which a route does not depend on.
const DISCARD_PORT: u16 = 9;
/// Between two of keepalive's questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Unanswered questions after which the peer is gone.
const KEEPALIVE_PROBES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_dialled_stream_is_nonblocking_and_undelayed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut stream = dial(listener.local_addr().unwrap(), &Outgoing::default()).unwrap();
        let _accepted = listener.accept().unwrap();
        assert!(stream.nodelay().unwrap());
        let error = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_way_to_ourselves_begins_with_ourselves() {
        let ours = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        assert_eq!(source_towards(ours, &Outgoing::default()).unwrap(), ours);
    }

    #[test]
    fn options_reach_the_kernel() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = dial(listener.local_addr().unwrap(), &Outgoing::default()).unwrap();
        let socket = SockRef::from(&stream);
        keepalive(&stream, 60).unwrap();
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        keepalive(&stream, 0).unwrap();
        assert!(!socket.keepalive().unwrap());
    }

    #[test]
    fn an_aborted_stream_resets_its_peer() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = dial(listener.local_addr().unwrap(), &Outgoing::default()).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        abort_on_close(&stream).unwrap();
        drop(stream);
        let error = accepted.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
