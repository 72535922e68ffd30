//! One session as readers see it: the names are the columns of the table.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::session::{SessionView, Status};

/// One session, live or ended. Fields and their order are those of the table `sessions`; what is `null`
/// did not happen, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Session)]
pub struct Record {
    /// UUID v7.
    #[schema(format = "uuid")]
    pub session_id: String,
    /// Who logged in, or the name of the anonymous user.
    pub user: String,
    /// When the client was accepted: RFC 3339, UTC, milliseconds.
    #[schema(format = DateTime)]
    pub start_time: String,
    /// The start and the monotonic duration.
    #[schema(required, format = DateTime)]
    pub end_time: Option<String>,
    /// Whole seconds.
    #[schema(required)]
    pub duration_secs: Option<u64>,
    /// The client.
    pub source_ip: String,
    /// Its port.
    pub source_port: u16,
    /// The target as the client asked for it: a name stays a name. Empty if it never asked.
    pub dest_ip: String,
    /// The target's port; 0 if it never asked.
    pub dest_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Octets of payload, client to target, that the target's socket took.
    pub bytes_sent: u64,
    /// Octets of payload, target to client, that the client's socket took.
    pub bytes_received: u64,
    /// Transfers, or datagrams, client to target.
    pub packets_sent: u64,
    /// Transfers, or datagrams, target to client.
    pub packets_received: u64,
    /// `active`, `closed`, `failed` or `rejected_by_acl`.
    pub status: String,
    /// Why it ended, in a sentence.
    #[schema(required)]
    pub close_reason: Option<String>,
    /// The rule that decided, in words.
    #[schema(required)]
    pub acl_rule_matched: Option<String>,
    /// `allow` or `block`.
    #[schema(required)]
    pub acl_decision: Option<String>,
    /// Milliseconds.
    #[schema(required)]
    pub duration_ms: Option<u64>,
    /// The address that was dialled.
    #[schema(required)]
    pub resolved_ip: Option<String>,
    /// `connect`, `bind` or `udp_associate`.
    #[schema(required)]
    pub command: Option<String>,
    /// Why it ended, in one word of a closed set.
    #[schema(required)]
    pub close_code: Option<String>,
    /// The number of the rule that decided, if it is one of the file.
    #[schema(required)]
    pub rule_id: Option<u32>,
    /// The policy under which it was judged.
    #[schema(required)]
    pub policy_generation: Option<u64>,
    /// The instance that it ran on.
    #[schema(required)]
    pub node: Option<String>,
    /// Microseconds that the login took.
    #[schema(required)]
    pub auth_us: Option<u32>,
    /// Microseconds that looking up the name took.
    #[schema(required)]
    pub resolve_us: Option<u32>,
    /// Microseconds that connecting took.
    #[schema(required)]
    pub connect_us: Option<u32>,
    /// Microseconds from there to the target's first octet.
    #[schema(required)]
    pub first_byte_us: Option<u32>,
    /// Round trip time of the client's leg, microseconds, as the kernel had it at the end.
    #[schema(required)]
    pub client_rtt_us: Option<u32>,
    /// The same of the target's leg.
    #[schema(required)]
    pub upstream_rtt_us: Option<u32>,
    /// Segments that were sent again to the client.
    #[schema(required)]
    pub client_retransmits: Option<u32>,
    /// Segments that were sent again to the target.
    #[schema(required)]
    pub upstream_retransmits: Option<u32>,
    /// The name that a failed login claimed.
    #[schema(required)]
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
