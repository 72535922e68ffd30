//! What has become known of an attempt, for its record.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::acl::Ruling;
use crate::auth::Identity;
use crate::session::{Opening, SessionId, Stages};
use crate::socks::Command;
use crate::target::Target;

/// What is known so far.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The client, where a load balancer announced it; else it is whoever connected.
    pub client: Option<SocketAddr>,
    /// Who the client is, once that is settled.
    pub identity: Option<Identity>,
    /// The name that a failed login claimed.
    pub claimed_user: Option<Box<str>>,
    /// What the client wants done, once it has said so.
    pub command: Option<Command>,
    /// Where to. An association has the target of its first datagram that was permitted.
    pub target: Option<Target>,
    /// What the rules said, once they were asked: of the address that was dialled last, or of the one
    /// that was reached.
    pub ruling: Option<Ruling>,
    /// When the rules were asked; what they say of hours is meant of then.
    pub judged_at: Option<Instant>,
    /// Whether the session was opened, with what was known by then.
    pub opened: bool,
    /// Whether the rules have said something else since it was opened.
    pub ruled_late: bool,
    /// The address that was dialled last, or the one that was reached.
    pub resolved: Option<IpAddr>,
    /// Time spent in each stage.
    pub stages: Stages,
    /// The policy that judged; it is the one of `ruling`, if there is one.
    pub policy_generation: u64,
    /// Whether the client has said anything at all.
    pub spoke: bool,
}

impl Facts {
    /// A policy of this generation has said this.
    pub(super) fn rule(&mut self, ruling: &Ruling, generation: u64) {
        if self.ruling.as_ref() == Some(ruling) && self.policy_generation == generation {
            return;
        }
        self.ruling = Some(ruling.clone());
        self.policy_generation = generation;
        self.ruled_late |= self.opened;
    }

    /// What was said about it, if that was by the policy of this generation.
    #[must_use]
    pub fn ruling_of(&self, generation: u64) -> Option<&Ruling> {
        self.ruling.as_ref().filter(|_| self.policy_generation == generation)
    }

    /// Calls `then` with these facts as the opening of a session: one that was `accepted` or not,
    /// of a connection that came from an address at a time in milliseconds since the epoch.
    pub fn as_opening<R>(
        &self,
        id: SessionId,
        accepted: bool,
        (connected, start_ms): (SocketAddr, i64),
        anonymous: &Identity,
        then: impl FnOnce(&Opening<'_>) -> R,
    ) -> R {
        let user = self.identity.as_ref().unwrap_or(anonymous).user();
        let target = self.target.as_ref().map(Target::canonical);
        let host = target.as_deref().map(HostText::of);
        then(&Opening {
            id,
            start_ms,
            client: self.client.unwrap_or(connected),
            user,
            claimed_user: self.claimed_user.as_deref(),
            target: host.as_ref().zip(target.as_deref()).map(|(host, t)| (host.as_str(), t.port)),
            command: self.command,
            ruling: self.ruling.as_ref(),
            policy_generation: self.policy_generation,
            accepted,
        })
    }
}

/// A host's text: a name as it is, an address written into a small buffer of its own.
enum HostText<'a> {
    Name(&'a str),
    Address(String),
}

impl<'a> HostText<'a> {
    fn of(target: &'a Target) -> Self {
        match target.host.name() {
            Some(name) => Self::Name(name.as_str()),
            None => Self::Address(target.host.to_string()),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Address(text) => text,
        }
    }
}
