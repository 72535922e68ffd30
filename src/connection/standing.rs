//! What a session that is under way stands on, so that it can be judged again when the rules change.

use std::net::IpAddr;
use std::time::Instant;

use crate::acl::Ruling;
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
    /// What was decided about it.
    pub ruling: Option<Ruling>,
}

impl Standing {
    /// Judges by another policy: by the request, and by the address. Whether the session may go on.
    #[must_use]
    pub fn renew(&mut self, policy: &Policy, now: Instant) -> bool {
        let Some(identity) = policy.renewed(&self.identity) else { return false };
        self.identity = identity;
        let judged = policy.acl.on_request(&self.identity, self.client, &self.request, now);
        let Ok(permit) = judged else { return false };
        self.ruling = permit.ruling().cloned();
        let Some(address) = self.address else { return true };
        match policy.acl.on_address(&permit, address) {
            Ok(permit) => {
                self.ruling = Some(permit.ruling().clone());
                true
            }
            Err(_) => false,
        }
    }
}
