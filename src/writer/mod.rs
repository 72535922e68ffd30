//! The writer thread: from the journal to whatever keeps rows. It knows no SQL: it commits through
//! [`Keep`], and without one it does everything but the commit.
//!
//! ```text
//! journal ─▶ Batch ─▶ Keep::commit ─▶ sums, ring ─▶ Ledger::free
//!              ▲           │ error: the batch is kept, the pause grows, /health says why
//!              └───────────┘
//! table ─▶ checkpoint of long sessions every few seconds, only of those that moved
//! ```
#![forbid(unsafe_code)]

mod batch;
mod keep;
#[expect(clippy::module_inception, reason = "one noun per file, and this one is the folder's")]
mod writer;

pub use batch::{BATCH_ROWS_MAX, Batch};
pub use keep::{Keep, KeepError};
pub use writer::{Options, Parts, Writer};
