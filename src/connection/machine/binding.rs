//! BIND: a listener, two replies, and the peer in between.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::{Machine, micros};
use crate::acl::RequestPermit;
use crate::connection::bind::{Binding, Step, Welcome};
use crate::connection::next::Next;
use crate::connection::stage::{Stage, Then};
use crate::session::Outcome;
use crate::socks::Outbox;

impl Machine {
    pub(super) fn prepare_binding(
        &mut self,
        addresses: &[IpAddr],
        permit: RequestPermit,
        (now, until): (Instant, Instant),
        out: &mut Outbox,
    ) -> Next {
        match Binding::of_hosts(addresses, permit, &self.policy.acl, now, until) {
            Ok((mut binding, first)) => {
                let identity = self.facts.identity.as_ref().unwrap_or(&self.policy.anonymous);
                self.exit.turn_to(&first, &self.policy, identity, self.client);
                if !binding.keep_reached(&self.exit.outlet) {
                    // It could not come to an address of ours.
                    return self.reject(Outcome::NetworkUnreachable, now, out);
                }
                self.facts.rule(first.ruling(), self.policy.generation);
                self.stage = Stage::Binding(Box::new(binding));
                Next::Open
            }
            Err(Some(denial)) => self.deny(Outcome::AclDeniedAddress, denial, now, out),
            Err(None) => self.reject(Outcome::NameNotFound, now, out),
        }
    }

    pub(super) fn on_binding_opened(
        &mut self,
        mut binding: Box<Binding>,
        now: Instant,
        out: &mut Outbox,
    ) -> Next {
        match binding.step {
            Step::Opening => {
                binding.step = Step::Making;
                let towards = binding.towards();
                self.stage = Stage::Binding(binding);
                Next::Listen { towards }
            }
            Step::Welcoming(peer) => self.answer(peer, Then::Relay, now, out),
            Step::Making | Step::Awaiting => self.impossible("Opened", now),
        }
    }

    pub(super) fn on_listening(
        &mut self,
        bound: SocketAddr,
        now: Instant,
        out: &mut Outbox,
    ) -> Next {
        let Stage::Binding(binding) = &mut self.stage else {
            return self.impossible("Listening", now);
        };
        binding.step = Step::Awaiting;
        binding.began = now;
        self.dialect.write_success(bound, out);
        Next::Flush
    }

    pub(super) fn on_accepted(&mut self, peer: SocketAddr, now: Instant, out: &mut Outbox) -> Next {
        let Stage::Binding(binding) = &mut self.stage else {
            return self.impossible("Accepted", now);
        };
        let identity = self.facts.identity.get_or_insert_with(|| self.policy.anonymous.clone());
        match binding.welcome(peer, &self.policy.acl, (identity, self.client), now) {
            Welcome::Go => Next::TurnAway,
            Welcome::Come(permit) => {
                self.facts.stages.connect_us = Some(micros(binding.began, now));
                self.facts.resolved = Some(permit.address().ip());
                self.facts.rule(permit.ruling(), self.policy.generation);
                self.answer(peer, Then::Relay, now, out)
            }
            Welcome::First(permit) => {
                self.facts.judged_at = Some(now);
                self.facts.stages.connect_us = Some(micros(binding.began, now));
                self.facts.resolved = Some(permit.address().ip());
                self.facts.rule(permit.ruling(), self.policy.generation);
                self.peer = Some(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
                binding.step = Step::Welcoming(peer);
                Next::Open
            }
        }
    }
}
