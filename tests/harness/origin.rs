//! Origins: what the proxy's clients want to reach.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A server that does the same with each connection, and counts.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) count: Arc<Count>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What an origin has seen.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) connections: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

impl Origin {
    /// Sends back what it receives; closes when the other side has.
    pub(crate) fn echo() -> Self {
        Self::on("127.0.0.1:0", |mut stream, count| {
            let mut buffer = [0; 65_536];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                count.received.fetch_add(read as u64, Ordering::Relaxed);
                if stream.write_all(&buffer[..read]).is_err() {
                    return;
                }
                count.sent.fetch_add(read as u64, Ordering::Relaxed);
            }
        })
    }

    /// Does `serve` with each connection, in a thread of its own.
    pub(crate) fn on(
        address: &str,
        serve: impl Fn(TcpStream, &Count) + Send + Sync + 'static,
    ) -> Self {
        // One that was free a moment ago may still be held by a process that is being started: it has all
        // that we have, until it becomes another program.
        let listener = super::wait_for("a free port", || TcpListener::bind(address).ok());
        let address = listener.local_addr().expect("an address");
        let count = Arc::new(Count::default());
        let stop = Arc::new(AtomicBool::new(false));
        let serve = Arc::new(serve);
        let (counted, stopped) = (Arc::clone(&count), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                counted.connections.fetch_add(1, Ordering::Relaxed);
                let (serve, count) = (Arc::clone(&serve), Arc::clone(&counted));
                thread::spawn(move || serve(stream, &count));
            }
        });
        Self { address, count, stop, thread: Some(thread) }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accept; if it fails the listener is gone already.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A target that never answers: its queue is full, so that the kernel lets further clients wait.
pub(crate) struct Silent {
    /// Where it would listen.
    pub(crate) address: SocketAddr,
    _socket: socket2::Socket,
    _queue: Vec<TcpStream>,
}

impl Silent {
    pub(crate) fn start() -> Self {
        Self::on(([127, 0, 0, 1], 0).into())
    }

    /// The same at this address.
    pub(crate) fn on(address: SocketAddr) -> Self {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.bind(&address.into()).expect("a free port");
        socket.listen(0).expect("it listens");
        let address = socket.local_addr().expect("an address").as_socket().expect("of IP");
        let patience = Duration::from_millis(200);
        let queue = std::iter::from_fn(|| TcpStream::connect_timeout(&address, patience).ok());
        let queue = queue.take(16).collect();
        Self { address, _socket: socket, _queue: queue }
    }
}
