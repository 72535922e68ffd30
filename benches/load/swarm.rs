//! The clients: one thread, any number of connections, each a small state machine.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use socket2::{Domain, Socket, Type};

use super::contender::Way;
use super::ears::Ears;
use super::origin::{BOTH, CHUNK, ECHO, SINK, SOURCE, pass};

/// What a client does once it is through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// 64 octets there and back, close, and begin again.
    Session,
    /// 64 octets there and back, again and again.
    PingPong,
    /// Receives as much as comes.
    Down,
    /// Sends as much as goes.
    Up,
    /// Both.
    Duplex,
    /// Nothing.
    Idle,
}

impl Work {
    const fn task(self) -> u8 {
        match self {
            Self::Session | Self::PingPong | Self::Idle => ECHO,
            Self::Down => SOURCE,
            Self::Up => SINK,
            Self::Duplex => BOTH,
        }
    }
}

/// What was counted in a span of time.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) sessions: u64,
    pub(crate) trips: u64,
    pub(crate) octets: u64,
    pub(crate) failures: u64,
    /// Microseconds from connect to the success reply (`Session`), or of a round trip (`PingPong`).
    pub(crate) latencies: Vec<u32>,
}

impl Tally {
    /// The latency below which this part of all lies, in microseconds.
    pub(crate) fn percentile(&mut self, part: f64) -> f64 {
        self.latencies.sort_unstable();
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        self.latencies.get(at).copied().map_or(0.0, f64::from)
    }
}

enum Stage {
    Connecting,
    Greeted,
    Asked,
    /// Through; how many octets of the answer are still to come.
    Working(usize),
}

struct Client {
    stream: TcpStream,
    stage: Stage,
    work: Work,
    since: Instant,
}

/// A number of clients.
pub(crate) struct Swarm {
    ears: Ears,
    proxy: SocketAddr,
    origin: SocketAddr,
    way: Way,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    /// Counts since it was last taken.
    pub(crate) tally: Tally,
}

impl Swarm {
    pub(crate) fn new(proxy: SocketAddr, origin: SocketAddr, way: Way) -> io::Result<Self> {
        let (ears, clients, buffer) = (Ears::new()?, Vec::new(), vec![0; CHUNK]);
        Ok(Self { ears, proxy, origin, way, clients, buffer, tally: Tally::default() })
    }

    /// Adds clients of a kind.
    pub(crate) fn add(&mut self, count: usize, work: Work) -> io::Result<()> {
        for _ in 0..count {
            let client = Client::connect(self.proxy, work)?;
            let token = self.clients.len() as u64;
            self.ears.add(&client.stream, token, EventFlags::OUT)?;
            self.clients.push(client);
        }
        Ok(())
    }

    /// How many are through.
    pub(crate) fn working(&self) -> usize {
        self.clients.iter().filter(|client| matches!(client.stage, Stage::Working(_))).count()
    }

    /// Runs until `over` says so, asked after each wait.
    pub(crate) fn run(&mut self, mut over: impl FnMut(&Self) -> bool) -> io::Result<()> {
        while !over(self) {
            for (token, flags) in self.ears.wait(Some(Duration::from_millis(50)))? {
                let index = token as usize;
                if self.turn(index, flags).is_err() {
                    self.tally.failures += 1;
                    self.again(index)?;
                }
            }
        }
        Ok(())
    }

    /// Runs for that long, and takes what was counted.
    pub(crate) fn measure(&mut self, span: Duration) -> io::Result<(Tally, f64)> {
        self.tally = Tally::default();
        let began = Instant::now();
        self.run(|_| began.elapsed() >= span)?;
        Ok((std::mem::take(&mut self.tally), began.elapsed().as_secs_f64()))
    }

    fn again(&mut self, index: usize) -> io::Result<()> {
        let client = &mut self.clients[index];
        *client = Client::connect(self.proxy, client.work)?;
        self.ears.add(&client.stream, index as u64, EventFlags::OUT)
    }

    fn turn(&mut self, index: usize, flags: EventFlags) -> io::Result<()> {
        let Self { ears, clients, buffer, tally, origin, way, .. } = self;
        let client = &mut clients[index];
        let token = index as u64;
        let stream = &mut client.stream;
        let left = match client.stage {
            Stage::Connecting => {
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                if *way == Way::Plain {
                    return client.begin(token, ears, tally);
                }
                stream.write_all(&[5, 1, 0])?;
                client.stage = Stage::Greeted;
                return ears.change(&client.stream, token, EventFlags::IN);
            }
            Stage::Greeted => {
                stream.read_exact(&mut buffer[..2])?;
                let SocketAddr::V4(target) = origin else { return Ok(()) };
                let mut asked = vec![5, 1, 0, 1];
                asked.extend(target.ip().octets());
                asked.extend(target.port().to_be_bytes());
                stream.write_all(&asked)?;
                client.stage = Stage::Asked;
                return Ok(());
            }
            Stage::Asked => {
                stream.read_exact(&mut buffer[..10])?;
                if buffer[1] != 0 {
                    return Err(io::Error::other("refused"));
                }
                return client.begin(token, ears, tally);
            }
            Stage::Working(left) => left,
        };
        if flags.contains(EventFlags::OUT) {
            tally.octets += pass(stream.write(buffer))?.unwrap_or(0) as u64;
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        let Some(read) = pass(stream.read(buffer))? else { return Ok(()) };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let echoed = client.work.task() == ECHO;
        if !echoed {
            tally.octets += read as u64;
            return Ok(());
        }
        let left = left.saturating_sub(read);
        client.stage = Stage::Working(left);
        if left > 0 {
            return Ok(());
        }
        match client.work {
            Work::PingPong => {
                tally.trips += 1;
                tally.latencies.push(micros(client.since));
                client.ping()
            }
            Work::Session => {
                tally.sessions += 1;
                self.again(index)
            }
            Work::Down | Work::Up | Work::Duplex | Work::Idle => Ok(()),
        }
    }
}

impl Client {
    fn connect(proxy: SocketAddr, work: Work) -> io::Result<Self> {
        let since = Instant::now();
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&proxy.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(115) => {} // EINPROGRESS
            Err(error) => return Err(error),
        }
        Ok(Self { stream: socket.into(), stage: Stage::Connecting, work, since })
    }

    /// It is through: says what the origin shall do, and begins.
    fn begin(&mut self, token: u64, ears: &Ears, tally: &mut Tally) -> io::Result<()> {
        if self.work == Work::Session {
            tally.latencies.push(micros(self.since));
        }
        let flags = match self.work {
            Work::Up => EventFlags::OUT,
            Work::Duplex => EventFlags::IN | EventFlags::OUT,
            Work::Session | Work::PingPong | Work::Down | Work::Idle => EventFlags::IN,
        };
        ears.change(&self.stream, token, flags)?;
        self.stage = Stage::Working(0);
        match self.work {
            Work::Session | Work::PingPong => self.ping(),
            Work::Down | Work::Up | Work::Duplex => self.stream.write_all(&[self.work.task()]),
            Work::Idle => Ok(()),
        }
    }

    fn ping(&mut self) -> io::Result<()> {
        self.since = Instant::now();
        self.stream.write_all(&[ECHO; MESSAGE])?;
        self.stage = Stage::Working(MESSAGE);
        Ok(())
    }
}

fn micros(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// Octets of a short session and of a message.
const MESSAGE: usize = 64;
