//! The decision: first on the request as the client made it, then on each address.
//!
//! What a name is allowed or refused by may be its address, so a name that a rule refuses, or no rule
//! allows, is looked up all the same where an earlier rule allows a network: the address then decides.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::command::Unaimed;
use super::embedded::Embedded;
use super::explain::{Explained, Explanation, Trace};
use super::guard::{Forbidden, Guard};
use super::permit::{Asked, AskedHost, Permit, RequestPermit};
use super::rule::Query;
use super::rules::{DEFAULT_POLICY, Observer, Rules, both};
use super::ruling::{Decision, Ruling};
use super::tally::{RuleHits, Tally};
use crate::auth::Identity;
use crate::clock;
use crate::socks::Request;
use crate::target::Host;

/// The rules of one policy.
#[derive(Debug)]
pub struct Acl {
    guard: Guard,
    rules: Option<Arc<Rules>>,
    default_policy: Arc<str>,
    tallies: Arc<[Tally]>,
}

/// No.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The decision, for the record.
    pub ruling: Ruling,
}

impl Acl {
    /// No rules: what the guard allows is allowed.
    #[must_use]
    pub fn new(guard: Guard) -> Self {
        Self { guard, rules: None, default_policy: DEFAULT_POLICY.into(), tallies: Arc::new([]) }
    }

    /// Behind the guard, these rules.
    #[must_use]
    pub fn with_rules(guard: Guard, rules: Arc<Rules>) -> Self {
        Self { rules: Some(rules), ..Self::new(guard) }
    }

    /// The same with counts of decisions for so many workers.
    #[must_use]
    pub fn counting_for(mut self, workers: usize) -> Self {
        let last = self.rules.iter().flat_map(|rules| rules.ordered()).map(|rule| rule.id).max();
        self.tallies = (0..workers).map(|_| Tally::new(last.unwrap_or(0))).collect();
        self
    }

    /// Counts on where the policy before did, if its rules were the same.
    #[must_use]
    pub fn counting_on(mut self, before: &Self) -> Self {
        let own = self.rules.as_deref().map(Rules::ordered);
        let same = own == before.rules.as_deref().map(Rules::ordered);
        if same && self.tallies.len() == before.tallies.len() {
            self.tallies = Arc::clone(&before.tallies);
        }
        self
    }

    /// The rules, if there are any.
    #[must_use]
    pub const fn rules(&self) -> Option<&Arc<Rules>> {
        self.rules.as_ref()
    }

    /// The way out of what this has decided, by name, if the rule names one.
    #[must_use]
    pub fn egress_of(&self, ruling: &Ruling) -> Option<&Arc<str>> {
        self.rules.as_ref()?.egress_of(ruling)
    }

    /// The limit on bandwidth of what this has decided, by name, if the rule names one.
    #[must_use]
    pub fn bandwidth_of(&self, ruling: &Ruling) -> Option<&Arc<str>> {
        self.rules.as_ref()?.bandwidth_of(ruling)
    }

