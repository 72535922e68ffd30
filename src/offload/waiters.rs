//! Those of one network who wait: in turns of the networks within it, down to each client's line.
//!
//! ```text
//! everybody ─┬─ 192.0.0.0/16 ───┬─ 192.0.2.0/24 ────┬─ 192.0.2.1     ■■■■■■■■
//!            │                  │                   └─ 192.0.2.2     ■■■■
//!            │                  └─ 192.0.3.0/24 ────── 192.0.3.9     ■
//!            └─ 198.51.0.0/16 ──── 198.51.100.0/24 ─── 198.51.100.7  ■
//! ```
//!
//! On each level the heaviest is known without a look at the others, and so is who is next: whatever is done
//! here takes as long as a few look-ups in a tree, however many wait.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use super::width::Width;

/// Those who wait of one network, or of all.
#[derive(Debug)]
pub(super) struct Waiters<J> {
    /// How wide the members are.
    width: Width,
    members: HashMap<IpAddr, Member<J>>,
    /// Whose turn is when.
    order: BTreeMap<Place, IpAddr>,
    /// How many wait of each, the heaviest last; of those that are as heavy the one whose turn is last.
    weights: BTreeSet<(usize, Place)>,
    /// Turns of new members since the last of an old one.
    new_ones: u32,
    places: u64,
    waiting: usize,
}

/// A network within it, or a client; somebody waits.
#[derive(Debug)]
struct Member<J> {
    place: Place,
    those: Those<J>,
}

#[derive(Debug)]
enum Those<J> {
    Line(VecDeque<J>),
    Network(Waiters<J>),
}

/// When it is a member's turn: those that had none yet, in the order in which they came, and those that had
/// one, in the order of their next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    is_old: bool,
    number: u64,
}

impl<J> Waiters<J> {
    /// Nobody, in networks as wide as this.
    pub(super) fn new(width: Width) -> Self {
        Self {
            width,
            members: HashMap::new(),
            order: BTreeMap::new(),
            weights: BTreeSet::new(),
            new_ones: 0,
            places: 0,
            waiting: 0,
        }
    }

    /// How many wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// One comes.
    pub(super) fn add(&mut self, client: IpAddr, job: J) {
        let network = self.width.of(client);
        let new = self.place(false);
        let within = self.width.within();
        let member = self.members.entry(network).or_insert_with(|| Member {
            place: new,
            those: within
                .map_or_else(|| Those::Line(VecDeque::new()), |w| Those::Network(Self::new(w))),
        });
        self.weights.remove(&(member.those.waiting(), member.place));
        self.order.insert(member.place, network);
        member.those.add(client, job);
        self.weights.insert((member.those.waiting(), member.place));
        self.waiting += 1;
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self) -> Option<J> {
        let (first, _) = self.order.first_key_value()?;
        let old = self.order.range(Place { is_old: true, number: 0 }..).next();
        let place = match old {
            Some((old, _)) if self.new_ones >= NEW_FOR_OLD => *old,
            Some(_) | None => *first,
        };
        self.new_ones = if place.is_old { 0 } else { self.new_ones.saturating_add(1) };
        let later = self.place(true);
        self.leave(place, later, Those::next)
    }

    /// Who gives way to one more of this client, if anybody does: the last one of the heaviest network, if
    /// that is heavier than the client's will be; or else one of those who share the client's.
    pub(super) fn make_room(&mut self, client: IpAddr) -> Option<J> {
        let own = self.members.get(&self.width.of(client));
        let own_waiting = own.map_or(0, |own| own.those.waiting());
        let &(heaviest, place) = self.weights.last()?;
        if heaviest > own_waiting + 1 {
            return self.leave(place, place, Those::last);
        }
        let place = own?.place;
        self.leave(place, place, |those| those.make_room(client))
    }

    /// The last one of the heaviest network.
    fn last(&mut self) -> Option<J> {
        let &(_, place) = self.weights.last()?;
        self.leave(place, place, Those::last)
    }

    /// One leaves of the member at this place, which has that one afterwards.
    fn leave(
        &mut self,
        place: Place,
        after: Place,
        one: impl FnOnce(&mut Those<J>) -> Option<J>,
    ) -> Option<J> {
        let network = self.order.remove(&place)?;
        let member = self.members.get_mut(&network)?;
        self.weights.remove(&(member.those.waiting(), place));
        let job = one(&mut member.those);
        let waiting = member.those.waiting();
        if waiting == 0 {
            self.members.remove(&network);
        } else {
            member.place = after;
            self.order.insert(after, network);
            self.weights.insert((waiting, after));
        }
        self.waiting -= usize::from(job.is_some());
        job
    }

    const fn place(&mut self, is_old: bool) -> Place {
        self.places += 1;
        Place { is_old, number: self.places }
    }
}

impl<J> Those<J> {
    fn waiting(&self) -> usize {
        match self {
            Self::Line(line) => line.len(),
            Self::Network(waiters) => waiters.waiting,
        }
    }

    fn add(&mut self, client: IpAddr, job: J) {
        match self {
            Self::Line(line) => line.push_back(job),
            Self::Network(waiters) => waiters.add(client, job),
        }
    }

    fn next(&mut self) -> Option<J> {
        match self {
            Self::Line(line) => line.pop_front(),
            Self::Network(waiters) => waiters.next(),
        }
    }

    fn last(&mut self) -> Option<J> {
        match self {
            Self::Line(line) => line.pop_back(),
            Self::Network(waiters) => waiters.last(),
        }
    }

    fn make_room(&mut self, client: IpAddr) -> Option<J> {
        match self {
            // It would only be his own.
            Self::Line(_) => None,
            Self::Network(waiters) => waiters.make_room(client),
        }
    }
}

/// Turns of new members for one of an old one, where both wait.
const NEW_FOR_OLD: u32 = 3;

#[cfg(test)]
impl<J> Waiters<J> {
    /// What is kept beside the members says the same as they do.
    pub(super) fn assert_sound(&self) {
        let by_network = |network: &IpAddr| &self.members[network];
        assert_eq!(
            (self.order.len(), self.weights.len()),
            (self.members.len(), self.members.len())
        );
        let mut waiting = 0;
        for (place, network) in &self.order {
            let member = by_network(network);
            assert_eq!((member.place, self.width.of(*network)), (*place, *network));
            assert!(member.those.waiting() > 0, "an empty one is gone");
            assert!(self.weights.contains(&(member.those.waiting(), *place)));
            waiting += member.those.waiting();
            if let Those::Network(waiters) = &member.those {
                waiters.assert_sound();
            }
        }
        assert_eq!(waiting, self.waiting);
    }
}
