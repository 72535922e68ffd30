//! A relay from its first octet to its last, without its sockets: what it moves, what is booked, how
//! long it may be silent, and how it ends. Pure.

use std::time::{Duration, Instant};

use crate::clock::Now;
use crate::connection::Patience;
use crate::limit::{Exhausted, Throttle};
use crate::policy::Timeouts;
use crate::relay::{
    Advance, BYTES_PER_TURN, Budget, Carrier, Direction, End, HEAVY_BYTES_PER_TURN, Meter, Relay,
    RelayEnd, Side, StashPool,
};
use crate::session::{Outcome, SessionRef, Traffic};

/// The relay of one connection.
pub struct Passage {
    relay: Relay,
    traffic: Traffic,
    patience: Patience,
    /// How long the last octets may take to leave, in milliseconds.
    linger_ms: u32,
    /// Transfers since the counters were last stored.
    unpublished: u32,
    /// When the success reply left.
    begun: Instant,
    /// What holds it back, if anything does.
    throttled: Option<Box<Throttled>>,
}

/// A passage that is held back.
struct Throttled {
    throttle: Box<Throttle>,
    /// When a direction that waits has its turn.
    resumes_at: Option<Instant>,
    /// What was held of each direction after the last portion: read and not yet delivered.
    held: [usize; 2],
    /// Octets that the client sent ahead of the reply, if they have not had their turn.
    early: usize,
}

/// What a portion of a passage is lent.
pub struct Lent<'a> {
    /// The worker's carrier.
    pub carrier: &'a mut Carrier,
    /// Whose counters are stored.
    pub session: Option<SessionRef>,
    /// Transfers after which they are stored, at the latest; at least 1.
    pub publish_every: u32,
    /// The time.
    pub now: Now,
}

/// What came of a portion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// How it stands.
    pub advance: Advance,
    /// What it moved.
    pub moved: Traffic,
    /// How long the target took to answer, once, when it has.
    pub first_byte: Option<Duration>,
    /// A quota is used up, so nothing was moved: the session is to be cut.
    pub exhausted: bool,
}

impl Passage {
    /// One that begins at `now` and delivers `early`, what the client sent ahead of the reply, first.
    #[must_use]
    pub fn new(early: &[u8], timeouts: &Timeouts, now: Instant, pool: &mut StashPool) -> Self {
        Self {
            relay: Relay::new(early, pool),
            traffic: Traffic::default(),
            patience: Patience::new(now, timeouts.idle, timeouts.half_close),
            linger_ms: u32::try_from(timeouts.linger.as_millis()).unwrap_or(u32::MAX),
            unpublished: 0,
            begun: now,
            throttled: None,
        }
    }

    /// The same, held back by this from its beginning on: what the client sent ahead of the reply has to
    /// wait for its turn, too.
    #[must_use]
    pub fn throttled(mut self, throttle: Option<Box<Throttle>>) -> Self {
        let early = self.relay.held(Direction::Upload);
        self.relay.hold_upload(throttle.is_some() && early > 0);
        self.throttled = throttle.map(|throttle| {
            Box::new(Throttled { throttle, resumes_at: None, held: [0; 2], early })
        });
        self
    }

    /// Holds it back by this from now on, or by nothing; what it holds undelivered is paid for at once.
    /// Whether that changes anything.
    pub fn set_throttle(&mut self, throttle: Option<Box<Throttle>>, now: Now) -> bool {
        let changes = self.throttled.is_some() || throttle.is_some();
        match (&mut self.throttled, throttle) {
            (_, None) => {
                self.throttled = None;
                self.relay.hold_upload(false);
            }
            (Some(throttled), Some(throttle)) => {
                let before = std::mem::replace(&mut throttled.throttle, throttle);
                throttled.throttle.take_over(&before);
                throttled.resumes_at = None;
            }
            (None, Some(mut throttle)) => {
                let held = self.helds();
                throttle.charge(held.map(|octets| octets as u64), [false; 2], now);
                let throttled = Throttled { throttle, resumes_at: None, held, early: 0 };
                self.throttled = Some(Box::new(throttled));
            }
        }
        changes
    }

