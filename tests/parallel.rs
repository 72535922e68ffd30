//! Many sessions at once, each with a stream both ways at the same time, every octet compared; some of
//! the clients and some of the targets do not read until all others are done. Nobody stalls another, and
//! the memory of the proxy stays within what its named buffers allow.
//!
//! `RUSTSOCKS_SESSIONS` (50) sessions move `RUSTSOCKS_SESSION_MIB` (4) each way; those that stall move at
//! least 24, more than the kernel takes on its way.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use harness::PATIENCE;
use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use parking_lot::{Condvar, Mutex};
use rustsocks::relay::{BLOCK_OCTETS, FREE_BLOCKS_MAX, LENT_BLOCKS_PLENTY, SCRATCH_OCTETS};

#[test]
fn many_streams_both_ways_arrive_whole_beside_readers_that_do_not_read() {
    let sessions = number("RUSTSOCKS_SESSIONS", 50);
    let each_way = number("RUSTSOCKS_SESSION_MIB", 4) << 20;
    let pattern = Arc::new(Pattern::new());
    let (gate, refused) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
    let origin = {
        let (pattern, gate, refused) =
            (Arc::clone(&pattern), Arc::clone(&gate), Arc::clone(&refused));
        Origin::on("127.0.0.1:0", move |stream, _| {
            let served = serve(&stream, each_way, &pattern, &gate);
            refused.fetch_add(usize::from(!served), Ordering::Relaxed);
        })
    };
    let proxy = Proxy::start();
    let before = peak(&proxy);
    let began = Instant::now();
    let mut lively = Vec::new();
    let mut stalling = Vec::new();
    for number in 0..sessions {
        let session = Session { number, kind: Kind::of(number), each_way };
        let stream = Client::connected(proxy.socks, origin.address).stream;
        // A stream that lasts long is no failure.
        stream.set_read_timeout(None).unwrap();
        stream.set_write_timeout(None).unwrap();
        let (pattern, gate) = (Arc::clone(&pattern), Arc::clone(&gate));
        let thread = thread::spawn(move || converse(&stream, session, &pattern, &gate));
        if session.kind == Kind::Lively { lively.push(thread) } else { stalling.push(thread) }
    }
    let (fast, slow) = (lively.len(), stalling.len());
    for thread in lively {
        assert!(thread.join().unwrap(), "a client got something else");
    }
    let passed = began.elapsed();
    // The others have not begun to read, on one side or the other.
    assert!(!stalling.iter().any(thread::JoinHandle::is_finished));
    assert_eq!(gate.waiting.load(Ordering::SeqCst), slow);
    let stalled = peak(&proxy);
    gate.open();
    for thread in stalling {
        assert!(thread.join().unwrap(), "a client got something else");
    }
    assert_eq!(refused.load(Ordering::Relaxed), 0, "a target got something else");
    let all = began.elapsed();

    // Each row to the octet.
    for kind in [Kind::Lively, Kind::MuteClient] {
        let octets = kind.octets(each_way);
        let sent = octets + HEAD_OCTETS;
        let count = (0..sessions).filter(|number| Kind::of(*number).octets(each_way) == octets);
        proxy.wait_count(
            &format!(
                "SELECT count(*) FROM sessions WHERE status = 'closed' \
                 AND bytes_sent = {sent} AND bytes_received = {octets}"
            ),
            count.count() as i64,
        );
    }
    let peak = peak(&proxy);
    let bound = memory_bound(sessions);
    eprintln!(
        "{sessions} sessions, {} MiB each way, {slow} of them stalled: {fast} done after {passed:.1?}, all \
         after {all:.1?}; memory at most {} KiB before, {} KiB while stalled, {} KiB in the end, of {} KiB",
        each_way >> 20,
        before >> 10,
        stalled >> 10,
        peak >> 10,
        (before + bound) >> 10
    );
    assert!(peak - before <= bound, "{} octets, {bound} allowed", peak - before);
}

/// What the sessions may add to the memory of a proxy with two workers, by the names of its buffers.
fn memory_bound(sessions: usize) -> usize {
    const WORKERS: usize = 2;
    // A read of the scratch buffer that its sink refused, in each direction; from so many blocks on
    // one block.
    let stashes = (2 * sessions * SCRATCH_OCTETS)
        .min(WORKERS * LENT_BLOCKS_PLENTY * BLOCK_OCTETS + 2 * sessions * BLOCK_OCTETS);
    let workers = WORKERS * (SCRATCH_OCTETS + FREE_BLOCKS_MAX * BLOCK_OCTETS);
    stashes + workers + sessions * CONNECTION_OCTETS_MAX + FURTHER_OCTETS_MAX
}

/// One session of the test.
#[derive(Clone, Copy)]
struct Session {
    number: usize,
    kind: Kind,
    each_way: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lively,
    /// The client does not read.
    MuteClient,
    /// The target does not read.
    MuteTarget,
}

