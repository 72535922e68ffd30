//! The worker and the turn of its loop.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Poll};

use super::accept::{Door, enqueue};
use super::connection::{Connection, Fate, Link};
use super::deadlines::Deadlines;
use super::defects::Defects;
use super::fellows::{Fellow, Fellows};
use super::kit::Kit;
use super::letters::Drain;
use super::ready::{Ready, heavy_octets};
use super::slots::Slots;
use super::token::{Role, Token};
use super::udp_portion::Datagrams;
use crate::auth::Recent;
use crate::clock;
use crate::key::Key;
use crate::limit::Admission;
use crate::mailbox::{Mailbox, Post};
use crate::offload::{Desk, Job};
use crate::policy::Policy;
use crate::proxy_protocol::Announcers;
use crate::relay::{Carrier, PipeSums};
use crate::resolve::Resolver;
use crate::session::{IdSource, Journal, Share, Table};
use crate::stats::Counters;

/// What a worker is made of.
pub struct WorkerParts {
    /// Its number, from 0; also its shard of the table.
    pub index: usize,
    /// Its poll, on which the mailbox's waker and the resolver's sockets are registered already.
    pub poll: Poll,
    /// Its own listeners, and whose connections to each begin with a PROXY protocol header.
    pub listeners: Vec<(TcpListener, Announcers)>,
    /// Where its letters come in.
    pub mailbox: Mailbox,
    /// The other workers.
    pub fellows: Vec<Fellow>,
    /// Where answers to its questions are sent.
    pub post: Post,
    /// Who resolves names for it.
    pub resolver: Resolver,
    /// Who checks passwords for it.
    pub hashes: Desk<Job>,
    /// Who asks the host about logins, where somebody does.
    pub pam: Option<Desk<Job>>,
    /// The policy to begin with.
    pub policy: Arc<Policy>,
    /// The places that all workers share.
    pub admission: Arc<Admission>,
    /// Where live sessions are listed.
    pub table: Arc<Table>,
    /// The way to the writer.
    pub journal: Journal,
    /// Its ledger slots.
    pub share: Share,
    /// What it counts.
    pub counters: Arc<Counters>,
    /// Transfers after which a relay stores its counters, at the latest; at least 1.
    pub publish_every: u32,
    /// Whether single sessions are kept; if not, clients over the limit are in the counters alone.
    pub records: bool,
    /// Pipes that its relays may have in all, two descriptors each; 0 where all is to be copied.
    pub pipes_max: usize,
}

/// One event loop.
pub struct Worker {
    pub(super) kit: Kit,
    pub(super) slots: Slots<Connection>,
    pub(super) door: Door,
    pub(super) mailbox: Mailbox,
    pub(super) draining: Option<Drain>,
    /// Up to which slot connections are judged by a policy that is new; `None` when all are.
    pub(super) judged_to: Option<u32>,
    /// The same of a quota that is used up.
    pub(super) recounted_to: Option<u32>,
    poll: Poll,
    events: Events,
}

impl Worker {
    /// A worker that is ready to run.
    ///
    /// # Errors
    /// When a listener cannot be registered.
    pub fn new(parts: WorkerParts) -> io::Result<Self> {
        let registry = parts.poll.registry().try_clone()?;
        let slots = Slots::new(parts.admission.seats_max());
        let door =
            Door::new(parts.listeners, parts.admission, Fellows::new(parts.fellows), &registry)?;
        parts.counters.policy_generation.set(parts.policy.generation);
        let kit = Kit {
            index: parts.index,
            now: clock::now(),
            registry,
            policy: parts.policy,
            resolver: parts.resolver,
            hashes: parts.hashes,
            pam: parts.pam,
            post: parts.post,
            recent: Recent::new(),
            defects: Defects::default(),
            carrier: Carrier::with_pipes(parts.pipes_max),
            datagrams: Datagrams::default(),
            // Workers begin far apart, so that they seldom try each other's ports.
            next_port: u32::try_from(parts.index).unwrap_or(0).wrapping_mul(PORTS_APART),
            deadlines: Deadlines::new(),
            ready: Ready::default(),
            ids: IdSource::new(),
            share: parts.share,
            table: parts.table,
            journal: parts.journal,
            counters: parts.counters,
            publish_every: parts.publish_every.max(1),
            records: parts.records,
        };
        Ok(Self {
            kit,
            slots,
            door,
            mailbox: parts.mailbox,
            draining: None,
            judged_to: None,
            recounted_to: None,
            poll: parts.poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
        })
    }

