//! What is said of a session: when it opens, while it lasts, and when it ends.

use std::net::SocketAddr;

use super::SessionId;
use super::outcome::Outcome;
pub use crate::acl::Decision;
use crate::acl::Ruling;
pub use crate::socks::Command;

/// The facts that are fixed when a session is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The id.
    pub id: SessionId,
    /// When the client was accepted: milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// The client; IPv4-mapped addresses already unwrapped.
    pub client: SocketAddr,
    /// The authenticated name, or the name of the anonymous user; at most 255 octets count.
    pub user: &'a str,
    /// The name that a failed login claimed; at most 255 octets count.
    pub claimed_user: Option<&'a str>,
    /// Host and port as the client asked for them; `None` if it never got that far.
    pub target: Option<(&'a str, u16)>,
    /// What was asked for, if anything was.
    pub command: Option<Command>,
    /// What the rules said, if they were asked; at most 255 octets of the rule count.
    pub ruling: Option<&'a Ruling>,
    /// The policy under which it was judged.
    pub policy_generation: u64,
    /// Whether it was given its permit, and so counts as an accepted session.
    pub accepted: bool,
}

/// Microseconds spent in each stage that happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// From the credentials' arrival to the verdict.
    pub auth_us: Option<u32>,
    /// From the question to the addresses.
    pub resolve_us: Option<u32>,
    /// From the first dial to the connection, or until no more was tried.
    pub connect_us: Option<u32>,
    /// From the success reply to the target's first octet.
    pub first_byte_us: Option<u32>,
}

/// Octets and transfers that the receiving socket accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Octets, client to target.
    pub bytes_sent: u64,
    /// Octets, target to client.
    pub bytes_received: u64,
    /// Transfers, client to target.
    pub packets_sent: u64,
    /// Transfers, target to client.
    pub packets_received: u64,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub outcome: Outcome,
    /// Whether it had relayed.
    pub relayed: bool,
    /// Monotonic time since accept, milliseconds.
    pub duration_ms: u64,
}

#[cfg(test)]
impl Opening<'static> {
    /// An accepted session of which a test says the rest, or nothing.
    pub(crate) fn plain(id: SessionId) -> Self {
        Self {
            id,
            start_ms: 0,
            client: ([127, 0, 0, 1], 40_000).into(),
            user: "anonymous",
            claimed_user: None,
            target: Some(("example.com", 443)),
            command: None,
            ruling: None,
            policy_generation: 1,
            accepted: true,
        }
    }
}