impl Kind {
    /// Two of ten stall, one on each side.
    const fn of(number: usize) -> Self {
        match number % 10 {
            3 => Self::MuteClient,
            7 => Self::MuteTarget,
            _ => Self::Lively,
        }
    }

    /// How many octets go each way.
    fn octets(self, each_way: usize) -> usize {
        match self {
            Self::Lively => each_way,
            Self::MuteClient | Self::MuteTarget => each_way.max(STALLED_OCTETS_MIN),
        }
    }
}

/// Shut until all lively sessions are done.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
}

impl Gate {
    fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut is_open = self.is_open.lock();
        while !*is_open {
            self.opened.wait(&mut is_open);
        }
    }

    fn open(&self) {
        *self.is_open.lock() = true;
        self.opened.notify_all();
    }
}

/// Octets in which each stream begins at a place of its own.
struct Pattern(Vec<u8>);

#[derive(Clone, Copy)]
enum Towards {
    Target,
    Client,
}

impl Pattern {
    fn new() -> Self {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let octets = (0..PATTERN_OCTETS).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        });
        Self(octets.collect())
    }

    /// Where a stream begins.
    const fn start(number: usize, towards: Towards) -> usize {
        (2 * number + towards as usize) * 7919
    }

    /// The next octets from this place, at most so many.
    fn from(&self, at: usize, most: usize) -> &[u8] {
        let begin = at % PATTERN_OCTETS;
        &self.0[begin..PATTERN_OCTETS.min(begin + most)]
    }

    fn send(&self, mut stream: &TcpStream, start: usize, octets: usize) -> bool {
        let mut sent = 0;
        while sent < octets {
            let next = self.from(start + sent, (octets - sent).min(PORTION_OCTETS));
            if stream.write_all(next).is_err() {
                return false;
            }
            sent += next.len();
        }
        stream.shutdown(Shutdown::Write).is_ok()
    }

    /// Whether exactly this comes, and then the end.
    fn comes(&self, mut stream: &TcpStream, start: usize, octets: usize) -> bool {
        let mut buffer = vec![0; PORTION_OCTETS];
        let mut came = 0;
        loop {
            let Ok(read) = stream.read(&mut buffer) else { return false };
            if read == 0 {
                return came == octets;
            }
            let mut left = &buffer[..read];
            while !left.is_empty() {
                let expected = self.from(start + came, left.len());
                let (now, later) = left.split_at(expected.len());
                if now != expected {
                    return false;
                }
                came += now.len();
                left = later;
            }
        }
    }
}

/// The client's side of a session; whether all came that should.
fn converse(stream: &TcpStream, session: Session, pattern: &Pattern, gate: &Gate) -> bool {
    let Session { number, kind, each_way } = session;
    let octets = kind.octets(each_way);
    let mut head = stream;
    head.write_all(&(number as u64).to_be_bytes()).unwrap();
    thread::scope(|scope| {
        let sender =
            scope.spawn(|| pattern.send(stream, Pattern::start(number, Towards::Target), octets));
        if kind == Kind::MuteClient {
            gate.wait();
        }
        let came = pattern.comes(stream, Pattern::start(number, Towards::Client), octets);
        sender.join().unwrap() && came
    })
}

/// The target's side of a session; whether all came that should.
fn serve(stream: &TcpStream, each_way: usize, pattern: &Pattern, gate: &Gate) -> bool {
    let mut head = [0; HEAD_OCTETS];
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = stream;
    // What ends the test's own origin says nothing.
    if reader.read_exact(&mut head).is_err() {
        return true;
    }
    stream.set_read_timeout(None).unwrap();
    let number = u64::from_be_bytes(head) as usize;
    let kind = Kind::of(number);
    let octets = kind.octets(each_way);
    thread::scope(|scope| {
        let sender =
            scope.spawn(|| pattern.send(stream, Pattern::start(number, Towards::Client), octets));
        if kind == Kind::MuteTarget {
            gate.wait();
        }
        let came = pattern.comes(stream, Pattern::start(number, Towards::Target), octets);
        sender.join().unwrap() && came
    })
}

/// The most memory that the process has had, in octets (VmHWM, proc_pid_status).
fn peak(proxy: &Proxy) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// The number of the session, which its target is to know.
const HEAD_OCTETS: usize = 8;
/// A prime, so that no buffer's size is in step with it.
const PATTERN_OCTETS: usize = 1_000_003;
const PORTION_OCTETS: usize = 128 * 1024;
const STALLED_OCTETS_MIN: usize = 24 << 20;
/// What a connection takes besides what it stashes: its slot, its front or relay, its row of the table.
const CONNECTION_OCTETS_MAX: usize = 16 * 1024;
/// What does not grow with the sessions: the writer's batch, SQLite's cache, what the allocator holds.
const FURTHER_OCTETS_MAX: usize = 8 << 20;
