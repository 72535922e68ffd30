//! `/api/quotas`: what has been used of each quota in its running period.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::page::QuotaCursor;
use super::reply::ApiReply;
use super::request::ApiRequest;
use super::route::QuotasQuery;
use crate::clock;
use crate::limit::QuotaState;
use crate::stats::{Best, Order};

/// Quotas.
#[derive(Serialize, ToSchema)]
pub(super) struct Quotas {
    /// By name, then by user.
    data: Vec<OneQuota>,
    /// Where to go on; `null` when nothing is left.
    #[schema(required)]
    next_cursor: Option<String>,
    /// All that there are, or that the user has.
    total: usize,
}

/// One quota in its running period.
#[derive(Serialize, ToSchema)]
struct OneQuota {
    /// Its name in the configuration.
    quota: String,
    /// Whose; null where all have it together.
    user: Option<String>,
    /// `hour`, `day`, `week` or `month`.
    period: &'static str,
    /// What counts: `upload`, `download` or `both`.
    direction: &'static str,
    /// When the period began, RFC 3339.
    #[schema(format = DateTime)]
    period_start: String,
    /// When it ends, RFC 3339.
    #[schema(format = DateTime)]
    period_end: String,
    /// How much there may be.
    limit_bytes: u64,
    /// From where on it is told of.
    warn_bytes: u64,
    /// How much there was.
    used_bytes: u64,
    /// How much is left.
    remaining_bytes: u64,
    /// What happens when it is used up: `cut` or `throttle`.
    action: &'static str,
    /// `ok`, `warned` or `exhausted`.
    state: &'static str,
}

impl From<QuotaState> for OneQuota {
    fn from(quota: QuotaState) -> Self {
        let state = match (quota.is_exhausted(), quota.is_warned()) {
            (true, _) => "exhausted",
            (false, true) => "warned",
            (false, false) => "ok",
        };
        let QuotaState { terms, user, start_ms, end_ms, used } = quota;
        Self {
            user: user.map(String::from),
            period: terms.period.as_str(),
            direction: terms.counted.as_str(),
            period_start: clock::rfc3339(start_ms),
            period_end: clock::rfc3339(end_ms),
            limit_bytes: terms.octets,
            warn_bytes: terms.warn_octets,
            used_bytes: used,
            remaining_bytes: terms.octets.saturating_sub(used),
            action: if terms.brake.is_some() { "throttle" } else { "cut" },
            state,
            quota: terms.name.to_string(),
        }
    }
}

impl Api {
    /// `GET /api/quotas`
    pub(super) fn quotas(&self, request: &ApiRequest, query: &QuotasQuery) -> ApiReply {
        let limit = query.limit as usize;
        // One more than the page has, to know whether it is the last.
        let mut best = Best::new(Order::Ascending, query.cursor.clone(), limit + 1);
        let mut total = 0;
        self.admission.limits().each_quota(clock::utc_ms(), query.user.as_deref(), |quota| {
            total += 1;
            let (name, user) = (Arc::clone(&quota.terms.name), quota.user.clone());
            best.push(QuotaCursor { quota: name, user }, quota);
        });
        let mut page = best.into_sorted();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|(cursor, _)| cursor.encode());
        let data = page.into_iter().map(|(_, quota)| OneQuota::from(quota)).collect();
        ApiReply::json(&Quotas { data, next_cursor: next.clone(), total }).with_next(
            request,
            "cursor",
            next.as_deref(),
        )
    }
}

#[cfg(test)]
mod tests;
