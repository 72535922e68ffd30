//! One client of the gate: it reads one request, asks the server within, writes one answer.
//!
//! ```text
//!  Reading ──whole, lawful──▶ Asking ──whole answer──▶ Writing ──last octet──▶ Parting ──▶ closed
//!     │                         │ │                      ▲
//!     └───────── refused ───────┴─┼──────────────────────┤
//!                                 └─ events ─▶ Listening ─┘
//! ```
//!
//! Readiness is not remembered: an event of either socket makes the client try all that its stage
//! can do until the socket would block, which is what edge-triggered events ask for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::answer::{self, Finished};
use super::counters::{GateCounters, bump};
use super::head::Vantage;
use super::limits::Limits;
use super::listening::{Hearing, Listening};
use super::reading::{Judgement, Reading};
use super::refusal::Refusal;
use crate::admin::access::Hosts;
use crate::admin::events::{Event, EventSource, EventsQuery};
use crate::admin::socket::Inner;

/// What a client needs of the gate to go on.
pub(super) struct Surroundings<'a> {
    pub(super) registry: &'a Registry,
    pub(super) inner: &'a Inner,
    pub(super) limits: &'a Limits,
    pub(super) hosts: &'a Hosts,
    pub(super) counters: &'a GateCounters,
    pub(super) events: Option<&'a EventSource>,
    /// How many listen from the client's address.
    pub(super) listeners_near: usize,
    pub(super) scratch: &'a mut [u8],
}

/// Whether a client is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Ends,
}

/// How willingly a full gate gives up a client: the first first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It has its answer.
    Served,
    /// We wait for it.
    Awaited,
    /// It waits for us.
    Waiting,
}

pub(super) struct Client {
    socket: TcpStream,
    token: Token,
    address: IpAddr,
    local: SocketAddr,
    stage: Stage,
    deadline: Instant,
    progress: Instant,
}

enum Stage {
    Reading(Reading),
    Asking(Asking),
    Writing(Writing),
    Listening(Box<Listening>),
    Parting { discarded: usize },
}

struct Asking {
    server: UnixStream,
    request: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    bodyless: bool,
}

struct Writing {
    answer: Vec<u8>,
    sent: usize,
    until: Instant,
}

/// What a stage came to.
enum Turn {
    /// The socket would block.
    Wait,
    /// The next stage; try it at once.
    Next(Stage),
    /// Answer with an error; the flag says that the answer has no body.
    Refuse(Refusal, bool),
    End,
}

