//! Permission as a value: nothing is resolved without a [`RequestPermit`], and nothing is dialled
//! without a [`Permit`] for that very address. Only [`decide`](super::decide) can make one.

use std::net::{IpAddr, SocketAddr};

use super::ruling::Ruling;

/// The rules allow this request by what the client asked for.
#[derive(Clone, Debug)]
pub struct RequestPermit {
    pub(super) client: IpAddr,
    pub(super) port: u16,
    pub(super) ruling: Ruling,
}

impl RequestPermit {
    /// The decision behind it, for the record.
    #[must_use]
    pub const fn ruling(&self) -> &Ruling {
        &self.ruling
    }
}

/// The rules allow this very address to be dialled, once.
#[derive(Debug)]
pub struct Permit {
    pub(super) address: SocketAddr,
}

impl Permit {
    /// The address to dial.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}
