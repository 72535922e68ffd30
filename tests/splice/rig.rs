//! A relay between two real connections, and the far ends of both.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use rustix::io::Errno;
use rustsocks::linux::pipe::Pipe;
use rustsocks::linux::socket::abort_on_close;
use rustsocks::relay::{Advance, BYTES_PER_TURN, Carrier, Direction, End, Meter, Relay, RelayEnd};
use socket2::{Domain, Socket, Type};

/// The relay's end of a connection.
pub(crate) struct Near {
    stream: TcpStream,
    /// Says that it cannot be spliced from (first) or to (second).
    pub(crate) refuses: (bool, bool),
}

impl Read for Near {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Near {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.stream.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl End for Near {
    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.stream.as_fd())
    }

    fn splice_into(&mut self, pipe: &Pipe, most: usize) -> io::Result<usize> {
        if self.refuses.0 { Err(Errno::INVAL.into()) } else { pipe.fill(&self.stream, most) }
    }

    fn splice_from(&mut self, pipe: &Pipe, most: usize) -> io::Result<usize> {
        if self.refuses.1 { Err(Errno::INVAL.into()) } else { pipe.drain(&self.stream, most) }
    }
}

/// The far end: what it has said and heard. It never blocks.
pub(crate) struct Far {
    stream: Option<TcpStream>,
    pub(crate) said: usize,
    pub(crate) heard: usize,
    pub(crate) heard_fin: bool,
    pub(crate) heard_reset: bool,
    /// Of what it says; what the other one hears begins with the same.
    seed: u8,
}

/// What is said from this place of a stream on, at most `CHUNK` octets.
fn text(seed: u8, at: usize, octets: usize) -> &'static [u8] {
    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
    // A prime, so that no two blocks of a power of two are the same.
    let all = TEXT.get_or_init(|| (0..=250).cycle().take(CHUNK + 251).collect());
    let start = (at + usize::from(seed)) % 251;
    &all[start..start + octets.min(CHUNK)]
}

