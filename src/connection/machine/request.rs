//! A request from the moment it is read until its session is opened: judged, looked up, and its
//! addresses judged in turn.

use std::mem;
use std::time::Instant;

use super::limits::refused;
use super::{Machine, micros};
use crate::acl::RequestPermit;
use crate::connection::bind::{Binding, is_anybody};
use crate::connection::dial::Attempts;
use crate::connection::exit::Exit;
use crate::connection::next::Next;
use crate::connection::stage::Stage;
use crate::resolve::{Addresses, LookupError};
use crate::session::Outcome;
use crate::socks::{Command, Outbox, Request};

impl Machine {
    pub(super) fn on_request(&mut self, request: Request, now: Instant, out: &mut Outbox) -> Next {
        let identity = self.facts.identity.get_or_insert_with(|| self.policy.anonymous.clone());
        self.exit = Exit::of(&self.policy, identity, self.client);
        let Request { command, target } = &request;
        self.facts.command = Some(*command);
        self.facts.judged_at = Some(now);
        if let Err(refusal) = self.enter(now) {
            if *command != Command::UdpAssociate {
                self.facts.target = Some(target.clone());
            }
            return self.reject(refused(refusal), now, out);
        }
        let identity = self.facts.identity.as_ref().unwrap_or(&self.policy.anonymous);
        if *command == Command::UdpAssociate && self.policy.commands.contains(*command) {
            if let Some(denial) = self.policy.acl.forbids_all(identity, self.client, *command) {
                return self.deny(Outcome::AclDenied, denial, now, out);
            }
            // The target says where the client will send from, and each datagram is judged by itself.
            self.stage = Stage::Associating { until: now + self.policy.timeouts.connect };
            return Next::Associate { declared: target.port };
        }
        let target = target.clone();
        self.facts.target = Some(target.clone());
        if !self.policy.commands.contains(*command) || *command == Command::UdpAssociate {
            return self.reject(Outcome::UnsupportedCommand, now, out);
        }
        if *command == Command::Bind && is_anybody(&target.host) {
            if let Some(denial) = self.policy.acl.forbids_all(identity, self.client, *command) {
                return self.deny(Outcome::AclDenied, denial, now, out);
            }
            let binding = Binding::anybody(now, now + self.policy.timeouts.connect);
            self.stage = Stage::Binding(Box::new(binding));
            return Next::Listen { towards: None };
        }
        let permit = match self.policy.acl.on_request(identity, self.client, &request, now) {
            Ok(permit) => permit,
            Err(denial) => return self.deny(Outcome::AclDenied, denial, now, out),
        };
        if let Some(ruling) = permit.ruling() {
            self.facts.rule(ruling, self.policy.generation);
        }
        let until = now + self.policy.timeouts.connect;
        match target.host.ip() {
            Some(address) => self.prepare(Attempts::literal(address), permit, now, until, out),
            None => match target.host.name() {
                Some(name) => {
                    self.stage = Stage::Resolving { permit, asked: now, until };
                    Next::Resolve(name.clone())
                }
                None => self.reject(Outcome::Internal, now, out),
            },
        }
    }

    fn prepare(
        &mut self,
        addresses: Addresses,
        permit: RequestPermit,
        now: Instant,
        until: Instant,
        out: &mut Outbox,
    ) -> Next {
        if self.facts.command == Some(Command::Bind) {
            return self.prepare_binding(&addresses, permit, (now, until), out);
        }
        let delay = self.policy.timeouts.attempt;
        let attempts = Attempts::new(addresses, permit, now, (delay, until));
        match attempts.any_permitted(&self.policy.acl) {
            Ok(first) => {
                self.facts.rule(first.ruling(), self.policy.generation);
                self.stage = Stage::Opening(attempts);
                Next::Open
            }
            Err(Some(denial)) => self.deny(Outcome::AclDeniedAddress, denial, now, out),
            Err(None) => self.reject(Outcome::NameNotFound, now, out),
        }
    }

    pub(super) fn on_resolved(
        &mut self,
        answer: Result<Addresses, LookupError>,
        more: bool,
        now: Instant,
        out: &mut Outbox,
    ) -> Next {
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Resolving { permit, asked, until } => {
                if more && !self.may_begin(&answer, &permit) {
                    self.stage = Stage::Resolving { permit, asked, until };
                    return Next::Wait;
                }
                self.facts.stages.resolve_us = Some(micros(asked, now));
                match answer {
                    Ok(addresses) => {
                        let next = self.prepare(addresses, permit, now, until, out);
                        if let Stage::Opening(attempts) = &mut self.stage {
                            attempts.more = more;
                        }
                        next
                    }
                    Err(LookupError::NotFound) => self.reject(Outcome::NameNotFound, now, out),
                    Err(LookupError::Failed) => self.reject(Outcome::NameLookupFailed, now, out),
                    Err(LookupError::TimedOut) => self.reject(Outcome::ConnectTimeout, now, out),
                    Err(LookupError::Overloaded) => self.reject(Outcome::ServerBusy, now, out),
                    Err(LookupError::ClientOverloaded) => self.reject(Outcome::OverLimit, now, out),
                }
            }
            Stage::Dialing(mut attempts) => {
                attempts.more = more;
                attempts.add(answer.as_deref().unwrap_or_default());
                let next = !attempts.is_pending() || attempts.may_join(now);
                self.stage = Stage::Dialing(attempts);
                if next { self.dial_next(now, out) } else { Next::Wait }
            }
            Stage::Binding(mut binding) => {
                binding.add(answer.as_deref().unwrap_or_default(), &self.policy.acl);
                self.stage = Stage::Binding(binding);
                Next::Wait
            }
            // The rest of a name whose half was enough.
            stage @ (Stage::Answering { .. } | Stage::Done) => {
                self.stage = stage;
                Next::Wait
            }
            Stage::Announcing { .. }
            | Stage::Negotiating { .. }
            | Stage::Verifying { .. }
            | Stage::Opening(_)
            | Stage::Associating { .. } => self.impossible("Resolved", now),
        }
    }

    /// Whether half of what a name has is enough to begin with: one of its addresses is permitted.
    fn may_begin(&self, half: &Result<Addresses, LookupError>, permit: &RequestPermit) -> bool {
        let half = half.as_deref().unwrap_or_default();
        half.iter().any(|address| self.policy.acl.on_address(permit, *address).is_ok())
    }

    pub(super) fn on_opened(&mut self, now: Instant, out: &mut Outbox) -> Next {
        self.facts.opened = true;
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Opening(attempts) => {
                self.stage = Stage::Dialing(attempts);
                self.dial_next(now, out)
            }
            Stage::Binding(binding) => self.on_binding_opened(binding, now, out),
            Stage::Announcing { .. }
            | Stage::Negotiating { .. }
            | Stage::Verifying { .. }
            | Stage::Resolving { .. }
            | Stage::Dialing(_)
            | Stage::Associating { .. }
            | Stage::Answering { .. }
            | Stage::Done => self.impossible("Opened", now),
        }
    }
}
