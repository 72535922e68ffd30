//! What is known and remembered of one attempt of one client to reach one target.
//!
//! It does not know how it is stored, nor what a socket or a protocol octet is.
//!
//! ```text
//!  worker                                    writer                     readers (API, metrics)
//!  Share::open ─▶ slot: free → open ──Entry::Opened──▶ row 'active'
//!  publish     ─▶ counters (relaxed stores)  ◀────────────────────────── Table page → Ledger::view
//!  Share::settle ▶ slot: settled ────Entry::Closed──▶ row final
//!  (takes back) ◀── slot: free ◀── Ledger::free ───────┘
//! ```
//!
//! A slot of the [`ledger`](Ledger) *is* the session: facts, counters, ending and text in 512
//! octets. The [`Table`] only lists the live ones, a shard per worker; payload never touches it.
#![forbid(unsafe_code)]

// For head.rs alone, so that its test can put loom's in their place.
use std::sync::atomic;

mod detail;
mod ended;
mod facts;
mod glance;
mod head;
mod id;
mod journal;
mod ledger;
mod ledger_file;
mod outcome;
mod slot;
mod table;
mod view;
mod wreck;

pub use detail::Detail;
pub use facts::{Command, Decision, Ending, Opening, Stages, Traffic};
pub use glance::Glance;
pub use id::{IdSource, SessionId};
pub use journal::{CHANNEL_ENTRIES_MAX, Entry, Journal, Kind, journal};
pub use ledger::{Chunk, Full, Ledger, SLOTS_PER_CHUNK, SessionSlot, Share};
pub use ledger_file::{DatabaseIdentity, LedgerFile};
pub use outcome::{Level, Outcome, Status};
pub(crate) use slot::Copied;
pub use slot::{Session, SessionRef};
pub use table::{Listed, PAGE_SESSIONS_MAX, Table};
pub use view::SessionView;
pub use wreck::{Found, SetAside, Wreck};
