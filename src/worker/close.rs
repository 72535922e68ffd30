//! The end of a session: the one place where it is recorded.

use super::connection::{Connection, Link, Live};
use super::kit::Kit;
use super::socket::Socket;
use crate::connection::Facts;
use crate::linux::tcp_info::TcpInfo;
use crate::session::{Ending, Outcome, SessionRef, SessionSlot, Status, Traffic};
use crate::stats::Counters;

impl Connection {
    /// Records how the session ended: slot, table, journal, counters. The first call counts, later
    /// ones do nothing. The sockets are the caller's business.
    pub(super) fn settle(&mut self, outcome: Outcome, kit: &mut Kit) {
        if self.settled {
            return;
        }
        self.settled = true;
        if self.is_silent(outcome) || self.seat.proofs().holds(self.address) {
            kit.counters.silent.add(1);
            return;
        }
        let relayed = match &self.link {
            Link::Relaying(_) => true,
            Link::Associated(associated) => associated.has_relayed(),
            Link::Front(_) | Link::Parting(_) => false,
        };
        if let Link::Associated(associated) = &mut self.link {
            associated.count_overflow(kit.now.mono, &kit.counters);
        }
        let refused = match &mut self.link {
            Link::Associated(associated) if !self.opened => associated.refused(),
            Link::Front(_) | Link::Relaying(_) | Link::Associated(_) | Link::Parting(_) => None,
        };
        let outcome = refused.unwrap_or(outcome);
        let lived = kit.now.mono.saturating_duration_since(self.accepted.mono);
        let duration_ms = u64::try_from(lived.as_millis()).unwrap_or(u64::MAX);
        let ending = Ending { outcome, relayed, duration_ms };
        self.count(&ending, &kit.counters);
        self.tell_defect(outcome, kit);
        if let Link::Front(front) = &mut self.link {
            front.machine.leave(kit.now.mono);
            kit.counters.stages.observe(&front.machine.facts().stages);
            front.count_ruling(kit);
        }
        match self.session.take() {
            Some(Live { slot }) => {
                let id = slot.id();
                match &self.link {
                    Link::Front(front) => set_late_facts(&slot, front.machine.facts()),
                    Link::Relaying(relaying) => {
                        set_tcp(slot.reference(), &self.client, &relaying.upstream);
                    }
                    Link::Associated(_) => set_client_tcp(slot.reference(), &self.client),
                    Link::Parting(_) => {}
                }
                // Whoever asks for it meanwhile finds it here or there.
                let ended = kit.share.settle(slot, &ending, kit.now.utc_ms);
                kit.table.remove(kit.index, id);
                kit.journal.closed(ended);
            }
            None => self.record_unopened(&ending, kit),
        }
    }

    /// Whether it came and went without a word, which is no attempt. One that was silent for too long
    /// is one.
    fn is_silent(&self, outcome: Outcome) -> bool {
        let Link::Front(front) = &self.link else { return false };
        let own = matches!(outcome, Outcome::HandshakeTimeout | Outcome::Internal);
        !front.machine.facts().spoke && !own
    }

    /// An attempt that never was a session in the table: refused, failed, or turned away. Where single
    /// sessions are not kept the writer makes sums of it.
    fn record_unopened(&self, ending: &Ending, kit: &mut Kit) {
        let (facts, policy) = match &self.link {
            Link::Front(front) => (front.machine.facts(), front.machine.policy()),
            Link::Associated(associated) => (associated.facts(), associated.policy()),
            Link::Relaying(_) | Link::Parting(_) => return,
        };
        if self.opened {
            return;
        }
        let id = kit.ids.next(self.accepted.utc_ms);
        let came = (self.address, self.accepted.utc_ms);
        let share = &mut kit.share;
        let anonymous = &policy.anonymous;
        let slot = facts.as_opening(id, false, came, anonymous, |opening| share.open(opening));
        match slot {
            Some(slot) => {
                set_late_facts(&slot, facts);
                kit.journal.closed(kit.share.settle(slot, ending, kit.now.utc_ms));
            }
            None => kit.counters.attempts_unrecorded.add(1),
        }
    }

    /// Has it in the log if it ended by a defect of ours.
    fn tell_defect(&self, outcome: Outcome, kit: &mut Kit) {
        let nowhere = (self.address.ip(), None);
        let whose = match &self.link {
            Link::Front(front) => (front.machine.client(), front.machine.facts().target.as_ref()),
            Link::Associated(associated) => {
                (associated.whose().0, associated.facts().target.as_ref())
            }
            Link::Relaying(relaying) => match &relaying.standing {
                Some(standing) => (standing.client, Some(&standing.request.target)),
                None => nowhere,
            },
            Link::Parting(_) => nowhere,
        };
        if let Some(line) = kit.defects.line(outcome, whose, kit.now.mono) {
            tracing::error!("{line}");
        }
    }

    fn count(&self, ending: &Ending, counters: &Counters) {
        counters.outcomes[ending.outcome.index()].add(1);
        match ending.outcome.status(ending.relayed) {
            Status::RejectedByAcl => counters.sessions_rejected.add(1),
            Status::Active | Status::Closed | Status::Failed => {}
        }
        if ending.outcome == Outcome::AuthFailed {
            counters.auth_failures.add(1);
        }
        if self.opened {
            counters.sessions_closed.add(1);
            counters.durations.observe(ending.duration_ms);
        }
    }
}

/// What became known of a session after it was opened.
pub(super) fn set_late_facts(slot: &SessionSlot, facts: &Facts) {
    let session = slot.reference();
    session.set_stages(&facts.stages);
    if let Some(address) = facts.resolved {
        session.set_resolved(address);
    }
    if let Some(ruling) = facts.ruling.as_ref().filter(|_| facts.ruled_late) {
        slot.set_ruling(ruling, facts.policy_generation);
    }
}

/// What the kernel knows of both legs at the end of a relay. It is asked once per session; a socket
/// that it will not speak of has no figures.
fn set_tcp(session: SessionRef, client: &Socket, upstream: &Socket) {
    set_client_tcp(session, client);
    if let Ok(info) = TcpInfo::of(upstream.stream()) {
        session.set_upstream_tcp(info.rtt_us, info.retransmits);
    }
}

fn set_client_tcp(session: SessionRef, client: &Socket) {
    if let Ok(info) = TcpInfo::of(client.stream()) {
        session.set_client_tcp(info.rtt_us, info.retransmits);
    }
}

/// Adds what a portion of a relay moved to the worker's sums.
pub(super) fn count_traffic(counters: &Counters, moved: &Traffic) {
    counters.bytes_sent.add(moved.bytes_sent);
    counters.bytes_received.add(moved.bytes_received);
    counters.packets_sent.add(moved.packets_sent);
    counters.packets_received.add(moved.packets_received);
}
