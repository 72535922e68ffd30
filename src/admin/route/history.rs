//! The parameters of the history.

use super::query::Parameters;
use super::{LIMIT, LIMIT_MAX, Miss, ORDERS};
use crate::admin::page::HistoryCursor;
use crate::clock;
use crate::session::{Outcome, Status};
use crate::stats::{Filter, HistoryQuery, Order};

/// Which page of ended sessions, and what else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRequest {
    /// The page.
    pub query: HistoryQuery,
    /// Whether all that pass are to be counted.
    pub total: bool,
}

impl HistoryRequest {
    /// Of the user in the path, or of the one in the query if any.
    pub(super) fn take(parameters: &mut Parameters, user: Option<String>) -> Result<Self, Miss> {
        let user = match user {
            Some(user) => Some(user),
            None => parameters.text("user")?,
        };
        let codes = Outcome::ALL.map(|outcome| (outcome, outcome.close_code()));
        let filter = Filter {
            user,
            dest: parameters.dest()?,
            source: parameters.source()?,
            status: parameters.choice("status", &STATUSES)?,
            outcome: parameters.choice("close_code", &codes)?,
            since_ms: parameters.value("since", A_TIME, clock::moment)?,
            until_ms: parameters.value("until", A_TIME, clock::moment)?,
        };
        if let (Some(since), Some(until)) = (filter.since_ms, filter.until_ms)
            && until <= since
        {
            return Err(Miss::parameter("until", "must be later than `since`"));
        }
        let order = parameters.choice("order", &ORDERS)?.unwrap_or(Order::Descending);
        let cursor = parameters.value("cursor", "one that we gave", HistoryCursor::decode)?;
        if cursor.is_some_and(|cursor| cursor.order != order) {
            return Err(Miss::parameter("cursor", "is of another order"));
        }
        let limit = parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT);
        let after = cursor.map(|cursor| cursor.place);
        Ok(Self {
            query: HistoryQuery { filter, order, limit: limit as usize, after },
            total: parameters.choice("total", &SWITCH)?.unwrap_or(false),
        })
    }
}

/// Live sessions are no history.
pub(in crate::admin) const STATUSES: [(Status, &str); 3] = [
    (Status::Closed, Status::Closed.as_str()),
    (Status::Failed, Status::Failed.as_str()),
    (Status::RejectedByAcl, Status::RejectedByAcl.as_str()),
];
const SWITCH: [(bool, &str); 2] = [(true, "true"), (false, "false")];
/// In a query a plus is a space, so one that is meant must be encoded.
pub(super) const A_TIME: &str =
    "a date (2026-01-31) or a time of RFC 3339 (2026-01-31T08:00:00Z, or with %2B01:00 for Z)";
