//! The access log: one line for each session that has ended, to a file, to stderr or to the journal.
//!
//! ```text
//!  writer ── try_send ──▶ bounded queue ──▶ scribe: a thread of its own ──▶ pen: file, stderr, journal
//! ```
//!
//! Nobody waits for it: what finds no room in the queue, or cannot be written, is counted and gone; the
//! record in the database is another matter. It does not know how sessions are stored.
#![forbid(unsafe_code)]

mod format;
mod pen;
mod scribe;

pub use format::{BadFormat, Format};
pub use pen::Place;
pub use scribe::{AccessLog, AccessTally, Scribe};