    /// Whether any rule names a limit on bandwidth.
    #[must_use]
    pub fn names_bandwidths(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.names_bandwidths())
    }

    /// Whether the guard stands.
    #[must_use]
    pub const fn is_guarded(&self) -> bool {
        matches!(self.guard, Guard::Auto(_))
    }

    /// Counts a decision of this policy that `worker` acted on.
    pub fn count(&self, worker: usize, ruling: &Ruling) {
        if let Some(tally) = self.tallies.get(worker) {
            tally.count(ruling);
        }
    }

    /// How often the rule of this number has decided since these rules are in force.
    #[must_use]
    pub fn hits(&self, rule_id: u32) -> RuleHits {
        self.tallies.iter().map(|tally| tally.of(rule_id)).fold(RuleHits::default(), |sum, one| {
            RuleHits { hits: sum.hits + one.hits, shadow_hits: sum.shadow_hits + one.shadow_hits }
        })
    }

    /// Whether `identity`, calling from `client`, may ask for this at all, at `now`.
    ///
    /// # Errors
    /// [`Denial`] with the rule that said no.
    pub fn on_request(
        &self,
        identity: &Identity,
        client: IpAddr,
        request: &Request,
        now: Instant,
    ) -> Result<RequestPermit, Denial> {
        let minute = self.minute(|| clock::utc_ms_at(now));
        self.judge_request((identity, client), request, minute, &mut ())
    }

    /// Until when what is decided at `now` holds at least, where rules have hours: to the turn of the
    /// minute, so that it also follows a step of the clock. `None` where time changes nothing.
    #[must_use]
    pub fn holds_until(&self, now: Instant) -> Option<Instant> {
        self.rules.as_ref().filter(|rules| rules.has_hours())?;
        let into = u64::try_from(clock::utc_ms_at(now).rem_euclid(MINUTE_MS)).unwrap_or(0);
        Some(now + Duration::from_millis(MINUTE_MS.unsigned_abs() - into))
    }

    /// Whether this address of the permitted target may be dialled.
    ///
    /// # Errors
    /// [`Denial`] with the rule that said no.
    pub fn on_address(&self, permit: &RequestPermit, address: IpAddr) -> Result<Permit, Denial> {
        self.judge_address(permit, address, &mut ())
    }

    /// What is decided about a request at a moment (milliseconds since the epoch), and then about each
    /// address that its name has, and why. Nothing is counted.
    #[must_use]
    pub fn explain(
        &self,
        (identity, client): (&Identity, IpAddr),
        request: &Request,
        utc_ms: i64,
        addresses: &[IpAddr],
    ) -> Explained {
        let unaimed = match self.unaimed((identity, client), request) {
            Unaimed::Denied(denial) => Some(Some(denial.ruling)),
            Unaimed::Open => Some(None),
            Unaimed::Aimed => None,
        };
        if let Some(ruling) = unaimed {
            let request = Explanation::unaimed(ruling, self.rules.as_deref());
            return Explained { request, addresses: Vec::new() };
        }
        let minute = self.minute(|| utc_ms);
        let mut trace = Trace::default();
        let judged = self.judge_request((identity, client), request, minute, &mut trace);
        let (ruling, permit) = match judged {
            Ok(permit) => (permit.ruling.clone(), Some(permit)),
            Err(denial) => (Some(denial.ruling), None),
        };
        let asked = Asked::new(identity, request, minute);
        let story = |trace: Trace, ruling, host: &Host| match &self.rules {
            Some(rules) => {
                let mut query = asked.query(client, request.target.port);
                (query.address, query.embedded) = literal(host);
                trace.finish(ruling, Some((rules, &query)))
            }
            None => trace.finish(ruling, None),
        };
        let explained = story(trace, ruling, &request.target.host);
        let each = |permit: &RequestPermit, address: IpAddr| {
            let mut trace = Trace::default();
            let ruling = match self.judge_address(permit, address, &mut trace) {
                Ok(permit) => permit.ruling,
                Err(denial) => denial.ruling,
            };
            (address, story(trace, Some(ruling), &address.into()))
        };
        let addresses = permit.iter().flat_map(|permit| {
            let is_name = request.target.host.name().is_some();
            addresses.iter().filter(move |_| is_name).map(|address| each(permit, *address))
        });
        let addresses = addresses.collect();
        Explained { request: explained, addresses }
    }

    /// What is decided about a request at a moment (milliseconds since the epoch), and about the address
    /// that its name has. `None` when it depends on an address that is not given, on who comes, or on
    /// what datagrams are for. Nothing is counted.
    #[must_use]
    pub fn decide_at(
        &self,
        (identity, client): (&Identity, IpAddr),
        request: &Request,
        utc_ms: i64,
        address: Option<IpAddr>,
    ) -> Option<Ruling> {
        match self.unaimed((identity, client), request) {
            Unaimed::Denied(denial) => return Some(denial.ruling),
            Unaimed::Open => return None,
            Unaimed::Aimed => {}
        }
        let minute = self.minute(|| utc_ms);
        let permit = match self.judge_request((identity, client), request, minute, &mut ()) {
            Ok(permit) => permit,
            Err(denial) => return Some(denial.ruling),
        };
        match address.filter(|_| request.target.host.name().is_some()) {
            Some(address) => Some(match self.judge_address(&permit, address, &mut ()) {
                Ok(permit) => permit.ruling,
                Err(denial) => denial.ruling,
            }),
            None => permit.ruling,
        }
    }

    fn judge_request<O: Observer>(
        &self,
        (identity, client): (&Identity, IpAddr),
        request: &Request,
        minute: u16,
        observer: &mut O,
    ) -> Result<RequestPermit, Denial> {
        let port = request.target.port;
        let address = request.target.host.ip();
        let forbidden = address.and_then(|ip| self.forbidden(client, SocketAddr::new(ip, port)));
        let Some(rules) = &self.rules else {
            let ruling = Some(self.without_rules(forbidden)?);
            return Ok(RequestPermit { client, port, ruling, asked: None });
        };
        let mut query = Rules::query(identity, client, request.command, port, minute);
        (query.address, query.embedded) = literal(&request.target.host);
        query.name = request.target.host.name().map(|name| name.as_str());
        let verdict = rules.decide(&query, forbidden, observer);
        let ruling = rules.ruling(&verdict);
        let ruling = match ruling.decision {
            Decision::Allow => Some(ruling),
            Decision::Block if address.is_none() && rules.may_be_allowed(&query, verdict.rank) => {
                None
            }
            Decision::Block => return Err(Denial { ruling }),
        };
        let asked = Some(Asked::new(identity, request, minute));
        Ok(RequestPermit { client, port, ruling, asked })
    }

    fn judge_address<O: Observer>(
        &self,
        permit: &RequestPermit,
        address: IpAddr,
        observer: &mut O,
    ) -> Result<Permit, Denial> {
        let target = SocketAddr::new(address, permit.port);
        let (Some(rules), Some(asked)) = (&self.rules, &permit.asked) else {
            let ruling = self.without_rules(self.forbidden(permit.client, target))?;
            return Ok(Permit { address: target, ruling });
        };
        if let (AskedHost::Address(judged), Some(ruling)) = (&asked.host, &permit.ruling)
            && *judged == address.to_canonical()
        {
            return Ok(Permit { address: target, ruling: ruling.clone() });
        }
        let mut query = asked.query(permit.client, permit.port);
        (query.address, query.embedded) = literal(&address.into());
        let forbidden = self.forbidden(permit.client, target);
        let ruling = rules.ruling(&rules.decide(&query, forbidden, observer));
        match ruling.decision {
            Decision::Allow => Ok(Permit { address: target, ruling }),
            Decision::Block => Err(Denial { ruling }),
        }
    }

    fn without_rules(&self, forbidden: Option<Forbidden>) -> Result<Ruling, Denial> {
        let ruling = |decision, rule| Ruling { decision, rule, rule_id: None, shadow: None };
        match forbidden {
            None => Ok(ruling(Decision::Allow, Arc::clone(&self.default_policy))),
            Some(by) => Err(Denial { ruling: ruling(Decision::Block, by.sentence.into()) }),
        }
    }

    /// What the guard says against a target.
    fn forbidden(&self, client: IpAddr, target: SocketAddr) -> Option<Forbidden> {
        self.guard.allows(client, target).err()
    }

    fn minute(&self, utc_ms: impl FnOnce() -> i64) -> u16 {
        self.rules.as_ref().map_or(0, |rules| rules.minute(utc_ms))
    }
}

impl Asked {
    fn new(identity: &Identity, request: &Request, minute: u16) -> Self {
        let host = match &request.target.host {
            Host::Name(name) => AskedHost::Name(name.clone()),
            Host::V4(ip) => AskedHost::Address((*ip).into()),
            Host::V6(ip) => AskedHost::Address(IpAddr::from(*ip).to_canonical()),
        };
        Self { identity: identity.clone(), command: request.command, host, minute }
    }

    fn query(&self, client: IpAddr, port: u16) -> Query<'_> {
        let mut query = Rules::query(&self.identity, client, self.command, port, self.minute);
        if let AskedHost::Name(name) = &self.host {
            query.name = Some(name.as_str());
        }
        query
    }
}

/// A literal address with those within it.
fn literal(host: &Host) -> (Option<IpAddr>, Embedded) {
    match host.ip() {
        Some(ip) => {
            let (address, embedded) = both(ip);
            (Some(address), embedded)
        }
        None => (None, Embedded::NONE),
    }
}

const MINUTE_MS: i64 = 60_000;
