//! The HTTP API: what readers see of sessions, sums and health. It knows no worker and no SQL.
//!
//! ```text
//!             TCP                        Unix socket, directory of mode 0700
//!  client ──────────▶ gate ──────────────────────▶ tiny_http ──▶ handlers (4 threads)
//!                     one thread, one Poll:                       panics caught
//!                     caps, deadlines, head and body      ◀── whole answer, ≤ 4 MiB
//!                     limits, Host and Origin
//!                    and all that listens to events
//! ```
//!
//! tiny_http never owns a socket that a client can reach: an absurd `Content-Length` makes it
//! abort the process, a silent or slow peer holds a thread for ever, a lack of descriptors ends
//! its accept thread. So the gate takes one request, whole and bounded, hands a rewritten copy of
//! it inwards, takes the whole answer, and writes it to the client at the client's pace.
#![forbid(unsafe_code)]

mod access;
mod api;
mod bans;
mod dashboard;
mod events;
mod gate;
mod health;
mod history;
mod leftovers;
mod link;
mod minutes;
mod openapi;
mod page;
mod policy;
#[cfg(feature = "metrics")]
mod prometheus;
mod quotas;
mod reply;
mod request;
mod resources;
mod route;
mod server;
mod sessions;
mod socket;
mod statistics;
mod terminate;
mod token_file;

pub use access::{Access, Denied, Hosts, Need, Token};
pub use api::Api;
pub use dashboard::Asset;
pub use events::{EventsQuery, Topic};
pub use gate::{GateCounters, Limits, Refusal, head};
pub use page::{BanCursor, Cursor, HistoryCursor, QuotaCursor, Sort, SortKey};
pub use policy::{NotReloaded, Reload, Reloaded};
#[cfg(feature = "metrics")]
pub use prometheus::{Exposition, Sources};
pub use reply::ApiReply;
pub use request::{ApiRequest, Method};
pub use route::{
    ActiveQuery, BansQuery, Bounds, HistoryRequest, MinutesQuery, Miss, Pace, QuotasQuery, Route,
    RulesQuery, StatsQuery,
};
pub use server::{Admin, Handler, Options, Service};
pub use terminate::Posts;
pub use token_file::TokenError;

#[cfg(test)]
mod tests;