impl Far {
    /// Says as much as goes, up to `octets`; how much went.
    pub(crate) fn say(&mut self, octets: usize) -> usize {
        let mut went = 0;
        while went < octets {
            let Some(stream) = &mut self.stream else { break };
            match stream.write(text(self.seed, self.said + went, octets - went)) {
                Ok(more) => went += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.said += went;
        went
    }

    /// Hears up to `octets`, which must be what the other one said; how many came.
    pub(crate) fn hear(&mut self, octets: usize, seed: u8) -> usize {
        let mut came = 0;
        let mut buffer = vec![0; CHUNK];
        while came < octets {
            let Some(stream) = &mut self.stream else { break };
            let room = buffer.len().min(octets - came);
            match stream.read(&mut buffer[..room]) {
                Ok(0) => {
                    self.heard_fin = true;
                    break;
                }
                Ok(read) => {
                    let same = buffer[..read] == *text(seed, self.heard, read);
                    assert!(same, "{read} octets at {} are not what was said", self.heard);
                    self.heard += read;
                    came += read;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.heard_reset = true;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        came
    }

    pub(crate) fn fin(&self) {
        self.stream.as_ref().unwrap().shutdown(Shutdown::Write).unwrap();
    }

    pub(crate) fn reset(&mut self) {
        let stream = self.stream.take().unwrap();
        abort_on_close(&stream).unwrap();
    }
}

/// Octets of every transfer, by direction.
#[derive(Default)]
pub(crate) struct Book([usize; 2]);

impl Meter for Book {
    fn moved(&mut self, direction: Direction, octets: usize) {
        assert_ne!(octets, 0, "nothing moved");
        self.0[direction as usize] += octets;
    }
}

/// All of it. The far ends are named by the direction in which they speak.
pub(crate) struct Rig {
    pub(crate) client: Near,
    pub(crate) upstream: Near,
    pub(crate) far_client: Far,
    pub(crate) far_target: Far,
    pub(crate) relay: Option<Relay>,
    book: Book,
    pub(crate) budget: usize,
}

impl Rig {
    pub(crate) fn new(carrier: &mut Carrier) -> Self {
        let (client, far_client) = pair(3);
        let (upstream, far_target) = pair(101);
        let relay = Some(Relay::new(&[], carrier.pool()));
        let book = Book::default();
        Self { client, upstream, far_client, far_target, relay, book, budget: BYTES_PER_TURN }
    }

    /// A rig in which what goes in `direction` has become heavy.
    pub(crate) fn heavy(carrier: &mut Carrier, direction: Direction) -> Self {
        let mut rig = Self::new(carrier);
        let mut left = PRELUDE;
        rig.until("the prelude has passed", carrier, |rig| {
            left -= rig.source(direction).say(left);
            rig.hear(direction, PRELUDE);
            rig.sink(direction).heard == PRELUDE
        });
        rig
    }

    /// One turn of the relay.
    pub(crate) fn advance(&mut self, carrier: &mut Carrier) -> Advance {
        let Self { client, upstream, relay, book, budget, .. } = self;
        let relay = relay.as_mut().expect("a relay that was not released");
        relay.advance(client, upstream, carrier, *budget, book)
    }

    /// Turns until something holds.
    pub(crate) fn until(
        &mut self,
        what: &str,
        carrier: &mut Carrier,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) {
        for _ in 0..TURNS_MAX {
            if holds(self) {
                return;
            }
            self.advance(carrier);
            std::thread::yield_now();
        }
        panic!("never: {what}");
    }

    /// Turns until it has ended, hearing what comes meanwhile.
    pub(crate) fn end(&mut self, carrier: &mut Carrier) -> RelayEnd {
        for _ in 0..TURNS_MAX {
            if let Advance::Ended(end) = self.advance(carrier) {
                return end;
            }
            self.hear(Direction::Upload, usize::MAX);
            self.hear(Direction::Download, usize::MAX);
            std::thread::yield_now();
        }
        panic!("no end in sight");
    }

    /// The relay ends by both sides' FINs, and everything that was said this way is heard and booked.
    pub(crate) fn ends_whole(mut self, direction: Direction, carrier: &mut Carrier, name: &str) {
        let end = self.end(carrier);
        assert!(matches!(end, RelayEnd::ClientClosed | RelayEnd::TargetClosed), "{end:?}");
        let (said, booked) = (self.source(direction).said, self.booked(direction));
        let (heard, reset) = self.close(direction);
        assert_eq!((heard, booked, reset), (said, said, false), "{name}");
    }

    pub(crate) fn source(&mut self, direction: Direction) -> &mut Far {
        match direction {
            Direction::Upload => &mut self.far_client,
            Direction::Download => &mut self.far_target,
        }
    }

    pub(crate) fn sink(&mut self, direction: Direction) -> &mut Far {
        match direction {
            Direction::Upload => &mut self.far_target,
            Direction::Download => &mut self.far_client,
        }
    }

    /// The sink of `direction` hears up to so many octets.
    pub(crate) fn hear(&mut self, direction: Direction, octets: usize) -> usize {
        let seed = self.source(direction).seed;
        self.sink(direction).hear(octets, seed)
    }

    /// Has the source say as much as goes while nobody listens, until the relay holds something and
    /// nothing moves any more.
    pub(crate) fn stall(&mut self, direction: Direction, carrier: &mut Carrier) {
        let budget = self.budget;
        let (mut quiet, mut tries) = (0, 0);
        for _ in 0..TURNS_MAX {
            let before = self.booked(direction);
            let said = self.source(direction).say(64 * 1024);
            self.advance(carrier);
            let still = said == 0 && before == self.booked(direction) && self.held(direction) > 0;
            quiet = if still { quiet + 1 } else { 0 };
            if quiet == STILL && self.held(direction) >= HELD_MIN {
                self.budget = budget;
                return;
            }
            if quiet == STILL {
                // So little that the kernel may yet take it: what a portion left over behind the last whole
                // segment. One of another size leaves something else.
                quiet = 0;
                self.hear(direction, CHUNK);
                tries += 1;
                self.budget = CHUNK - tries * ODD % (CHUNK - 2 * HELD_MIN);
            }
            std::thread::yield_now();
        }
        panic!("it never stalls");
    }

    /// Octets booked.
    pub(crate) fn booked(&self, direction: Direction) -> usize {
        self.book.0[direction as usize]
    }

    /// Octets that the relay has read and not delivered.
    pub(crate) fn held(&self, direction: Direction) -> usize {
        self.relay.as_ref().map_or(0, |relay| relay.held(direction))
    }

    /// Hears what the kernel still has after the relay's sockets are closed: by a reset, if so asked.
    pub(crate) fn close(self, direction: Direction) -> (usize, bool) {
        let Self { client, upstream, mut far_client, mut far_target, .. } = self;
        drop((client, upstream));
        let (seed, sink) = match direction {
            Direction::Upload => (far_client.seed, &mut far_target),
            Direction::Download => (far_target.seed, &mut far_client),
        };
        for _ in 0..TURNS_MAX {
            sink.hear(usize::MAX, seed);
            if sink.heard_fin || sink.heard_reset {
                return (sink.heard, sink.heard_reset);
            }
            std::thread::yield_now();
        }
        panic!("its connection does not end");
    }
}

/// A connection: our end, and the far one.
fn pair(seed: u8) -> (Near, Far) {
    // Small buffers, so that a sink is stalled soon; what is accepted inherits them.
    let socket = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(BUFFER).unwrap();
        socket.set_send_buffer_size(BUFFER).unwrap();
        socket
    };
    let listener = socket();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(1).unwrap();
    let far = socket();
    far.connect(&listener.local_addr().unwrap()).unwrap();
    let (far, stream) = (TcpStream::from(far), TcpStream::from(listener.accept().unwrap().0));
    for stream in [&far, &stream] {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
    }
    let far =
        Far { stream: Some(far), said: 0, heard: 0, heard_fin: false, heard_reset: false, seed };
    (Near { stream, refuses: (false, false) }, far)
}

/// Enough to make a direction heavy, whatever the budget.
pub(crate) const PRELUDE: usize = 512 * 1024;
/// Octets said or heard at a time.
const CHUNK: usize = 64 * 1024;
/// Octets for which a socket has room, about.
const BUFFER: usize = 256 * 1024;
/// Octets that a stalled relay holds at least.
const HELD_MIN: usize = 16 * 1024;
/// By how much one portion differs from the next that is tried; a prime.
const ODD: usize = 4099;
/// Turns in which nothing moved, after which nothing will.
const STILL: usize = 50;
/// More turns than anything here takes.
const TURNS_MAX: usize = 2_000_000;
