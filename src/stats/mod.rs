//! Numbers for readers. A worker counts in plain single-writer cells of its own; readers add the
//! workers up. Nothing here knows who asks.
#![forbid(unsafe_code)]

mod counters;
mod readiness;

pub use counters::{Count, Counters, DURATION_BOUNDS_MS, Durations};
pub use readiness::{Readiness, Stage};
