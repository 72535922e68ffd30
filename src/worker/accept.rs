//! New clients.
//!
//! Clients are let in only while there is room for them by [`Admission`]'s count, which keeps some
//! descriptors back. Running out of them all the same must neither spin nor kill: accept(2) then leaves
//! the connection in the queue and reports it again and again. So a worker keeps one descriptor in
//! reserve, spends it to take one client off the queue and close it, which tells that client at once,
//! and then pauses.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Registry;
use mio::net::{TcpListener, TcpStream};
use rustix::io::Errno;

use super::connection::{Connection, Link};
use super::deadlines::Alarm;
use super::fellows::Fellows;
use super::front::Front;
use super::kit::Kit;
use super::refused::Refused;
use super::slots::Slots;
use super::socket::Socket;
use super::token::{Role, Token};
use crate::connection::Machine;
use crate::key::Key;
use crate::limit::{Admission, Stays, Why};
use crate::mailbox::Guest;
use crate::proxy_protocol::Announcers;

/// The listeners of one worker.
pub(super) struct Door {
    listeners: Vec<Listening>,
    admission: Arc<Admission>,
    fellows: Fellows,
    reserve: Option<File>,
    paused_until: Option<Instant>,
    /// Clients who came while the process still proves that it asks for logins: no more than have a seat.
    early: Vec<Guest>,
    refused: Refused,
}

struct Listening {
    socket: TcpListener,
    announcers: Announcers,
    /// There may be clients in its queue.
    ready: bool,
}

impl Door {
    /// Registers the listeners.
    pub(super) fn new(
        listeners: Vec<(TcpListener, Announcers)>,
        admission: Arc<Admission>,
        fellows: Fellows,
        registry: &Registry,
    ) -> io::Result<Self> {
        let mut open = Vec::with_capacity(listeners.len());
        for (number, (mut socket, announcers)) in (0..).zip(listeners) {
            let token = Token::own(Role::Listener, number);
            registry.register(&mut socket, token.into(), mio::Interest::READABLE)?;
            open.push(Listening { socket, announcers, ready: true });
        }
        Ok(Self {
            listeners: open,
            admission,
            fellows,
            reserve: reserve(),
            paused_until: None,
            early: Vec::new(),
            refused: Refused::default(),
        })
    }

    /// Marks a listener.
    pub(super) fn note(&mut self, number: u32) {
        if let Some(listening) = self.listeners.get_mut(number as usize) {
            listening.ready = true;
        }
    }

    /// Whether there may be clients to take in now; if it pauses, until when.
    pub(super) fn wants(&self, now: Instant) -> Option<Instant> {
        let ready = self.listeners.iter().any(|listening| listening.ready);
        if ready {
            return Some(self.paused_until.map_or(now, |until| until.max(now)));
        }
        (!self.early.is_empty()).then(|| now + EARLY_LOOKED_AT)
    }

    /// Takes in a portion of new clients.
    pub(super) fn accept(&mut self, slots: &mut Slots<Connection>, kit: &mut Kit) {
        if self.paused_until.is_some_and(|until| kit.now.mono < until) {
            return;
        }
        self.paused_until = None;
        if !self.early.is_empty() && !self.admission.proofs().is_awaited() {
            self.serve_early(slots, kit);
        }
        let mut left = ACCEPTS_PER_TURN;
        for number in 0..self.listeners.len() {
            while left > 0 && self.listeners[number].ready && self.paused_until.is_none() {
                left -= 1;
                self.accept_one(number, slots, kit);
            }
        }
    }

    /// Takes in everybody who is in the queues, then closes the listeners. What comes later is
    /// refused by the kernel.
    pub(super) fn close(&mut self, slots: &mut Slots<Connection>, kit: &mut Kit) {
        // They close theirs as well.
        self.fellows.forget();
        self.paused_until = None;
        self.serve_early(slots, kit);
        for number in 0..self.listeners.len() {
            self.listeners[number].ready = true;
            let mut left = ACCEPTS_AT_CLOSE;
            while left > 0 && self.listeners[number].ready && self.paused_until.is_none() {
                left -= 1;
                self.accept_one(number, slots, kit);
            }
        }
        self.listeners.clear();
    }

    fn accept_one(&mut self, number: usize, slots: &mut Slots<Connection>, kit: &mut Kit) {
        let listening = &mut self.listeners[number];
        match listening.socket.accept() {
            Ok((stream, address)) => self.let_in(number, stream, address, slots, kit),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => listening.ready = false,
            Err(error) if out_of_descriptors(&error) => self.pause(number, kit),
            // The client has gone from the queue (accept(2), "Error handling"): the next one.
            Err(_) => {}
        }
    }

    /// Those who had to wait are served now.
    fn serve_early(&mut self, slots: &mut Slots<Connection>, kit: &mut Kit) {
        for guest in std::mem::take(&mut self.early) {
            self.serve(guest, slots, kit);
        }
    }

