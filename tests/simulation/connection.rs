//! A connection as a worker has it, with a wire in place of its sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustsocks::auth::Identity;
use rustsocks::clock::Now;
use rustsocks::connection::{ConnectError, Facts, Forbidden, Input, Machine, Next, Standing};
use rustsocks::key::Key;
use rustsocks::limit::Seat;
use rustsocks::relay::{Advance, Side};
use rustsocks::session::{Ending, Outcome, SessionId, SessionSlot};
use rustsocks::socks::Outbox;
use rustsocks::worker::deadlines::Alarm;
use rustsocks::worker::inbox::Inbox;
use rustsocks::worker::passage::{Lent, Passage, relay_outcome};

use crate::association::Associated;
use crate::line::Wire;
use crate::party::Done;
use crate::world::Kit;

pub(crate) struct Connection {
    pub(crate) number: usize,
    pub(crate) client: Wire,
    pub(crate) address: SocketAddr,
    pub(crate) accepted: Now,
    pub(crate) session: Option<Live>,
    pub(crate) opened: bool,
    pub(crate) settled: bool,
    pub(crate) link: Link,
    pub(crate) alarm: Alarm,
    pub(crate) queued: bool,
    pub(crate) seat: Seat,
}

pub(crate) struct Live {
    pub(crate) id: SessionId,
    pub(crate) slot: SessionSlot,
}

pub(crate) enum Link {
    Front(Box<Front>),
    Relaying(Box<Relaying>),
    Associated(Box<Associated>),
    Parting(Box<Parting>),
}

pub(crate) struct Front {
    pub(crate) machine: Machine,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    pub(crate) attempts: [Option<Dialling>; 2],
    pub(crate) query: u32,
    pub(crate) serial: u32,
    pub(crate) verifying: bool,
    pub(crate) awaiting: bool,
    pub(crate) peer: Option<Wire>,
    pub(crate) association: Option<rustsocks::udp::Association>,
    pub(crate) flushing: bool,
}

/// An attempt on an address.
pub(crate) struct Dialling {
    pub(crate) serial: u32,
    pub(crate) address: SocketAddr,
    pub(crate) result: Option<Result<(), ConnectError>>,
}

pub(crate) struct Relaying {
    pub(crate) standing: Option<Standing>,
    pub(crate) upstream: Wire,
    pub(crate) passage: Passage,
}

/// Settled, and not gone yet.
pub(crate) struct Parting {
    pub(crate) outbox: Outbox,
    pub(crate) shut: bool,
    pub(crate) until: Instant,
    /// While the reply is on its way.
    pub(crate) over_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Wait,
    Again,
    Release,
}

impl Front {
    pub(crate) fn new(machine: Machine, inbox: Inbox) -> Self {
        Self {
            machine,
            inbox,
            outbox: Outbox::new(),
            attempts: [None, None],
            query: 0,
            serial: 0,
            verifying: false,
            awaiting: false,
            peer: None,
            association: None,
            flushing: false,
        }
    }

    pub(crate) fn is_logged_in(&self) -> bool {
        self.machine.facts().identity.as_ref().is_some_and(Identity::is_authenticated)
    }

    pub(crate) fn ask(&mut self, input: Input<'_>, kit: &Kit) -> Next {
        self.machine.handle(input, kit.agenda.now, &mut self.outbox).1
    }
}

