//! The machine itself: one input in, one question out.

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bind::{Binding, Step, Welcome, is_anybody};
use super::dial::{Attempt, Attempts, ConnectError};
use super::exit::Exit;
use super::facts::Facts;
use super::input::Input;
use super::negotiation::{Dialect, Fault, Negotiation, Progress};
use super::next::Next;
use super::stage::{Stage, Then};
use super::standing::Standing;
use crate::acl::{Denial, Permit, RequestPermit};
use crate::auth::{Credentials, Verdict};
use crate::egress::Outlet;
use crate::policy::Policy;
use crate::proxy_protocol::{self, Announcement};
use crate::resolve::{Addresses, LookupError};
use crate::session::Outcome;
use crate::socks::{Command, Outbox, Request, Version};
use crate::target::Target;

/// The control machine of one connection.
#[derive(Debug)]
pub struct Machine {
    client: IpAddr,
    policy: Arc<Policy>,
    stage: Stage,
    /// How the client is to be answered.
    dialect: Dialect,
    facts: Facts,
    /// Which way its sockets towards targets leave, once it is known who asks.
    exit: Exit,
    /// The client has closed its sending side.
    finished: bool,
    /// From when on a client is taken for gone that has closed its sending side and left no payload.
    gone_at: Option<Instant>,
    /// BIND for anybody: who has come.
    peer: Option<SocketAddr>,
}

impl Machine {
    /// A machine for a client that was accepted at `now`.
    #[must_use]
    pub fn new(client: IpAddr, policy: Arc<Policy>, now: Instant) -> Self {
        let stage = Stage::Negotiating {
            handshake: Negotiation::new(policy.methods),
            until: now + policy.timeouts.handshake,
        };
        let facts = Facts { policy_generation: policy.generation, ..Facts::default() };
        let dialect = Dialect::Socks(Version::V5);
        let (exit, finished, gone_at, peer) = (Exit::default(), false, None, None);
        Self { client, policy, stage, dialect, facts, exit, finished, gone_at, peer }
    }

    /// The same of a connection that begins with a load balancer's announcement of the client.
    #[must_use]
    pub fn announced(mut self) -> Self {
        if let Stage::Negotiating { until, .. } = self.stage {
            self.stage = Stage::Announcing { until };
        }
        self
    }

    /// Takes one input and answers with what is to be done, and with how many of the client's
    /// octets were used (0 unless the input was `Bytes`). Replies are appended to `out`.
    pub fn handle(&mut self, input: Input<'_>, now: Instant, out: &mut Outbox) -> (usize, Next) {
        match input {
            Input::Bytes(octets) => self.on_bytes(octets, now, out),
            Input::Eof { early } => (0, self.on_eof(early, now)),
            Input::Gone(outcome) => (0, self.end(outcome, now)),
            Input::Flushed => (0, self.on_flushed()),
            Input::Opened => (0, self.on_opened(now, out)),
            Input::Verdict(verdict) => (0, self.on_verdict(verdict, now, out)),
            Input::Resolved { answer, more } => (0, self.on_resolved(answer, more, now, out)),
            Input::Connected { attempt, peer, local } => {
                (0, self.on_connected(attempt, peer, local, now, out))
            }
            Input::Unreachable { attempt, error } => {
                (0, self.on_unreachable(attempt, error, now, out))
            }
            Input::Associated(bound) => (0, self.on_associated(bound, now, out)),
            Input::Listening(bound) => (0, self.on_listening(bound, now, out)),
            Input::Accepted(peer) => (0, self.on_accepted(peer, now, out)),
            Input::NoSocket => (0, self.on_no_socket(now, out)),
            Input::Deadline => (0, self.on_deadline(now, out)),
        }
    }

