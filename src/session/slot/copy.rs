//! A slot is copied for its readers, whole or not at all.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::late_ruling::LateRuling;
use super::words::{command_from, decision_from, judged_from, load_ip, load_pair, load_words};
use super::{
    COMMAND_SHIFT, DECISION_SHIFT, OUTCOME_SHIFT, PRESENT_ACCEPTED, PRESENT_ASKED_FROM,
    PRESENT_CLIENT_TCP, PRESENT_CLIENTS, PRESENT_LATE_RULING, PRESENT_RELAYED, PRESENT_RESOLVED,
    PRESENT_RULE_ID, PRESENT_RULING, PRESENT_STAGE, PRESENT_TARGET, PRESENT_UPSTREAM_TCP, Session,
    TEXT_MAX, TEXT_OCTETS,
};
use crate::session::SessionId;
use crate::session::detail::Detail;
use crate::session::facts::{Command, Decision, Ending, Stages, Traffic};
use crate::session::outcome::Outcome;

/// A consistent copy of a slot, text still as octets.
pub(crate) struct Copied {
    pub(crate) id: SessionId,
    pub(crate) start_ms: i64,
    pub(crate) client: SocketAddr,
    pub(crate) target_port: Option<u16>,
    pub(crate) resolved: Option<IpAddr>,
    pub(crate) traffic: Traffic,
    pub(crate) last_activity_ms: i64,
    pub(crate) policy_generation: u64,
    pub(crate) shadow: Option<u32>,
    pub(crate) accepted: bool,
    pub(crate) command: Option<Command>,
    pub(crate) decision: Option<Decision>,
    pub(crate) rule_id: Option<u32>,
    pub(crate) stages: Stages,
    pub(crate) client_tcp: Option<(u32, u32)>,
    pub(crate) upstream_tcp: Option<(u32, u32)>,
    pub(crate) detail: Option<Detail>,
    pub(crate) ending: Option<Ending>,
    pub(crate) lengths: [u8; 4],
    pub(crate) text: [u8; TEXT_MAX],
    pub(crate) late: Option<LateRuling>,
}

impl Session {
    /// Copies what the slot holds, if it still is the given use of it.
    pub(crate) fn copy(&self, generation: u32, rest: Option<&Self>) -> Option<Copied> {
        self.head().read(generation, |settled| self.copy_words(settled, rest))
    }

    fn copy_words(&self, settled: bool, rest: Option<&Self>) -> Copied {
        let present = self.present.load(Acquire);
        let has = |bit: u32| present & bit != 0;
        let kinds = self.kinds.load(Relaxed);
        let ports = self.ports.load(Relaxed);
        let late = has(PRESENT_LATE_RULING).then(|| self.load_late_ruling(rest));
        let (policy_generation, shadow) = match &late {
            Some(late) => (late.policy_generation, late.shadow),
            None => judged_from(self.judged.load(Relaxed)),
        };
        let stage =
            |index: usize| has(PRESENT_STAGE << index).then(|| self.stages_us[index].load(Relaxed));
        let tcp = |index: usize, bit: u32| {
            has(bit)
                .then(|| (self.rtt_us[index].load(Relaxed), self.retransmits[index].load(Relaxed)))
        };
        #[expect(clippy::cast_possible_truncation, reason = "half of a word is meant")]
        let (client_port, target_port) = ((ports >> 16) as u16, ports as u16);
        // Behind the last text stands what is of no session.
        let lengths = self.lengths.load(Relaxed).to_le_bytes();
        let used = lengths.iter().map(|length| usize::from(*length)).sum::<usize>();
        let used = used.next_multiple_of(8).min(TEXT_MAX);
        let mut text = [0u8; TEXT_MAX];
        load_words(&self.text, &mut text[..used.min(TEXT_OCTETS)]);
        if let Some(rest) = rest {
            load_words(&rest.text, &mut text[TEXT_OCTETS..used.max(TEXT_OCTETS)]);
        }
        Copied {
            id: SessionId::from_words(self.id[0].load(Relaxed), self.id[1].load(Relaxed)),
            start_ms: self.start_ms.load(Relaxed).cast_signed(),
            client: SocketAddr::new(load_ip(&self.client_ip), client_port),
            target_port: has(PRESENT_TARGET).then_some(target_port),
            resolved: has(PRESENT_RESOLVED).then(|| load_ip(&self.resolved_ip)),
            traffic: Traffic {
                bytes_sent: self.bytes_sent.load(Relaxed),
                bytes_received: self.bytes_received.load(Relaxed),
                packets_sent: self.packets_sent.load(Relaxed),
                packets_received: self.packets_received.load(Relaxed),
            },
            last_activity_ms: self.last_activity_ms.load(Relaxed).cast_signed(),
            policy_generation,
            shadow,
            accepted: has(PRESENT_ACCEPTED),
            command: command_from(kinds >> COMMAND_SHIFT),
            decision: match &late {
                Some(late) => late.decision,
                None => decision_from(kinds >> DECISION_SHIFT).filter(|_| has(PRESENT_RULING)),
            },
            rule_id: match &late {
                Some(late) => late.rule_id,
                None => has(PRESENT_RULE_ID).then(|| self.rule_id.load(Relaxed)),
            },
            stages: Stages {
                auth_us: stage(0),
                resolve_us: stage(1),
                connect_us: stage(2),
                first_byte_us: stage(3),
            },
            client_tcp: tcp(0, PRESENT_CLIENT_TCP),
            upstream_tcp: tcp(1, PRESENT_UPSTREAM_TCP),
            detail: if has(PRESENT_CLIENTS) {
                Some(Detail::clients(load_pair(&self.detail)))
            } else {
                has(PRESENT_ASKED_FROM).then(|| Detail::asked_from(load_pair(&self.detail)))
            },
            ending: settled
                .then(|| {
                    Outcome::from_number((kinds >> OUTCOME_SHIFT).to_le_bytes()[0]).map(|outcome| {
                        Ending {
                            outcome,
                            relayed: has(PRESENT_RELAYED),
                            duration_ms: self.duration_ms.load(Relaxed),
                        }
                    })
                })
                .flatten(),
            lengths,
            text,
            late,
        }
    }
}
