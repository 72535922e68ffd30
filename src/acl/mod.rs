//! Who may reach what. Pure: no socket.
//!
//! The only way to a [`Permit`], and so to a dialled address, is through [`Acl::on_request`] and
//! then [`Acl::on_address`] for that very address: first the target as the client named it, then
//! each address that the name turned out to have.
//!
//! ```text
//! rule file ─▶ Rule … ─▶ Rules: sorted by the order of trying ─▶ Index: by people, then by target
//! request ─▶ Query ─▶ Index: a few sorted lists ─▶ met one by one ─▶ the first that holds ─▶ Ruling
//!                                                       └─▶ Observer: nothing, or a Trace
//! ```
#![forbid(unsafe_code)]

mod command;
mod decide;
mod difference;
mod embedded;
mod explain;
mod guard;
mod hours;
mod index;
mod open;
mod pattern;
mod permit;
mod ports;
mod rule;
mod rules;
mod ruling;
mod tally;

pub use decide::{Acl, Denial};
pub use explain::{Explained, Explanation, Step, StepResult};
pub use guard::{Forbidden, Guard, LocalAddresses, OwnListeners};
pub use hours::Hours;
pub use index::{Crowd, Likeness};
pub use open::Opening;
pub use pattern::Pattern;
pub use permit::{Permit, RequestPermit};
pub use ports::Ports;
pub use rule::{Action, Destination, Mention, Rule, TEXT_OCTETS_MAX, Who, normal_net, normal_nets};
pub use rules::{Rules, RulesBeside};
pub use ruling::{Decision, Ruling};
pub use tally::RuleHits;
