//! One event loop per core. It performs what [`connection::Machine`](crate::connection::Machine)
//! decides, and carries payload by [`relay`](crate::relay); it never branches on the protocol and
//! never blocks.
//!
//! ```text
//! accept ─▶ Connection { Link::Front } ──Relay──▶ { Link::Relaying } ──RelayEnd──▶ close::settle
//!                │ RelayDatagrams ──▶ { Link::Associated } ──control connection ends──▶ settle
//!                │ Refuse / End                                                        │
//!                └──▶ close::settle ─▶ { Link::Parting }: last octets, reset ──▶ slot is free
//! ```
//!
//! Events only mark sockets and queue keys; work happens in [`Worker::run`]'s order and portions.
//! `settle` records the session, once; what is left afterwards is a socket or two that deliver
//! their last octets.
#![forbid(unsafe_code)]

mod accept;
mod binding;
mod close;
mod connection;
pub mod deadlines;
mod defects;
mod fellows;
mod front;
pub mod inbox;
mod kit;
mod letters;
mod parting;
pub mod passage;
mod ready;
mod refused;
mod relaying;
pub mod slots;
pub mod socket;
pub mod token;
mod udp;
mod udp_end;
mod udp_leaving;
mod udp_limits;
mod udp_portion;
mod udp_targets;
#[expect(clippy::module_inception, reason = "one noun per file, and this one is the folder's")]
mod worker;

pub use fellows::Fellow;
pub use worker::{Worker, WorkerParts};
