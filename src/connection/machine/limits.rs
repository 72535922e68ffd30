//! What limits say to a request, and what they hold a session to.

use std::mem;
use std::time::Instant;

use super::Machine;
use crate::clock::{self, Now};
use crate::limit::{Refusal, Stays, Throttle};
use crate::session::Outcome;

impl Machine {
    /// Takes a client's place among the connections of its address, where those are limited, that a load
    /// balancer has announced: the door has seen the balancer only.
    pub(super) fn at_door(&mut self, now: Instant) -> Result<(), Refusal> {
        self.stays.door = self.policy.limits.at_door(self.client, now)?;
        Ok(())
    }

    /// Takes the places that a session needs, where those are limited.
    pub(super) fn enter(&mut self, now: Instant) -> Result<(), Refusal> {
        let limits = &self.policy.limits;
        let identity = self.facts.identity.as_ref().unwrap_or(&self.policy.anonymous);
        self.stays.session = limits.enter(identity, || clock::utc_ms_at(now))?;
        Ok(())
    }

    /// The places that the session has, for whoever goes on with it.
    #[must_use]
    pub fn take_stays(&mut self) -> Stays {
        mem::take(&mut self.stays)
    }

    /// What holds the session back that is about to begin; `None` if nothing does.
    #[must_use]
    pub fn throttle(&self, now: Now) -> Option<Box<Throttle>> {
        let identity = self.facts.identity.as_ref().unwrap_or(&self.policy.anonymous);
        self.policy.throttle(identity, self.facts.ruling.as_ref(), now)
    }
}

/// How an attempt ends that is not let in.
pub(super) const fn refused(refusal: Refusal) -> Outcome {
    match refusal {
        Refusal::Quota => Outcome::QuotaExceeded,
        Refusal::AddressConnections | Refusal::AddressRate | Refusal::UserSessions => {
            Outcome::OverLimit
        }
    }
}
