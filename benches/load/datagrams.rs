//! Datagrams: an echo, and clients of which each keeps a number of them under way.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::contender::Way;
use super::ears::Ears;
use super::process::pin;

/// Starts a thread on the first core that sends each datagram back; answers where.
pub(crate) fn echo() -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        pin(0);
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // Lost like any datagram, if it cannot be sent.
            drop(socket.send_to(&buffer[..length], from));
        }
    });
    Ok(address)
}

/// Clients with an association each, or with none.
pub(crate) struct Senders {
    ears: Ears,
    senders: Vec<Sender>,
    under_way: usize,
    /// Came back since it was last taken.
    back: u64,
    /// Given up.
    lost: u64,
}

struct Sender {
    /// The association lives as long as this.
    _control: Option<TcpStream>,
    socket: UdpSocket,
    datagram: Vec<u8>,
    missing: usize,
}

impl Senders {
    /// `many` of them, each of which keeps so many datagrams `under_way` to `echo`.
    pub(crate) fn new(
        (proxy, way): (SocketAddr, Way),
        echo: SocketAddr,
        (many, under_way): (usize, usize),
    ) -> io::Result<Self> {
        let ears = Ears::new()?;
        let senders = (0..many).map(|_| match way {
            Way::Plain => Sender::plain(echo),
            Way::Socks5 => Sender::associated(proxy, echo),
        });
        let senders: Vec<_> = senders.collect::<io::Result<_>>()?;
        for (token, sender) in senders.iter().enumerate() {
            ears.add(&sender.socket, token as u64, EventFlags::IN)?;
        }
        Ok(Self { ears, senders, under_way, back: 0, lost: 0 })
    }

    /// Runs for that long; how many came back, how many were lost, and seconds.
    pub(crate) fn measure(&mut self, span: Duration) -> io::Result<(u64, u64, f64)> {
        (self.back, self.lost) = (0, 0);
        let began = Instant::now();
        while began.elapsed() < span {
            let heard = self.ears.wait(Some(PATIENCE))?;
            if heard.is_empty() {
                // Nothing comes any more: what is missing is lost.
                for sender in &mut self.senders {
                    self.lost += sender.missing as u64;
                    sender.missing = 0;
                    sender.fill(self.under_way);
                }
            }
            for (token, _) in heard {
                let sender = &mut self.senders[token as usize];
                self.back += sender.take();
                sender.fill(self.under_way);
            }
        }
        Ok((self.back, self.lost, began.elapsed().as_secs_f64()))
    }
}

impl Sender {
    fn plain(echo: SocketAddr) -> io::Result<Self> {
        Self::towards(echo, None, Vec::new())
    }

    fn associated(proxy: SocketAddr, echo: SocketAddr) -> io::Result<Self> {
        let mut control = TcpStream::connect(proxy)?;
        control.write_all(&[5, 1, 0])?;
        control.read_exact(&mut [0; 2])?;
        control.write_all(&[5, 3, 0, 1, 0, 0, 0, 0, 0, 0])?;
        let mut reply = [0; 10];
        control.read_exact(&mut reply)?;
        let [_, 0, _, 1, a, b, c, d, port @ ..] = reply else {
            let why = format!("no association: {reply:?}");
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        };
        let ip = IpAddr::from([a, b, c, d]);
        let ip = if ip.is_unspecified() { proxy.ip() } else { ip };
        let mut header = vec![0, 0, 0, 1];
        if let IpAddr::V4(ip) = echo.ip() {
            header.extend(ip.octets());
        }
        header.extend(echo.port().to_be_bytes());
        Self::towards(SocketAddr::new(ip, u16::from_be_bytes(port)), Some(control), header)
    }

    fn towards(to: SocketAddr, control: Option<TcpStream>, header: Vec<u8>) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        let datagram = [header, vec![0x5a; PAYLOAD]].concat();
        Ok(Self { _control: control, socket, datagram, missing: 0 })
    }

    /// Takes what has come.
    fn take(&mut self) -> u64 {
        let mut count = 0;
        while self.socket.recv(&mut [0; 2048]).is_ok() {
            self.missing = self.missing.saturating_sub(1);
            count += 1;
        }
        count
    }

    fn fill(&mut self, under_way: usize) {
        while self.missing < under_way && self.socket.send(&self.datagram).is_ok() {
            self.missing += 1;
        }
    }
}

/// Octets of a datagram.
const PAYLOAD: usize = 100;
/// After which what has not come back is lost.
const PATIENCE: Duration = Duration::from_millis(100);
