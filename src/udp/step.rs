//! What comes of a datagram of the client, and of an association that nothing came of.

use super::dropped::Dropped;
use super::named::Limit;
use crate::acl::{Permit, Ruling};
use crate::session::Outcome;
use crate::target::{HostName, Target};

/// What is to be done with a datagram of the client.
#[derive(Debug)]
pub enum Step<'a> {
    /// Send `payload` to the permitted address.
    Send {
        /// The address.
        permit: &'a Permit,
        /// What the client called it.
        target: &'a Target,
        /// What the rules said.
        ruling: &'a Ruling,
        /// The limit on bandwidth that its rule names, if it names one.
        limit: Option<Limit<'a>>,
        /// The octets to be sent.
        payload: &'a [u8],
        /// To be looked up beside that: the time of its addresses is over.
        beside: Option<Question>,
    },
    /// It is kept; this is to be looked up.
    Ask(Question),
    /// It is kept until the answer comes that was asked for before.
    Kept,
    /// Count it; nothing else is to be done.
    Drop(Dropped),
}

/// Look this name up, and hand in what comes out as the answer to `query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The number of the question, unique among those of the association that are unanswered.
    pub query: u32,
    /// The name.
    pub name: HostName,
}

/// Why nothing came of an association whose datagrams led nowhere: the first that a rule forbade, else
/// the first whose name led nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it was to go.
    pub target: Target,
    /// What the rules said, if it was they.
    pub ruling: Option<Ruling>,
    /// The policy that was in force.
    pub policy_generation: u64,
    /// How a session ends of which there is no more to say.
    pub outcome: Outcome,
}