impl Client {
    pub(super) fn new(
        socket: TcpStream,
        token: Token,
        (address, local): (IpAddr, SocketAddr),
        now: Instant,
        limits: &Limits,
    ) -> Self {
        Self {
            socket,
            token,
            address,
            local,
            stage: Stage::Reading(Reading::default()),
            deadline: now + limits.request,
            progress: now,
        }
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// The moment at which [`Client::expire`] has something to do.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The least of these makes room first: by rank, then the one longest without progress.
    pub(super) fn standing(&self) -> (Rank, Instant) {
        let rank = match self.stage {
            Stage::Parting { .. } => Rank::Served,
            Stage::Reading(_) | Stage::Writing(_) => Rank::Awaited,
            Stage::Asking(_) | Stage::Listening(_) => Rank::Waiting,
        };
        (rank, self.progress)
    }

    /// Whether an answer is on its way.
    pub(super) fn is_owed(&self) -> bool {
        matches!(self.stage, Stage::Asking(_) | Stage::Writing(_))
    }

    /// Does all that can be done now.
    pub(super) fn advance(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Fate {
        loop {
            let turn = match &mut self.stage {
                Stage::Reading(_) => self.read(now, around),
                Stage::Asking(_) => self.ask(now, around),
                Stage::Writing(_) => self.write(now, around),
                Stage::Listening(_) => self.listen(now, around),
                Stage::Parting { .. } => self.part(around),
            };
            match turn {
                Turn::Wait => return Fate::Stays,
                Turn::End => return Fate::Ends,
                Turn::Next(stage) => self.enter(stage, now, around.limits),
                Turn::Refuse(refusal, bodyless) => self.refuse(refusal, bodyless, now, around),
            }
        }
    }

    /// What the deadline of the stage means.
    pub(super) fn expire(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Fate {
        match &self.stage {
            Stage::Reading(reading) if reading.is_untouched() => {
                bump(&around.counters.silent);
                return Fate::Ends;
            }
            Stage::Reading(reading) => {
                let bodyless = reading.is_bodyless();
                self.refuse(Refusal::Late, bodyless, now, around);
            }
            Stage::Asking(asking) => {
                let bodyless = asking.bodyless;
                // With no handler at work nobody has even taken the request: the server within has
                // died. A handler at work is slow, which another server would not mend.
                let refusal = if around.inner.is_busy() {
                    Refusal::AnswerLate
                } else {
                    // Where that fails now, the next who is refused a connection tries again.
                    around.inner.rebuild(now).ok();
                    Refusal::Unavailable
                };
                self.refuse(refusal, bodyless, now, around);
            }
            Stage::Writing(_) => {
                bump(&around.counters.slow_readers);
                return Fate::Ends;
            }
            Stage::Listening(_) => return self.expire_listener(now, around),
            Stage::Parting { .. } => return Fate::Ends,
        }
        self.advance(now, around)
    }

    fn enter(&mut self, stage: Stage, now: Instant, limits: &Limits) {
        self.progress = now;
        self.deadline = now
            + match stage {
                Stage::Reading(_) => limits.request,
                Stage::Asking(_) => limits.answer,
                Stage::Writing(_) => limits.write_idle,
                // It says itself how long.
                Stage::Listening(_) => Duration::ZERO,
                Stage::Parting { .. } => limits.parting,
            };
        self.stage = stage;
    }

    fn refuse(
        &mut self,
        refusal: Refusal,
        bodyless: bool,
        now: Instant,
        around: &Surroundings<'_>,
    ) {
        around.counters.count(refusal);
        let answer = refusal.render(around.limits, bodyless);
        let until = now + around.limits.write_total;
        self.enter(Stage::Writing(Writing { answer, sent: 0, until }), now, around.limits);
    }

    fn read(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Turn {
        let Stage::Reading(reading) = &mut self.stage else { return Turn::Wait };
        let vantage = Vantage {
            limits: around.limits,
            hosts: around.hosts,
            local: self.local,
            client: self.address,
        };
        loop {
            match reading.judge(&vantage, &mut self.socket) {
                Judgement::More => {}
                Judgement::Whole(request, bodyless) => {
                    return ask(around, now, self.token, request, bodyless);
                }
                Judgement::Unlawful(refusal, bodyless) => return Turn::Refuse(refusal, bodyless),
            }
            match self.socket.read(around.scratch) {
                Ok(0) => return Turn::End,
                Ok(count) => {
                    self.progress = now;
                    reading.take(around.scratch.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Turn::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Turn::End,
            }
        }
    }

    fn ask(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Turn {
        let Stage::Asking(asking) = &mut self.stage else { return Turn::Wait };
        while let Some(rest @ [_, ..]) = asking.request.get(asking.sent..) {
            match asking.server.write(rest) {
                Ok(0) => asking.sent = asking.request.len(),
                Ok(count) => asking.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It may have answered before it stopped listening.
                Err(_) => asking.sent = asking.request.len(),
            }
        }
        let most = around.limits.answer_max + around.limits.head_max;
        loop {
            match asking.server.read(around.scratch) {
                Ok(0) => break,
                Ok(count) => {
                    asking
                        .answer
                        .extend_from_slice(around.scratch.get(..count).unwrap_or_default());
                    if asking.answer.len() > most {
                        return Turn::Refuse(Refusal::AnswerTooLarge, asking.bodyless);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Turn::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        match answer::finish(std::mem::take(&mut asking.answer), asking.bodyless) {
            Ok(Finished::Whole(answer)) => {
                let until = now + around.limits.write_total;
                Turn::Next(Stage::Writing(Writing { answer, sent: 0, until }))
            }
            Ok(Finished::Stream) => {
                begin_listening(EventsQuery::of_request(&asking.request), now, around)
            }
            Err(refusal) => Turn::Refuse(refusal, asking.bodyless),
        }
    }

    /// Puts an event before a client that listens.
    pub(super) fn hear(
        &mut self,
        event: &Event,
        now: Instant,
        limits: &Limits,
        counters: &GateCounters,
    ) {
        if let Stage::Listening(listening) = &mut self.stage
            && !listening.hear(event, now, limits)
        {
            bump(&counters.events_missed);
        }
    }

    /// Whether it listens, and so much waits for it that it is to be written at once.
    pub(super) fn is_laden(&self, limits: &Limits) -> bool {
        matches!(&self.stage, Stage::Listening(listening) if listening.is_laden(limits))
    }

    /// What it listens with, if it does.
    pub(super) fn listening(&mut self) -> Option<&mut Listening> {
        if let Stage::Listening(listening) = &mut self.stage { Some(listening) } else { None }
    }

    /// Whether it listens to events.
    pub(super) fn is_listening(&self) -> bool {
        matches!(self.stage, Stage::Listening(_))
    }

    /// So many events about sessions are lost to a client that listens to them.
    pub(super) fn miss(&mut self, count: u64, counters: &GateCounters) {
        if let Stage::Listening(listening) = &mut self.stage
            && listening.miss(count)
        {
            counters.events_missed.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn listen(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Turn {
        let Stage::Listening(listening) = &mut self.stage else { return Turn::Wait };
        let hearing = listening.advance(&mut self.socket, around.scratch, now);
        self.deadline = listening.deadline(around.limits);
        self.progress = now;
        if hearing == Hearing::GoesOn { Turn::Wait } else { Turn::End }
    }

    fn expire_listener(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Fate {
        let Stage::Listening(listening) = &mut self.stage else { return Fate::Stays };
        match listening.expire(now, around.limits) {
            Hearing::GoesOn => {}
            Hearing::Gone => return Fate::Ends,
            Hearing::TooSlow => {
                bump(&around.counters.listeners_dropped);
                return Fate::Ends;
            }
            Hearing::Enough => {
                let last = Stage::Parting { discarded: 0 };
                let Stage::Listening(listening) = std::mem::replace(&mut self.stage, last) else {
                    return Fate::Ends;
                };
                let until = now + around.limits.write_total;
                let answer = listening.rest();
                self.enter(Stage::Writing(Writing { answer, sent: 0, until }), now, around.limits);
            }
        }
        self.advance(now, around)
    }

    fn write(&mut self, now: Instant, around: &Surroundings<'_>) -> Turn {
        let Stage::Writing(writing) = &mut self.stage else { return Turn::Wait };
        while let Some(rest @ [_, ..]) = writing.answer.get(writing.sent..) {
            match self.socket.write(rest) {
                Ok(0) => return Turn::End,
                Ok(count) => {
                    writing.sent += count;
                    self.progress = now;
                    self.deadline = (now + around.limits.write_idle).min(writing.until);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Turn::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Turn::End,
            }
        }
        bump(&around.counters.answered);
        // To close with octets unread resets the connection, and the reset may overtake the answer.
        // So say that nothing follows, and discard what still comes.
        match self.socket.shutdown(Shutdown::Write) {
            Ok(()) => Turn::Next(Stage::Parting { discarded: 0 }),
            Err(_) => Turn::End,
        }
    }

    fn part(&mut self, around: &mut Surroundings<'_>) -> Turn {
        let Stage::Parting { discarded } = &mut self.stage else { return Turn::Wait };
        loop {
            match self.socket.read(around.scratch) {
                Ok(0) => return Turn::End,
                Ok(count) => {
                    *discarded += count;
                    if *discarded > DISCARDED_MAX {
                        return Turn::End;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Turn::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Turn::End,
            }
        }
    }
}

/// Lets a client listen, if one more may.
fn begin_listening(query: EventsQuery, now: Instant, around: &Surroundings<'_>) -> Turn {
    let Some(source) = around.events else {
        return Turn::Refuse(Refusal::Unavailable, false);
    };
    let limits = around.limits;
    if source.news.followers() >= limits.listeners
        || around.listeners_near >= limits.listeners_per_address
    {
        return Turn::Refuse(Refusal::TooManyListeners, false);
    }
    let health = Event::health(&(source.health)());
    let follower = source.news.follow();
    let listening = Listening::new(query, follower, &health, now, around.limits);
    Turn::Next(Stage::Listening(Box::new(listening)))
}

/// Hands the request to the server within, building it anew once if it does not listen.
fn ask(
    around: &Surroundings<'_>,
    now: Instant,
    token: Token,
    request: Vec<u8>,
    bodyless: bool,
) -> Turn {
    let connected = match UnixStream::connect(around.inner.path()) {
        Err(error) if is_dead(&error) && around.inner.rebuild(now).is_ok() => {
            UnixStream::connect(around.inner.path())
        }
        connected => connected,
    };
    let registered = connected.and_then(|mut server| {
        let interest = Interest::READABLE | Interest::WRITABLE;
        around.registry.register(&mut server, token, interest).map(|()| server)
    });
    match registered {
        Ok(server) => {
            bump(&around.counters.passed);
            Turn::Next(Stage::Asking(Asking {
                server,
                request,
                sent: 0,
                answer: Vec::new(),
                bodyless,
            }))
        }
        Err(_) => Turn::Refuse(Refusal::Unavailable, bodyless),
    }
}

/// Whether connecting failed because nobody accepts, and not for want of descriptors here.
fn is_dead(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::NotFound | ErrorKind::WouldBlock
    )
}

const DISCARDED_MAX: usize = 1024 * 1024;
