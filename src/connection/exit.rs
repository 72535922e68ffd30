//! Which way the sockets of one connection leave: by the way of its user, or by that which the rule
//! names that permits an address.

use std::net::IpAddr;
use std::sync::Arc;

use crate::acl::Permit;
use crate::auth::Identity;
use crate::egress::Outlet;
use crate::policy::Policy;

/// The way that a connection's next socket leaves by.
#[derive(Debug, Default)]
pub(super) struct Exit {
    pub(super) outlet: Outlet,
    /// The way that a rule has named, while that is it.
    named: Option<Arc<str>>,
}

impl Exit {
    /// The way of the user.
    pub(super) fn of(policy: &Policy, identity: &Identity, client: IpAddr) -> Self {
        Self { outlet: policy.egress.outlet(identity, client), named: None }
    }

    /// Turns to the way of what this permit allows; whether its address can be reached by it.
    pub(super) fn turn_to(
        &mut self,
        permit: &Permit,
        policy: &Policy,
        identity: &Identity,
        client: IpAddr,
    ) -> bool {
        let named = policy.acl.egress_of(permit.ruling());
        if named != self.named.as_ref() {
            let by_rule = named.map(|name| policy.egress.named(name, identity, client));
            self.outlet = match by_rule {
                // A name that nobody knows was refused with the configuration.
                Some(by_rule) => by_rule.unwrap_or_default(),
                None => policy.egress.outlet(identity, client),
            };
            self.named = named.cloned();
        }
        self.outlet.reaches(permit.address().ip())
    }
}
