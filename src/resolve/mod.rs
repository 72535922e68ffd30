//! Names to addresses, without ever blocking a worker.
//!
//! ```text
//!              ask(name, key, query)                    drain() -> Answered { key, query, answer }
//!  worker ───────────────────────────▶ Resolver ──────────────────────────────────────▶ worker
//!                                       ├─ hosts file, read by the daemon: answers at once
//!                                       ├─ Cares: sockets on the worker's own poll
//!                                       └─ System: getaddrinfo in the pool, a small cache before it
//! ```
//!
//! Every answer, also one that is known at once, comes out of `drain`: nothing here ever calls back
//! into a connection. An answer may come after its asker has gone, so it carries who asked
//! ([`Key`](crate::key::Key)) and which of its questions it was. This folder never reads a file in
//! a worker, and knows neither connections nor rules: what a name resolves to is judged elsewhere.
#![forbid(unsafe_code)]

#[cfg(feature = "dns-cares")]
mod cares;
mod host_files;
mod hosts;
mod options;
mod order;
mod resolver;
mod system;

#[cfg(feature = "dns-cares")]
pub use cares::{Cares, NoResolver};
pub use host_files::{HostFiles, ResolvConf, SERVERS_MAX};
pub use hosts::Hosts;
pub use options::ResolverOptions;
pub use order::{ADDRESSES_MAX, Addresses, Family, LookupError, interleave};
pub use resolver::{Answered, IN_FLIGHT_MAX, Resolver};
pub use system::{Submit, System, look_up};
