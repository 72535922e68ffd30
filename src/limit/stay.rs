//! The places that one connection holds among those of its address and of its user.

use std::net::IpAddr;
use std::sync::Arc;

use super::limits::{LimitPolicy, Limits};
use crate::auth::Identity;

/// Places; given back when dropped.
#[derive(Debug)]
pub struct Stay {
    pub(super) limits: Arc<Limits>,
    /// The block of the address among whose connections this one is.
    pub(super) address: Option<IpAddr>,
    /// The user among whose sessions this one is.
    pub(super) user: Option<Box<str>>,
}

/// All places of one connection.
#[derive(Debug, Default)]
pub struct Stays {
    /// Among the connections of its address.
    pub door: Option<Box<Stay>>,
    /// Among the sessions of its user.
    pub session: Option<Box<Stay>>,
}

impl Stays {
    /// Takes over what another part of the connection has held.
    pub fn add(&mut self, other: Self) {
        let Self { door, session } = other;
        self.door = self.door.take().or(door);
        self.session = self.session.take().or(session);
    }

    /// Takes the places that it has not, because they were not counted before.
    pub fn renew(&mut self, policy: &LimitPolicy, client: IpAddr, identity: &Identity) {
        if self.door.is_none() {
            self.door = policy.counted_at_door(client);
        }
        if self.session.is_none() {
            self.session = policy.counted(identity);
        }
    }
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The address has as many connections as it may.
    AddressConnections,
    /// The address opens connections too fast.
    AddressRate,
    /// The user has as many sessions as he may.
    UserSessions,
    /// A quota of the user is used up.
    Quota,
}

impl Refusal {
    /// Every one, in the order of its number.
    pub const ALL: [Self; 4] =
        [Self::AddressConnections, Self::AddressRate, Self::UserSessions, Self::Quota];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddressConnections => "connections_per_address",
            Self::AddressRate => "connection_rate_per_address",
            Self::UserSessions => "connections_per_user",
            Self::Quota => "quota",
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.limits.leave(self.address, self.user.as_deref());
    }
}
