//! UDP ASSOCIATE (RFC 1928 §7): what becomes of each datagram of an association. Pure: no socket, no
//! clock.
//!
//! ```text
//! client ──▶ right sender? ─▶ header ─▶ route of its target ─▶ Step::Send, with a permit
//!                                        │ a new one: judged by the rules, a name is asked for
//!                                        └ known: found by the octets of its header
//! client ◀── header in front ◀── host was written to? ◀── target
//! ```
//!
//! A datagram to a name that is being looked up waits here; those to other targets pass it by. Once its
//! address is known none waits: the name is looked up again beside its datagrams.
#![forbid(unsafe_code)]

mod association;
mod dropped;
mod lookups;
mod named;
mod peers;
mod routes;
mod sender;
mod step;
mod waiting;

pub use association::Association;
pub use dropped::Dropped;
pub use named::Limit;
pub use step::{Question, Refusal, Step};
