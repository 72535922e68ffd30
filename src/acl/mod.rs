//! Who may reach what. Pure: no socket, no clock.
//!
//! The only way to a [`Permit`], and so to a dialled address, is through [`Acl::on_request`] and
//! then [`Acl::on_address`] for that very address: first the target as the client named it, then
//! each address that the name turned out to have.
#![forbid(unsafe_code)]

mod decide;
mod guard;
mod permit;
mod ruling;

pub use decide::{Acl, Denial};
pub use guard::{Guard, OwnListeners};
pub use permit::{Permit, RequestPermit};
pub use ruling::{Decision, Ruling};
