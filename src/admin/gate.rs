//! The gate: owns the listeners of the API, on one thread with one Poll. Nothing here blocks.

mod answer;
mod client;
mod counters;
pub mod head;
mod limits;
mod listening;
mod reading;
mod refusal;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use self::client::{Client, Fate, Rank, Surroundings};
pub use self::counters::GateCounters;
pub(super) use self::counters::bump;
pub use self::limits::Limits;
use self::listening::any_holds;
pub use self::refusal::Refusal;
use super::access::Hosts;
use super::events::{Event, EventSource};
use super::socket::Inner;
use crate::clock;
use crate::stats::NEWS_MAX;

/// The gate, ready to run on a thread of its own.
pub(super) struct Gate {
    poll: Poll,
    doors: Vec<Door>,
    clients: Vec<Option<Client>>,
    generation: usize,
    inner: Arc<Inner>,
    limits: Limits,
    hosts: Hosts,
    counters: Arc<GateCounters>,
    stopping: Arc<AtomicBool>,
    scratch: Vec<u8>,
    /// Where events come from; `None` where nobody may listen.
    events: Option<EventSource>,
    /// When those who listen are told next, and when health is looked at next.
    tell_at: Instant,
    health_at: Instant,
    /// What was told of it last.
    health: String,
}

/// What a gate knows of the house that it stands before.
pub(super) struct House {
    pub(super) hosts: Hosts,
    pub(super) events: Option<EventSource>,
}

/// Tells a gate to stop.
pub(super) struct Bell {
    waker: Waker,
    stopping: Arc<AtomicBool>,
}

impl Bell {
    /// The gate closes its listeners, and ends when the answers under way are written or
    /// [`Limits::stop_grace`] is over.
    ///
    /// # Errors
    /// When the gate's thread cannot be woken.
    pub(super) fn ring(&self) -> io::Result<()> {
        self.stopping.store(true, Ordering::Release);
        self.waker.wake()
    }
}

/// One listener.
struct Door {
    listener: TcpListener,
    /// Whether somebody may be waiting.
    ready: bool,
    /// Set while it rests after a failure.
    rests_until: Option<Instant>,
}