    /// Runs until it is told to drain, the last connection is gone and its ending is on its way to
    /// the writer; or until the drain's time for that is over.
    ///
    /// # Errors
    /// When the poll itself fails, which ends the process: half a server is none.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let wait = self.wait(clock::mono());
            match self.poll.poll(&mut self.events, Some(wait)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.kit.now = clock::now();
            self.note_readiness();
            self.read_letters();
            self.judge_some();
            self.recount_some();
            self.kit.resolver.tend(self.kit.now.mono);
            self.expire_deadlines();
            let mut served = self.advance_ready();
            self.read_answers();
            self.door.accept(&mut self.slots, &mut self.kit);
            // The first octets of new clients are often here already.
            served += self.advance_ready();
            self.advance_heavy(served);
            // What they have asked for may be known already, and no event tells of that.
            self.read_answers();
            self.door.record_refused(&mut self.kit);
            self.kit.journal.flush();
            self.finish_draining();
            self.kit.share.refill();
            self.count_turn();
            if self.has_drained() {
                return Ok(());
            }
        }
    }

    /// How long there is nothing to do, unless an event comes; bounded, so that a letter whose
    /// wake-up the kernel refused is read all the same.
    fn wait(&self, now: Instant) -> Duration {
        let visits = self.judged_to.is_some() || self.recounted_to.is_some();
        if !self.kit.ready.is_empty() || !self.mailbox.is_empty() || visits {
            return Duration::ZERO;
        }
        let unsent = (self.kit.journal.backlog_len() > 0).then(|| now + UNSENT_WAIT_MAX);
        let resolver = self.kit.resolver.timeout(now).map(|wait| now + wait);
        let door = [self.door.wants(now), self.door.records_at()];
        [self.kit.deadlines.next(), self.drain_due(), unsent, resolver]
            .into_iter()
            .chain(door)
            .flatten()
            .min()
            .map_or(WAIT_MAX, |at| at.saturating_duration_since(now).min(WAIT_MAX))
    }

    /// Events only mark: who has something to do is queued.
    fn note_readiness(&mut self) {
        for event in &self.events {
            let Some(token) = Token::read(event.token()) else { continue };
            match token.role {
                Role::Listener => self.door.note(token.key.slot),
                // The letters are read in each turn.
                Role::Waker => {}
                Role::Resolver => self.kit.resolver.on_event(
                    token.key.slot.cast_signed(),
                    event.is_readable() || event.is_error() || event.is_read_closed(),
                    event.is_writable() || event.is_error(),
                ),
                Role::Client
                | Role::UpstreamA
                | Role::UpstreamB
                | Role::Awaiting
                | Role::UdpClient
                | Role::UdpV4
                | Role::UdpV6 => match self.slots.get_mut(token.key) {
                    Some(connection) => {
                        connection.note(token.role, event);
                        if !connection.queued {
                            connection.queued = true;
                            self.kit.ready.push(token.key, connection.is_heavy());
                        }
                    }
                    None => self.kit.counters.stale.add(1),
                },
            }
        }
    }

    /// Asks those whose time may have come.
    fn expire_deadlines(&mut self) {
        for _ in 0..EXPIRIES_PER_TURN {
            let Some((at, key)) = self.kit.deadlines.pop_due(self.kit.now.mono) else { break };
            if self.slots.get(key).is_none() {
                // An entry of a connection that has ended: nothing unusual.
                continue;
            }
            self.with(key, |connection, kit| {
                if connection.alarm.rings(at) { connection.expire(key, kit) } else { Fate::Wait }
            });
        }
        let slots = &self.slots;
        self.kit.deadlines.thin_out(slots.len(), |key| slots.get(key).is_some());
    }

    /// Gives each connection that is ready and not heavy one portion; how many there were.
    fn advance_ready(&mut self) -> usize {
        let mut served = 0;
        for _ in 0..self.kit.ready.light_len() {
            let Some(key) = self.kit.ready.pop_light() else { break };
            self.advance(key);
            served += 1;
        }
        served
    }

    /// Gives heavy connections one portion each, until together they have moved what is due to them
    /// beside those who were served before.
    fn advance_heavy(&mut self, served: usize) {
        let until = self.moved() + heavy_octets(served);
        for _ in 0..self.kit.ready.heavy_len() {
            let Some(key) = self.kit.ready.pop_heavy() else { return };
            self.advance(key);
            if self.moved() >= until {
                return;
            }
        }
    }

    /// Octets that have been relayed, both ways.
    fn moved(&self) -> u64 {
        self.kit.counters.bytes_sent.get() + self.kit.counters.bytes_received.get()
    }

    fn advance(&mut self, key: Key) {
        if let Some(connection) = self.slots.get_mut(key) {
            connection.queued = false;
        }
        self.with(key, |connection, kit| connection.advance(key, kit));
    }

    /// Does something with a connection, if it still lives, and carries out its fate. A panic ends
    /// this connection and no other.
    pub(super) fn with(&mut self, key: Key, work: impl FnOnce(&mut Connection, &mut Kit) -> Fate) {
        let Some(connection) = self.slots.get_mut(key) else {
            self.kit.counters.stale.add(1);
            return;
        };
        let kit = &mut self.kit;
        // What the closure may leave half done is this connection, which is then dropped, and
        // counters, which may be off by what it was about to add.
        let fate = catch_unwind(AssertUnwindSafe(|| work(connection, kit)));
        // Room is asked for before a socket is opened; what was closed is given back here.
        connection.seat.keep(connection.sockets());
        match fate {
            Ok(fate @ (Fate::Wait | Fate::Again)) => {
                if let Some(deadline) = connection.deadline() {
                    connection.alarm.arm(deadline, key, &mut kit.deadlines);
                }
                if fate == Fate::Again {
                    enqueue(&mut self.slots, key, kit);
                }
            }
            Ok(Fate::Release) => self.release(key),
            Err(_) => {
                kit.counters.panics.add(1);
                connection.cut(crate::session::Outcome::Internal, kit);
                self.release(key);
            }
        }
    }

    /// Frees the slot: sockets, buffers and the seat go with it.
    pub(super) fn release(&mut self, key: Key) {
        let Some(connection) = self.slots.remove(key) else { return };
        debug_assert!(connection.settled, "released without having been settled");
        if let Link::Relaying(relaying) = connection.link {
            relaying.passage.release(&mut self.kit.carrier);
        }
        self.kit.counters.released.add(1);
    }

    fn count_turn(&self) {
        let counters = &self.kit.counters;
        let busy = clock::mono().saturating_duration_since(self.kit.now.mono);
        let busy_us = u64::try_from(busy.as_micros()).unwrap_or(u64::MAX);
        counters.turns.add(1);
        counters.busy_us.add(busy_us);
        counters.turn_us_max.set(counters.turn_us_max.get().max(busy_us));
        counters.turn_us_peak.note(clock::minute(self.kit.now.utc_ms), busy_us);
        counters.journal_backlog.set(self.kit.journal.backlog_len() as u64);
        counters.ledger_free.set(self.kit.share.free_len() as u64);
        let pipes = self.kit.carrier.pipes();
        let PipeSums { octets, missed, failures } = pipes.sums();
        counters.pipes_open.set(pipes.open() as u64);
        counters.spliced_bytes.set(octets);
        counters.pipes_missed.set(missed);
        counters.pipe_failures.set(failures);
    }
}

/// Events taken from the kernel per turn.
const EVENTS_PER_TURN: usize = 1024;
/// Deadlines looked at per turn.
const EXPIRIES_PER_TURN: usize = 256;
/// Ports between the first ones of two workers.
const PORTS_APART: u32 = 251;
/// The longest wait of all.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// The longest wait while endings have not found room in the journal.
const UNSENT_WAIT_MAX: Duration = Duration::from_millis(10);
