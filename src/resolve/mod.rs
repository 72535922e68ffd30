//! Names to addresses, without ever blocking a worker.
//!
//! ```text
//!            ask(name, asker)                        drain() -> Answered { key, query, answer, more }
//!  worker ──────────────────▶ Resolver ─────────────────────────────────────────────────▶ worker
//!                              ├─ Hosts: the configuration and the hosts file: answers at once
//!                              ├─ Cache: recent answers and misses
//!                              └─ Source, for A and AAAA apart:
//!                                  ├─ Cares: sockets on the worker's own poll
//!                                  └─ System: getaddrinfo in the pool
//! ```
//!
//! Every answer, also one that is known at once, comes out of `drain`: nothing here ever calls back
//! into a connection. An answer may come after its asker has gone, so it carries who asked
//! ([`Key`](crate::key::Key)) and which of its questions it was. This folder never reads a file in
//! a worker, and knows neither connections nor rules: what a name resolves to is judged elsewhere.
#![forbid(unsafe_code)]

mod cache;
#[cfg(feature = "dns-cares")]
mod cares;
mod host_files;
mod hosts;
mod options;
mod order;
mod resolver;
mod shares;
mod system;
mod tally;

#[cfg(feature = "dns-cares")]
pub use cares::{Cares, NoResolver};
pub use host_files::{HostFiles, ResolvConf, SERVERS_MAX};
pub use hosts::Hosts;
pub use options::{Local, ResolverOptions};
pub use order::{ADDRESSES_MAX, Addresses, Family, LookupError, Record, alternate, interleave};
pub use resolver::{Answered, Asker, IN_FLIGHT_MAX, LookupId, RESOLUTION_DELAY, Resolver, Source};
pub use system::{Submit, System, look_up};
pub use tally::{Finding, Origin, Tally};
