//! What a session that is under way stands on, so that it can be judged again when the rules change.

use std::net::IpAddr;
use std::time::Instant;

use crate::auth::Identity;
use crate::policy::Policy;
use crate::socks::Request;

/// Whose session it is, and what was permitted.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whose it is.
    pub identity: Identity,
    /// Where the client is.
    pub client: IpAddr,
    /// What it asked for.
    pub request: Request,
    /// The address that was dialled.
    pub address: Option<IpAddr>,
}

impl Standing {
    /// Judges by another policy: by the request, and by the address. Whether the session may go on.
    #[must_use]
    pub fn renew(&mut self, policy: &Policy, now: Instant) -> bool {
        let Some(identity) = policy.renewed(&self.identity) else { return false };
        self.identity = identity;
        let judged = policy.acl.on_request(&self.identity, self.client, &self.request, now);
        judged.is_ok_and(|permit| {
            self.address.is_none_or(|address| policy.acl.on_address(&permit, address).is_ok())
        })
    }
}
