//! What a session is found and sorted by.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::facts::{Ending, Traffic};
use super::slot::Copied;
use super::{SessionId, Status};

/// A look at a copy of a session, without memory of its own: whoever walks past many of them makes a
/// [`SessionView`](super::SessionView) only of those that are wanted.
#[derive(Clone, Debug)]
pub struct Glance<'a> {
    /// The id.
    pub id: SessionId,
    /// When the client was accepted: milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// The client.
    pub client: SocketAddr,
    /// The authenticated name, or the name of the anonymous user.
    pub user: Cow<'a, str>,
    /// The host as the client asked for it; empty if it never got that far.
    pub target_host: Cow<'a, str>,
    /// The port that it asked for; 0 if it never got that far.
    pub target_port: u16,
    /// What it has moved so far.
    pub traffic: Traffic,
    /// How it ended; `None` while it lives.
    pub ending: Option<Ending>,
}

impl Glance<'_> {
    /// The word of the column `status`.
    #[must_use]
    pub fn status(&self) -> Status {
        self.ending.map_or(Status::Active, |ending| ending.outcome.status(ending.relayed))
    }
}

impl Copied {
    /// What it is found and sorted by.
    pub(crate) fn glance(&self) -> Glance<'_> {
        let [user, target_host, ..] = self.texts();
        Glance {
            id: self.id,
            start_ms: self.start_ms,
            client: self.client,
            user,
            target_host,
            target_port: self.target_port.unwrap_or(0),
            traffic: self.traffic,
            ending: self.ending,
        }
    }

    /// The user, the target, the claimed user, the rule.
    pub(super) fn texts(&self) -> [Cow<'_, str>; 4] {
        let mut at = 0;
        self.lengths.map(|length| {
            let end = (at + usize::from(length)).min(self.text.len());
            let octets = &self.text[at.min(end)..end];
            at = end;
            String::from_utf8_lossy(octets)
        })
    }
}
