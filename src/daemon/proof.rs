//! The proof at the start: the process connects to each of its listeners, as a client that will not
//! log in, and looks whether it is turned away where the configuration says so. It asks in both
//! dialects that can carry a login; SOCKS4 can carry none, and says the same whatever it refuses for.
//!
//! A wrong answer ends the start. No answer does not: a filter of packets may keep the host from
//! reaching its own address.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::start::Failure;
use crate::config::Settings;
use crate::limit::Proofs;
use crate::proxy_protocol::Announcers;

/// Proves it of all listeners, which have these addresses in the order of the settings.
pub(super) fn prove(
    settings: &Settings,
    addresses: &[SocketAddr],
    proofs: &Proofs,
) -> Result<(), Failure> {
    if !settings.auth.required {
        return Ok(());
    }
    let listen = &settings.server.listen;
    let proved = addresses
        .iter()
        .zip(listen)
        .try_for_each(|(address, listen)| prove_one(*address, &listen.announcers, proofs));
    proofs.end();
    proved
}

fn prove_one(address: SocketAddr, announcers: &Announcers, proofs: &Proofs) -> Result<(), Failure> {
    for (dialect, question, refusal) in QUESTIONS {
        let answer = match ask(address, announcers, question, refusal.len(), proofs) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(
                    "logins: it could not be proved that {address} wants one ({dialect}): {error}"
                );
                continue;
            }
        };
        if answer != *refusal {
            return Err(Failure::Other(format!(
                "logins: {address} does not turn away a client without a login ({dialect}), although \
                 auth.socks_method = \"userpass\": got {:?}, expected {:?}; this is a defect of \
                 rustsocks",
                answer.escape_ascii().to_string(),
                refusal.escape_ascii().to_string()
            )));
        }
    }
    tracing::info!("logins: {address} turns away whoever has none");
    Ok(())
}

/// The first octets of what is answered.
fn ask(
    address: SocketAddr,
    announcers: &Announcers,
    question: &[u8],
    octets: usize,
    proofs: &Proofs,
) -> io::Result<Vec<u8>> {
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // From the very address, so that it is known before anybody sees the connection.
    socket.bind(&SocketAddr::new(address.ip(), 0).into())?;
    let source = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    proofs.begin(SocketAddr::new(source.ip().to_canonical(), source.port()));
    socket.connect_timeout(&address.into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    if announcers.contains(source.ip()) {
        stream.write_all(b"PROXY UNKNOWN\r\n")?;
    }
    stream.write_all(question)?;
    let mut answer = vec![0; octets];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Where a listener on any address is reached.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    }
}

/// What a client without a login says, and how the answer begins that turns it away: no method of
/// SOCKS5 (RFC 1928 §3), and a request without credentials (RFC 9110 §15.5.8). Were it let in, the
/// target would be a port of this host where nobody is (RFC 863), and for whoever is no client of
/// this host the guard's to refuse.
const QUESTIONS: [(&str, &[u8], &[u8]); 2] = [
    ("SOCKS5", &[5, 1, 0], &[5, 0xff]),
    ("HTTP", b"CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n", b"HTTP/1.1 407"),
];
/// How long a listener is waited for, at each step.
const PATIENCE: Duration = Duration::from_secs(5);
