//! One association: who may send, where to, and who may answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::dropped::Dropped;
use super::peers::Peers;
use super::routes::{Open, Routes, Way};
use super::waiting::Waiting;
use crate::acl::{Permit, RequestPermit, Ruling};
use crate::auth::Identity;
use crate::policy::Policy;
use crate::resolve::{Addresses, LookupError};
use crate::session::Outcome;
use crate::socks::{BadDatagram, Command, Datagram, Request};
use crate::target::{HostName, Target};

/// What decides about the datagrams of one client.
#[derive(Debug)]
pub struct Association {
    client: IpAddr,
    sender: Sender,
    identity: Identity,
    policy: Arc<Policy>,
    routes: Routes,
    peers: Peers,
    waiting: Waiting,
    query: u32,
    refusal: Option<Refusal>,
    /// What was decided about targets and is not counted yet: a few for each datagram of a portion.
    judged: Vec<Ruling>,
}

/// From which port the client sends.
#[derive(Clone, Copy, Debug)]
enum Sender {
    /// From any: the first datagram tells.
    Any,
    /// From the one that it declared; nothing has come yet.
    Declared(u16),
    /// From this one.
    Known(SocketAddr),
}

/// What is to be done with a datagram of the client.
#[derive(Debug)]
pub enum Step<'a> {
    /// Send `payload` to the permitted address.
    Send {
        /// The address.
        permit: &'a Permit,
        /// What the client called it.
        target: &'a Target,
        /// What the rules said.
        ruling: &'a Ruling,
        /// The octets to be sent.
        payload: &'a [u8],
    },
    /// It is kept; look this name up, and hand in what comes out as the answer to `query`.
    Ask {
        /// The number of the question, unique among those of the association that are unanswered.
        query: u32,
        /// The name.
        name: HostName,
    },
    /// It is kept until the answer comes that was asked for before.
    Kept,
    /// Count it; nothing else is to be done.
    Drop(Dropped),
}

