//! What a look-up that led nowhere means for an association and its datagrams.

use super::dropped::Dropped;
use crate::resolve::LookupError;
use crate::session::Outcome;

/// How an association ends of which there is no more to say: as a connection to that name would.
pub(super) const fn lookup_outcome(error: LookupError) -> Outcome {
    match error {
        LookupError::NotFound => Outcome::NameNotFound,
        LookupError::Failed => Outcome::NameLookupFailed,
        LookupError::TimedOut => Outcome::ConnectTimeout,
        LookupError::Overloaded => Outcome::ServerBusy,
        LookupError::ClientOverloaded => Outcome::OverLimit,
    }
}

/// Why its datagrams are dropped.
pub(super) const fn lookup_dropped(error: LookupError) -> Dropped {
    match error {
        LookupError::NotFound | LookupError::Failed | LookupError::TimedOut => Dropped::NameFailed,
        LookupError::Overloaded | LookupError::ClientOverloaded => Dropped::LookupsFull,
    }
}
