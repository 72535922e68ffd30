//! A connection whose two sockets are joined: portions of its passage.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::close;
use super::connection::{Connection, Fate, Link};
use super::kit::Kit;
use super::parting::Parting;
use super::passage::{Lent, Passage, relay_outcome};
use super::socket::Socket;
use crate::connection::Standing;
use crate::limit::Throttle;
use crate::linux;
use crate::policy::Timeouts;
use crate::relay::{Advance, Side};
use crate::session::{Outcome, SessionRef, Stages};
use crate::stats::Counters;

/// The relay with its upstream socket.
pub(super) struct Relaying {
    pub(super) upstream: Socket,
    pub(super) passage: Passage,
    /// What it is judged by when the rules change.
    pub(super) standing: Option<Standing>,
    /// How long after its beginning the kernel is told to look after the upstream socket; not at all, or
    /// done: none.
    keepalive_secs: Option<NonZeroU32>,
}

impl Relaying {
    pub(super) fn new(
        upstream: Socket,
        early: &[u8],
        timeouts: &Timeouts,
        (standing, throttle): (Option<Standing>, Option<Box<Throttle>>),
        kit: &mut Kit,
    ) -> Self {
        let now = kit.now.mono;
        let passage = Passage::new(early, timeouts, now, kit.carrier.pool()).throttled(throttle);
        let keepalive_secs = NonZeroU32::new(timeouts.keepalive_secs);
        Self { upstream, passage, standing, keepalive_secs }
    }

    pub(super) fn deadline(&self) -> Instant {
        let end = self.passage.deadline();
        self.keepalive_at().map_or(end, |at| at.min(end))
    }

    fn keepalive_at(&self) -> Option<Instant> {
        let secs = self.keepalive_secs?.get();
        Some(self.passage.begun() + Duration::from_secs(secs.into()))
    }

    /// Has the kernel ask a silent target whether it is still there. Not before a session has lived
    /// for as long as a target may be silent: till then it would do nothing, and most sessions are
    /// over by then and are spared four system calls. (Clients' sockets inherit it for nothing.)
    fn keep_alive(&mut self) {
        let Some(secs) = self.keepalive_secs.take() else { return };
        let stream = self.upstream.stream();
        if let Err(error) = linux::socket::keepalive(stream, secs.get()) {
            // The idle timeout ends what this would have ended.
            tracing::debug!("no keepalive towards {:?}: {error}", stream.peer_addr());
        }
    }
}

// Most of what an idle session costs beside its slot in the ledger.
const _: () = assert!(size_of::<Relaying>() <= 320);

impl Connection {
    pub(super) fn advance_relay(&mut self, kit: &mut Kit) -> Fate {
        let Link::Relaying(relaying) = &mut self.link else { return Fate::Again };
        let session = self.session.as_ref().map(|live| live.slot.reference());
        let lent = Lent {
            carrier: &mut kit.carrier,
            session,
            publish_every: kit.publish_every,
            now: kit.now,
        };
        let portion = relaying.passage.advance(&mut self.client, &mut relaying.upstream, lent);
        close::count_traffic(&kit.counters, &portion.moved);
        if let Some(waited) = portion.first_byte {
            first_byte(session, waited, &kit.counters);
        }
        if portion.exhausted {
            self.cut(Outcome::QuotaExceeded, kit);
            return Fate::Release;
        }
        match portion.advance {
            Advance::Waiting => Fate::Wait,
            Advance::Again => {
                kit.counters.budget_spent.add(1);
                Fate::Again
            }
            Advance::Ended(end) => {
                let linger = relaying.passage.linger();
                let (outcome, lost) = relay_outcome(end);
                self.settle(outcome, kit);
                let Some(lost) = lost else { return Fate::Release };
                self.part(lost, kit.now.mono + linger, kit)
            }
        }
    }

    pub(super) fn expire_relay(&mut self, kit: &mut Kit) -> Fate {
        let Link::Relaying(relaying) = &mut self.link else { return Fate::Again };
        if relaying.keepalive_at().is_some_and(|at| at <= kit.now.mono) {
            relaying.keep_alive();
        }
        if relaying.passage.resumes(kit.now.mono) {
            return Fate::Again;
        }
        if kit.now.mono < relaying.passage.deadline() {
            return Fate::Wait;
        }
        let outcome = relaying.passage.expired();
        self.cut(outcome, kit);
        Fate::Release
    }

    /// One socket is lost: the other is reset, once the kernel has sent what it was given.
    fn part(&mut self, lost: Side, until: Instant, kit: &mut Kit) -> Fate {
        let nothing = Link::Parting(Box::new(Parting::nothing(until)));
        let before = std::mem::replace(&mut self.link, nothing);
        let Link::Relaying(relaying) = before else { return Fate::Release };
        let Relaying { upstream, passage, .. } = *relaying;
        passage.release(&mut kit.carrier);
        if let Link::Parting(parting) = &mut self.link {
            **parting = match lost {
                Side::Client => Parting::reset_upstream(upstream, kit.now.mono, until),
                Side::Upstream => Parting::reset_client(kit.now.mono, until),
            };
        }
        self.advance_parting()
    }
}

/// The target has answered, after so long.
pub(super) fn first_byte(session: Option<SessionRef>, waited: Duration, counters: &Counters) {
    let first_byte_us = Some(u32::try_from(waited.as_micros()).unwrap_or(u32::MAX));
    let stages = Stages { first_byte_us, ..Stages::default() };
    counters.stages.observe(&stages);
    if let Some(session) = session {
        session.set_stages(&stages);
    }
}
