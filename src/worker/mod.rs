//! One event loop per core.
#![forbid(unsafe_code)]

pub mod deadlines;
pub mod slots;
pub mod socket;
pub mod token;
