//! The decision: first on the request as the client made it, then on each address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::guard::Guard;
use super::permit::{Permit, RequestPermit};
use super::ruling::{Decision, Ruling};
use crate::auth::Identity;
use crate::socks::Request;
use crate::target::Host;

/// The rules of one policy.
#[derive(Debug)]
pub struct Acl {
    guard: Guard,
    default_policy: Arc<str>,
}

/// No.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The decision, for the record.
    pub ruling: Ruling,
}

impl Acl {
    /// Rules that allow what the guard allows.
    #[must_use]
    pub fn new(guard: Guard) -> Self {
        Self { guard, default_policy: "default policy".into() }
    }

    /// Whether `identity`, calling from `client`, may ask for this at all.
    ///
    /// # Errors
    /// [`Denial`] with the rule that said no.
    pub fn on_request(
        &self,
        _identity: &Identity,
        client: IpAddr,
        request: &Request,
    ) -> Result<RequestPermit, Denial> {
        let port = request.target.port;
        let literal = match request.target.host {
            Host::V4(v4) => Some(IpAddr::V4(v4)),
            Host::V6(v6) => Some(IpAddr::V6(v6)),
            Host::Name(_) => None,
        };
        if let Some(address) = literal {
            self.guard_allows(client, SocketAddr::new(address, port))?;
        }
        let ruling = Ruling {
            decision: Decision::Allow,
            rule: Arc::clone(&self.default_policy),
            rule_id: None,
        };
        Ok(RequestPermit { client, port, ruling })
    }

    /// Whether this address of the permitted target may be dialled.
    ///
    /// # Errors
    /// [`Denial`] with the rule that said no.
    pub fn on_address(&self, permit: &RequestPermit, address: IpAddr) -> Result<Permit, Denial> {
        let address = SocketAddr::new(address, permit.port);
        self.guard_allows(permit.client, address)?;
        Ok(Permit { address })
    }

    fn guard_allows(&self, client: IpAddr, target: SocketAddr) -> Result<(), Denial> {
        self.guard.allows(client, target).map_err(|sentence| Denial {
            ruling: Ruling { decision: Decision::Block, rule: sentence.into(), rule_id: None },
        })
    }
}
