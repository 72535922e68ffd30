//! A relay from its first octet to its last, without its sockets: what it moves, what is booked, how
//! long it may be silent, and how it ends. Pure.

use std::time::{Duration, Instant};

use crate::clock::Now;
use crate::connection::Patience;
use crate::policy::Timeouts;
use crate::relay::{
    Advance, BYTES_PER_TURN, Carrier, Direction, End, HEAVY_BYTES_PER_TURN, Meter, Relay, RelayEnd,
    Side, StashPool,
};
use crate::session::{Outcome, SessionRef, Traffic};

/// The relay of one connection.
pub struct Passage {
    relay: Relay,
    traffic: Traffic,
    patience: Patience,
    timeouts: Timeouts,
    /// Transfers since the counters were last stored.
    unpublished: u32,
    /// When the success reply left, until the target has answered.
    first_byte_since: Option<Instant>,
    /// Since when one socket has failed while the other still takes the rest.
    failing_since: Option<Instant>,
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
}

impl Passage {
    /// One that begins at `now` and delivers `early`, what the client sent ahead of the reply, first.
    #[must_use]
    pub fn new(early: &[u8], timeouts: Timeouts, now: Instant, pool: &mut StashPool) -> Self {
        Self {
            relay: Relay::new(early, pool),
            traffic: Traffic::default(),
            patience: Patience::new(now, timeouts.idle, timeouts.half_close),
            timeouts,
            unpublished: 0,
            first_byte_since: Some(now),
            failing_since: None,
        }
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
        let mut booking = Booking {
            traffic: &mut self.traffic,
            unpublished: &mut self.unpublished,
            publish_every,
            session,
            now_ms: now.utc_ms,
        };
        let budget = if self.relay.is_heavy() { HEAVY_BYTES_PER_TURN } else { BYTES_PER_TURN };
        let advance = self.relay.advance(client, upstream, carrier, budget, &mut booking);
        // At the end of each turn in which it moved anything, so that a stalled session never
        // shows old figures.
        if *booking.unpublished > 0 {
            booking.publish();
        }
        let mut first_byte = None;
        if self.traffic != before {
            self.patience.progressed(now.mono);
            if before.bytes_received == 0 && self.traffic.bytes_received > 0 {
                let since = self.first_byte_since.take();
                first_byte = since.map(|since| now.mono.saturating_duration_since(since));
            }
        }
        self.patience.set_half_closed(now.mono, self.relay.half_closed());
        if advance == Advance::Waiting && self.relay.failing().is_some() {
            self.failing_since.get_or_insert(now.mono);
        }
        Portion { advance, moved: moved(&before, &self.traffic), first_byte }
    }

    /// Whether it moves much, and so has larger portions and others before it.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        self.relay.is_heavy()
    }

    /// When its patience ends, if nothing moves till then.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match self.failing_since {
            Some(since) => since + self.timeouts.linger,
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

    /// How long the last octets may take to leave.
    #[must_use]
    pub const fn linger(&self) -> Duration {
        self.timeouts.linger
    }

    /// Octets of `direction` that were read and not yet accepted by their sink.
    #[must_use]
    pub fn held(&self, direction: Direction) -> usize {
        self.relay.held(direction)
    }

    /// Gives it up: what it borrowed goes back.
    pub fn release(self, carrier: &mut Carrier) {
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

/// What was moved between two readings.
pub(super) const fn moved(before: &Traffic, after: &Traffic) -> Traffic {
    Traffic {
        bytes_sent: after.bytes_sent - before.bytes_sent,
        bytes_received: after.bytes_received - before.bytes_received,
        packets_sent: after.packets_sent - before.packets_sent,
        packets_received: after.packets_received - before.packets_received,
    }
}
