//! The writer thread: from the journal to whatever keeps rows. It knows no SQL: it commits through
//! [`Keep`], and without one it does everything but the commit.
//!
//! ```text
//! journal ─▶ Batch ─▶ Keep::commit ─▶ known, sums, ring ─▶ Ledger::free
//!              ▲           │ error: the batch is kept, the pause grows, /health says why
//!              └───────────┘
//! table ─▶ Sweep: every few seconds the long sessions that moved, a slice at a time
//! ```
//!
//! What is given up under pressure, in this order, and counted: checkpoints (half of the channel
//! waits), openings (three quarters, at the sender; or too many wait here). Endings never are: each
//! holds its slot of the ledger until it is committed.
#![forbid(unsafe_code)]

mod batch;
mod calendar;
mod keep;
mod known;
mod retry;
mod sweep;
mod witness;
#[expect(clippy::module_inception, reason = "one noun per file, and this one is the folder's")]
mod writer;

pub use batch::{BATCH_ROWS_MAX, Batch};
pub use keep::{Cleaned, Keep, KeepError, Tended};
pub use known::Known;
pub use witness::Witness;
pub use writer::{Options, Parts, Writer};
