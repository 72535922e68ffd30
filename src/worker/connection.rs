//! One accepted client, whatever has become of it.

use std::net::{IpAddr, SocketAddr};

use super::deadlines::Alarm;
use super::front::Front;
use super::kit::Kit;
use super::parting::Parting;
use super::relaying::Relaying;
use super::socket::Socket;
use super::token::Role;
use super::udp::Associated;
use crate::auth::Identity;
use crate::clock::Now;
use crate::connection::{Attempt, Facts, Forbidden, Standing};
use crate::key::Key;
use crate::limit::{Seat, Stays};
use crate::session::{Detail, Outcome, SessionId, SessionSlot};

/// A connection of this worker.
pub(super) struct Connection {
    pub(super) client: Socket,
    /// The client's address, mapped IPv4 unwrapped.
    pub(super) address: SocketAddr,
    pub(super) accepted: Now,
    pub(super) session: Option<Live>,
    /// Whether the session was given its permit, and so counts as accepted.
    pub(super) opened: bool,
    /// Whether its ending is recorded; nothing is recorded twice.
    pub(super) settled: bool,
    pub(super) link: Link,
    pub(super) alarm: Alarm,
    /// Whether its key waits in the ready queue.
    pub(super) queued: bool,
    /// Gives the place back when the connection is dropped, and its sockets.
    pub(super) seat: Seat,
    /// Its places among those of its address and of its user, where those are limited.
    pub(super) stays: Stays,
}

/// A session that is in the table.
pub(super) struct Live {
    pub(super) slot: SessionSlot,
}

/// What stands beside the client's socket.
pub(super) enum Link {
    /// Handshake to success reply; its buffers are freed with it.
    Front(Box<Front>),
    /// Two sockets joined.
    Relaying(Box<Relaying>),
    /// Datagrams of an association.
    Associated(Box<Associated>),
    /// Recorded; the last octets or the reset are on their way. Boxed as few get here, and every slot
    /// has room for it.
    Parting(Box<Parting>),
}

/// What is to become of a connection after a portion of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits for an event, an answer or its deadline.
    Wait,
    /// It has more to do at once; others first.
    Again,
    /// Its slot is to be freed.
    Release,
}

impl Live {
    /// Puts a session into the table: from here on it is alive for everybody. `None` when the ledger
    /// has no slot for it. `came` is the client's address and when it was accepted.
    pub(super) fn open(
        facts: &Facts,
        anonymous: &Identity,
        came: (SocketAddr, i64),
        key: Key,
        kit: &mut Kit,
    ) -> Option<Self> {
        kit.counters.sessions_opened.add(1);
        let id = kit.ids.next(came.1);
        let share = &mut kit.share;
        let slot = facts.as_opening(id, true, came, anonymous, |opening| share.open(opening));
        let Some(slot) = slot else {
            kit.counters.unrecorded.add(1);
            return None;
        };
        kit.table.insert(kit.index, id, slot.reference(), key);
        if !kit.journal.opened(slot.reference()) {
            kit.counters.openings_left_out.add(1);
        }
        Some(Self { slot })
    }
}

impl Connection {
    /// Marks what the event says.
    pub(super) fn note(&mut self, role: Role, event: &mio::event::Event) {
        match role {
            Role::Client => self.client.note(event),
            Role::UpstreamA | Role::UpstreamB => {
                let attempt = if role == Role::UpstreamA { Attempt::A } else { Attempt::B };
                match &mut self.link {
                    Link::Front(front) => front.note(attempt, event),
                    // A relay has one upstream; the loser of two attempts was dropped, and what
                    // the kernel still says of it does no harm: readiness is only a hint.
                    Link::Relaying(relaying) => relaying.upstream.note(event),
                    Link::Associated(_) => {}
                    Link::Parting(parting) => parting.note(event),
                }
            }
            Role::UdpClient | Role::UdpV4 | Role::UdpV6 => match &mut self.link {
                Link::Associated(associated) => associated.note(role, event),
                // A socket that is new is asked anyhow.
                Link::Front(_) | Link::Relaying(_) | Link::Parting(_) => {}
            },
            Role::Awaiting => {
                if let Link::Front(front) = &mut self.link
                    && let Some(awaiting) = &mut front.awaiting
                {
                    awaiting.note(event);
                }
            }
            Role::Listener | Role::Waker | Role::Resolver => {}
        }
    }

    /// Whether it moves so much that others go first.
    pub(super) fn is_heavy(&self) -> bool {
        match &self.link {
            Link::Relaying(relaying) => relaying.passage.is_heavy(),
            Link::Front(_) | Link::Associated(_) | Link::Parting(_) => false,
        }
    }

