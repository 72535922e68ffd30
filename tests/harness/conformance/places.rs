//! Where the clients of the cases want to go.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};

use crate::harness::datagrams::UdpEcho;
use crate::harness::origin::{Origin, Silent};
use crate::harness::wait_for;

/// Targets of every kind.
pub(crate) struct Places {
    /// Sends back what it receives; at the same port of IPv6, too.
    pub(crate) echo: SocketAddr,
    pub(crate) echo6: SocketAddr,
    /// Says in a line who has connected.
    pub(crate) who: SocketAddr,
    pub(crate) who6: SocketAddr,
    /// Hears to the end, then says how many octets came.
    pub(crate) counts: SocketAddr,
    /// Says "first", closes its sending side, and hears to the end.
    pub(crate) speaks_first: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) udp6: SocketAddr,
    /// Nobody listens there, and nobody else can.
    pub(crate) refused: SocketAddr,
    heard: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    untouched: Mutex<Vec<TcpListener>>,
    silent: Mutex<Vec<Silent>>,
    marks: AtomicU64,
    _held: (Vec<Origin>, [UdpEcho; 2], Socket),
}

impl Places {
    /// No route leads to its network, where [`Needs::NoRoutes`](super::Needs) is met.
    pub(crate) const NO_NETWORK: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
    /// Its network says that there is no such host.
    pub(crate) const NO_HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

    pub(crate) fn open() -> Self {
        let heard = Arc::<Mutex<BTreeSet<Vec<u8>>>>::default();
        let echo = both(|mut stream| {
            let mut buffer = [0; 65_536];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..read]).is_err() {
                    return;
                }
            }
        });
        let who = both(|mut stream| {
            // Who has gone meanwhile is nobody's fault.
            if let Ok(peer) = stream.peer_addr() {
                drop(stream.write_all(format!("{peer}\n").as_bytes()));
            }
        });
        let counts = Origin::on("127.0.0.1:0", |mut stream, _| {
            let mut all = Vec::new();
            if stream.read_to_end(&mut all).is_ok() {
                drop(stream.write_all(format!("{} octets", all.len()).as_bytes()));
            }
        });
        let hears = Arc::clone(&heard);
        let speaks_first = Origin::on("127.0.0.1:0", move |mut stream, _| {
            drop(stream.write_all(b"first"));
            drop(stream.shutdown(Shutdown::Write));
            let mut all = Vec::new();
            if stream.read_to_end(&mut all).is_ok() {
                hears.lock().insert(all);
            }
        });
        let udp = [UdpEcho::on("127.0.0.1:0"), UdpEcho::on("[::1]:0")];
        // Bound and not listening.
        let closed = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        closed.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        let refused = closed.local_addr().expect("an address").as_socket().expect("of IPv4");
        Self {
            echo: echo[0].address,
            echo6: echo[1].address,
            who: who[0].address,
            who6: who[1].address,
            counts: counts.address,
            speaks_first: speaks_first.address,
            udp: udp[0].address,
            udp6: udp[1].address,
            refused,
            heard,
            untouched: Mutex::default(),
            silent: Mutex::default(),
            marks: AtomicU64::new(0),
            _held: (
                echo.into_iter().chain(who).chain([counts, speaks_first]).collect(),
                udp,
                closed,
            ),
        }
    }

    /// A target of its own that never answers.
    pub(crate) fn silent(&self) -> SocketAddr {
        let silent = Silent::start();
        let address = silent.address;
        self.silent.lock().push(silent);
        address
    }

    /// A target of its own that remembers whether anybody came.
    pub(crate) fn untouched(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("an address");
        self.untouched.lock().push(listener);
        address
    }

    /// Whether anybody has come to such a target.
    pub(crate) fn is_touched(&self, address: SocketAddr) -> bool {
        let listeners = self.untouched.lock();
        let listener = listeners
            .iter()
            .find(|listener| listener.local_addr().is_ok_and(|own| own == address))
            .expect("a target that remembers");
        listener.accept().is_ok()
    }

    /// Octets that no other case sends.
    pub(crate) fn mark(&self) -> Vec<u8> {
        format!("mark {}", self.marks.fetch_add(1, Ordering::Relaxed)).into_bytes()
    }

    /// Whether the target that hears has heard exactly this from somebody.
    pub(crate) fn has_heard(&self, octets: &[u8]) -> bool {
        self.heard.lock().contains(octets)
    }

    /// Whether this machine has no route to the two addresses that should have none. Asking sends
    /// nothing.
    pub(crate) fn are_unreachable() -> bool {
        let error_of = |address: Ipv4Addr| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
            socket.connect((address, 9)).err().map(|error| error.kind())
        };
        error_of(Self::NO_NETWORK) == Some(io::ErrorKind::NetworkUnreachable)
            && error_of(Self::NO_HOST) == Some(io::ErrorKind::HostUnreachable)
    }
}

/// The same origin at one port of both families.
fn both(serve: impl Fn(std::net::TcpStream) + Clone + Send + Sync + 'static) -> [Origin; 2] {
    let port = wait_for("a port that is free in both families", || {
        let four = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let port = four.local_addr().ok()?.port();
        TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok()?;
        Some(port)
    });
    let of = |ip: IpAddr| {
        let serve = serve.clone();
        Origin::on(&SocketAddr::new(ip, port).to_string(), move |stream, _| serve(stream))
    };
    [of(Ipv4Addr::LOCALHOST.into()), of(Ipv6Addr::LOCALHOST.into())]
}
