//! Names to addresses, without ever blocking a worker.
#![forbid(unsafe_code)]

mod order;

pub use order::{Addresses, LookupError};
