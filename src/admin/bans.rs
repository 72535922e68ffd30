//! `/api/bans`: addresses that are shut out after too many wrong passwords.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::openapi::Address;
use super::reply::ApiReply;
use super::request::ApiRequest;
use crate::clock;

/// Banned addresses.
#[derive(Serialize, ToSchema)]
pub(super) struct Bans {
    /// Those that end first come first; a part of them, where there are many.
    data: Vec<OneBan>,
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
    pub(super) fn bans(&self) -> ApiReply {
        let bans = self.admission.bans().list(clock::mono());
        let total = bans.len();
        let data = bans.into_iter().take(BANS_MAX).map(|ban| OneBan {
            address: ban.address,
            failures: ban.failures,
            until: clock::rfc3339(ban.until_ms),
        });
        ApiReply::json(&Bans { data: data.collect(), total })
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

/// Bans that are listed at most.
const BANS_MAX: usize = 10_000;
