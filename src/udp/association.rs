//! One association: who may send, where to, and who may answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::dropped::Dropped;
use super::lookups::{lookup_dropped, lookup_outcome};
use super::named::Named;
use super::peers::Peers;
use super::routes::{Asking, Open, Routes, Term, Way};
use super::sender::Sender;
use super::step::{Question, Refusal, Step};
use super::waiting::Waiting;
use crate::acl::{Denial, Permit, RequestPermit, Ruling};
use crate::auth::Identity;
use crate::policy::Policy;
use crate::resolve::{Addresses, LookupError};
use crate::session::Outcome;
use crate::socks::{BadDatagram, Command, Datagram, Request};
use crate::target::Target;

/// What decides about the datagrams of one client.
#[derive(Debug)]
pub struct Association {
    client: IpAddr,
    sender: Sender,
    identity: Identity,
    policy: Arc<Policy>,
    routes: Routes,
    peers: Peers,
    named: Named,
    waiting: Waiting,
    query: u32,
    refusal: Option<Refusal>,
    /// What was decided about targets and is not counted yet: a few for each datagram of a portion.
    judged: Vec<Ruling>,
}

/// How a way was found.
enum Found {
    /// It is known now.
    Known,
    /// It is known, and to be looked up beside.
    Beside(Question),
    /// The datagram is kept for the answer.
    Later(Question),
}

impl Association {
    /// The association of `identity`, whose control connection comes from `client`. `declared` is
    /// DST.PORT of its request: the port that it will send from, or 0 if it does not know yet.
    #[must_use]
    pub fn new(client: IpAddr, declared: u16, identity: Identity, policy: Arc<Policy>) -> Self {
        let sender = if declared == 0 { Sender::Any } else { Sender::Declared(declared) };
        Self {
            client: client.to_canonical(),
            sender,
            identity,
            policy,
            routes: Routes::default(),
            peers: Peers::default(),
            named: Named::default(),
            waiting: Waiting::default(),
            query: 0,
            refusal: None,
            judged: Vec::new(),
        }
    }

    /// The client's address.
    #[must_use]
    pub const fn client(&self) -> IpAddr {
        self.client
    }

    /// Who the client is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it judges by.
    #[must_use]
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The limits on bandwidth that rules have named for its targets, in the order of their numbers.
    #[must_use]
    pub fn limits(&self) -> &[Arc<str>] {
        self.named.names()
    }

    /// Judges by this policy from now on. Whether its client may still use us. The limits are those of
    /// targets that were open and whose hosts may answer, under the new rules: others can move nothing
    /// before a datagram to them is judged, and a client may have left many of them behind.
    #[must_use]
    pub fn renew(&mut self, policy: &Arc<Policy>, now: Instant) -> bool {
        if self.policy.generation != policy.generation {
            if !policy.commands.contains(Command::UdpAssociate) {
                return false;
            }
            let Some(identity) = policy.renewed(&self.identity) else { return false };
            self.identity = identity;
            let command = Command::UdpAssociate;
            if policy.acl.forbids_all(&self.identity, self.client, command).is_some() {
                return false;
            }
            self.policy = Arc::clone(policy);
            self.judged.clear();
            self.named = Named::default();
            let open = self.routes.clear();
            if policy.acl.names_bandwidths() {
                for (target, address) in open {
                    if !self.peers.has(address, now) {
                        continue;
                    }
                    let Ok(request) = self.judge(&target, now) else { continue };
                    let Ok(permit) = policy.acl.on_address(&request, address) else { continue };
                    if let Some(name) = policy.acl.bandwidth_of(permit.ruling()) {
                        let _known = self.named.limit(name);
                    }
                }
            }
        }
        true
    }

