//! CONNECT: one permitted address after another is dialled until one answers.

use std::mem;
use std::net::SocketAddr;
use std::time::Instant;

use super::{Machine, micros};
use crate::acl::Permit;
use crate::connection::dial::{Attempt, ConnectError};
use crate::connection::next::Next;
use crate::connection::stage::{Stage, Then};
use crate::session::Outcome;
use crate::socks::Outbox;

impl Machine {
    /// Dials the next permitted address; refuses when none is left and nothing is pending.
    pub(super) fn dial_next(&mut self, now: Instant, out: &mut Outbox) -> Next {
        let Stage::Dialing(attempts) = &mut self.stage else {
            return self.impossible("dial", now);
        };
        let (policy, exit, client) = (&self.policy, &mut self.exit, self.client);
        let identity = self.facts.identity.as_ref().unwrap_or(&policy.anonymous);
        let reaches = |permit: &Permit| exit.turn_to(permit, policy, identity, client);
        if let Some((attempt, permit)) = attempts.next(&policy.acl, reaches, now) {
            self.facts.resolved = Some(permit.address().ip().to_canonical());
            self.facts.rule(permit.ruling(), policy.generation);
            return Next::Dial { attempt, permit };
        }
        if attempts.is_pending() || attempts.more {
            return Next::Wait;
        }
        let outcome = attempts.outcome();
        self.reject(outcome, now, out)
    }

    pub(super) fn on_connected(
        &mut self,
        reached: SocketAddr,
        local: SocketAddr,
        now: Instant,
        out: &mut Outbox,
    ) -> Next {
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Dialing(attempts) => {
                self.facts.stages.connect_us = Some(micros(attempts.began, now));
                // The one that has answered need not be the one that was dialled last, and the rules may
                // be others by now.
                match attempts.permit(&self.policy.acl, reached.ip()) {
                    Ok(permit) => {
                        self.facts.resolved = Some(reached.ip().to_canonical());
                        self.facts.rule(permit.ruling(), self.policy.generation);
                        self.answer(local, Then::Relay, now, out)
                    }
                    Err(_) => self.reject(Outcome::PolicyChanged, now, out),
                }
            }
            Stage::Announcing { .. }
            | Stage::Negotiating { .. }
            | Stage::Verifying { .. }
            | Stage::Resolving { .. }
            | Stage::Opening(_)
            | Stage::Associating { .. }
            | Stage::Binding(_)
            | Stage::Answering { .. }
            | Stage::Done => self.impossible("Connected", now),
        }
    }

    pub(super) fn on_unreachable(
        &mut self,
        attempt: Attempt,
        error: ConnectError,
        now: Instant,
        out: &mut Outbox,
    ) -> Next {
        let Stage::Dialing(attempts) = &mut self.stage else {
            return self.impossible("Unreachable", now);
        };
        attempts.failed(attempt, error);
        self.dial_next(now, out)
    }
}