impl Connection {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.link {
            Link::Front(front) => front.machine.deadline(),
            Link::Relaying(relaying) => Some(relaying.passage.deadline()),
            Link::Associated(associated) => Some(associated.deadline()),
            Link::Parting(parting) => Some(parting.until),
        }
    }

    /// Judges it by the policy that has come into force, and ends it if that forbids it.
    pub(crate) fn renew(&mut self, key: Key, kit: &mut Kit) -> Fate {
        let now = kit.agenda.now;
        let mut throttled = false;
        let may_go_on = match &mut self.link {
            Link::Front(_) => return self.renew_front(key, kit).unwrap_or(Fate::Wait),
            Link::Relaying(relaying) => match &mut relaying.standing {
                Some(standing) => match standing.renew(&kit.policy, now) {
                    Ok(ruling) => {
                        let clocks = kit.agenda.clocks();
                        let identity = &standing.identity;
                        let throttle = kit.policy.throttle(identity, ruling.as_ref(), clocks);
                        throttled = relaying.passage.set_throttle(throttle, clocks);
                        true
                    }
                    Err(Forbidden) => false,
                },
                None => true,
            },
            Link::Associated(associated) => associated.renew(self.opened, &kit.policy, now),
            Link::Parting(_) => true,
        };
        match (may_go_on, throttled) {
            (true, false) => Fate::Wait,
            (true, true) => Fate::Again,
            (false, _) => self.cut(Outcome::PolicyChanged, kit),
        }
    }

    /// No step is taken under a policy that is not in force any more.
    pub(crate) fn renew_front(&mut self, key: Key, kit: &mut Kit) -> Option<Fate> {
        let Link::Front(front) = &mut self.link else { return None };
        if front.machine.policy().generation == kit.policy.generation {
            return None;
        }
        let next = front.machine.renew(&kit.policy, kit.agenda.now, &mut front.outbox)?;
        Some(self.perform(next, key, kit))
    }

    pub(crate) fn advance(&mut self, key: Key, kit: &mut Kit) -> Fate {
        if let Some(fate) = self.renew_front(key, kit) {
            return fate;
        }
        match &self.link {
            Link::Front(_) => self.advance_front(key, kit),
            Link::Relaying(_) => self.advance_relay(kit),
            Link::Associated(_) => self.advance_control(kit),
            Link::Parting(_) => self.advance_parting(),
        }
    }

    pub(crate) fn expire(&mut self, key: Key, kit: &mut Kit) -> Fate {
        if self.deadline().is_none_or(|deadline| kit.agenda.now < deadline) {
            return Fate::Wait;
        }
        if let Some(fate) = self.renew_front(key, kit) {
            return fate;
        }
        match &mut self.link {
            Link::Front(front) => {
                let next = front.ask(Input::Deadline, kit);
                self.perform(next, key, kit)
            }
            Link::Relaying(relaying) => {
                if relaying.passage.resumes(kit.agenda.now) {
                    kit.told.turns_taken += 1;
                    return Fate::Again;
                }
                let outcome = relaying.passage.expired();
                self.cut(outcome, kit)
            }
            Link::Associated(associated) => {
                let outcome = associated.patience.outcome();
                self.cut(outcome, kit)
            }
            Link::Parting(parting) => {
                let now = kit.agenda.now;
                let arrived = parting.outbox.is_empty() && self.client.line().unread_by_far() == 0;
                if arrived || now >= parting.over_at {
                    return Fate::Release;
                }
                parting.until = parting.over_at.min(now + Duration::from_millis(250));
                Fate::Wait
            }
        }
    }

    /// The sockets that it has.
    pub(crate) fn sockets(&self) -> u32 {
        1 + match &self.link {
            Link::Front(front) => {
                let attempts = front.attempts.iter().flatten().count() as u32;
                attempts
                    + u32::from(front.awaiting)
                    + u32::from(front.peer.is_some())
                    + u32::from(front.association.is_some())
            }
            Link::Relaying(_) | Link::Associated(_) => 1,
            Link::Parting(_) => 0,
        }
    }

    /// Whether there is room for one socket more.
    pub(crate) fn may_open_socket(&mut self, kit: &mut Kit) -> bool {
        let room = self.seat.claim(self.sockets() + 1);
        kit.told.sockets_refused += u64::from(!room);
        room
    }

    /// Ends it at once.
    pub(crate) fn cut(&mut self, outcome: Outcome, kit: &mut Kit) -> Fate {
        self.settle(outcome, false, kit);
        self.client.abort_on_close();
        match &mut self.link {
            Link::Relaying(relaying) => relaying.upstream.abort_on_close(),
            Link::Front(front) => {
                if let Some(peer) = &mut front.peer {
                    peer.abort_on_close();
                }
            }
            Link::Associated(_) | Link::Parting(_) => {}
        }
        Fate::Release
    }

    pub(crate) fn kill(&mut self, id: SessionId, kit: &mut Kit) -> Fate {
        match &self.session {
            Some(live) if live.id == id => self.cut(Outcome::TerminatedByAdmin, kit),
            Some(_) | None => {
                kit.told.stale += 1;
                Fate::Wait
            }
        }
    }

    pub(crate) fn release(self, kit: &mut Kit) {
        assert!(self.settled, "released without having been settled");
        if let Link::Relaying(relaying) = self.link {
            relaying.passage.release(&mut kit.carrier);
        }
    }

    fn advance_relay(&mut self, kit: &mut Kit) -> Fate {
        let Link::Relaying(relaying) = &mut self.link else { return Fate::Again };
        let session = self.session.as_ref().map(|live| live.slot.reference());
        let now = kit.agenda.clocks();
        let lent = Lent { carrier: &mut kit.carrier, session, publish_every: 3, now };
        let portion = relaying.passage.advance(&mut self.client, &mut relaying.upstream, lent);
        kit.told.octets += portion.moved.bytes_sent + portion.moved.bytes_received;
        if portion.exhausted {
            return self.cut(Outcome::QuotaExceeded, kit);
        }
        match portion.advance {
            Advance::Waiting => Fate::Wait,
            Advance::Again => Fate::Again,
            Advance::Ended(end) => {
                let (outcome, lost) = relay_outcome(end);
                self.settle(outcome, false, kit);
                match lost {
                    None => {}
                    Some(Side::Client) => relaying_upstream(&mut self.link).abort_on_close(),
                    Some(Side::Upstream) => self.client.abort_on_close(),
                }
                Fate::Release
            }
        }
    }

    fn advance_parting(&mut self) -> Fate {
        let Link::Parting(parting) = &mut self.link else { return Fate::Release };
        let Parting { outbox, shut, .. } = &mut **parting;
        match crate::perform::flush(&mut self.client, outbox) {
            Ok((_, true)) => {}
            Ok((_, false)) => return Fate::Wait,
            Err(_) => return Fate::Release,
        }
        if !*shut {
            *shut = true;
            if rustsocks::relay::End::shutdown_write(&mut self.client).is_err() {
                return Fate::Release;
            }
        }
        crate::perform::discard(&mut self.client)
    }

    /// The one place where a session is recorded.
    pub(crate) fn settle(&mut self, outcome: Outcome, refused: bool, kit: &mut Kit) {
        if self.settled {
            return;
        }
        self.settled = true;
        let relayed = match &self.link {
            Link::Relaying(_) => true,
            Link::Associated(associated) => associated.has_relayed(),
            Link::Front(_) | Link::Parting(_) => false,
        };
        let now = kit.agenda.clocks();
        let lived = now.mono.saturating_duration_since(self.accepted.mono);
        let ending = Ending { outcome, relayed, duration_ms: lived.as_millis() as u64 };
        if let Link::Front(front) = &mut self.link {
            front.machine.leave(now.mono);
            assert_eq!(front.machine.deadline(), None, "a stage is left behind");
        }
        let recorded = match self.session.take() {
            Some(Live { id, slot }) => {
                if let Link::Front(front) = &self.link {
                    set_late_facts(&slot, front.machine.facts());
                }
                kit.table.remove(0, id);
                kit.journal.closed(kit.share.settle(slot, &ending, now.utc_ms));
                true
            }
            None => self.record_unopened(&ending, kit),
        };
        if kit.journal.backlog_len() > 0 {
            kit.told.backlog += 1;
        }
        *kit.told.outcomes.entry(outcome.close_code()).or_default() += 1;
        let done = Done { at: now.mono, outcome, relayed, opened: self.opened, recorded, refused };
        let before = kit.parties[self.number].done.replace(done);
        assert!(before.is_none(), "settled twice");
    }

    fn record_unopened(&self, ending: &Ending, kit: &mut Kit) -> bool {
        let facts = match &self.link {
            Link::Front(front) => front.machine.facts(),
            Link::Associated(associated) => &associated.facts,
            Link::Relaying(_) | Link::Parting(_) => panic!("a relay without a session"),
        };
        assert!(!self.opened, "an open session is lost");
        if !facts.spoke && ending.outcome != Outcome::HandshakeTimeout {
            return false;
        }
        let slot = self.open_slot(facts, false, kit);
        let slot = slot.expect("the ledger has room for all");
        set_late_facts(&slot, facts);
        kit.journal.closed(kit.share.settle(slot, ending, kit.agenda.clocks().utc_ms));
        true
    }

    fn open_slot(&self, facts: &Facts, accepted: bool, kit: &mut Kit) -> Option<SessionSlot> {
        let id = kit.ids.next(self.accepted.utc_ms);
        let came = (self.address, self.accepted.utc_ms);
        let anonymous = kit.policy.anonymous.clone();
        let share = &mut kit.share;
        facts.as_opening(id, accepted, came, &anonymous, |opening| share.open(opening))
    }

    /// Puts the session into the table.
    pub(crate) fn open(&mut self, facts: &Facts, key: Key, kit: &mut Kit) {
        assert!(!self.opened, "opened twice");
        self.opened = true;
        kit.parties[self.number].permitted_at = Some(kit.agenda.now);
        let slot = self.open_slot(facts, true, kit).expect("the ledger has room for all");
        let id = slot.reference().id().expect("just opened");
        kit.table.insert(0, id, slot.reference(), key);
        if !kit.journal.opened(slot.reference()) {
            kit.told.openings_left_out += 1;
        }
        self.session = Some(Live { id, slot });
    }
}

fn relaying_upstream(link: &mut Link) -> &mut Wire {
    match link {
        Link::Relaying(relaying) => &mut relaying.upstream,
        Link::Front(_) | Link::Associated(_) | Link::Parting(_) => panic!("no relay"),
    }
}

/// What became known of a session after it was opened.
pub(crate) fn set_late_facts(slot: &SessionSlot, facts: &Facts) {
    slot.reference().set_stages(&facts.stages);
    if let Some(address) = facts.resolved {
        slot.reference().set_resolved(address);
    }
    if let Some(ruling) = facts.ruling.as_ref().filter(|_| facts.ruled_late) {
        slot.set_ruling(ruling, facts.policy_generation);
    }
}
