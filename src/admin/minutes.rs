//! `GET /api/metrics/history`: what passed in each minute, as it moved. The running minute is there
//! as far as it has come.

use serde::Serialize;

use super::api::Api;
use super::reply::ApiReply;
use super::route::MinutesQuery;
use crate::clock;
use crate::stats::MinuteRecord;

#[derive(Serialize)]
struct Page {
    /// Oldest first. A minute that is not there is one in which nothing ran.
    data: Vec<MinuteRecord>,
    /// The `since` of the next page; `null` when nothing is left.
    next_since: Option<String>,
}

impl Api {
    pub(super) fn minutes(&self, query: &MinutesQuery) -> ApiReply {
        let now = clock::utc_ms();
        let until = query.until_ms.unwrap_or(now);
        let since = query.since_ms.unwrap_or(until - SPAN_MS);
        // One more than the page has, to know whether it is the last.
        let limit = query.limit as usize;
        let found = match &self.history {
            Some(history) => history.minutes(since, until, limit + 1),
            // Minutes say nothing about single sessions.
            None => Ok(self.minutes.between(since, until, limit + 1)),
        };
        match found {
            Ok(mut data) => {
                let next_since = data.get(limit).map(|next| next.minute.clone());
                data.truncate(limit);
                ApiReply::json(&Page { data, next_since })
            }
            Err(unavailable) => self.unavailable(&unavailable),
        }
    }
}

/// The span that is answered when no beginning is named: a day.
const SPAN_MS: i64 = 24 * 3_600_000;
