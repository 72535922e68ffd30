//! An owned, checked copy of one session, for rows, JSON and metrics.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use super::facts::{Command, Decision, Ending, Stages, Traffic};
use super::slot::Copied;
use super::{Detail, Glance, Outcome, SessionId, Status};

/// One session at one moment, copied out of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// The id.
    pub id: SessionId,
    /// When the client was accepted: milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// The client.
    pub client: SocketAddr,
    /// The authenticated name, or the name of the anonymous user.
    pub user: Box<str>,
    /// The name that a failed login claimed; empty if none did.
    pub claimed_user: Box<str>,
    /// The host as the client asked for it; empty if it never got that far.
    pub target_host: Box<str>,
    /// The port that it asked for; 0 if it never got that far.
    pub target_port: u16,
    /// The address that was dialled.
    pub resolved: Option<IpAddr>,
    /// What was asked for.
    pub command: Option<Command>,
    /// What the rules said; `None` if they were not asked.
    pub decision: Option<Decision>,
    /// The text of the rule; empty if they were not asked.
    pub rule: Box<str>,
    /// The rule's number in the rule file.
    pub rule_id: Option<u32>,
    /// The number of the rule on trial that would have blocked it, if one would.
    pub shadow: Option<u32>,
    /// The policy under which it was judged.
    pub policy_generation: u64,
    /// Whether it was given its permit, and so counts as an accepted session.
    pub accepted: bool,
    /// What it has moved so far.
    pub traffic: Traffic,
    /// When it last moved anything: milliseconds since the Unix epoch.
    pub last_activity_ms: i64,
    /// Microseconds per stage.
    pub stages: Stages,
    /// Round trip time (microseconds) and retransmitted segments of the client's leg.
    pub client_tcp: Option<(u32, u32)>,
    /// The same of the upstream leg.
    pub upstream_tcp: Option<(u32, u32)>,
    /// What its outcome's sentence does not say.
    pub detail: Option<Detail>,
    /// How it ended; `None` while it lives.
    pub ending: Option<Ending>,
}

impl SessionView {
    pub(crate) fn from_copied(copied: &Copied) -> Self {
        let [user, target_host, claimed_user, rule] = copied.texts().map(Box::from);
        Self {
            id: copied.id,
            start_ms: copied.start_ms,
            client: copied.client,
            user,
            target_host,
            claimed_user,
            rule: match &copied.late {
                Some(late) => String::from_utf8_lossy(late.text()).into(),
                None => rule,
            },
            target_port: copied.target_port.unwrap_or(0),
            resolved: copied.resolved,
            command: copied.command,
            decision: copied.decision,
            rule_id: copied.rule_id,
            shadow: copied.shadow,
            policy_generation: copied.policy_generation,
            accepted: copied.accepted,
            traffic: copied.traffic,
            last_activity_ms: copied.last_activity_ms,
            stages: copied.stages,
            client_tcp: copied.client_tcp,
            upstream_tcp: copied.upstream_tcp,
            detail: copied.detail,
            ending: copied.ending,
        }
    }

    /// What it is found and sorted by.
    #[must_use]
    pub fn glance(&self) -> Glance<'_> {
        Glance {
            id: self.id,
            start_ms: self.start_ms,
            client: self.client,
            user: Cow::Borrowed(&self.user),
            target_host: Cow::Borrowed(&self.target_host),
            target_port: self.target_port,
            traffic: self.traffic,
            ending: self.ending,
        }
    }

    /// The word of the column `status`.
    #[must_use]
    pub fn status(&self) -> Status {
        self.glance().status()
    }

    /// The sentence of the column `close_reason`; `None` while it lives.
    #[must_use]
    pub fn close_reason(&self) -> Option<Cow<'static, str>> {
        let outcome = self.ending?.outcome;
        let sentence = match (outcome, self.is_by_guard()) {
            (Outcome::AclDenied, true) => "the guard forbids this target",
            (Outcome::AclDeniedAddress, true) => {
                "the guard forbids the last address that the target has"
            }
            (_, _) => outcome.close_reason(),
        };
        let sentence: Cow<'static, str> = match self.detail {
            Some(detail) => detail.behind(sentence).into(),
            None => sentence.into(),
        };
        Some(match self.shadow {
            Some(rule) => {
                format!("{sentence}; rule {rule}, on trial, would have blocked it").into()
            }
            None => sentence,
        })
    }

    /// Whether it was the guard, and no rule, that refused it: a rule has a number, whatever its text.
    #[must_use]
    pub fn is_by_guard(&self) -> bool {
        self.rule_id.is_none() && self.rule.starts_with(GUARD)
    }

    /// When it ended (start plus monotonic duration), milliseconds since the Unix epoch.
    #[must_use]
    pub fn end_ms(&self) -> Option<i64> {
        self.ending.map(|ending| self.start_ms.saturating_add_unsigned(ending.duration_ms))
    }

    /// `tcp` or `udp`, as the column `protocol` has it.
    #[must_use]
    pub const fn protocol(&self) -> &'static str {
        match self.command {
            Some(Command::UdpAssociate) => "udp",
            Some(Command::Connect | Command::Bind) | None => "tcp",
        }
    }

    /// The word of the column `command`.
    #[must_use]
    pub const fn command_word(&self) -> Option<&'static str> {
        match self.command {
            Some(Command::Connect) => Some("connect"),
            Some(Command::Bind) => Some("bind"),
            Some(Command::UdpAssociate) => Some("udp_associate"),
            None => None,
        }
    }
}

/// How each of the guard's sentences begins.
const GUARD: &str = "guard: ";

#[cfg(test)]
impl SessionView {
    /// A live, accepted session that has moved nothing, of which a test says the rest.
    pub(crate) fn plain(id: SessionId, start_ms: i64) -> Self {
        Self {
            id,
            start_ms,
            client: ([127, 0, 0, 1], 40_000).into(),
            user: "".into(),
            claimed_user: "".into(),
            target_host: "".into(),
            target_port: 0,
            resolved: None,
            command: None,
            decision: None,
            rule: "".into(),
            rule_id: None,
            shadow: None,
            policy_generation: 1,
            accepted: true,
            traffic: Traffic::default(),
            last_activity_ms: start_ms,
            stages: Stages::default(),
            client_tcp: None,
            upstream_tcp: None,
            detail: None,
            ending: None,
        }
    }
}
