//! Which way sockets towards targets leave this host: from which address, by which interface, with
//! which mark.
//!
//! ```text
//!  Egress (as configured) ─▶ Egresses: one for all, others for some users and groups
//!                                │ outlet(user, client), once for each session
//!                                ▼
//!                            Outlet ── towards(target) ──▶ what to bind the socket to, or no way
//! ```
//!
//! This folder decides and touches no socket. It knows no rules: where a rule is to choose the way,
//! it is named by the rule and looked up here.
#![forbid(unsafe_code)]

mod configured;
mod egresses;
mod outlet;

pub use configured::{Egress, Named, Spread};
pub use egresses::Egresses;
pub use outlet::Outlet;
