//! What has been decided about the targets of an association, so that a datagram to a target that is
//! known costs one look into a table.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::dropped::Dropped;
use crate::acl::{Permit, RequestPermit};
use crate::resolve::Addresses;
use crate::target::Target;

/// The targets of one association, at most [`ROUTES_MAX`]; the one that was used longest ago goes
/// first. They are found by the octets of a header, so that two spellings are two.
#[derive(Debug, Default)]
pub(super) struct Routes {
    routes: HashMap<Box<[u8]>, Route, foldhash::fast::RandomState>,
    asking: usize,
}

/// One target.
#[derive(Debug)]
struct Route {
    way: Way,
    used: Instant,
    term: Term,
}

/// How long what is known of a target is used as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Term {
    /// When its name is to be looked up anew, or what led nowhere is to be tried again.
    pub(super) until: Option<Instant>,
    /// When it is to be judged anew, because rules have hours.
    pub(super) judged_until: Option<Instant>,
}

/// Where datagrams to a target go.
#[derive(Debug)]
pub(super) enum Way {
    /// To this address.
    Open(Box<Open>),
    /// Nowhere yet: the name is being looked up.
    Asking { query: u32, target: Target },
    /// Nowhere.
    Closed(Dropped),
}

/// The permitted addresses of a target, of which one is used.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) target: Target,
    pub(super) request: RequestPermit,
    /// Not empty.
    pub(super) permits: SmallVec<[Permit; 1]>,
    at: usize,
    pub(super) asking: Asking,
    /// How many of the addresses there was no way to of late, and since when.
    failed: (usize, Option<Instant>),
}

/// What is asked beside the datagrams of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    Nothing,
    /// The query has been answered in half.
    Rest(u32),
    /// Its addresses, once more.
    Anew(u32),
}

impl Open {
    pub(super) const fn new(
        target: Target,
        request: RequestPermit,
        permits: SmallVec<[Permit; 1]>,
        asking: Asking,
    ) -> Self {
        Self { target, request, permits, at: 0, asking, failed: (0, None) }
    }

    pub(super) fn permit(&self) -> Option<&Permit> {
        self.permits.get(self.at)
    }

    /// The address that datagrams go to.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.permit().map(|permit| permit.address().ip())
    }

    /// All addresses that datagrams may go to.
    pub(super) fn addresses(&self) -> Addresses {
        self.permits.iter().map(|permit| permit.address().ip()).collect()
    }

    /// The same, which it stays if it is among these permits, for the sake of whoever it speaks with.
    pub(super) fn staying(mut self, mut permits: SmallVec<[Permit; 1]>) -> Self {
        let address = self.address();
        let stays = permits.iter().position(|permit| Some(permit.address().ip()) == address);
        if let Some(at) = stays {
            permits[..=at].rotate_right(1);
        }
        (self.permits, self.at) = (permits, 0);
        self
    }

    /// More addresses are known.
    pub(super) fn extend(&mut self, permits: SmallVec<[Permit; 1]>) {
        self.permits.extend(permits);
        self.failed = (0, None);
    }

    /// There is no way to this address. Whether there may be one to the address that is the next to be
    /// tried: each is tried once in a while.
    pub(super) fn pass_over(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.address() != Some(address) {
            return true;
        }
        let (failed, since) = &mut self.failed;
        if since.is_none_or(|since| now.saturating_duration_since(since) >= TRIED_AGAIN_AFTER) {
            (*failed, *since) = (0, Some(now));
        }
        *failed = (*failed + 1).min(self.permits.len());
        self.at = (self.at + 1) % self.permits.len().max(1);
        *failed < self.permits.len()
    }
}

impl Routes {
    /// The way to the target of this header, if it is known still.
    pub(super) fn find(&mut self, address: &[u8], now: Instant) -> Option<&mut Way> {
        let route = self.routes.get_mut(address)?;
        if route.term.is_over(now) {
            return None;
        }
        route.used = now;
        Some(&mut route.way)
    }

    /// What is known of the target of this header, whose time is over: if it was open, and when it was to
    /// be looked up anew.
    pub(super) fn take_open(&mut self, address: &[u8]) -> Option<(Open, Option<Instant>)> {
        if !matches!(self.routes.get(address)?.way, Way::Open(_)) {
            return None;
        }
        let route = self.routes.remove(address)?;
        self.asking -= usize::from(route.is_asking());
        match route.way {
            Way::Open(open) => Some((*open, route.term.until)),
            Way::Asking { .. } | Way::Closed(_) => None,
        }
    }

    /// Whether another name may be looked up.
    pub(super) const fn may_ask(&self) -> bool {
        self.asking < ASKING_MAX
    }

