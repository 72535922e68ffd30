//! What the worker that owns a session says of it while it lasts.

use std::net::IpAddr;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::words::{store_ip, store_pair};
use super::{
    OUTCOME_SHIFT, PRESENT_ASKED_FROM, PRESENT_CLIENT_TCP, PRESENT_CLIENTS, PRESENT_LATE_RULING,
    PRESENT_RELAYED, PRESENT_RESOLVED, PRESENT_STAGE, PRESENT_UPSTREAM_TCP, Session,
};
use crate::acl::Ruling;
use crate::session::SessionId;
use crate::session::detail::Detail;
use crate::session::facts::{Ending, Stages, Traffic};

/// A reference to one use of one slot. It goes stale when the slot is used again; readers notice.
#[derive(Clone, Copy, Debug)]
pub struct SessionRef {
    pub(crate) session: &'static Session,
    pub(crate) generation: u32,
}

impl SessionRef {
    /// Stores the session's counters; `now_ms` is the wall clock in milliseconds.
    pub fn publish(self, traffic: Traffic, now_ms: i64) {
        // Octets before transfers: after a kill a cut session may show one transfer fewer than its
        // octets say, never one more.
        self.session.bytes_sent.store(traffic.bytes_sent, Relaxed);
        self.session.bytes_received.store(traffic.bytes_received, Relaxed);
        self.session.packets_sent.store(traffic.packets_sent, Relaxed);
        self.session.packets_received.store(traffic.packets_received, Relaxed);
        self.session.last_activity_ms.store(now_ms.cast_unsigned(), Relaxed);
    }

    /// The address that was dialled.
    pub fn set_resolved(self, address: IpAddr) {
        store_ip(&self.session.resolved_ip, address);
        self.mark(PRESENT_RESOLVED);
    }

    /// What the rules said of the address that was reached, or of the last that was tried, under a policy
    /// of this generation; to be said at most once. `rest` is the slot that continues this one.
    pub(crate) fn set_ruling(self, rest: Option<&Session>, ruling: &Ruling, generation: u64) {
        self.session.store_late_ruling(rest, ruling, generation);
        self.mark(PRESENT_LATE_RULING);
    }

    /// The stage times known so far; those that are `None` keep what they were.
    pub fn set_stages(self, stages: &Stages) {
        let times = [stages.auth_us, stages.resolve_us, stages.connect_us, stages.first_byte_us];
        let mut bits = 0;
        for (index, time) in times.into_iter().enumerate() {
            if let Some(us) = time {
                self.session.stages_us[index].store(us, Relaxed);
                bits |= PRESENT_STAGE << index;
            }
        }
        self.mark(bits);
    }

    /// Smoothed round trip time in microseconds and retransmitted segments of the client's leg.
    pub fn set_client_tcp(self, rtt_us: u32, retransmits: u32) {
        self.session.rtt_us[0].store(rtt_us, Relaxed);
        self.session.retransmits[0].store(retransmits, Relaxed);
        self.mark(PRESENT_CLIENT_TCP);
    }

    /// The same of the upstream leg.
    pub fn set_upstream_tcp(self, rtt_us: u32, retransmits: u32) {
        self.session.rtt_us[1].store(rtt_us, Relaxed);
        self.session.retransmits[1].store(retransmits, Relaxed);
        self.mark(PRESENT_UPSTREAM_TCP);
    }

    /// What its outcome's sentence does not say; to be said once, before it is settled.
    pub fn set_detail(self, detail: Detail) {
        store_pair(&self.session.detail, detail.to_words());
        self.mark(match detail {
            Detail::Clients(_) => PRESENT_CLIENTS,
            Detail::AskedFrom(_) => PRESENT_ASKED_FROM,
        });
    }

    /// The id of the session, unless the slot has been used again since.
    #[must_use]
    pub fn id(self) -> Option<SessionId> {
        let id = SessionId::from_words(
            self.session.id[0].load(Relaxed),
            self.session.id[1].load(Relaxed),
        );
        self.is_current().then_some(id)
    }

    /// Whether the slot still holds this session.
    #[must_use]
    pub fn is_current(self) -> bool {
        self.session.head().is_still(self.generation)
    }

    /// When the counters were last stored (milliseconds since the Unix epoch), without a check.
    #[must_use]
    pub fn last_activity_ms(self) -> i64 {
        self.session.last_activity_ms.load(Relaxed).cast_signed()
    }

    pub(crate) fn settle(self, ending: &Ending, now_ms: i64) {
        let session = self.session;
        session.duration_ms.store(ending.duration_ms, Relaxed);
        session.last_activity_ms.store(now_ms.cast_unsigned(), Relaxed);
        let kinds = session.kinds.load(Relaxed);
        let outcome = u32::from(ending.outcome.number()) << OUTCOME_SHIFT;
        session.kinds.store(kinds | outcome, Relaxed);
        if ending.relayed {
            self.mark(PRESENT_RELAYED);
        }
        session.head().settle(self.generation);
    }

    fn mark(self, bits: u32) {
        // One owner writes: a load and a store do, no locked instruction is needed.
        let present = self.session.present.load(Relaxed);
        self.session.present.store(present | bits, Release);
    }
}
