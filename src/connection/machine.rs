//! The machine itself: one input in, one question out. What it does with an input stands in the file
//! named for what it is about; what can come in every stage stands here.

mod binding;
mod dialing;
mod limits;
mod login;
mod renewal;
mod request;

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bind::Step;
use super::dial::ConnectError;
use super::exit::Exit;
use super::facts::Facts;
use super::input::Input;
use super::negotiation::{Dialect, Negotiation};
use super::next::Next;
use super::stage::{Stage, Then};
use crate::acl::Denial;
use crate::egress::Outlet;
use crate::limit::Stays;
use crate::policy::Policy;
use crate::session::Outcome;
use crate::socks::{Outbox, Version};

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
    /// The places that the session has among those of its user.
    stays: Stays,
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
        let stays = Stays::default();
        Self { client, policy, stage, dialect, facts, exit, finished, gone_at, peer, stays }
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
            Input::Connected { attempt: _, reached, local } => {
                (0, self.on_connected(reached, local, now, out))
            }
            Input::Unreachable { attempt, error } => {
                (0, self.on_unreachable(attempt, error, now, out))
            }
            Input::Associated(bound) => (0, self.on_associated(bound, now, out)),
            Input::Listening(bound) => (0, self.on_listening(bound, now, out)),
            Input::Accepted(peer) => (0, self.on_accepted(peer, now, out)),
            Input::NoSocket(error) => (0, self.on_no_socket(error, now, out)),
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

    fn on_associated(&mut self, bound: SocketAddr, now: Instant, out: &mut Outbox) -> Next {
        if !matches!(self.stage, Stage::Associating { .. }) {
            return self.impossible("Associated", now);
        }
        // A client that came by the other family could not send there.
        let advertised = self.policy.associations.advertised;
        let told = advertised.filter(|told| told.is_ipv4() == bound.ip().to_canonical().is_ipv4());
        let told = told.unwrap_or(bound.ip());
        self.answer(SocketAddr::new(told, bound.port()), Then::RelayDatagrams, now, out)
    }

    fn on_no_socket(&mut self, error: ConnectError, now: Instant, out: &mut Outbox) -> Next {
        if !matches!(self.stage, Stage::Associating { .. } | Stage::Binding(_)) {
            return self.impossible("NoSocket", now);
        }
        self.reject(error.outcome(), now, out)
    }

    /// Answers that the request was carried out at this address of ours.
    fn answer(&mut self, bound: SocketAddr, then: Then, now: Instant, out: &mut Outbox) -> Next {
        self.gone_at = None;
        self.dialect.write_success(bound, out);
        self.stage = Stage::Answering { until: now + self.policy.timeouts.linger, then };
        Next::Flush
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
            Stage::Announcing { .. } | Stage::Negotiating { .. } => {
                self.end(Outcome::HandshakeTimeout, now)
            }
            // The client has done its part: it is we who have not come to it.
            Stage::Verifying { .. } => self.fail_login(Outcome::ServerBusy, now, out),
            Stage::Resolving { .. } => self.reject(Outcome::ConnectTimeout, now, out),
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
        self.facts.rule(&denial.ruling, self.policy.generation);
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
