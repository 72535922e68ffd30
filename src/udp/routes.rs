//! What has been decided about the targets of an association, so that a datagram to a target that is
//! known costs one look into a table.

use std::time::Instant;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::dropped::Dropped;
use crate::acl::{Permit, RequestPermit};
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
    /// When it is to be judged anew.
    until: Option<Instant>,
}

/// Where datagrams to a target go.
#[derive(Debug)]
pub(super) enum Way {
    /// To this address.
    Open(Open),
    /// Nowhere yet: the name is being looked up.
    Asking { query: u32, target: Target, permit: RequestPermit },
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
    pub(super) at: usize,
    /// The query that has been answered in half.
    pub(super) asking: Option<u32>,
}

impl Open {
    pub(super) fn permit(&self) -> Option<&Permit> {
        self.permits.get(self.at)
    }
}

impl Routes {
    /// The way to the target of this header, if it is known still.
    pub(super) fn find(&mut self, address: &[u8], now: Instant) -> Option<&mut Way> {
        let route = self.routes.get_mut(address)?;
        if route.until.is_some_and(|until| until <= now) {
            return None;
        }
        route.used = now;
        Some(&mut route.way)
    }

    /// Whether another name may be looked up.
    pub(super) const fn may_ask(&self) -> bool {
        self.asking < ASKING_MAX
    }

    /// Keeps a way, until the time given or for good.
    pub(super) fn put(&mut self, address: &[u8], way: Way, now: Instant, until: Option<Instant>) {
        if self.routes.len() >= ROUTES_MAX && !self.routes.contains_key(address) {
            self.make_room();
        }
        self.asking += usize::from(matches!(way, Way::Asking { .. }));
        let before = self.routes.insert(address.into(), Route { way, used: now, until });
        self.asking -= usize::from(before.is_some_and(|route| route.is_asking()));
    }

    /// The answer to a query has come: what was asked, and the header that it belongs to.
    pub(super) fn answered(&mut self, query: u32) -> Option<(Box<[u8]>, Target, RequestPermit)> {
        let asked = |way: &Way| matches!(way, Way::Asking { query: of, .. } if *of == query);
        let address =
            self.routes.iter().find(|(_, route)| asked(&route.way)).map(|(address, _)| address);
        let address = address?.clone();
        let (address, route) = self.routes.remove_entry(&address)?;
        match route.way {
            Way::Asking { target, permit, .. } => {
                self.asking -= 1;
                Some((address, target, permit))
            }
            Way::Open(_) | Way::Closed(_) => None,
        }
    }

    /// The target that half of the answer to this query has opened.
    pub(super) fn half_open(&mut self, query: u32) -> Option<&mut Open> {
        self.routes.values_mut().find_map(|route| match &mut route.way {
            Way::Open(open) if open.asking == Some(query) => Some(open),
            Way::Open(_) | Way::Asking { .. } | Way::Closed(_) => None,
        })
    }

    /// Forgets all: other rules are in force.
    pub(super) fn clear(&mut self) {
        self.routes.clear();
        self.asking = 0;
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
        matches!(self.way, Way::Asking { .. })
    }
}

/// Targets of one association at most.
const ROUTES_MAX: usize = 256;
/// Names of one association that are looked up at the same time at most.
const ASKING_MAX: usize = 16;
const _: () = assert!(ASKING_MAX < ROUTES_MAX);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn the_target_used_longest_ago_goes_first() {
        let now = clock::mono();
        let mut routes = Routes::default();
        for number in 0..u32::try_from(ROUTES_MAX).unwrap() {
            let at = now + Duration::from_millis(number.into());
            routes.put(&number.to_be_bytes(), Way::Closed(Dropped::Denied), at, None);
        }
        let later = now + Duration::from_secs(1);
        assert!(routes.find(&0_u32.to_be_bytes(), later).is_some());
        routes.put(b"new", Way::Closed(Dropped::Denied), later, None);
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
        routes.put(b"a", Way::Closed(Dropped::NameFailed), now, Some(until));
        assert!(routes.find(b"a", now).is_some());
        assert!(routes.find(b"a", until).is_none());
    }
}
