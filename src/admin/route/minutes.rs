//! The parameters of the minutes.

use super::Miss;
use super::history::A_TIME;
use super::query::Parameters;
use crate::clock;

/// Which minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinutesQuery {
    /// That began at this time or later, milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// That began before this time, milliseconds since the epoch.
    pub until_ms: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

impl MinutesQuery {
    pub(super) fn take(parameters: &mut Parameters) -> Result<Self, Miss> {
        let since_ms = parameters.value("since", A_TIME, clock::moment)?;
        let until_ms = parameters.value("until", A_TIME, clock::moment)?;
        if let (Some(since), Some(until)) = (since_ms, until_ms)
            && until <= since
        {
            return Err(Miss::parameter("until", "must be later than `since`"));
        }
        let limit = parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_MAX);
        Ok(Self { since_ms, until_ms, limit })
    }
}

/// Minutes of one page at most: a day's.
pub(in crate::admin) const LIMIT_MAX: u32 = 1440;
