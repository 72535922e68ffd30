//! What the client says until it has asked for something: who it is, by which login, and what it wants.

use std::mem;
use std::time::Instant;

use super::limits::refused;
use super::{HANG_UP_PATIENCE, Machine, micros};
use crate::auth::{Credentials, Identity, Verdict};
use crate::connection::negotiation::{Fault, Negotiation, Progress};
use crate::connection::next::Next;
use crate::connection::stage::Stage;
use crate::proxy_protocol::{self, Announcement};
use crate::session::Outcome;
use crate::socks::Outbox;

impl Machine {
    pub(super) fn on_bytes(
        &mut self,
        octets: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> (usize, Next) {
        let Stage::Announcing { until } = self.stage else {
            return self.on_handshake(octets, now, out);
        };
        match proxy_protocol::parse(octets) {
            Ok(None) => (0, Next::Read),
            Ok(Some((announcement, used))) => {
                if let Announcement::Client(client) = announcement {
                    self.client = client.ip();
                    self.facts.client = Some(client);
                    if let Err(refusal) = self.at_door(now) {
                        self.facts.spoke = true;
                        return (octets.len(), self.end(refused(refusal), now));
                    }
                }
                let handshake = Negotiation::new(self.policy.methods);
                self.stage = Stage::Negotiating { handshake, until };
                let (more, next) = self.on_handshake(&octets[used..], now, out);
                (used + more, next)
            }
            Err(_) => {
                self.facts.spoke = true;
                (octets.len(), self.end(Outcome::Malformed, now))
            }
        }
    }

    fn on_handshake(&mut self, octets: &[u8], now: Instant, out: &mut Outbox) -> (usize, Next) {
        let Stage::Negotiating { handshake, until } = &mut self.stage else {
            // Payload before its time stays with the worker.
            return (0, Next::Wait);
        };
        self.facts.spoke |= !octets.is_empty();
        let until = *until;
        let fed = handshake.feed(octets, out);
        self.dialect = handshake.dialect();
        match fed {
            Ok((used, Progress::NeedMore)) => {
                (used, if out.is_empty() { Next::Read } else { Next::Flush })
            }
            Ok((used, Progress::NoMethod { userid })) => {
                self.set_claim(&userid);
                (used, self.refuse(Outcome::NoAcceptableMethod, now))
            }
            Ok((used, Progress::Verify(login))) => {
                self.facts.claimed_user = Some(String::from_utf8_lossy(&login.username).into());
                let credentials = Credentials::new(login.username, login.password);
                self.stage = match mem::replace(&mut self.stage, Stage::Done) {
                    Stage::Negotiating { handshake, .. } => {
                        Stage::Verifying { handshake, asked: now, until }
                    }
                    other @ (Stage::Announcing { .. }
                    | Stage::Verifying { .. }
                    | Stage::Resolving { .. }
                    | Stage::Opening(_)
                    | Stage::Dialing(_)
                    | Stage::Associating { .. }
                    | Stage::Binding(_)
                    | Stage::Answering { .. }
                    | Stage::Done) => other,
                };
                (used, Next::Verify(credentials))
            }
            Ok((used, Progress::Requested { request, userid })) => {
                self.set_claim(&userid);
                if self.finished && used == octets.len() {
                    self.gone_at = Some(now + HANG_UP_PATIENCE);
                }
                (used, self.on_request(request, now, out))
            }
            Err(fault) => (octets.len(), self.on_fault(&fault, now, out)),
        }
    }

    /// A claim of a SOCKS4 client, which nothing proves.
    fn set_claim(&mut self, userid: &[u8]) {
        if !userid.is_empty() {
            self.facts.claimed_user = Some(String::from_utf8_lossy(userid).into());
        }
    }

    fn on_fault(&mut self, fault: &Fault, now: Instant, out: &mut Outbox) -> Next {
        let outcome = fault.outcome();
        fault.write(self.dialect, out);
        // Answers to what came before it may still be on their way, too.
        if out.is_empty() { self.end(outcome, now) } else { self.refuse(outcome, now) }
    }

    pub(super) fn on_verdict(&mut self, verdict: Verdict, now: Instant, out: &mut Outbox) -> Next {
        if !matches!(self.stage, Stage::Verifying { .. }) {
            return self.impossible("Verdict", now);
        }
        let login = match verdict {
            // It may have been checked before users were taken away or put into other groups.
            Verdict::Accepted(identity) if identity.is_authenticated() => {
                self.policy.renewed(&identity).ok_or(Outcome::PolicyChanged)
            }
            Verdict::Accepted(identity) => Ok(identity),
            Verdict::Rejected => Err(Outcome::AuthFailed),
            Verdict::Banned => Err(Outcome::Banned),
            Verdict::Overloaded => Err(Outcome::ServerBusy),
        };
        match login {
            Ok(identity) => self.log_in(identity, now, out),
            Err(outcome) => self.fail_login(outcome, now, out),
        }
    }

    fn log_in(&mut self, identity: Identity, now: Instant, out: &mut Outbox) -> Next {
        if let Stage::Verifying { mut handshake, asked, until } =
            mem::replace(&mut self.stage, Stage::Done)
        {
            self.facts.stages.auth_us = Some(micros(asked, now));
            self.facts.claimed_user = None;
            self.facts.identity = Some(identity);
            handshake.verdict(Ok(()), out);
            self.stage = Stage::Negotiating { handshake, until };
        }
        // The request may already be here; `Flush` and `Flushed` lead to it.
        Next::Flush
    }

    /// Tells a client whose login is being checked that it leads nowhere.
    pub(super) fn fail_login(&mut self, outcome: Outcome, now: Instant, out: &mut Outbox) -> Next {
        if let Stage::Verifying { handshake, .. } = &mut self.stage {
            handshake.verdict(Err(outcome), out);
        }
        self.refuse(outcome, now)
    }
}
