//! One session as readers see it: the names are the columns of the table.

use serde::Serialize;

use crate::clock::rfc3339;
use crate::session::{SessionView, Status};

/// One session, live or ended. Fields and their order are those of the table `sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the columns are described in the README and in sql/")]
pub struct Record {
    pub session_id: String,
    pub user: String,
    pub start_time: String,
    pub end_time: Option<String>,
    pub duration_secs: Option<u64>,
    pub source_ip: String,
    pub source_port: u16,
    pub dest_ip: String,
    pub dest_port: u16,
    pub protocol: String,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub packets_received: u64,
    pub status: String,
    pub close_reason: Option<String>,
    pub acl_rule_matched: Option<String>,
    pub acl_decision: Option<String>,
    pub duration_ms: Option<u64>,
    pub resolved_ip: Option<String>,
    pub command: Option<String>,
    pub close_code: Option<String>,
    pub rule_id: Option<u32>,
    pub policy_generation: Option<u64>,
    pub node: Option<String>,
    pub auth_us: Option<u32>,
    pub resolve_us: Option<u32>,
    pub connect_us: Option<u32>,
    pub first_byte_us: Option<u32>,
    pub client_rtt_us: Option<u32>,
    pub upstream_rtt_us: Option<u32>,
    pub client_retransmits: Option<u32>,
    pub upstream_retransmits: Option<u32>,
    pub claimed_user: Option<String>,
}

impl Record {
    /// The record of a session as it stands, on the node of this name.
    #[must_use]
    pub fn of(view: &SessionView, node: &str) -> Self {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let ended = view.ending;
        let status = ended.map_or(Status::Active, |it| it.outcome.status(it.relayed));
        Self {
            session_id: view.id.to_string(),
            user: view.user.to_string(),
            start_time: rfc3339(view.start_ms),
            end_time: view.end_ms().map(rfc3339),
            duration_secs: ended.map(|ending| ending.duration_ms / 1000),
            source_ip: view.client.ip().to_string(),
            source_port: view.client.port(),
            dest_ip: view.target_host.to_string(),
            dest_port: view.target_port,
            protocol: view.protocol().to_owned(),
            bytes_sent: view.traffic.bytes_sent,
            bytes_received: view.traffic.bytes_received,
            packets_sent: view.traffic.packets_sent,
            packets_received: view.traffic.packets_received,
            status: status.as_str().to_owned(),
            close_reason: view.close_reason().map(std::borrow::Cow::into_owned),
            acl_rule_matched: view.decision.and_then(|_| text(&view.rule)),
            acl_decision: view.decision.map(|decision| decision.as_str().to_owned()),
            duration_ms: ended.map(|ending| ending.duration_ms),
            resolved_ip: view.resolved.map(|ip| ip.to_string()),
            command: view.command_word().map(str::to_owned),
            close_code: ended.map(|ending| ending.outcome.close_code().to_owned()),
            rule_id: view.rule_id,
            policy_generation: view.decision.map(|_| view.policy_generation),
            node: text(node),
            auth_us: view.stages.auth_us,
            resolve_us: view.stages.resolve_us,
            connect_us: view.stages.connect_us,
            first_byte_us: view.stages.first_byte_us,
            client_rtt_us: view.client_tcp.map(|(rtt, _)| rtt),
            upstream_rtt_us: view.upstream_tcp.map(|(rtt, _)| rtt),
            client_retransmits: view.client_tcp.map(|(_, retransmits)| retransmits),
            upstream_retransmits: view.upstream_tcp.map(|(_, retransmits)| retransmits),
            claimed_user: text(&view.claimed_user),
        }
    }
}
