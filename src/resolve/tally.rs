//! What one resolver counts. It only ever adds up; whoever shows the numbers reads them from here.

use super::order::{Addresses, LookupError};

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Origin {
    /// The configuration, the hosts file, or what is so by definition.
    Fixed,
    /// An answer of before.
    Cache,
    /// A question of another session that was under way.
    Joined,
    /// A question of its own.
    Asked,
    /// Nowhere: a bound was reached.
    Refused,
}

impl Origin {
    /// Every origin, in the order of its number.
    pub const ALL: [Self; 5] = [Self::Fixed, Self::Cache, Self::Joined, Self::Asked, Self::Refused];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Cache => "cache",
            Self::Joined => "joined",
            Self::Asked => "asked",
            Self::Refused => "refused",
        }
    }
}

/// What an answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Finding {
    /// Addresses.
    Found,
    /// That there are none.
    NotFound,
    /// That no server answered in time.
    TimedOut,
    /// That the servers failed.
    Failed,
    /// That the worker has too many look-ups in flight.
    Overloaded,
    /// That the client has.
    ClientOverloaded,
}

impl Finding {
    /// Every finding, in the order of its number.
    pub const ALL: [Self; 6] = [
        Self::Found,
        Self::NotFound,
        Self::TimedOut,
        Self::Failed,
        Self::Overloaded,
        Self::ClientOverloaded,
    ];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::Overloaded => "overloaded",
            Self::ClientOverloaded => "client_overloaded",
        }
    }

    pub(super) const fn of(answer: &Result<Addresses, LookupError>) -> Self {
        match answer {
            Ok(_) => Self::Found,
            Err(LookupError::NotFound) => Self::NotFound,
            Err(LookupError::TimedOut) => Self::TimedOut,
            Err(LookupError::Failed) => Self::Failed,
            Err(LookupError::Overloaded) => Self::Overloaded,
            Err(LookupError::ClientOverloaded) => Self::ClientOverloaded,
        }
    }
}

/// What one resolver counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Look-ups of sessions, by where their answer came from, in the order of [`Origin::ALL`].
    pub origins: [u64; Origin::ALL.len()],
    /// Look-ups of sessions that were answered, by the first answer, in the order of
    /// [`Finding::ALL`].
    pub findings: [u64; Finding::ALL.len()],
    /// Sessions that went on with one family while the other was still being asked for.
    pub unawaited: u64,
    /// Names that had to leave the cache before their time.
    pub evicted: u64,
    /// Names in the cache now.
    pub cached: u64,
    /// Look-ups of sessions that have no answer yet, or half of one.
    pub in_flight: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_at_its_number() {
        for (index, origin) in Origin::ALL.into_iter().enumerate() {
            assert_eq!(origin as usize, index);
        }
        for (index, finding) in Finding::ALL.into_iter().enumerate() {
            assert_eq!(finding as usize, index);
        }
    }
}
