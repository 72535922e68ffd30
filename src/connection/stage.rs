//! The stages of a machine; each owns what has a meaning only while it lasts.

use std::time::Instant;

use super::bind::Binding;
use super::dial::Attempts;
use super::negotiation::Negotiation;
use crate::acl::RequestPermit;

/// What begins once the success reply has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The relay of two streams.
    Relay,
    /// The relay of datagrams.
    RelayDatagrams,
}

/// Where a connection stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// A load balancer is to say first who the client is.
    Announcing { until: Instant },
    /// Methods, login and request are being read.
    Negotiating { handshake: Negotiation, until: Instant },
    /// A password is being checked.
    Verifying { handshake: Negotiation, asked: Instant, until: Instant },
    /// A name is being looked up, or only half of it is known and no rule allows that half.
    Resolving { permit: RequestPermit, asked: Instant, until: Instant },
    /// The session is being put into the table.
    Opening(Attempts),
    /// Addresses are being tried.
    Dialing(Attempts),
    /// A socket for datagrams is being made.
    Associating { until: Instant },
    /// A connection from the target is on its way.
    Binding(Box<Binding>),
    /// The success reply is leaving.
    Answering { until: Instant, then: Then },
    /// The machine is done. Also what stands here while a stage is moved, so that a defect in
    /// between ends the session and nothing else.
    Done,
}