impl Gate {
    pub(super) fn new(
        listeners: Vec<std::net::TcpListener>,
        inner: Arc<Inner>,
        house: House,
        limits: Limits,
        counters: Arc<GateCounters>,
    ) -> io::Result<(Self, Bell)> {
        let House { hosts, events } = house;
        let now = clock::mono();
        let poll = Poll::new()?;
        let mut doors = Vec::with_capacity(listeners.len());
        for (index, listener) in listeners.into_iter().enumerate() {
            listener.set_nonblocking(true)?;
            let mut listener = TcpListener::from_std(listener);
            poll.registry().register(&mut listener, Token(DOORS + index), Interest::READABLE)?;
            doors.push(Door { listener, ready: true, rests_until: None });
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let bell = Bell {
            waker: Waker::new(poll.registry(), Token(BELL))?,
            stopping: Arc::clone(&stopping),
        };
        let gate = Self {
            poll,
            doors,
            clients: (0..limits.connections.clamp(1, CONNECTIONS_MAX)).map(|_| None).collect(),
            generation: 0,
            inner,
            limits,
            hosts,
            counters,
            stopping,
            scratch: vec![0; SCRATCH],
            events,
            tell_at: now,
            health_at: now,
            health: String::new(),
        };
        Ok((gate, bell))
    }

    /// Runs until the bell rings.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut ends_at = None;
        loop {
            let now = clock::mono();
            if self.stopping.load(Ordering::Acquire) {
                let ends_at = *ends_at.get_or_insert_with(|| self.close_doors(now));
                let owed = self.clients.iter().flatten().any(Client::is_owed);
                if !owed || now >= ends_at {
                    return;
                }
            }
            match self.poll.poll(&mut events, self.patience(now, ends_at)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "the API's gate cannot wait for events and ends");
                    return;
                }
            }
            let now = clock::mono();
            for event in &events {
                self.notice(event.token(), now);
            }
            for index in 0..self.doors.len() {
                self.accept(index, now);
            }
            self.expire(now);
            self.tell(now);
        }
    }

    fn notice(&mut self, token: Token, now: Instant) {
        if token.0 == BELL {
            return;
        }
        if let Some(index) = token.0.checked_sub(DOORS) {
            if let Some(door) = self.doors.get_mut(index) {
                door.ready = true;
            }
            return;
        }
        let slot = token.0 % CONNECTIONS_MAX;
        // An event of a client that has gone since may still be in the batch.
        if matches!(self.clients.get(slot), Some(Some(client)) if client.token() == token) {
            self.attend(slot, |client, around| client.advance(now, around));
        }
    }

    /// Lets one client do something, and forgets it if it has ended.
    fn attend(
        &mut self,
        slot: usize,
        deed: impl FnOnce(&mut Client, &mut Surroundings<'_>) -> Fate,
    ) {
        let Some(Some(client)) = self.clients.get(slot) else { return };
        let listeners_near = self.count_listeners_near(client.address());
        let Some(place) = self.clients.get_mut(slot) else { return };
        let Some(client) = place else { return };
        let mut around = Surroundings {
            registry: self.poll.registry(),
            inner: &self.inner,
            limits: &self.limits,
            hosts: &self.hosts,
            counters: &self.counters,
            events: self.events.as_ref(),
            listeners_near,
            scratch: &mut self.scratch,
        };
        match deed(client, &mut around) {
            Fate::Stays => {}
            Fate::Ends => *place = None,
        }
    }

    /// Accepts a few, so that those who are inside get their turn between.
    fn accept(&mut self, index: usize, now: Instant) {
        for _ in 0..ACCEPTS_PER_TURN {
            // Whoever waits for us is not sent away for who comes later; the kernel keeps that one's place.
            if self.is_full_of_waiting() {
                return;
            }
            let Some(door) = self.doors.get_mut(index) else { return };
            if door.rests_until.is_some_and(|until| now < until) || !door.ready {
                return;
            }
            door.rests_until = None;
            match door.listener.accept() {
                Ok((socket, peer)) => self.admit(socket, peer, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => door.ready = false,
                // This one client has gone again; the next may be fine.
                Err(error) if GONE.contains(&error.kind()) => {}
                Err(_) => {
                    bump(&self.counters.accept_failures);
                    door.rests_until = Some(now + self.limits.accept_pause);
                    // Descriptors are what is mostly missing; whoever has its answer needs none.
                    if let Some((slot, Rank::Served)) = self.first_to_go() {
                        self.displace(slot);
                    }
                }
            }
        }
    }

    fn admit(&mut self, mut socket: TcpStream, peer: SocketAddr, now: Instant) {
        bump(&self.counters.accepted);
        let address = peer.ip().to_canonical();
        if is_crowded(address, self.count_of(address), &self.limits) {
            bump(&self.counters.address_full);
            return;
        }
        let Ok(local) = socket.local_addr() else { return };
        let slot = self.make_room();
        self.generation = self.generation.wrapping_add(1) % GENERATIONS;
        let token = Token(self.generation * CONNECTIONS_MAX + slot);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut socket, token, interest).is_err() {
            return;
        }
        let client = Client::new(socket, token, (address, local), now, &self.limits);
        if let Some(place) = self.clients.get_mut(slot) {
            *place = Some(client);
        }
        // Its request has often come already; whoever can be served is not displaced unread.
        self.attend(slot, |client, around| client.advance(now, around));
    }

    /// Whether everybody who is in waits for us.
    fn is_full_of_waiting(&self) -> bool {
        let waits = |client: &Client| client.standing().0 == Rank::Waiting;
        self.clients.iter().all(|place| place.as_ref().is_some_and(waits))
    }

    fn count_of(&self, address: IpAddr) -> usize {
        self.clients.iter().flatten().filter(|client| client.address() == address).count()
    }

    fn count_listeners_near(&self, address: IpAddr) -> usize {
        let near = |client: &&Client| client.is_listening() && is_near(client.address(), address);
        self.clients.iter().flatten().filter(near).count()
    }

    /// A free slot; if there is none, of the client that [`Client::standing`] gives up first.
    fn make_room(&mut self) -> usize {
        if let Some(slot) = self.clients.iter().position(Option::is_none) {
            return slot;
        }
        let slot = self.first_to_go().map_or(0, |(slot, _)| slot);
        self.displace(slot);
        slot
    }

    fn first_to_go(&self) -> Option<(usize, Rank)> {
        let standings = self.clients.iter().enumerate();
        let standings =
            standings.filter_map(|(slot, place)| Some((slot, place.as_ref()?.standing())));
        let (slot, (rank, _)) = standings.min_by_key(|(_, standing)| *standing)?;
        Some((slot, rank))
    }

    fn displace(&mut self, slot: usize) {
        bump(&self.counters.displaced);
        if let Some(place) = self.clients.get_mut(slot) {
            *place = None;
        }
    }

    fn expire(&mut self, now: Instant) {
        for slot in 0..self.clients.len() {
            let due = matches!(
                self.clients.get(slot), Some(Some(client)) if client.deadline() <= now
            );
            if due {
                self.attend(slot, |client, around| client.expire(now, around));
            }
        }
    }

    /// Tells those who listen what has happened: a few times a second, so that a busy proxy does not wake
    /// this thread for each session.
    fn tell(&mut self, now: Instant) {
        if now < self.tell_at || !self.is_listened_to() {
            return;
        }
        self.tell_at = now + self.tell_news(now);
        let Some(source) = &self.events else { return };
        let missed = source.news.take_missed();
        if now >= self.health_at {
            self.health_at = now + BETWEEN_HEALTHS;
            let health = (source.health)();
            // The first look only finds out what there is to compare with.
            if health != self.health && !self.health.is_empty() {
                self.hear(&Event::health(&health), now);
            }
            self.health = health;
        }
        if missed > 0 {
            let counters = &self.counters;
            self.clients.iter_mut().flatten().for_each(|client| client.miss(missed, counters));
        }
        self.attend_listeners(now, |_| true);
    }

    /// Takes what waits, and hands it on as fast as it is taken; answers when to come again.
    fn tell_news(&mut self, now: Instant) -> Duration {
        let limits = self.limits;
        // As many as can wait: whoever tells at the same time does not keep us here.
        for _ in 0..NEWS_MAX {
            if self.clients.iter().flatten().any(|client| client.is_laden(&limits)) {
                self.attend_listeners(now, |client| client.is_laden(&limits));
            }
            // What one who has kept up has no room for waits a moment, where all can hear it then.
            let listeners = self.clients.iter_mut().flatten().filter_map(Client::listening);
            if any_holds(listeners, now, &limits) {
                return WHILE_HELD;
            }
            let Some(source) = &self.events else { break };
            let Some(item) = source.news.take() else { break };
            let event = Event::of(item, &source.node);
            self.hear(&event, now);
        }
        BETWEEN_TELLINGS
    }

    fn hear(&mut self, event: &Event, now: Instant) {
        let (limits, counters) = (&self.limits, &self.counters);
        self.clients.iter_mut().flatten().for_each(|it| it.hear(event, now, limits, counters));
    }

    fn attend_listeners(&mut self, now: Instant, which: impl Fn(&Client) -> bool) {
        for slot in 0..self.clients.len() {
            if let Some(Some(client)) = self.clients.get(slot)
                && client.is_listening()
                && which(client)
            {
                self.attend(slot, |client, around| client.advance(now, around));
            }
        }
    }

    fn is_listened_to(&self) -> bool {
        self.clients.iter().flatten().any(Client::is_listening)
    }

    /// No new clients, and none from whom we still wait for a request.
    fn close_doors(&mut self, now: Instant) -> Instant {
        self.doors.clear();
        for place in &mut self.clients {
            if !place.as_ref().is_some_and(Client::is_owed) {
                *place = None;
            }
        }
        now + self.limits.stop_grace
    }

    /// How long there is nothing to do but wait for events.
    fn patience(&self, now: Instant, ends_at: Option<Instant>) -> Option<Duration> {
        // An answer makes room, and is an event.
        let open = !self.is_full_of_waiting();
        let doors = self.doors.iter().filter(|door| door.ready && open);
        let doors = doors.map(|door| door.rests_until.unwrap_or(now));
        let clients = self.clients.iter().flatten().map(Client::deadline);
        let telling = self.is_listened_to().then_some(self.tell_at);
        let next = doors.chain(clients).chain(ends_at).chain(telling).min()?;
        Some(next.saturating_duration_since(now))
    }
}

