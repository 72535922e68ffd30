//! The proof at the start: the process connects to each of its listeners, as a client that will not
//! log in, and looks whether it is turned away where the configuration says so. It asks in each dialect.
//! SOCKS4 can carry no login, and says the same whatever it refuses for: there it asks for a port of its
//! own, which whoever is let in is connected to, unless the rules are against it.
//!
//! A wrong answer ends the start. No answer does not: a filter of packets may keep the host from
//! reaching its own address.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::start::Failure;
use crate::clock;
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
    let until = clock::mono() + PATIENCE;
    let proved = addresses
        .iter()
        .zip(listen)
        .try_for_each(|(address, listen)| prove_one(*address, &listen.announcers, proofs, until));
    proofs.end();
    proved
}

fn prove_one(
    address: SocketAddr,
    announcers: &Announcers,
    proofs: &Proofs,
    until: Instant,
) -> Result<(), Failure> {
    let mut proved = true;
    let target = target(address.ip());
    let socks4 = target.as_ref().map(|(_, question)| ("SOCKS4", &question[..], SOCKS4_REFUSAL));
    if let Err(error) = &socks4 {
        tracing::warn!("logins: it could not be proved that {address} wants one (SOCKS4): {error}");
        proved = false;
    }
    for (dialect, question, refusal) in QUESTIONS.into_iter().chain(socks4.ok()) {
        let answer = match ask(address, announcers, (question, refusal.len()), proofs, until) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(
                    "logins: it could not be proved that {address} wants one ({dialect}): {error}"
                );
                proved = false;
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
    if proved {
        tracing::info!("logins: {address} turns away whoever has none");
    }
    Ok(())
}

/// A port of ours, on the address of the listener where it is one of IPv4, and how SOCKS4 asks for it.
/// Nobody need accept there for it to be connected to.
fn target(listener: IpAddr) -> io::Result<(TcpListener, [u8; 9])> {
    let ip = match reachable(listener).to_canonical() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
    };
    let target = TcpListener::bind((ip, 0))?;
    let ([high, low], [a, b, c, d]) = (target.local_addr()?.port().to_be_bytes(), ip.octets());
    Ok((target, [4, 1, high, low, a, b, c, d, 0]))
}

/// So many first octets of what is answered to a question, if they come in time.
fn ask(
    address: SocketAddr,
    announcers: &Announcers,
    (question, octets): (&[u8], usize),
    proofs: &Proofs,
    until: Instant,
) -> io::Result<Vec<u8>> {
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // From the very address, so that it is known before anybody sees the connection.
    socket.bind(&SocketAddr::new(address.ip(), 0).into())?;
    let source = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    proofs.begin(SocketAddr::new(source.ip().to_canonical(), source.port()));
    socket.connect_timeout(&address.into(), left(until)?)?;
    let mut stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(left(until)?))?;
    if announcers.contains(source.ip()) {
        stream.write_all(b"PROXY UNKNOWN\r\n")?;
    }
    stream.write_all(question)?;
    let mut answer = vec![0; octets];
    let mut known = 0;
    while known < octets {
        // Whoever answers octet by octet has no longer.
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut answer[known..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => known += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// What is left of the time; an error when nothing is.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(clock::mono());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
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
/// Rejected or failed.
const SOCKS4_REFUSAL: &[u8] = &[0, 91];
/// How long all listeners are waited for together: so long the start may be held by what does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn whoever_answers_octet_by_octet_or_not_at_all_holds_nobody_for_longer_than_was_said() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let slow = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // One octet of the two; the end of the other side is what is waited for.
            stream.write_all(&[5]).unwrap();
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest));
            listener
        });
        let none = Announcers::new(Vec::new());
        let ask = |until| ask(address, &none, (&[5, 1, 0], 2), &Proofs::default(), until);
        let began = clock::mono();
        let error = ask(began + Duration::from_millis(50)).unwrap_err();
        let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        assert!(kinds.contains(&error.kind()), "{error}");
        assert!(clock::mono() - began >= Duration::from_millis(50));
        drop(slow.join().unwrap());
        assert_eq!(ask(began).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn whoever_lets_a_client_in_without_a_login_is_found_out_in_each_dialect() {
        let none = Announcers::new(Vec::new());
        // What turns all others away and lets in whoever speaks this one.
        let answers: [[&[u8]; 3]; 4] = [
            [b"\x05\xff", b"HTTP/1.1 407", b"\0\x5b"],
            [b"\x05\0", b"HTTP/1.1 407", b"\0\x5b"],
            [b"\x05\xff", b"HTTP/1.1 200", b"\0\x5b"],
            [b"\x05\xff", b"HTTP/1.1 407", b"\0\x5a"],
        ];
        for (let_in, answers) in
            [None, Some("SOCKS5"), Some("HTTP"), Some("SOCKS4")].iter().zip(answers)
        {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let proxy = thread::spawn(move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    let mut first = [0];
                    stream.read_exact(&mut first).unwrap();
                    let answer = answers[match first {
                        [5] => 0,
                        [b'C'] => 1,
                        [4] => 2,
                        _ => return,
                    }];
                    stream.write_all(answer).unwrap();
                    // Till the other side has read it.
                    drop(stream.read_to_end(&mut Vec::new()));
                }
            });
            let found = prove_one(address, &none, &Proofs::default(), clock::mono() + PATIENCE);
            match (let_in, found) {
                (None, found) => found.unwrap(),
                (Some(dialect), found) => {
                    let failure = found.unwrap_err().to_string();
                    assert!(failure.contains(&format!("({dialect})")), "{failure}");
                }
            }
            // What ends it.
            let end = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            end.connect(&address.into()).unwrap();
            TcpStream::from(end).write_all(b"x").unwrap();
            proxy.join().unwrap();
        }
    }
}