    /// What is to be done with a datagram that came to the socket towards the client.
    pub fn upload<'a>(
        &'a mut self,
        source: SocketAddr,
        octets: &'a [u8],
        now: Instant,
    ) -> Step<'a> {
        let expected = source.ip().to_canonical() == self.client && self.sender.may_be(source);
        if !expected {
            return Step::Drop(Dropped::ForeignSource);
        }
        match Datagram::split(octets) {
            Ok(datagram) => {
                self.sender = Sender::Known(source);
                self.forward(octets, datagram, now)
            }
            Err(BadDatagram::Fragment(_)) => Step::Drop(Dropped::Fragment),
            Err(BadDatagram::Short | BadDatagram::Address(_)) => Step::Drop(Dropped::Malformed),
        }
    }

    /// What is to be done with a datagram that was [kept](Step::Kept) and has come back from
    /// [`answered`](Self::answered).
    pub fn upload_kept<'a>(&'a mut self, octets: &'a [u8], now: Instant) -> Step<'a> {
        match Datagram::split(octets) {
            Ok(datagram) => self.forward(octets, datagram, now),
            Err(_) => Step::Drop(Dropped::Malformed),
        }
    }

    fn forward<'a>(
        &'a mut self,
        octets: &'a [u8],
        datagram: Datagram<'a>,
        now: Instant,
    ) -> Step<'a> {
        let mut beside = None;
        if self.routes.find(datagram.address, now).is_none() {
            match self.find_way(octets, &datagram, now) {
                Ok(Found::Known) => {}
                Ok(Found::Beside(question)) => beside = Some(question),
                Ok(Found::Later(question)) => return Step::Ask(question),
                Err(dropped) => return Step::Drop(dropped),
            }
        }
        match self.routes.find(datagram.address, now) {
            Some(Way::Open(open)) => match open.permit() {
                Some(permit) => Step::Send {
                    permit,
                    target: &open.target,
                    ruling: permit.ruling(),
                    limit: (self.policy.acl.bandwidth_of(permit.ruling()))
                        .map(|name| self.named.limit(name)),
                    payload: datagram.payload,
                    beside,
                },
                None => Step::Drop(Dropped::Unreachable),
            },
            Some(Way::Asking { query, .. }) => match self.waiting.keep(*query, octets) {
                true => Step::Kept,
                false => Step::Drop(Dropped::LookupsFull),
            },
            Some(Way::Closed(dropped)) => Step::Drop(*dropped),
            None => Step::Drop(Dropped::Unreachable),
        }
    }

    /// Finds a way to a target that is new, or whose time was over; a name has to be asked for.
    fn find_way(
        &mut self,
        octets: &[u8],
        datagram: &Datagram<'_>,
        now: Instant,
    ) -> Result<Found, Dropped> {
        let target = datagram.target().map_err(|_| Dropped::Malformed)?;
        let permit = match self.judge(&target, now) {
            Ok(permit) => permit,
            Err(denial) => {
                self.close(datagram.address, target, denial.ruling, now);
                return Ok(Found::Known);
            }
        };
        let Some(name) = target.host.name() else {
            let addresses: Addresses = target.host.ip().into_iter().collect();
            let way = self.way(target, permit, &addresses);
            self.put(datagram.address, way, None, now);
            return Ok(Found::Known);
        };
        if let Some((open, until)) = self.routes.take_open(datagram.address)
            && let Ok(permits) = self.permits(&permit, &open.addresses())
        {
            let mut open = open.staying(permits);
            open.request = permit;
            return Ok(self.keep_open(datagram.address, open, until, now));
        }
        let query = self.query.wrapping_add(1);
        if !self.routes.may_ask() || !self.waiting.keep(query, octets) {
            return Err(Dropped::LookupsFull);
        }
        self.query = query;
        let name = name.clone();
        let way = Way::Asking { query, target };
        self.routes.put(datagram.address, way, now, Term::default());
        Ok(Found::Later(Question { query, name }))
    }

    /// Keeps a name open whose time was over, and has it asked for if it was time for that.
    fn keep_open(
        &mut self,
        address: &[u8],
        mut open: Open,
        until: Option<Instant>,
        now: Instant,
    ) -> Found {
        let due = until.is_some_and(|until| until <= now);
        let name = open.target.host.name().filter(|_| due).cloned();
        let (until, found) = match name {
            Some(name) if self.routes.may_ask() => {
                self.query = self.query.wrapping_add(1);
                open.asking = Asking::Anew(self.query);
                (Some(now + NAME_LASTS), Found::Beside(Question { query: self.query, name }))
            }
            Some(_) => (Some(now + NO_NAME_LASTS), Found::Known),
            None => (until, Found::Known),
        };
        self.put(address, Way::Open(Box::new(open)), until, now);
        found
    }

    fn judge(&self, target: &Target, now: Instant) -> Result<RequestPermit, Denial> {
        let request = Request { command: Command::UdpAssociate, target: target.clone() };
        self.policy.acl.on_request(&self.identity, self.client, &request, now)
    }

    /// A rule forbids a target by what it is called.
    fn close(&mut self, address: &[u8], target: Target, ruling: Ruling, now: Instant) {
        self.judged.push(ruling.clone());
        self.refuse(target, Some(ruling), Outcome::AclDenied);
        self.put(address, Way::Closed(Dropped::Denied), None, now);
    }

    /// Keeps what was just decided about a target, until its name is to be looked up anew, and at most for
    /// as long as it is decided.
    fn put(&mut self, address: &[u8], way: Way, until: Option<Instant>, now: Instant) {
        let term = Term { until, judged_until: self.policy.acl.holds_until(now) };
        self.routes.put(address, way, now, term);
    }

    /// Each address of a permitted target is judged by itself; those that may be sent to.
    fn permits(
        &self,
        request: &RequestPermit,
        addresses: &[IpAddr],
    ) -> Result<SmallVec<[Permit; 1]>, Option<Ruling>> {
        let mut permits = SmallVec::new();
        let mut denied = None;
        for address in addresses {
            match self.policy.acl.on_address(request, address.to_canonical()) {
                Ok(permit) => permits.push(permit),
                Err(denial) => denied = Some(denial.ruling),
            }
        }
        if permits.is_empty() { Err(denied) } else { Ok(permits) }
    }

    fn way(&mut self, target: Target, request: RequestPermit, addresses: &[IpAddr]) -> Way {
        match self.permits(&request, addresses) {
            Ok(permits) => self.open(target, request, permits, Asking::Nothing),
            Err(denied) => {
                self.judged.extend(denied.clone());
                self.refuse(target, denied, Outcome::AclDeniedAddress);
                Way::Closed(Dropped::Denied)
            }
        }
    }

    fn open(
        &mut self,
        target: Target,
        request: RequestPermit,
        permits: SmallVec<[Permit; 1]>,
        asking: Asking,
    ) -> Way {
        self.judged.extend(permits.first().map(|permit| permit.ruling().clone()));
        Way::Open(Box::new(Open::new(target, request, permits, asking)))
    }

    /// An answer to a question has come; with `more` another one will, which has all that this one has.
    /// Gives back the datagrams that waited for it, for [`upload_kept`](Self::upload_kept).
    pub fn answered(
        &mut self,
        query: u32,
        answer: Result<Addresses, LookupError>,
        more: bool,
        now: Instant,
    ) -> Vec<Box<[u8]>> {
        if let Some(asked) = self.routes.answered(query) {
            if !self.answered_first(asked, (query, answer), more, now) {
                return Vec::new();
            }
        } else if let Some(address) = self.routes.asked_anew(query) {
            if !more {
                self.answered_anew(&address, answer, now);
            }
        } else if let (Ok(addresses), Some(open)) = (answer, self.routes.half_open(query)) {
            // Datagrams are on their way to what came first, and stay on it while it can be reached.
            open.asking = if more { Asking::Rest(query) } else { Asking::Nothing };
            let known =
                |ip: &IpAddr| open.permits.iter().any(|permit| permit.address().ip() == *ip);
            let late = addresses.iter().map(IpAddr::to_canonical).filter(|ip| !known(ip));
            let late: SmallVec<[IpAddr; 4]> = late.collect();
            let judged = late.iter().map(|ip| self.policy.acl.on_address(&open.request, *ip));
            open.extend(judged.filter_map(Result::ok).collect());
        }
        self.waiting.take(query)
    }

    /// Datagrams wait for this answer. Whether they need wait no longer.
    fn answered_first(
        &mut self,
        (address, target): (Box<[u8]>, Target),
        (query, answer): (u32, Result<Addresses, LookupError>),
        more: bool,
        now: Instant,
    ) -> bool {
        // The hours of a rule may have begun or ended since it was asked for.
        let permit = match self.judge(&target, now) {
            Ok(permit) => permit,
            Err(denial) => {
                self.close(&address, target, denial.ruling, now);
                return true;
            }
        };
        let permits = match &answer {
            Ok(addresses) if more => self.permits(&permit, addresses).ok(),
            Ok(_) | Err(_) => None,
        };
        if more && permits.is_none() {
            // The other family may have an address that is allowed.
            let way = Way::Asking { query, target };
            self.routes.put(&address, way, now, Term::default());
            return false;
        }
        let (way, lasts) = match (permits, answer) {
            (Some(permits), _) => {
                (self.open(target, permit, permits, Asking::Rest(query)), NAME_LASTS)
            }
            (None, Ok(addresses)) => (self.way(target, permit, &addresses), NAME_LASTS),
            (None, Err(error)) => {
                self.refuse(target, None, lookup_outcome(error));
                (Way::Closed(lookup_dropped(error)), NO_NAME_LASTS)
            }
        };
        self.put(&address, way, Some(now + lasts), now);
        true
    }

    /// Datagrams go on to the address in use, as they do if this answer still has it.
    fn answered_anew(
        &mut self,
        address: &[u8],
        answer: Result<Addresses, LookupError>,
        now: Instant,
    ) {
        let Some((mut open, _)) = self.routes.take_open(address) else { return };
        open.asking = Asking::Nothing;
        open.request = match self.judge(&open.target, now) {
            Ok(request) => request,
            Err(denial) => return self.close(address, open.target, denial.ruling, now),
        };
        let (addresses, lasts) = match answer {
            Ok(addresses) => (addresses, NAME_LASTS),
            Err(LookupError::NotFound) => {
                let way = Way::Closed(Dropped::NameFailed);
                return self.put(address, way, Some(now + NO_NAME_LASTS), now);
            }
            // That nobody can say does not make it another address; nor are the hours the same.
            Err(
                LookupError::Failed
                | LookupError::TimedOut
                | LookupError::Overloaded
                | LookupError::ClientOverloaded,
            ) => (open.addresses(), NO_NAME_LASTS),
        };
        let way = match self.permits(&open.request, &addresses) {
            Ok(permits) => {
                let open = open.staying(permits);
                self.judged.extend(open.permit().map(|permit| permit.ruling().clone()));
                Way::Open(Box::new(open))
            }
            Err(denied) => {
                self.judged.extend(denied);
                Way::Closed(Dropped::Denied)
            }
        };
        self.put(address, way, Some(now + lasts), now);
    }

    /// The kernel has no way to this address, which a datagram was to go to. Whether there is another one
    /// of its target to be tried instead; another datagram may have found that out before.
    pub fn pass_over(&mut self, octets: &[u8], address: IpAddr, now: Instant) -> bool {
        let Ok(datagram) = Datagram::split(octets) else { return false };
        match self.routes.find(datagram.address, now) {
            Some(Way::Open(open)) => open.pass_over(address, now),
            Some(Way::Asking { .. } | Way::Closed(_)) | None => false,
        }
    }

    /// The kernel took a datagram to this host, which may answer from now on.
    pub fn wrote(&mut self, host: IpAddr, now: Instant) {
        self.peers.wrote(host.to_canonical(), now);
    }

    /// Where a datagram is to be sent that came from `source`: to the client.
    ///
    /// # Errors
    /// [`Dropped::Stranger`], when nothing was sent to that host of late.
    pub fn download(&mut self, source: SocketAddr, now: Instant) -> Result<SocketAddr, Dropped> {
        match self.sender {
            Sender::Known(client) if self.peers.may_answer(source.ip().to_canonical(), now) => {
                Ok(client)
            }
            Sender::Known(_) | Sender::Any | Sender::Declared(_) => Err(Dropped::Stranger),
        }
    }

    /// Counts what `worker` has decided about targets since it was last asked. Answers how often a shadow
    /// rule would have blocked.
    pub fn count_judged(&mut self, worker: usize) -> u64 {
        if self.judged.is_empty() {
            return 0;
        }
        let judged = std::mem::take(&mut self.judged);
        judged.iter().for_each(|ruling| self.policy.acl.count(worker, ruling));
        judged.iter().filter(|ruling| ruling.shadow.is_some()).count() as u64
    }

    /// Why nothing came of it, if nothing has.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    fn refuse(&mut self, target: Target, ruling: Option<Ruling>, outcome: Outcome) {
        let denied_before = self.refusal.as_ref().is_some_and(|first| first.ruling.is_some());
        if self.refusal.is_none() || ruling.is_some() && !denied_before {
            let policy_generation = self.policy.generation;
            self.refusal = Some(Refusal { target, ruling, policy_generation, outcome });
        }
    }
}

/// How long the addresses of a name are used before it is looked up again.
const NAME_LASTS: Duration = Duration::from_mins(1);
/// How long a name that led nowhere is not looked up again.
const NO_NAME_LASTS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