    fn let_in(
        &mut self,
        number: usize,
        stream: TcpStream,
        address: SocketAddr,
        slots: &mut Slots<Connection>,
        kit: &mut Kit,
    ) {
        let announced = self.listeners[number].announcers.contains(address.ip());
        // Who speaks for others is not banned for what they do.
        if !announced && self.admission.bans().is_banned(address.ip(), kit.now.mono) {
            drop(stream);
            self.turn_away(address, Why::Banned, kit);
            return;
        }
        let door = if announced {
            None
        } else {
            match kit.policy.limits.at_door(address.ip(), kit.now.mono) {
                Ok(door) => door,
                Err(_) => {
                    drop(stream);
                    return self.turn_away(address, Why::AddressLimit, kit);
                }
            }
        };
        let Some(seat) = self.admission.seat() else {
            return self.turn_away(address, Why::NoRoom, kit);
        };
        let guest = Guest { stream, address, accepted: kit.now, announced, seat, door };
        if !self.admission.proofs().keeps_waiting(address) {
            return self.serve(guest, slots, kit);
        }
        // One seat is left to what all of them wait for.
        if self.admission.taken() < self.admission.seats_max() {
            self.early.push(guest);
        } else {
            drop(guest);
            self.turn_away(address, Why::NoRoom, kit);
        }
    }

    /// Here or by a fellow.
    fn serve(&mut self, guest: Guest, slots: &mut Slots<Connection>, kit: &mut Kit) {
        if let Err(guest) = self.fellows.offer(guest, kit.counters.connections()) {
            self.take_in(guest, slots, kit);
        }
    }

    /// Serves a client that was let in, here or by another worker.
    pub(super) fn take_in(&mut self, guest: Guest, slots: &mut Slots<Connection>, kit: &mut Kit) {
        let address = guest.address;
        if admit(connection(guest, kit), slots, kit) {
            kit.counters.accepted.add(1);
        } else {
            self.turn_away(address, Why::NoRoom, kit);
        }
    }

    /// There is no room for it, or it is banned: the client is closed at once.
    fn turn_away(&mut self, address: SocketAddr, why: Why, kit: &Kit) {
        kit.counters.accepted.add(1);
        match why {
            Why::NoRoom => kit.counters.over_limit.add(1),
            // The limits count it themselves.
            Why::AddressLimit => {}
            Why::Banned => kit.counters.banned.add(1),
        }
        kit.counters.released.add(1);
        let client = SocketAddr::new(address.ip().to_canonical(), address.port());
        self.refused.note(client, why, self.admission.turned_away(), kit);
    }

    /// Records those whose minute is over.
    pub(super) fn record_refused(&mut self, kit: &mut Kit) {
        self.refused.record_due(self.admission.turned_away(), kit);
    }

    /// Records all who were turned away, because the worker leaves.
    pub(super) fn record_all_refused(&mut self, kit: &mut Kit) {
        self.refused.record_all(self.admission.turned_away(), kit);
    }

    /// When somebody is to be recorded who was turned away.
    pub(super) fn records_at(&self) -> Option<Instant> {
        self.refused.next()
    }

    fn pause(&mut self, number: usize, kit: &Kit) {
        kit.counters.accept_pauses.add(1);
        // Closing the reserve makes room for exactly one.
        self.reserve = None;
        if let Some(listening) = self.listeners.get(number)
            && let Ok((stream, address)) = listening.socket.accept()
        {
            drop(stream);
            self.turn_away(address, Why::NoRoom, kit);
        }
        self.reserve = reserve();
        self.paused_until = Some(kit.now.mono + ACCEPT_PAUSE);
    }
}

/// Whether there was a slot for it, and the kernel had memory to watch it.
fn admit(mut connection: Connection, slots: &mut Slots<Connection>, kit: &mut Kit) -> bool {
    let Some(key) = slots.next_key() else { return false };
    if connection.client.register(&kit.registry, Token::of(key, Role::Client)).is_err() {
        return false;
    }
    if let Some(deadline) = connection.deadline() {
        connection.alarm.arm(deadline, key, &mut kit.deadlines);
    }
    if slots.insert(connection).is_err() {
        return false;
    }
    // Its first octets are often here already.
    enqueue(slots, key, kit);
    true
}

fn connection(guest: Guest, kit: &Kit) -> Connection {
    let Guest { stream, address, accepted, announced, seat, door } = guest;
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let machine = Machine::new(address.ip(), Arc::clone(&kit.policy), accepted.mono);
    let machine = if announced { machine.announced() } else { machine };
    Connection {
        client: Socket::accepted(stream),
        address,
        accepted,
        session: None,
        opened: false,
        settled: false,
        link: Link::Front(Box::new(Front::new(machine))),
        alarm: Alarm::default(),
        queued: false,
        seat,
        stays: Stays { door, session: None },
    }
}

/// Queues a connection for its portion of work, once.
pub(super) fn enqueue(slots: &mut Slots<Connection>, key: Key, kit: &mut Kit) {
    if let Some(connection) = slots.get_mut(key)
        && !connection.queued
    {
        connection.queued = true;
        kit.ready.push(key, connection.is_heavy());
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

pub(super) fn out_of_descriptors(error: &io::Error) -> bool {
    // accept(2)
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// Clients taken in per turn.
const ACCEPTS_PER_TURN: usize = 64;
/// Clients taken in at most when the listeners are closed: the longest queue the kernel keeps.
const ACCEPTS_AT_CLOSE: usize = 65_536;
/// When it is looked whether the process has proved that it asks for logins.
const EARLY_LOOKED_AT: Duration = Duration::from_millis(10);
/// Rest after running out of descriptors.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