/// Why nothing came of an association whose datagrams led nowhere: the first that a rule forbade, else
/// the first whose name led nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it was to go.
    pub target: Target,
    /// What the rules said, if it was they.
    pub ruling: Option<Ruling>,
    /// How a session ends of which there is no more to say.
    pub outcome: Outcome,
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

    /// Judges by this policy from now on. Whether its client may still use us.
    #[must_use]
    pub fn renew(&mut self, policy: &Arc<Policy>) -> bool {
        if self.policy.generation != policy.generation {
            let Some(identity) = policy.renewed(&self.identity) else { return false };
            self.identity = identity;
            self.policy = Arc::clone(policy);
            self.routes.clear();
            self.judged.clear();
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
        let expected = source.ip().to_canonical() == self.client
            && match self.sender {
                Sender::Any => true,
                Sender::Declared(port) => source.port() == port,
                Sender::Known(sender) => source.port() == sender.port(),
            };
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
        if self.routes.find(datagram.address, now).is_none() {
            match self.open_route(octets, &datagram, now) {
                Ok(None) => {}
                Ok(Some(ask)) => return ask,
                Err(dropped) => return Step::Drop(dropped),
            }
        }
        match self.routes.find(datagram.address, now) {
            Some(Way::Open(open)) => match open.permit() {
                Some(permit) => Step::Send {
                    permit,
                    target: &open.target,
                    ruling: permit.ruling(),
                    payload: datagram.payload,
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
    fn open_route<'a>(
        &mut self,
        octets: &[u8],
        datagram: &Datagram<'_>,
        now: Instant,
    ) -> Result<Option<Step<'a>>, Dropped> {
        let target = datagram.target().map_err(|_| Dropped::Malformed)?;
        let request = Request { command: Command::UdpAssociate, target };
        let judged = self.policy.acl.on_request(&self.identity, self.client, &request, now);
        let target = request.target;
        let permit = match judged {
            Ok(permit) => permit,
            Err(denial) => {
                self.judged.push(denial.ruling.clone());
                self.refuse(target, Some(denial.ruling), Outcome::AclDenied);
                let way = Way::Closed(Dropped::Denied);
                self.routes.put(datagram.address, way, now, None);
                return Ok(None);
            }
        };
        let Some(name) = target.host.name() else {
            let addresses: Addresses = target.host.ip().into_iter().collect();
            let way = self.way(target, permit, &addresses);
            self.routes.put(datagram.address, way, now, None);
            return Ok(None);
        };
        let query = self.query.wrapping_add(1);
        if !self.routes.may_ask() || !self.waiting.keep(query, octets) {
            return Err(Dropped::LookupsFull);
        }
        self.query = query;
        let name = name.clone();
        self.routes.put(datagram.address, Way::Asking { query, target, permit }, now, None);
        Ok(Some(Step::Ask { query, name }))
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
            Ok(permits) => self.open(target, request, permits, None),
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
        asking: Option<u32>,
    ) -> Way {
        self.judged.extend(permits.first().map(|permit| permit.ruling().clone()));
        Way::Open(Open { target, request, permits, at: 0, asking })
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
        if let Some((address, target, permit)) = self.routes.answered(query) {
            let permits = match &answer {
                Ok(addresses) if more => self.permits(&permit, addresses).ok(),
                Ok(_) | Err(_) => None,
            };
            if more && permits.is_none() {
                // The other family may have an address that is allowed.
                self.routes.put(&address, Way::Asking { query, target, permit }, now, None);
                return Vec::new();
            }
            let (way, lasts) = match (permits, answer) {
                (Some(permits), _) => (self.open(target, permit, permits, Some(query)), NAME_LASTS),
                (None, Ok(addresses)) => (self.way(target, permit, &addresses), NAME_LASTS),
                (None, Err(error)) => {
                    self.refuse(target, None, lookup_outcome(error));
                    (Way::Closed(lookup_dropped(error)), NO_NAME_LASTS)
                }
            };
            self.routes.put(&address, way, now, Some(now + lasts));
        } else if let (Ok(addresses), Some(open)) = (answer, self.routes.half_open(query)) {
            // Datagrams are on their way to what came first, and stay on it while it can be reached.
            open.asking = (more).then_some(query);
            let known =
                |ip: &IpAddr| open.permits.iter().any(|permit| permit.address().ip() == *ip);
            let late = addresses.iter().map(IpAddr::to_canonical).filter(|ip| !known(ip));
            let late: SmallVec<[IpAddr; 4]> = late.collect();
            let judged = late.iter().map(|ip| self.policy.acl.on_address(&open.request, *ip));
            let judged: SmallVec<[Permit; 1]> = judged.filter_map(Result::ok).collect();
            open.permits.extend(judged);
        }
        self.waiting.take(query)
    }

    /// The kernel has no way to this address, which a datagram was to go to. Whether there is another one
    /// of its target to be tried instead; another datagram may have found that out before.
    pub fn pass_over(&mut self, octets: &[u8], address: IpAddr, now: Instant) -> bool {
        let Ok(datagram) = Datagram::split(octets) else { return false };
        match self.routes.find(datagram.address, now) {
            Some(Way::Open(open)) => {
                if open.permit().is_some_and(|permit| permit.address().ip() != address) {
                    return true;
                }
                let another = open.at + 1 < open.permits.len();
                open.at += usize::from(another);
                another
            }
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
            self.refusal = Some(Refusal { target, ruling, outcome });
        }
    }
}

const fn lookup_outcome(error: LookupError) -> Outcome {
    match error {
        LookupError::NotFound => Outcome::NameNotFound,
        LookupError::Failed | LookupError::TimedOut => Outcome::NameLookupFailed,
        LookupError::Overloaded => Outcome::ServerBusy,
        LookupError::ClientOverloaded => Outcome::OverLimit,
    }
}

const fn lookup_dropped(error: LookupError) -> Dropped {
    match error {
        LookupError::NotFound | LookupError::Failed | LookupError::TimedOut => Dropped::NameFailed,
        LookupError::Overloaded | LookupError::ClientOverloaded => Dropped::LookupsFull,
    }
}

/// How long the addresses of a name are used before it is looked up again.
const NAME_LASTS: Duration = Duration::from_mins(1);
/// How long a name that led nowhere is not looked up again.
const NO_NAME_LASTS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
