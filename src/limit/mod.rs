//! How much: what is counted across workers.
#![forbid(unsafe_code)]

mod admission;
mod turned_away;

pub use admission::{Admission, Seat};
pub use turned_away::{ADDRESSES_MAX, Count, MINUTE, Noted, TurnedAway};
