//! The port of a client that an association is pinned to.

use std::net::SocketAddr;

/// From which port the client sends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sender {
    /// From any: the first datagram tells.
    Any,
    /// From the one that it declared; nothing has come yet.
    Declared(u16),
    /// From this one.
    Known(SocketAddr),
}

impl Sender {
    /// Whether what came from here may be the client's, as far as the port and the link tell.
    pub(super) const fn may_be(self, source: SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Declared(port) => source.port() == port,
            Self::Known(sender) => source.port() == sender.port() && scope(source) == scope(sender),
        }
    }
}

/// The link that an address is meant on, where it needs one.
const fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}
