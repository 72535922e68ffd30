//! Everything that a machine can ask for; exactly one for each input.

use std::net::IpAddr;

use super::dial::Attempt;
use crate::acl::Permit;
use crate::auth::Credentials;
use crate::session::Outcome;
use crate::target::HostName;

/// What the worker is to do.
#[derive(Debug)]
pub enum Next {
    /// Hand over octets of the client when there are new ones.
    Read,
    /// Wait for the answer to something asked before.
    Wait,
    /// Send the outbox, then say `Flushed`.
    Flush,
    /// Check a password, then say `Verdict`.
    Verify(Credentials),
    /// Look a name up, then say `Resolved`.
    Resolve(HostName),
    /// Put the session into the table with the facts known now, then say `Opened`.
    Open,
    /// Dial an address, then say `Connected` or `Unreachable`.
    Dial {
        /// The name of this attempt; one of that name which is still pending is dropped.
        attempt: Attempt,
        /// The permission, with the address.
        permit: Permit,
    },
    /// Make a socket for the client's datagrams, then say `Associated` or `NoSocket`.
    Associate {
        /// The port that the client will send from; 0 if it has not said.
        declared: u16,
    },
    /// Listen for a peer at the address from which we would reach `towards`, else at the one that the
    /// client reached us at, then say `Listening` or `NoSocket`, and `Accepted` for each peer.
    Listen {
        /// A host that is expected, if any is.
        towards: Option<IpAddr>,
    },
    /// Close the connection of the peer that has come, and listen on.
    TurnAway,
    /// Carry datagrams between that socket and the targets. The machine is done.
    RelayDatagrams,
    /// Join the two sockets; what is left of the client's octets is payload. The machine is done.
    Relay,
    /// Record this ending, deliver the outbox, then close. The machine is done.
    Refuse(Outcome),
    /// Record this ending and close at once. The machine is done.
    End(Outcome),
}