/// Whether an address that has `count` connections may have no more. Whoever is on this machine
/// may have them all: a scraper and a dashboard share one loopback address.
fn is_crowded(address: IpAddr, count: usize, limits: &Limits) -> bool {
    !address.is_loopback() && count >= limits.connections_per_address
}

/// Whether two addresses may be one client's. Whoever is on this machine has all of loopback.
fn is_near(one: IpAddr, other: IpAddr) -> bool {
    one == other || (one.is_loopback() && other.is_loopback())
}

/// Tokens: the bell, then the doors, then `generation × CONNECTIONS_MAX + slot` below them.
const BELL: usize = usize::MAX;
const DOORS: usize = usize::MAX / 2;
const CONNECTIONS_MAX: usize = 1 << 12;
const GENERATIONS: usize = DOORS / CONNECTIONS_MAX;
/// Errors of accept(2) that concern one client only.
const GONE: [ErrorKind; 3] =
    [ErrorKind::Interrupted, ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset];
const ACCEPTS_PER_TURN: usize = 8;
const EVENTS: usize = 128;
/// How late an event may come for want of a reason to look.
const BETWEEN_TELLINGS: Duration = Duration::from_millis(100);
/// The same while somebody is to make room.
const WHILE_HELD: Duration = Duration::from_millis(5);
const BETWEEN_HEALTHS: Duration = Duration::from_secs(1);
const SCRATCH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_loopback_is_one_listener_s_and_another_address_is_another_s() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(is_near(ip("127.0.0.1"), ip("127.9.9.9")) && is_near(ip("127.0.0.1"), ip("::1")));
        assert!(is_near(ip("192.0.2.1"), ip("192.0.2.1")));
        assert!(!is_near(ip("192.0.2.1"), ip("192.0.2.2")) && !is_near(ip("::1"), ip("192.0.2.1")));
    }

    #[test]
    fn an_address_elsewhere_has_its_share_and_loopback_has_all() {
        let limits = Limits::default();
        let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(!is_crowded(elsewhere, 7, &limits));
        assert!(is_crowded(elsewhere, 8, &limits));
        assert!(!is_crowded("127.0.0.1".parse().unwrap(), 31, &limits));
        assert!(!is_crowded("::1".parse().unwrap(), 31, &limits));
    }
}