    /// Does a portion of work.
    pub(super) fn advance(&mut self, key: Key, kit: &mut Kit) -> Fate {
        if let Some(fate) = self.renew_front(key, kit) {
            return fate;
        }
        match &self.link {
            Link::Front(_) => self.advance_front(key, kit),
            Link::Relaying(_) => self.advance_relay(kit),
            Link::Associated(_) => self.advance_association(key, kit),
            Link::Parting(_) => self.advance_parting(),
        }
    }

    /// Does what its deadline demands, if it has come.
    pub(super) fn expire(&mut self, key: Key, kit: &mut Kit) -> Fate {
        if self.deadline().is_none_or(|deadline| kit.now.mono < deadline) {
            return Fate::Wait;
        }
        if let Some(fate) = self.renew_front(key, kit) {
            return fate;
        }
        match &self.link {
            Link::Front(_) => self.expire_front(key, kit),
            Link::Relaying(_) => self.expire_relay(kit),
            Link::Associated(_) => self.expire_association(kit),
            Link::Parting(_) => self.expire_parting(kit.now.mono),
        }
    }

    /// Judges it by the policy that has come into force, and ends it if that forbids it.
    pub(super) fn renew(&mut self, key: Key, kit: &mut Kit) -> Fate {
        let mut throttled = false;
        let may_go_on = match &mut self.link {
            Link::Front(_) => return self.renew_front(key, kit).unwrap_or(Fate::Wait),
            Link::Relaying(relaying) => match &mut relaying.standing {
                Some(standing) => match standing.renew(&kit.policy, kit.now.mono) {
                    Ok(ruling) => {
                        let Standing { identity, client, .. } = &*standing;
                        self.stays.renew(&kit.policy.limits, *client, identity);
                        let throttle = kit.policy.throttle(identity, ruling.as_ref(), kit.now);
                        throttled = relaying.passage.set_throttle(throttle, kit.now);
                        true
                    }
                    Err(Forbidden) => false,
                },
                None => true,
            },
            Link::Associated(associated) => {
                // Or it has nothing to wait for any more.
                let held = associated.is_throttled();
                let may_go_on = associated.renew(&kit.policy, kit.now);
                throttled = held || associated.is_throttled();
                let (client, identity) = associated.whose();
                self.stays.renew(&kit.policy.limits, client, identity);
                may_go_on
            }
            Link::Parting(_) => true,
        };
        if may_go_on {
            // One that has waited for its turn may have another now.
            return if throttled { Fate::Again } else { Fate::Wait };
        }
        self.cut(Outcome::PolicyChanged, kit);
        Fate::Release
    }

    /// A quota is used up. If it counts for that, it ends in its next turn, though it has nothing to move.
    pub(super) fn note_quotas(&self, now: Now) -> Fate {
        let exhausted = match &self.link {
            Link::Relaying(relaying) => relaying.passage.is_exhausted(now),
            Link::Associated(associated) => associated.is_exhausted(now),
            Link::Front(_) | Link::Parting(_) => false,
        };
        if exhausted { Fate::Again } else { Fate::Wait }
    }

    /// Ends it at once if it is the session of this id, because somebody at the address `from` said
    /// so. A session that has ended meanwhile keeps its ending.
    pub(super) fn kill(&mut self, id: SessionId, from: IpAddr, kit: &mut Kit) -> Fate {
        match &self.session {
            Some(live) if live.slot.id() == id => {
                live.slot.reference().set_detail(Detail::AskedFrom(from));
                self.cut(Outcome::TerminatedByAdmin, kit);
                Fate::Release
            }
            Some(_) | None => {
                kit.counters.stale.add(1);
                Fate::Wait
            }
        }
    }

    /// Ends it at once, for `outcome`.
    pub(super) fn cut(&mut self, outcome: Outcome, kit: &mut Kit) {
        self.settle(outcome, kit);
        self.abort_all();
    }

    /// The sockets that it has.
    pub(super) fn sockets(&self) -> u32 {
        CLIENT_SOCKET
            + match &self.link {
                Link::Front(front) => front.sockets(),
                Link::Relaying(_) => 1,
                Link::Associated(associated) => associated.sockets(),
                Link::Parting(parting) => parting.sockets(),
            }
    }

    /// Whether there is room for one socket more.
    pub(super) fn may_open_socket(&mut self, kit: &Kit) -> bool {
        let room = self.seat.claim(self.sockets() + 1);
        if !room {
            kit.counters.sockets_refused.add(1);
        }
        room
    }

    /// When it is to be asked again.
    pub(super) fn deadline(&self) -> Option<std::time::Instant> {
        match &self.link {
            Link::Front(front) => front.deadline(),
            Link::Relaying(relaying) => Some(relaying.deadline()),
            Link::Associated(associated) => Some(associated.deadline()),
            Link::Parting(parting) => Some(parting.deadline()),
        }
    }
}

/// The one that was accepted.
pub(super) const CLIENT_SOCKET: u32 = 1;

// Each idle session has one.
const _: () = assert!(size_of::<Connection>() <= 208);
