//! An association is made while its front waits for it, and takes the front's place.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::key::Key;
use crate::session::Outcome;
use crate::udp::Association;
use crate::worker::connection::{Connection, Fate, Link};
use crate::worker::kit::Kit;
use crate::worker::udp::{self, Associated};

impl Connection {
    /// Makes the socket for the client's datagrams; its address.
    pub(super) fn make_association(
        &mut self,
        declared: u16,
        key: Key,
        kit: &mut Kit,
    ) -> Option<SocketAddr> {
        if !self.may_open_socket(kit) {
            return None;
        }
        let Link::Front(front) = &mut self.link else { return None };
        let policy = front.machine.policy();
        let ports = policy.associations.ports.clone();
        let made = udp::bind_for_client(&self.client, ports.as_ref(), key, kit)
            .and_then(|end| Ok((end.local_addr()?, end)));
        match made {
            Ok((bound, end)) => {
                let identity =
                    front.machine.facts().identity.clone().unwrap_or(policy.anonymous.clone());
                let policy = Arc::clone(policy);
                let association =
                    Association::new(front.machine.client(), declared, identity, policy);
                front.association = Some((end, association));
                Some(bound)
            }
            Err(error) => {
                tracing::debug!("no socket for the datagrams of a client: {error}");
                None
            }
        }
    }

    /// The success reply has left: datagrams are carried from here on, and the front is freed.
    pub(super) fn associate(&mut self, key: Key, kit: &mut Kit) -> Fate {
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        let Some((client, association)) = front.association.take() else {
            self.settle(Outcome::Internal, kit);
            return Fate::Release;
        };
        let facts = front.machine.facts().clone();
        kit.counters.stages.observe(&facts.stages);
        let policy = Arc::clone(front.machine.policy());
        let outlet = front.machine.outlet().clone();
        let associated = Associated::new(association, client, (facts, outlet), policy, kit.now);
        self.stays.add(front.machine.take_stays());
        self.link = Link::Associated(Box::new(associated));
        self.advance_association(key, kit)
    }
}