    /// Keeps a way for its term.
    pub(super) fn put(&mut self, address: &[u8], way: Way, now: Instant, term: Term) {
        if self.routes.len() >= ROUTES_MAX && !self.routes.contains_key(address) {
            self.make_room();
        }
        let route = Route { way, used: now, term };
        self.asking += usize::from(route.is_asking());
        let before = self.routes.insert(address.into(), route);
        self.asking -= usize::from(before.is_some_and(|route| route.is_asking()));
    }

    /// An answer to a query has come: what was asked, and the header that it belongs to.
    pub(super) fn answered(&mut self, query: u32) -> Option<(Box<[u8]>, Target)> {
        let asked = |way: &Way| matches!(way, Way::Asking { query: of, .. } if *of == query);
        let address =
            self.routes.iter().find(|(_, route)| asked(&route.way)).map(|(address, _)| address);
        let address = address?.clone();
        let (address, route) = self.routes.remove_entry(&address)?;
        match route.way {
            Way::Asking { target, .. } => {
                self.asking -= 1;
                Some((address, target))
            }
            Way::Open(_) | Way::Closed(_) => None,
        }
    }

    /// The target that half of the answer to this query has opened.
    pub(super) fn half_open(&mut self, query: u32) -> Option<&mut Open> {
        self.routes.values_mut().find_map(|route| match &mut route.way {
            Way::Open(open) if open.asking == Asking::Rest(query) => Some(&mut **open),
            Way::Open(_) | Way::Asking { .. } | Way::Closed(_) => None,
        })
    }

    /// The header of the target that this query asks for anew.
    pub(super) fn asked_anew(&self, query: u32) -> Option<Box<[u8]>> {
        let asked =
            |way: &Way| matches!(way, Way::Open(open) if open.asking == Asking::Anew(query));
        let mut routes = self.routes.iter();
        routes.find(|(_, route)| asked(&route.way)).map(|(address, _)| address.clone())
    }

    /// Forgets all: other rules are in force. The targets that were open, with the address in use.
    pub(super) fn clear(&mut self) -> Vec<(Target, IpAddr)> {
        self.asking = 0;
        let open = self.routes.drain().filter_map(|(_, route)| match route.way {
            Way::Open(open) => open.address().map(|address| (open.target, address)),
            Way::Asking { .. } | Way::Closed(_) => None,
        });
        open.collect()
    }

    /// Forgets the target that was used longest ago; one that is being looked up has datagrams waiting,
    /// and there are never many of those.
    fn make_room(&mut self) {
        let oldest = self
            .routes
            .iter()
            .filter(|(_, route)| !route.is_asking())
            .min_by_key(|(_, route)| route.used)
            .map(|(address, _)| address.clone());
        if let Some(oldest) = oldest {
            self.routes.remove(&oldest);
        }
    }
}

impl Route {
    const fn is_asking(&self) -> bool {
        match &self.way {
            Way::Open(open) => matches!(open.asking, Asking::Anew(_)),
            Way::Asking { .. } => true,
            Way::Closed(_) => false,
        }
    }
}

impl Term {
    fn is_over(&self, now: Instant) -> bool {
        [self.until, self.judged_until].into_iter().flatten().any(|until| until <= now)
    }
}

/// Targets of one association at most.
const ROUTES_MAX: usize = 256;
/// After which addresses that there was no way to are tried again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Names of one association that are looked up at the same time at most.
const ASKING_MAX: usize = 16;
const _: () = assert!(ASKING_MAX < ROUTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_target_used_longest_ago_goes_first() {
        let now = clock::mono();
        let mut routes = Routes::default();
        for number in 0..u32::try_from(ROUTES_MAX).unwrap() {
            let at = now + Duration::from_millis(number.into());
            routes.put(&number.to_be_bytes(), Way::Closed(Dropped::Denied), at, Term::default());
        }
        let later = now + Duration::from_secs(1);
        assert!(routes.find(&0_u32.to_be_bytes(), later).is_some());
        routes.put(b"new", Way::Closed(Dropped::Denied), later, Term::default());
        assert_eq!(routes.routes.len(), ROUTES_MAX);
        assert!(routes.find(&0_u32.to_be_bytes(), later).is_some());
        assert!(routes.find(b"new", later).is_some());
        assert!(routes.find(&1_u32.to_be_bytes(), later).is_none());
    }

    #[test]
    fn a_way_whose_time_is_over_is_unknown() {
        let now = clock::mono();
        let mut routes = Routes::default();
        let until = now + Duration::from_secs(1);
        let terms = [
            Term { until: Some(until), judged_until: None },
            Term { until: None, judged_until: Some(until) },
        ];
        for term in terms {
            routes.put(b"a", Way::Closed(Dropped::NameFailed), now, term);
            assert!(routes.find(b"a", now).is_some());
            assert!(routes.find(b"a", until).is_none());
        }
    }
}
