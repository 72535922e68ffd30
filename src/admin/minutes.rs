//! `GET /api/metrics/history`: what passed in each minute, as it moved. The running minute is there
//! as far as it has come.

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::reply::ApiReply;
use super::request::ApiRequest;
use super::route::MinutesQuery;
use crate::clock;
use crate::stats::MinuteRecord;

/// A page of minutes.
#[derive(Serialize, ToSchema)]
pub(super) struct MinutesPage {
    /// Oldest first. A minute that is not there is one in which nothing ran.
    data: Vec<MinuteRecord>,
    /// The `since` of the next page; `null` when nothing is left.
    #[schema(required)]
    next_since: Option<String>,
}

impl Api {
    pub(super) fn minutes(&self, request: &ApiRequest, query: &MinutesQuery) -> ApiReply {
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
                let next = next_since.clone();
                ApiReply::json(&MinutesPage { data, next_since }).with_next(
                    request,
                    "since",
                    next.as_deref(),
                )
            }
            Err(unavailable) => self.unavailable(&unavailable),
        }
    }
}

/// The span that is answered when no beginning is named: a day.
const SPAN_MS: i64 = 24 * 3_600_000;
