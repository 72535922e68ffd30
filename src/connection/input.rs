//! Everything that can happen to a connection before its relay.

use std::net::SocketAddr;

use super::dial::{Attempt, ConnectError};
use crate::auth::Verdict;
use crate::resolve::{Addresses, LookupError};
use crate::session::Outcome;

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The octets that the client has sent and the machine has not used yet.
    Bytes(&'a [u8]),
    /// The client closed its sending side, and what the machine wants to see it has seen.
    Eof {
        /// Whether the client has sent anything that is still unused: its request behind a login,
        /// or payload behind the request.
        early: bool,
    },
    /// The connection to the client broke.
    Gone(Outcome),
    /// The outbox is empty.
    Flushed,
    /// The session is in the table.
    Opened,
    /// The answer to `Next::Verify`.
    Verdict(Verdict),
    /// The answer to `Next::Resolve`.
    Resolved {
        /// What is known of the name.
        answer: Result<Addresses, LookupError>,
        /// The same input will come again, with what is known then: one family is still being asked
        /// for.
        more: bool,
    },
    /// An attempt succeeded.
    Connected {
        /// Which.
        attempt: Attempt,
        /// The address that it reached.
        reached: SocketAddr,
        /// Our address towards the target: BND.ADDR and BND.PORT of the reply.
        local: SocketAddr,
    },
    /// An attempt failed.
    Unreachable {
        /// Which.
        attempt: Attempt,
        /// How.
        error: ConnectError,
    },
    /// There is a socket for the client's datagrams, at this address.
    Associated(SocketAddr),
    /// There is a listener for the peer, at this address.
    Listening(SocketAddr),
    /// A peer has come, from this address.
    Accepted(SocketAddr),
    /// There is none, and why: no route to the host that is expected, no descriptor, no port.
    NoSocket(ConnectError),
    /// The machine's deadline has come.
    Deadline,
}
