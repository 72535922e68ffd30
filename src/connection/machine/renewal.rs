//! What another policy means to a connection that began under an older one.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use super::Machine;
use crate::connection::negotiation::{Dialect, Negotiation};
use crate::connection::next::Next;
use crate::connection::stage::{Stage, Then};
use crate::connection::standing::Standing;
use crate::policy::Policy;
use crate::session::Outcome;
use crate::socks::{Outbox, Request};
use crate::target::Target;

impl Machine {
    /// Judges by another policy from now on. What is to be done if the session cannot go on under it; an
    /// answer to the client is in `out`.
    pub fn renew(&mut self, policy: &Arc<Policy>, now: Instant, out: &mut Outbox) -> Option<Next> {
        let before = mem::replace(&mut self.policy, Arc::clone(policy));
        let methods = before.methods;
        if self.facts.ruling.is_none() {
            self.facts.policy_generation = policy.generation;
        }
        if let Some(identity) = &self.facts.identity {
            match policy.renewed(identity) {
                Some(identity) => self.facts.identity = Some(identity),
                None => return Some(self.turn_out(now, out)),
            }
        }
        if self.facts.command.is_some_and(|command| !policy.commands.contains(command)) {
            return Some(self.turn_out(now, out));
        }
        if self.is_for_nothing() {
            return Some(self.turn_out(now, out));
        }
        match &mut self.stage {
            Stage::Negotiating { handshake, .. } if methods != policy.methods => {
                if handshake.is_untouched() {
                    *handshake = Negotiation::new(policy.methods);
                    return None;
                }
                // What was offered and chosen may not do any more.
                Some(self.turn_out(now, out))
            }
            Stage::Verifying { .. } if methods != policy.methods => Some(self.turn_out(now, out)),
            // It is being compared with a password that is none any more.
            Stage::Verifying { .. }
                if self
                    .facts
                    .claimed_user
                    .as_deref()
                    .is_some_and(|name| before.users.differ_in_password(&policy.users, name)) =>
            {
                Some(self.turn_out(now, out))
            }
            Stage::Announcing { .. }
            | Stage::Negotiating { .. }
            | Stage::Verifying { .. }
            | Stage::Associating { .. }
            | Stage::Done => None,
            Stage::Answering { then: Then::RelayDatagrams, .. } => None,
            Stage::Answering { then: Then::Relay, .. } => match self.standing() {
                Some(mut standing) => {
                    let forbidden = standing.renew(policy, now).is_err();
                    forbidden.then(|| self.end(Outcome::PolicyChanged, now))
                }
                None => None,
            },
            Stage::Binding(binding) if !binding.is_of_hosts() => None,
            Stage::Resolving { .. } | Stage::Opening(_) | Stage::Dialing(_) | Stage::Binding(_) => {
                self.renew_permit(now, out)
            }
        }
    }

    /// Whether it waits for targets that are not known, and none will be allowed.
    fn is_for_nothing(&self) -> bool {
        let waits = match &self.stage {
            Stage::Associating { .. } | Stage::Answering { then: Then::RelayDatagrams, .. } => true,
            Stage::Binding(binding) => !binding.is_of_hosts(),
            Stage::Announcing { .. }
            | Stage::Negotiating { .. }
            | Stage::Verifying { .. }
            | Stage::Resolving { .. }
            | Stage::Opening(_)
            | Stage::Dialing(_)
            | Stage::Answering { then: Then::Relay, .. }
            | Stage::Done => false,
        };
        let identity = self.facts.identity.as_ref().unwrap_or(&self.policy.anonymous);
        let forbids = |command| self.policy.acl.forbids_all(identity, self.client, command);
        waits && self.facts.command.and_then(forbids).is_some()
    }

    /// The client may not use us any more: it is told so where its protocol has a way, that is, where
    /// it waits for an answer and has none yet.
    fn turn_out(&mut self, now: Instant, out: &mut Outbox) -> Next {
        match &self.stage {
            Stage::Verifying { .. } => self.fail_login(Outcome::PolicyChanged, now, out),
            Stage::Negotiating { .. } if self.dialect == Dialect::Http => {
                self.reject(Outcome::PolicyChanged, now, out)
            }
            Stage::Resolving { .. }
            | Stage::Opening(_)
            | Stage::Dialing(_)
            | Stage::Associating { .. }
            | Stage::Binding(_) => self.reject(Outcome::PolicyChanged, now, out),
            Stage::Announcing { .. }
            | Stage::Negotiating { .. }
            | Stage::Answering { .. }
            | Stage::Done => self.end(Outcome::PolicyChanged, now),
        }
    }

    /// Asks the rules about the request once more.
    fn renew_permit(&mut self, now: Instant, out: &mut Outbox) -> Option<Next> {
        let standing = self.standing()?;
        let Standing { identity, client, request, .. } = &standing;
        let asked = self.facts.judged_at.unwrap_or(now);
        let judged = self.policy.acl.on_request(identity, *client, request, asked);
        match (&mut self.stage, judged) {
            (Stage::Resolving { permit, .. }, Ok(renewed)) => {
                self.facts.ruling = renewed.ruling().cloned();
                self.facts.policy_generation = self.policy.generation;
                *permit = renewed;
                None
            }
            // It is no session yet, so the rules in force refuse it as any other.
            (Stage::Resolving { .. }, Err(denial)) => {
                Some(self.deny(Outcome::AclDenied, denial, now, out))
            }
            (Stage::Opening(attempts) | Stage::Dialing(attempts), Ok(renewed)) => {
                attempts.renew(renewed);
                None
            }
            (Stage::Binding(binding), Ok(renewed)) => {
                binding.renew(renewed);
                None
            }
            (_, Ok(_)) => None,
            (_, Err(_)) => Some(self.reject(Outcome::PolicyChanged, now, out)),
        }
    }

    /// What the session stands on, once something has been asked for.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let target = match self.peer {
            Some(peer) => Target::from(peer),
            None => self.facts.target.clone()?,
        };
        Some(Standing {
            identity: self.facts.identity.clone().unwrap_or_else(|| self.policy.anonymous.clone()),
            client: self.client,
            request: Request { command: self.facts.command?, target },
            address: self.facts.resolved,
            judged_at: self.facts.judged_at,
        })
    }
}