    /// Carries both directions on, a turn's portion of each, and books what moved.
    pub fn advance<C: End, U: End>(
        &mut self,
        client: &mut C,
        upstream: &mut U,
        lent: Lent<'_>,
    ) -> Portion {
        let Lent { carrier, session, publish_every, now } = lent;
        let before = self.traffic;
        let most = if self.relay.is_heavy() { HEAVY_BYTES_PER_TURN } else { BYTES_PER_TURN };
        let mut budget = Budget::from(most);
        let mut wants = [client.may_read(), upstream.may_read()];
        if let Some(throttled) = &mut self.throttled {
            wants[0] |= throttled.early > 0;
            match throttled.throttle.allow(most as u64, wants, now) {
                Ok(mut allowed) => {
                    if allowed[0] > 0 {
                        allowed[0] = allowed[0].saturating_sub(throttled.early as u64);
                        throttled.early = 0;
                        self.relay.hold_upload(false);
                    }
                    budget = within(most, allowed);
                }
                Err(Exhausted) => {
                    let (advance, moved) = (Advance::Waiting, Traffic::default());
                    return Portion { advance, moved, first_byte: None, exhausted: true };
                }
            }
        }
        let mut booking = Booking {
            traffic: &mut self.traffic,
            unpublished: &mut self.unpublished,
            publish_every,
            session,
            now_ms: now.utc_ms,
        };
        let mut advance = self.relay.advance(client, upstream, carrier, budget, &mut booking);
        // At the end of each turn in which it moved anything, so that a stalled session never
        // shows old figures.
        if *booking.unpublished > 0 {
            booking.publish();
        }
        let mut first_byte = None;
        if self.traffic != before {
            self.patience.progressed(now.mono);
            if before.bytes_received == 0 && self.traffic.bytes_received > 0 {
                first_byte = Some(now.mono.saturating_duration_since(self.begun));
            }
        }
        self.patience.set_half_closed(now.mono, self.relay.half_closed());
        if advance == Advance::Waiting && self.relay.failing().is_some() {
            self.patience.set_failing(now.mono, self.linger());
        }
        let moved = moved(&before, &self.traffic);
        let rests = self.throttled.is_some() && self.charge(&moved, wants, now);
        if rests && advance == Advance::Again {
            advance = Advance::Waiting;
        }
        Portion { advance, moved, first_byte, exhausted: false }
    }

    /// Pays for what was read. Whether each direction that has more must wait for it.
    fn charge(&mut self, moved: &Traffic, wanted: [bool; 2], now: Now) -> bool {
        let (held, spent) = (self.helds(), self.relay.spent());
        // One that was given nothing because nothing had come has no more.
        let mut more = [0, 1].map(|way| spent[way] && wanted[way]);
        let Some(throttled) = &mut self.throttled else { return false };
        more[0] |= throttled.early > 0;
        let delivered = [moved.bytes_sent, moved.bytes_received];
        let read = [0, 1].map(|way| {
            (delivered[way] + held[way] as u64).saturating_sub(throttled.held[way] as u64)
        });
        throttled.held = held;
        throttled.throttle.charge(read, more, now);
        throttled.resumes_at = throttled.throttle.resumes_at(now.mono);
        let goes_on = |way: usize| more[way] && throttled.throttle.is_ready(way, now.mono);
        !goes_on(0) && !goes_on(1)
    }

    /// Whether a direction that has waited may go on.
    pub fn resumes(&mut self, now: Instant) -> bool {
        let Some(throttled) = &mut self.throttled else { return false };
        let resumes = throttled.resumes_at.is_some_and(|at| at <= now);
        if resumes {
            throttled.resumes_at = None;
        }
        resumes
    }

    /// Whether a quota is used up that ends it, though nothing moves.
    #[must_use]
    pub fn is_exhausted(&self, now: Now) -> bool {
        self.throttled.as_ref().is_some_and(|throttled| throttled.throttle.is_exhausted(now))
    }

    /// When a direction has its turn that is held back until then; `None` if it need not wait.
    #[must_use]
    pub fn turn(&self, direction: Direction, now: Instant) -> Option<Instant> {
        self.throttled.as_ref()?.throttle.turn(direction as usize, now)
    }

    /// Octets that the client sent ahead of the reply, and that wait for their turn.
    #[must_use]
    pub fn early(&self) -> usize {
        self.throttled.as_ref().map_or(0, |throttled| throttled.early)
    }

