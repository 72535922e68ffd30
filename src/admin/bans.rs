//! `/api/bans`: addresses that are shut out after too many wrong passwords.

use std::net::IpAddr;

use serde::Serialize;

use super::api::Api;
use super::reply::ApiReply;
use super::request::ApiRequest;
use crate::clock;

#[derive(Serialize)]
struct Bans {
    /// Those that end first come first; a part of them, where there are many.
    data: Vec<OneBan>,
    total: usize,
}

#[derive(Serialize)]
struct OneBan {
    /// The address; of IPv6 the first one of the /64 that is banned.
    address: IpAddr,
    failures: u32,
    until: String,
}

#[derive(Serialize)]
struct Lifted {
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
