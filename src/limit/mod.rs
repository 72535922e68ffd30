//! How much: what is counted across workers.
//!
//! `terms` say what is limited and are part of the policy; `limits` counts, across policies. A connection
//! holds a `Stay` among those of its address and its user, and a session that is limited a `Throttle`,
//! made of the `Bucket`s and `Usage`s that it shares with others. What is not limited has none of these.
#![forbid(unsafe_code)]

mod admission;
mod bans;
mod block;
mod bucket;
mod counts;
mod former;
mod limits;
mod period;
mod proofs;
mod rates;
mod stay;
mod terms;
mod throttle;
mod turned_away;
mod usage;

pub use admission::{Admission, Seat};
pub use bans::{Asked, Ban, BanTerms, Bans, Check, MayCheck};
pub use bucket::{Bucket, Rate};
pub use limits::{LimitPolicy, Limits, News, QuotaState};
pub use period::Period;
pub use proofs::Proofs;
pub use stay::{Refusal, Stay, Stays};
pub use terms::{BandwidthTerms, LimitTerms, Per, QuotaTerms, Whom};
pub use throttle::{Exhausted, Throttle};
pub use turned_away::{ADDRESSES_MAX, Count, MINUTE, Noted, TurnedAway, Why};
pub use usage::{Counted, OCTETS_MAX, Subject, Usage};
