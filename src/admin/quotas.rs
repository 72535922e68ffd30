//! `/api/quotas`: what has been used of each quota in its running period.

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::reply::ApiReply;
use crate::clock;
use crate::limit::QuotaState;

/// Quotas.
#[derive(Serialize, ToSchema)]
pub(super) struct Quotas {
    /// By name, then by user; a part of them, where there are many.
    data: Vec<OneQuota>,
    /// All that there are.
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
    pub(super) fn quotas(&self) -> ApiReply {
        let quotas = self.admission.limits().quotas(clock::utc_ms());
        let total = quotas.len();
        let data = quotas.into_iter().take(QUOTAS_MAX).map(OneQuota::from).collect();
        ApiReply::json(&Quotas { data, total })
    }
}

/// Quotas that are listed at most.
const QUOTAS_MAX: usize = 10_000;
