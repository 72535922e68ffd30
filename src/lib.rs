//! rustsocks: the SOCKS proxy whose accounting you can bill on.
//!
//! ```text
//!              ┌──────── daemon (main thread: signals, drain) ────────┐
//!              │ Letter::Drain / Policy                               │
//!              ▼                                                      ▼
//!  ┌──────────────────┐  Entry (&'static Session, kind)  ┌────────┐ batch ┌────────┐
//!  │ worker 0 … N-1   │ ───────────────────────────────▶ │ writer │ ────▶ │ SQLite │
//!  │ one mio Poll     │    bounded crossbeam channel     └────┬───┘       └───▲────┘
//!  │ own listener     │                                       │ sums          │ read only
//!  │ own slots        │   table shard k (own)                 ▼               │
//!  │ own counters     │ ◀─── pages of references ──── admin: gate, tiny_http, sampler
//!  └────┬─────────▲───┘
//!   Job │         │ Letter::Resolved / Verdict
//!       ▼         │
//!  ┌──────────────┴───┐
//!  │ offload: hashes, │
//!  │ getaddrinfo      │
//!  └──────────────────┘
//! ```
//!
//! A pure machine decides, a thin worker performs, bytes go past the machine and never through it.
//! One way into a worker (mailbox), one way out (journal), one function where a connection ends.
//! Imports point down the floors; `tests/tidy.rs` reads the source and says no.

// Floor 0: vocabulary.
pub mod clock;
pub mod key;
pub mod linux;
pub mod target;

// Floor 1: protocol and policy, pure.
pub mod acl;
pub mod auth;
pub mod egress;
pub mod http;
pub mod limit;
pub mod proxy_protocol;
pub mod session;
pub mod socks;

// Floor 2: assembled parts.
pub mod access_log;
pub mod config;
pub mod connection;
pub mod mailbox;
pub mod policy;
pub mod relay;
pub mod resolve;
pub mod stats;
pub mod udp;

// Floor 3: threads.
pub mod admin;
pub mod offload;
#[cfg(feature = "database")]
pub mod store;
pub mod worker;
pub mod writer;

// Floor 4: composition.
pub mod cli;
pub mod daemon;