    /// What is held of each direction, but for what has not had its turn.
    fn helds(&self) -> [usize; 2] {
        let [upload, download] =
            [Direction::Upload, Direction::Download].map(|direction| self.relay.held(direction));
        [upload.saturating_sub(self.early()), download]
    }

    /// Whether it moves much, and so has larger portions and others before it.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        self.relay.is_heavy()
    }

    /// When its patience ends, if nothing moves till then; or when a direction may go on that waits for
    /// its turn, which is no silence.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let resumes_at = self.throttled.as_ref().and_then(|throttled| throttled.resumes_at);
        match resumes_at {
            Some(resumes_at) if self.patience.is_failing() => {
                resumes_at.min(self.patience.deadline())
            }
            Some(resumes_at) => resumes_at,
            None => self.patience.deadline(),
        }
    }

    /// How it ends now that its patience is over.
    #[must_use]
    pub fn expired(&self) -> Outcome {
        match self.relay.failing() {
            Some(end) => relay_outcome(end).0,
            None => self.patience.outcome(),
        }
    }

    /// When the success reply left.
    #[must_use]
    pub const fn begun(&self) -> Instant {
        self.begun
    }

    /// How long the last octets may take to leave.
    #[must_use]
    pub const fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms as u64)
    }

    /// Octets of `direction` that were read and not yet accepted by their sink.
    #[must_use]
    pub fn held(&self, direction: Direction) -> usize {
        self.relay.held(direction)
    }

    /// Gives it up: what it borrowed goes back.
    pub fn release(self, carrier: &mut Carrier) {
        if let Some(throttled) = &self.throttled {
            throttled.throttle.undelivered(throttled.held.map(|octets| octets as u64));
        }
        self.relay.release(carrier);
    }
}

/// Books each transfer while it happens; stores the session's counters every so many of them.
pub(super) struct Booking<'a> {
    pub(super) traffic: &'a mut Traffic,
    pub(super) unpublished: &'a mut u32,
    pub(super) publish_every: u32,
    pub(super) session: Option<SessionRef>,
    pub(super) now_ms: i64,
}

impl Meter for Booking<'_> {
    fn moved(&mut self, direction: Direction, octets: usize) {
        match direction {
            Direction::Upload => {
                self.traffic.bytes_sent += octets as u64;
                self.traffic.packets_sent += 1;
            }
            Direction::Download => {
                self.traffic.bytes_received += octets as u64;
                self.traffic.packets_received += 1;
            }
        }
        *self.unpublished += 1;
        if *self.unpublished >= self.publish_every {
            self.publish();
        }
    }
}

impl Booking<'_> {
    fn publish(&mut self) {
        *self.unpublished = 0;
        if let Some(session) = self.session {
            session.publish(*self.traffic, self.now_ms);
        }
    }
}

/// How a session ends whose relay ended so, and which socket was lost, if one was.
#[must_use]
pub const fn relay_outcome(end: RelayEnd) -> (Outcome, Option<Side>) {
    match end {
        RelayEnd::ClientClosed => (Outcome::ClientClosed, None),
        RelayEnd::TargetClosed => (Outcome::TargetClosed, None),
        RelayEnd::ClientReset => (Outcome::ClientReset, Some(Side::Client)),
        RelayEnd::TargetReset => (Outcome::TargetReset, Some(Side::Upstream)),
        RelayEnd::Failed { side: Side::Client, .. } => (Outcome::ClientLost, Some(Side::Client)),
        RelayEnd::Failed { side: Side::Upstream, .. } => {
            (Outcome::TargetLost, Some(Side::Upstream))
        }
    }
}

/// What of a turn's portions is allowed.
fn within(most: usize, [upload, download]: [u64; 2]) -> Budget {
    let least = |allowed: u64| usize::try_from(allowed).map_or(most, |allowed| allowed.min(most));
    Budget { upload: least(upload), download: least(download) }
}

/// What was moved between two readings.
pub(super) const fn moved(before: &Traffic, after: &Traffic) -> Traffic {
    Traffic {
        bytes_sent: after.bytes_sent - before.bytes_sent,
        bytes_received: after.bytes_received - before.bytes_received,
        packets_sent: after.packets_sent - before.packets_sent,
        packets_received: after.packets_received - before.packets_received,
    }
}
