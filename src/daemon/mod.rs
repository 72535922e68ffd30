//! Where the parts meet: start, wait for signals, drain, stop. Nothing else in the house knows more
//! than its own floor and those below it.
//!
//! ```text
//! start ──▶ listeners ─▶ sandbox ─▶ lock, ledger, database ─▶ API ─▶ writer ─▶ workers ─▶ "ready"
//! drain ◀── signal: workers take nobody new, sessions end or are cut, journal closes,
//!           writer flushes, API stops, exit 0
//! ```
#![forbid(unsafe_code)]

mod access_log;
mod api;
#[cfg_attr(not(feature = "database"), path = "no_database.rs")]
mod claim;
mod crew;
mod drain;
mod egress;
mod host_files;
mod inspection;
mod limits;
mod low_ports;
mod names;
mod ownership;
mod passed;
mod proof;
mod pulse;
mod reach;
#[cfg(feature = "database")]
mod rebuild;
mod reload;
mod retired;
mod sandbox;
mod service;
mod signals;
mod start;
mod storage;
mod watch;
mod watched;

pub use inspection::{Finding, inspect};
pub use start::{Failure, own_listeners, run};