    /// The connection ends at `now`, whatever the machine was about: a stage that had begun has taken
    /// so long, though it led to nothing.
    pub fn leave(&mut self, now: Instant) {
        let stages = &mut self.facts.stages;
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Verifying { asked, .. } => stages.auth_us = Some(micros(asked, now)),
            Stage::Resolving { asked, .. } => stages.resolve_us = Some(micros(asked, now)),
            Stage::Dialing(attempts) => stages.connect_us = Some(micros(attempts.began, now)),
            Stage::Binding(binding) if binding.step == Step::Awaiting => {
                stages.connect_us = Some(micros(binding.began, now));
            }
            Stage::Announcing { .. }
            | Stage::Negotiating { .. }
            | Stage::Opening(_)
            | Stage::Associating { .. }
            | Stage::Binding(_)
            | Stage::Answering { .. }
            | Stage::Done => {}
        }
    }

    /// When the machine wants `Input::Deadline`; `None` once it is done.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let until = match &self.stage {
            Stage::Announcing { until }
            | Stage::Negotiating { until, .. }
            | Stage::Verifying { until, .. }
            | Stage::Resolving { until, .. }
            | Stage::Associating { until }
            | Stage::Answering { until, .. } => Some(*until),
            Stage::Opening(attempts) | Stage::Dialing(attempts) => Some(attempts.deadline()),
            Stage::Binding(binding) => Some(binding.until),
            Stage::Done => None,
        }?;
        Some(self.gone_at.map_or(until, |gone_at| until.min(gone_at)))
    }

    /// Judges by another policy from now on. What is to be done if the session cannot go on under it; an
    /// answer to the client is in `out`.
    pub fn renew(&mut self, policy: &Arc<Policy>, now: Instant, out: &mut Outbox) -> Option<Next> {
        let methods = mem::replace(&mut self.policy, Arc::clone(policy)).methods;
        self.facts.policy_generation = policy.generation;
        if let Some(identity) = &self.facts.identity {
            match policy.renewed(identity) {
                Some(identity) => self.facts.identity = Some(identity),
                None => return Some(self.end(Outcome::PolicyChanged, now)),
            }
        }
        match &mut self.stage {
            Stage::Negotiating { handshake, .. } if methods != policy.methods => {
                if handshake.is_untouched() {
                    *handshake = Negotiation::new(policy.methods);
                    return None;
                }
                // What was offered and chosen may not do any more.
                Some(self.end(Outcome::PolicyChanged, now))
            }
            Stage::Verifying { .. } if methods != policy.methods => {
                Some(self.end(Outcome::PolicyChanged, now))
            }
            Stage::Announcing { .. }
            | Stage::Negotiating { .. }
            | Stage::Verifying { .. }
            | Stage::Associating { .. }
            | Stage::Done => None,
            Stage::Answering { then: Then::RelayDatagrams, .. } => None,
            Stage::Answering { then: Then::Relay, .. } => match self.standing() {
                Some(mut standing) => {
                    let may = standing.renew(policy, now);
                    (!may).then(|| self.end(Outcome::PolicyChanged, now))
                }
                None => None,
            },
            Stage::Binding(binding) if !binding.is_of_hosts() => None,
            Stage::Resolving { .. } | Stage::Opening(_) | Stage::Dialing(_) | Stage::Binding(_) => {
                self.renew_permit(now, out)
            }
        }
    }

    /// Asks the rules about the request once more.
    fn renew_permit(&mut self, now: Instant, out: &mut Outbox) -> Option<Next> {
        let standing = self.standing()?;
        let Standing { identity, client, request, .. } = &standing;
        let judged = self.policy.acl.on_request(identity, *client, request, now);
        match (&mut self.stage, judged) {
            (Stage::Resolving { permit, .. }, Ok(renewed)) => {
                self.facts.ruling = renewed.ruling().cloned();
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
        })
    }

    /// Whether it wants the client's octets now. While it does not, they stay where they are: what
    /// comes behind a request is payload.
    #[must_use]
    pub const fn wants_bytes(&self) -> bool {
        matches!(self.stage, Stage::Announcing { .. } | Stage::Negotiating { .. })
    }

    /// What is known of the attempt so far.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The client's address, after what a load balancer announced.
    #[must_use]
    pub const fn client(&self) -> IpAddr {
        self.client
    }

    /// Which way its next socket towards a target leaves.
    #[must_use]
    pub const fn outlet(&self) -> &Outlet {
        &self.exit.outlet
    }

    /// The policy that the connection started with.
    #[must_use]
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    fn on_bytes(&mut self, octets: &[u8], now: Instant, out: &mut Outbox) -> (usize, Next) {
        let Stage::Announcing { until } = self.stage else {
            return self.on_handshake(octets, now, out);
        };
        match proxy_protocol::parse(octets) {
            Ok(None) => (0, Next::Read),
            Ok(Some((announcement, used))) => {
                if let Announcement::Client(client) = announcement {
                    self.client = client.ip();
                    self.facts.client = Some(client);
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
            Ok((used, Progress::NoMethod)) => (used, self.refuse(Outcome::NoAcceptableMethod, now)),
            Ok((used, Progress::Verify(login))) => {
                self.facts.claimed_user =
                    Some(String::from_utf8_lossy(&login.username).into_owned().into());
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
                if !userid.is_empty() {
                    // A claim that nothing proves.
                    self.facts.claimed_user =
                        Some(String::from_utf8_lossy(&userid).into_owned().into());
                }
                if self.finished && used == octets.len() {
                    self.gone_at = Some(now + HANG_UP_PATIENCE);
                }
                (used, self.on_request(request, now, out))
            }
            Err(fault) => (octets.len(), self.on_fault(&fault, now, out)),
        }
    }

    fn on_fault(&mut self, fault: &Fault, now: Instant, out: &mut Outbox) -> Next {
        let outcome = fault.outcome();
        fault.write(self.dialect, out);
        // Answers to what came before it may still be on their way, too.
        if out.is_empty() { self.end(outcome, now) } else { self.refuse(outcome, now) }
    }

    fn on_request(&mut self, request: Request, now: Instant, out: &mut Outbox) -> Next {
        let identity = self.facts.identity.get_or_insert_with(|| self.policy.anonymous.clone());
        self.exit = Exit::of(&self.policy, identity, self.client);
        let Request { command, target } = &request;
        self.facts.command = Some(*command);
        if *command == Command::UdpAssociate && self.policy.commands.contains(*command) {
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
            let binding = Binding::anybody(now, now + self.policy.timeouts.connect);
            self.stage = Stage::Binding(Box::new(binding));
            return Next::Listen { towards: None };
        }
        let permit = match self.policy.acl.on_request(identity, self.client, &request, now) {
            Ok(permit) => permit,
            Err(denial) => return self.deny(Outcome::AclDenied, denial, now, out),
        };
        self.facts.ruling = permit.ruling().cloned();
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
            return self.prepare_binding(&addresses, permit, now, out);
        }
        let delay = self.policy.timeouts.attempt;
        let attempts = Attempts::new(addresses, permit, now, (delay, until));
        match attempts.any_permitted(&self.policy.acl) {
            Ok(first) => {
                self.facts.ruling = Some(first.ruling().clone());
                self.stage = Stage::Opening(attempts);
                Next::Open
            }
            Err(Some(denial)) => self.deny(Outcome::AclDeniedAddress, denial, now, out),
            Err(None) => self.reject(Outcome::NameNotFound, now, out),
        }
    }

    fn on_opened(&mut self, now: Instant, out: &mut Outbox) -> Next {
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

    fn on_verdict(&mut self, verdict: Verdict, now: Instant, out: &mut Outbox) -> Next {
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Verifying { mut handshake, asked, until } => {
                self.facts.stages.auth_us = Some(micros(asked, now));
                match verdict {
                    // It may have been checked before users were taken away.
                    Verdict::Accepted(identity)
                        if identity.is_authenticated()
                            && self.policy.renewed(&identity).is_none() =>
                    {
                        handshake.verdict(false, out);
                        self.refuse(Outcome::AuthFailed, now)
                    }
                    Verdict::Accepted(identity) => {
                        handshake.verdict(true, out);
                        self.facts.claimed_user = None;
                        self.facts.identity = Some(identity);
                        self.stage = Stage::Negotiating { handshake, until };
                        // The request may already be here; `Flush` and `Flushed` lead to it.
                        Next::Flush
                    }
                    Verdict::Rejected => {
                        handshake.verdict(false, out);
                        self.refuse(Outcome::AuthFailed, now)
                    }
                    Verdict::Banned => {
                        handshake.verdict(false, out);
                        self.refuse(Outcome::Banned, now)
                    }
                    Verdict::Overloaded => {
                        handshake.verdict(false, out);
                        self.refuse(Outcome::ServerBusy, now)
                    }
                }
            }
            Stage::Announcing { .. }
            | Stage::Negotiating { .. }
            | Stage::Resolving { .. }
            | Stage::Opening(_)
            | Stage::Dialing(_)
            | Stage::Associating { .. }
            | Stage::Binding(_)
            | Stage::Answering { .. }
            | Stage::Done => self.impossible("Verdict", now),
        }
    }

    fn on_resolved(
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
                    Err(LookupError::Failed | LookupError::TimedOut) => {
                        self.reject(Outcome::NameLookupFailed, now, out)
                    }
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

    fn on_connected(
        &mut self,
        _attempt: Attempt,
        peer: SocketAddr,
        local: SocketAddr,
        now: Instant,
        out: &mut Outbox,
    ) -> Next {
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Dialing(attempts) if !attempts.still_permitted(&self.policy.acl, peer.ip()) => {
                self.facts.stages.connect_us = Some(micros(attempts.began, now));
                self.reject(Outcome::PolicyChanged, now, out)
            }
            Stage::Dialing(attempts) => {
                self.facts.stages.connect_us = Some(micros(attempts.began, now));
                self.facts.resolved = Some(peer.ip().to_canonical());
                self.answer(local, Then::Relay, now, out)
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

    fn on_associated(&mut self, bound: SocketAddr, now: Instant, out: &mut Outbox) -> Next {
        if !matches!(self.stage, Stage::Associating { .. }) {
            return self.impossible("Associated", now);
        }
        let told = self.policy.associations.advertised.unwrap_or(bound.ip());
        self.answer(SocketAddr::new(told, bound.port()), Then::RelayDatagrams, now, out)
    }

    fn prepare_binding(
        &mut self,
        addresses: &[IpAddr],
        permit: RequestPermit,
        now: Instant,
        out: &mut Outbox,
    ) -> Next {
        let until = now + self.policy.timeouts.connect;
        match Binding::of_hosts(addresses, permit, &self.policy.acl, now, until) {
            Ok((mut binding, first)) => {
                let identity = self.facts.identity.as_ref().unwrap_or(&self.policy.anonymous);
                self.exit.turn_to(&first, &self.policy, identity, self.client);
                if !binding.keep_reached(&self.exit.outlet) {
                    // It could not come to an address of ours.
                    return self.reject(Outcome::NetworkUnreachable, now, out);
                }
                self.facts.ruling = Some(first.ruling().clone());
                self.stage = Stage::Binding(Box::new(binding));
                Next::Open
            }
            Err(Some(denial)) => self.deny(Outcome::AclDeniedAddress, denial, now, out),
            Err(None) => self.reject(Outcome::NameNotFound, now, out),
        }
    }

    fn on_binding_opened(
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

    fn on_listening(&mut self, bound: SocketAddr, now: Instant, out: &mut Outbox) -> Next {
        let Stage::Binding(binding) = &mut self.stage else {
            return self.impossible("Listening", now);
        };
        binding.step = Step::Awaiting;
        binding.began = now;
        self.dialect.write_success(bound, out);
        Next::Flush
    }

    fn on_accepted(&mut self, peer: SocketAddr, now: Instant, out: &mut Outbox) -> Next {
        let Stage::Binding(binding) = &mut self.stage else {
            return self.impossible("Accepted", now);
        };
        let identity = self.facts.identity.get_or_insert_with(|| self.policy.anonymous.clone());
        match binding.welcome(peer, &self.policy.acl, (identity, self.client), now) {
            Welcome::Go => Next::TurnAway,
            Welcome::Come(permit) => {
                self.facts.stages.connect_us = Some(micros(binding.began, now));
                self.facts.resolved = Some(permit.address().ip());
                self.answer(peer, Then::Relay, now, out)
            }
            Welcome::First(permit) => {
                self.facts.stages.connect_us = Some(micros(binding.began, now));
                self.facts.resolved = Some(permit.address().ip());
                self.facts.ruling = Some(permit.ruling().clone());
                self.peer = Some(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
                binding.step = Step::Welcoming(peer);
                Next::Open
            }
        }
    }

    fn on_no_socket(&mut self, now: Instant, out: &mut Outbox) -> Next {
        if !matches!(self.stage, Stage::Associating { .. } | Stage::Binding(_)) {
            return self.impossible("NoSocket", now);
        }
        self.reject(Outcome::ServerBusy, now, out)
    }

    /// Answers that the request was carried out at this address of ours.
    fn answer(&mut self, bound: SocketAddr, then: Then, now: Instant, out: &mut Outbox) -> Next {
        self.gone_at = None;
        self.dialect.write_success(bound, out);
        self.stage = Stage::Answering { until: now + self.policy.timeouts.linger, then };
        Next::Flush
    }

    fn on_unreachable(
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

    /// Dials the next permitted address; refuses when none is left and nothing is pending.
    fn dial_next(&mut self, now: Instant, out: &mut Outbox) -> Next {
        let Stage::Dialing(attempts) = &mut self.stage else {
            return self.impossible("dial", now);
        };
        let (policy, exit, client) = (&self.policy, &mut self.exit, self.client);
        let identity = self.facts.identity.as_ref().unwrap_or(&policy.anonymous);
        let reaches = |permit: &Permit| exit.turn_to(permit, policy, identity, client);
        if let Some((attempt, permit)) = attempts.next(&policy.acl, reaches, now) {
            self.facts.resolved = Some(permit.address().ip().to_canonical());
            return Next::Dial { attempt, permit };
        }
        if attempts.is_pending() || attempts.more {
            return Next::Wait;
        }
        let outcome = attempts.outcome();
        self.reject(outcome, now, out)
    }

    fn on_flushed(&mut self) -> Next {
        match &self.stage {
            Stage::Announcing { .. } | Stage::Negotiating { .. } => Next::Read,
            Stage::Answering { then, .. } => {
                let next = match then {
                    Then::Relay => Next::Relay,
                    Then::RelayDatagrams => Next::RelayDatagrams,
                };
                self.stage = Stage::Done;
                next
            }
            Stage::Verifying { .. }
            | Stage::Resolving { .. }
            | Stage::Opening(_)
            | Stage::Dialing(_)
            | Stage::Associating { .. }
            | Stage::Binding(_)
            | Stage::Done => Next::Wait,
        }
    }

    fn on_eof(&mut self, early: bool, now: Instant) -> Next {
        self.finished = true;
        match &self.stage {
            // It wants more, and there is no more.
            Stage::Announcing { .. } | Stage::Negotiating { .. } => {
                self.end(Outcome::ClientGone, now)
            }
            // A login without a request behind it leads nowhere.
            Stage::Verifying { .. } if !early => self.end(Outcome::ClientGone, now),
            // Half-close: a client that has left its payload, or its request, waits for the answer.
            // Without any it may wait for a target that speaks first, or may have hung up, which TCP
            // does not tell apart before something is sent: it is given a moment.
            Stage::Resolving { .. }
            | Stage::Opening(_)
            | Stage::Dialing(_)
            | Stage::Associating { .. }
            | Stage::Binding(_)
                if !early =>
            {
                self.gone_at = Some(now + HANG_UP_PATIENCE);
                Next::Wait
            }
            Stage::Verifying { .. }
            | Stage::Resolving { .. }
            | Stage::Opening(_)
            | Stage::Dialing(_)
            | Stage::Associating { .. }
            | Stage::Binding(_)
            | Stage::Answering { .. }
            | Stage::Done => Next::Wait,
        }
    }

    fn on_deadline(&mut self, now: Instant, out: &mut Outbox) -> Next {
        if self.gone_at.is_some_and(|gone_at| now >= gone_at) {
            return self.reject(Outcome::ClientGone, now, out);
        }
        match &self.stage {
            Stage::Announcing { .. } | Stage::Negotiating { .. } | Stage::Verifying { .. } => {
                self.end(Outcome::HandshakeTimeout, now)
            }
            Stage::Resolving { .. } => self.reject(Outcome::NameLookupFailed, now, out),
            Stage::Opening(_) | Stage::Associating { .. } => Next::Wait,
            Stage::Dialing(attempts) if attempts.is_over(now) => {
                let outcome = attempts.overdue();
                self.reject(outcome, now, out)
            }
            Stage::Dialing(attempts) if attempts.may_join(now) => self.dial_next(now, out),
            Stage::Dialing(_) => Next::Wait,
            Stage::Binding(binding) => match binding.denied.clone() {
                Some((outcome, denial)) => self.deny(outcome, denial, now, out),
                None => self.reject(Outcome::ConnectTimeout, now, out),
            },
            Stage::Answering { .. } => self.end(Outcome::ClientGone, now),
            Stage::Done => Next::Wait,
        }
    }

    fn deny(&mut self, outcome: Outcome, denial: Denial, now: Instant, out: &mut Outbox) -> Next {
        self.facts.ruling = Some(denial.ruling);
        self.reject(outcome, now, out)
    }

    /// Refuses with the reply that belongs to the outcome.
    fn reject(&mut self, outcome: Outcome, now: Instant, out: &mut Outbox) -> Next {
        self.dialect.write_failure(outcome, out);
        self.refuse(outcome, now)
    }

    fn refuse(&mut self, outcome: Outcome, now: Instant) -> Next {
        self.leave(now);
        Next::Refuse(outcome)
    }

    fn end(&mut self, outcome: Outcome, now: Instant) -> Next {
        self.leave(now);
        Next::End(outcome)
    }

    /// An input that cannot come in this stage: a defect of ours, which ends the session only.
    fn impossible(&mut self, input: &str, now: Instant) -> Next {
        debug_assert!(false, "{input} in {:?}", self.stage);
        self.end(Outcome::Internal, now)
    }
}

/// Microseconds between two instants, as far as a column holds them (71 minutes).
fn micros(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u32::MAX)
}

/// How long a target may take to answer whose client has closed its sending side and left no payload.
const HANG_UP_PATIENCE: Duration = Duration::from_secs(1);
