//! How much: what is counted across workers.
#![forbid(unsafe_code)]

mod admission;
mod bans;
mod turned_away;

pub use admission::{Admission, Seat};
pub use bans::{Ban, BanTerms, Bans, Check, MayCheck};
pub use turned_away::{ADDRESSES_MAX, Count, MINUTE, Noted, TurnedAway, Why};
