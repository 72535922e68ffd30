//! How much: what is counted across workers.
#![forbid(unsafe_code)]

mod admission;

pub use admission::{Admission, Seat};
