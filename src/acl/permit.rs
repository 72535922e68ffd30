//! Permission as a value: nothing is resolved without a [`RequestPermit`], and nothing is dialled
//! without a [`Permit`] for that very address. Only [`decide`](super::decide) can make one.

use std::net::{IpAddr, SocketAddr};

use super::ruling::Ruling;
use crate::auth::Identity;
use crate::socks::Command;
use crate::target::HostName;

/// The rules do not forbid this request by what the client asked for.
#[derive(Clone, Debug)]
pub struct RequestPermit {
    pub(super) client: IpAddr,
    pub(super) port: u16,
    /// `None` when it depends on the address.
    pub(super) ruling: Option<Ruling>,
    /// What addresses are judged by, beside what they are; `None` when there are no rules.
    pub(super) asked: Option<Asked>,
}

/// Who asked for what.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) identity: Identity,
    pub(super) command: Command,
    pub(super) host: AskedHost,
    pub(super) minute: u16,
}

/// How the target was named.
#[derive(Clone, Debug)]
pub(super) enum AskedHost {
    Name(HostName),
    /// By its address, which has been judged; mapped ones unwrapped.
    Address(IpAddr),
}

impl RequestPermit {
    /// The decision behind it, for the record; `None` when there is none before an address is known.
    #[must_use]
    pub const fn ruling(&self) -> Option<&Ruling> {
        self.ruling.as_ref()
    }
}

/// The rules allow this very address to be dialled, once.
#[derive(Debug)]
pub struct Permit {
    pub(super) address: SocketAddr,
    pub(super) ruling: Ruling,
}

impl Permit {
    /// The address to dial.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The decision behind it, for the record.
    #[must_use]
    pub const fn ruling(&self) -> &Ruling {
        &self.ruling
    }
}
