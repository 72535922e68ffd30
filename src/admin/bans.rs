//! `/api/bans`: addresses that are shut out after too many wrong passwords.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::openapi::Address;
use super::page::BanCursor;
use super::reply::ApiReply;
use super::request::ApiRequest;
use super::route::BansQuery;
use crate::clock;
use crate::stats::{Best, Order};

/// Banned addresses.
#[derive(Serialize, ToSchema)]
pub(super) struct Bans {
    /// Those that end first come first.
    data: Vec<OneBan>,
    /// Where to go on; `null` when nothing is left.
    #[schema(required)]
    next_cursor: Option<String>,
    /// All that are banned.
    total: usize,
}

/// One ban.
#[derive(Serialize, ToSchema)]
struct OneBan {
    /// The address; of IPv6 the first one of the /64 that is banned.
    #[schema(value_type = Address)]
    address: IpAddr,
    /// Wrong passwords that led to it.
    failures: u32,
    /// When it ends, RFC 3339.
    #[schema(format = DateTime)]
    until: String,
}

/// What became of a ban.
#[derive(Serialize, ToSchema)]
pub(super) struct Lifted {
    /// The address that may come again.
    #[schema(value_type = Address)]
    lifted: IpAddr,
}

impl Api {
    /// `GET /api/bans`
    pub(super) fn bans(&self, request: &ApiRequest, query: &BansQuery) -> ApiReply {
        let limit = query.limit as usize;
        // One more than the page has, to know whether it is the last.
        let mut best = Best::new(Order::Ascending, query.cursor, limit + 1);
        let mut total = 0;
        self.admission.bans().each(clock::mono(), |ban| {
            total += 1;
            best.push(BanCursor { until_ms: ban.until_ms, address: ban.address }, ban);
        });
        let mut page = best.into_sorted();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|(cursor, _)| cursor.encode());
        let data = page.iter().map(|(_, ban)| OneBan {
            address: ban.address,
            failures: ban.failures,
            until: clock::rfc3339(ban.until_ms),
        });
        let data = data.collect();
        ApiReply::json(&Bans { data, next_cursor: next.clone(), total }).with_next(
            request,
            "cursor",
            next.as_deref(),
        )
    }

    /// `DELETE /api/bans/{address}`
    pub(super) fn lift_ban(&self, request: &ApiRequest, address: IpAddr) -> ApiReply {
        if !self.admission.bans().lift(address, clock::mono()) {
            return ApiReply::problem(404, "this address is not banned");
        }
        tracing::info!("the ban of {address} is lifted: asked from {}", request.client);
        ApiReply::json(&Lifted { lifted: address })
    }
}

#[cfg(test)]
mod tests;
