//! A connection whose two sockets are joined: portions of the relay, and their booking.

use std::time::{Duration, Instant};

use super::close;
use super::connection::{Connection, Fate, Link};
use super::kit::Kit;
use super::parting::Parting;
use super::socket::Socket;
use crate::connection::{Patience, Standing};
use crate::linux;
use crate::policy::Timeouts;
use crate::relay::{Advance, BYTES_PER_TURN, Direction, HEAVY_BYTES_PER_TURN, Meter, Relay};
use crate::session::{SessionRef, Stages, Traffic};
use crate::stats::Counters;

/// The relay with its upstream socket and what it has moved.
pub(super) struct Relaying {
    pub(super) upstream: Socket,
    pub(super) relay: Relay,
    pub(super) traffic: Traffic,
    patience: Patience,
    timeouts: Timeouts,
    /// What it is judged by when the rules change.
    pub(super) standing: Option<Standing>,
    /// Transfers since the counters were last stored.
    unpublished: u32,
    /// When the success reply left, until the target has answered.
    first_byte_since: Option<Instant>,
    /// Since when one socket has failed while the other still takes the rest.
    failing_since: Option<Instant>,
    /// When the kernel is told to look after the upstream socket; not at all, or done: none.
    keepalive_at: Option<Instant>,
}

impl Relaying {
    pub(super) fn new(
        upstream: Socket,
        early: &[u8],
        timeouts: Timeouts,
        standing: Option<Standing>,
        kit: &mut Kit,
    ) -> Self {
        let now = kit.now.mono;
        Self {
            upstream,
            relay: Relay::new(early, kit.carrier.pool()),
            traffic: Traffic::default(),
            patience: Patience::new(now, timeouts.idle, timeouts.half_close),
            timeouts,
            standing,
            unpublished: 0,
            first_byte_since: Some(now),
            failing_since: None,
            keepalive_at: (timeouts.keepalive_secs > 0)
                .then(|| now + Duration::from_secs(timeouts.keepalive_secs.into())),
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        let end = self.end_at();
        self.keepalive_at.map_or(end, |at| at.min(end))
    }

    /// When it is ended, if nothing moves till then.
    fn end_at(&self) -> Instant {
        match self.failing_since {
            Some(since) => since + self.timeouts.linger,
            None => self.patience.deadline(),
        }
    }

    /// Has the kernel ask a silent target whether it is still there. Not before a session has lived
    /// for as long as a target may be silent: till then it would do nothing, and most sessions are
    /// over by then and are spared four system calls. (Clients' sockets inherit it for nothing.)
    fn keep_alive(&mut self) {
        self.keepalive_at = None;
        let stream = self.upstream.stream();
        if let Err(error) = linux::socket::keepalive(stream, self.timeouts.keepalive_secs) {
            // The idle timeout ends what this would have ended.
            tracing::debug!("no keepalive towards {:?}: {error}", stream.peer_addr());
        }
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

impl Connection {
    pub(super) fn advance_relay(&mut self, kit: &mut Kit) -> Fate {
        let Link::Relaying(relaying) = &mut self.link else { return Fate::Again };
        let now = kit.now;
        let before = relaying.traffic;
        let session = self.session.as_ref().map(|live| live.slot.reference());
        let heavy = relaying.relay.is_heavy();
        let budget = if heavy { HEAVY_BYTES_PER_TURN } else { BYTES_PER_TURN };
        let mut booking = Booking {
            traffic: &mut relaying.traffic,
            unpublished: &mut relaying.unpublished,
            publish_every: kit.publish_every,
            session,
            now_ms: now.utc_ms,
        };
        let advance = relaying.relay.advance(
            &mut self.client,
            &mut relaying.upstream,
            &mut kit.carrier,
            budget,
            &mut booking,
        );
        // At the end of each turn in which it moved anything, so that a stalled session never
        // shows old figures.
        if *booking.unpublished > 0 {
            booking.publish();
        }
        if relaying.traffic != before {
            relaying.patience.progressed(now.mono);
            close::count_traffic(&kit.counters, &before, &relaying.traffic);
            if before.bytes_received == 0 && relaying.traffic.bytes_received > 0 {
                let since = relaying.first_byte_since.take();
                first_byte(session, since, now.mono, &kit.counters);
            }
        }
        relaying.patience.set_half_closed(now.mono, relaying.relay.half_closed());
        match advance {
            Advance::Waiting => {
                if relaying.relay.failing().is_some() {
                    relaying.failing_since.get_or_insert(now.mono);
                }
                Fate::Wait
            }
            Advance::Again => {
                kit.counters.budget_spent.add(1);
                Fate::Again
            }
            Advance::Ended(end) => {
                let linger = relaying.timeouts.linger;
                let (outcome, lost) = close::relay_outcome(end);
                self.settle(outcome, kit);
                let Some(lost) = lost else { return Fate::Release };
                self.part(lost, now.mono + linger, kit)
            }
        }
    }

    pub(super) fn expire_relay(&mut self, kit: &mut Kit) -> Fate {
        let Link::Relaying(relaying) = &mut self.link else { return Fate::Again };
        if relaying.keepalive_at.is_some_and(|at| at <= kit.now.mono) {
            relaying.keep_alive();
        }
        if kit.now.mono < relaying.end_at() {
            return Fate::Wait;
        }
        let outcome = match relaying.relay.failing() {
            Some(end) => close::relay_outcome(end).0,
            None => relaying.patience.outcome(),
        };
        self.cut(outcome, kit);
        Fate::Release
    }

    /// One socket is lost: the other is reset, once the kernel has sent what it was given.
    fn part(&mut self, lost: crate::relay::Side, until: Instant, kit: &mut Kit) -> Fate {
        let before = std::mem::replace(&mut self.link, Link::Parting(Parting::nothing(until)));
        let Link::Relaying(relaying) = before else { return Fate::Release };
        let Relaying { upstream, relay, .. } = *relaying;
        relay.release(&mut kit.carrier);
        self.link = Link::Parting(match lost {
            crate::relay::Side::Client => Parting::reset_upstream(upstream, kit.now.mono, until),
            crate::relay::Side::Upstream => Parting::reset_client(kit.now.mono, until),
        });
        self.advance_parting()
    }
}

pub(super) fn first_byte(
    session: Option<SessionRef>,
    since: Option<Instant>,
    now: Instant,
    counters: &Counters,
) {
    let Some(since) = since else { return };
    let waited = now.saturating_duration_since(since).as_micros();
    let first_byte_us = Some(u32::try_from(waited).unwrap_or(u32::MAX));
    let stages = Stages { first_byte_us, ..Stages::default() };
    counters.stages.observe(&stages);
    if let Some(session) = session {
        session.set_stages(&stages);
    }
}
