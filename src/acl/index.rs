//! Finds the few rules that can hold among very many.
//!
//! A rule lies under whom it is about (everybody, a user, a group: its *scope*), then under what it
//! is about: each name, each network, or "any"; and where many lie in such a place, under where clients
//! come from, and then under its ports. What a query finds is a handful of sorted lists, whose rules are
//! met in the order in which they are to be tried.
//!
//! Places need not be exact: they may hold rules that do not hold themselves, and each rule that is met is
//! asked about everything. They must only leave out none that holds. So a few rules in one place are
//! told apart by nothing, and what cannot be told apart is tried one by one: rules that differ by commands or
//! hours only, names with a `*` in several places that begin and end alike, and rules that name very many
//! targets, and clients or ports as well, one by one or all together, as the [`Room`] is bounded. Where they
//! are many, they are a [`Crowd`].
//!
//! ```text
//! scope ─▶ name, name above, network, any ─▶ { Place } ─few─▶ list
//!             └▶ fixed end ─▶ Patterns ─▶ parts ─▶ { Place } ─many─▶ network of clients ─▶ ports ─▶ list
//! ```

mod candidates;
mod crowd;
mod net;
mod patterns;
mod place;
mod room;

use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use ipnet::IpNet;
use smallvec::SmallVec;

pub(super) use candidates::Candidates;
use crowd::Crowds;
pub use crowd::{Crowd, Likeness};
use net::{Lengths, Net};
use patterns::Patterns;
use place::{Asker, Cut, Place};
use room::{Apart, Room};
#[cfg(test)]
pub(super) use room::{COPIES_MIN, said_by};

use super::pattern::Pattern;
use super::rule::{Action, Destination, Query, Reach, Rule};

/// All rules by where they lie. Rules are told by their rank: their place in the order of trying.
#[derive(Debug, Default)]
pub(super) struct Index {
    scopes: Vec<Scope>,
    users: HashMap<Box<str>, u32, RandomState>,
    /// By name in lower case.
    groups: HashMap<Box<str>, u32, RandomState>,
    names: HashMap<NameKey, NamePlace, RandomState>,
    nets: HashMap<NetKey, Place, RandomState>,
    /// Rules that lie under everybody, as they name more people than there was room for; in order.
    of_many_people: Vec<u32>,
}

/// Rules for the same people.
#[derive(Debug, Default)]
struct Scope {
    any: Place,
    /// Lengths of the networks of targets that there are.
    lengths: Lengths,
    has_names: bool,
    /// Rules that allow a network.
    network_allows: Place,
    /// Rules that allow anything, and those that block everything at every hour; ports are nothing to them.
    allows: Place,
    walls: Place,
}

/// Rules about a name.
#[derive(Debug, Default)]
struct NamePlace {
    /// About the name itself.
    itself: Place,
    /// About what is below it.
    below: Place,
    /// Whose fixed end it is.
    patterns: Patterns,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NameKey {
    scope: u32,
    name: Box<str>,
}

#[derive(Hash)]
struct NameRef<'a> {
    scope: u32,
    name: &'a str,
}

impl Equivalent<NameKey> for NameRef<'_> {
    fn equivalent(&self, key: &NameKey) -> bool {
        self.scope == key.scope && *self.name == *key.name
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NetKey {
    scope: u32,
    net: Net,
}

/// In how many places each rule lies among many.
struct AmongMany<'a> {
    ordered: &'a [Rule],
    few: usize,
    places: Vec<usize>,
}

impl<'a> AmongMany<'a> {
    fn new(ordered: &'a [Rule], few: usize) -> Self {
        Self { ordered, few, places: vec![0; ordered.len()] }
    }

    fn count(&mut self, ranks: impl ExactSizeIterator<Item = u32>) {
        if ranks.len() > self.few {
            ranks.for_each(|rank| self.places[rank as usize] += 1);
        }
    }

    /// By what each of them is told apart in these.
    fn parts(self, room: &mut Room) -> Vec<Apart> {
        let both = self.ordered.iter().zip(self.places);
        both.map(|(rule, places)| room.takes_parts(rule, places)).collect()
    }
}

impl Scope {
    /// Where rules lie that are not told apart by their targets.
    const fn places(&self) -> [&Place; 3] {
        [&self.any, &self.allows, &self.walls]
    }
}

impl Index {
    /// Rules in the order in which they are tried; `few` of one place are tried one by one. With those
    /// that are many and are so all the same.
    pub(super) fn new(ordered: &[Rule], few: usize) -> (Self, Vec<Crowd>) {
        let mut room = Room::of(ordered);
        let mut index = Self { scopes: vec![Scope::default()], ..Self::default() };
        for (rank, rule) in (0..).zip(ordered) {
            if rule.who.is_everybody() {
                index.add(EVERYBODY, rank, rule);
                continue;
            }
            if !room.takes_people(rule) {
                index.of_many_people.push(rank);
                index.add(EVERYBODY, rank, rule);
                continue;
            }
            for user in &rule.who.users {
                let scope = scope_of(&mut index.users, user, &mut index.scopes);
                index.add(scope, rank, rule);
            }
            for group in &rule.who.groups {
                let scope = scope_of(&mut index.groups, group, &mut index.scopes);
                index.add(scope, rank, rule);
            }
        }
        // Those that are tried first are given room first, and what no decision looks at what is left.
        let apart = index.among_many(ordered, few).parts(&mut room);
        let of_many_people = index.of_many_people.iter().map(|rank| ordered[*rank as usize].id);
        let crowds = Crowds::new(of_many_people);
        let mut cut = Cut { ordered, few, apart, crowds };
        index.scopes.iter_mut().for_each(|scope| scope.any.finish(&mut cut));
        index.nets.values_mut().for_each(|place| place.finish(&mut cut));
        for (key, place) in &mut index.names {
            place.itself.finish(&mut cut);
            place.below.finish(&mut cut);
            place.patterns.finish(&key.name, &mut cut);
        }
        for scope in &mut index.scopes {
            scope.allows.finish_by_client(&mut cut);
            scope.walls.finish_by_client(&mut cut);
        }
        let crowds = cut.crowds.sorted();
        // Of these few are tried, however many they are: nobody needs to hear of it.
        cut.crowds = Crowds::default();
        cut.apart = index.allows_among_many(ordered, few).parts(&mut room);
        index.scopes.iter_mut().for_each(|scope| scope.network_allows.finish(&mut cut));
        (index, crowds)
    }

    /// In how many places of those where decisions look each rule lies among many; nothing is cut yet.
    fn among_many<'a>(&self, ordered: &'a [Rule], few: usize) -> AmongMany<'a> {
        let mut many = AmongMany::new(ordered, few);
        let of_scopes = self.scopes.iter().flat_map(Scope::places);
        let of_names = self.names.values().flat_map(|of| [&of.itself, &of.below]);
        for place in of_scopes.chain(of_names).chain(self.nets.values()) {
            many.count(place.ranks().iter().copied());
        }
        self.names.values().for_each(|of| many.count(of.patterns.ranks()));
        many
    }

    /// The same of the places of rules that allow a network.
    fn allows_among_many<'a>(&self, ordered: &'a [Rule], few: usize) -> AmongMany<'a> {
        let mut many = AmongMany::new(ordered, few);
        for scope in &self.scopes {
            many.count(scope.network_allows.ranks().iter().copied());
        }
        many
    }

    /// Whether a rule that is found may be about other people.
    pub(super) fn is_of_many_people(&self, rank: u32) -> bool {
        self.of_many_people.binary_search(&rank).is_ok()
    }

    fn add(&mut self, scope: u32, rank: u32, rule: &Rule) {
        let is_for_any = rule.is_for_any_destination();
        let here = self.scope_mut(scope);
        if is_for_any {
            here.any.add(rank);
            // A network beside "any" is named all the same.
        }
        match rule.action {
            Action::Allow => here.allows.add(rank),
            Action::Block if is_for_any && rule.ports.are_all() && rule.hours.are_all() => {
                here.walls.add(rank);
            }
            Action::Block | Action::ShadowBlock => {}
        }
        for destination in &rule.destinations {
            match destination {
                Destination::Any => {}
                Destination::Net(net) => {
                    self.add_net(scope, *net, rank);
                    if rule.action == Action::Allow {
                        self.scope_mut(scope).network_allows.add(rank);
                    }
                }
                Destination::Name(pattern) => self.add_name(scope, pattern, rank),
            }
        }
    }

    fn scope_mut(&mut self, scope: u32) -> &mut Scope {
        &mut self.scopes[scope as usize]
    }

    fn add_net(&mut self, scope: u32, net: IpNet, rank: u32) {
        self.scope_mut(scope).lengths.insert(net);
        self.nets.entry(NetKey { scope, net: Net::of(net) }).or_default().add(rank);
    }

    fn add_name(&mut self, scope: u32, pattern: &Pattern, rank: u32) {
        self.scope_mut(scope).has_names = true;
        let key = NameKey { scope, name: pattern.fixed_end().into() };
        let place = self.names.entry(key).or_default();
        match pattern {
            Pattern::Exact(_) => place.itself.add(rank),
            Pattern::Below(_) => place.below.add(rank),
            Pattern::Within(_) => {
                place.itself.add(rank);
                place.below.add(rank);
            }
            Pattern::Labels(_) => place.patterns.add(rank, pattern),
        }
    }

    /// The scopes that somebody is in.
    fn scopes_of(&self, query: &Query<'_>) -> SmallVec<[u32; 4]> {
        let mut scopes = SmallVec::from_slice(&[EVERYBODY]);
        if !self.users.is_empty() {
            scopes.extend(self.users.get(query.user).copied());
        }
        if !self.groups.is_empty() {
            for group in query.groups {
                let scope = if group.bytes().any(|octet| octet.is_ascii_uppercase()) {
                    self.groups.get(&*group.to_ascii_lowercase())
                } else {
                    self.groups.get(&**group)
                };
                if let Some(scope) = scope
                    && !scopes.contains(scope)
                {
                    scopes.push(*scope);
                }
            }
        }
        scopes
    }

    /// Finds the rules whose destinations and people fit. Of what else they say, nothing is looked at but
    /// that which places told apart.
    pub(super) fn find<'a>(&'a self, query: &Query<'a>, found: &mut Candidates<'a>) {
        let asker = Asker { client: query.client, port: query.port };
        found.of_name(query.name.unwrap_or_default());
        for number in self.scopes_of(query) {
            let Some(scope) = self.scopes.get(number as usize) else { continue };
            scope.any.find(asker, Reach::DIRECT, found);
            if let Some(address) = query.address {
                self.find_nets(number, address, Reach::by_net, asker, found);
            }
            for (place, reading) in query.embedded.iter() {
                let reach = |prefix| Reach::by_inner_net(place, prefix);
                self.find_nets(number, reading, reach, asker, found);
            }
            if let Some(name) = query.name
                && scope.has_names
            {
                self.find_names(number, name, asker, found);
            }
        }
        found.order();
    }

    /// The rules that allow anything to whoever this may be, in the order in which they are tried.
    pub(super) fn allows(&self, query: &Query<'_>) -> Candidates<'_> {
        self.of_scopes(query, |scope| &scope.allows)
    }

    /// The same of those that block everything.
    pub(super) fn walls(&self, query: &Query<'_>) -> Candidates<'_> {
        self.of_scopes(query, |scope| &scope.walls)
    }

    /// The same of those that allow a network, and may hold once the query has an address.
    pub(super) fn network_allows(&self, query: &Query<'_>) -> Candidates<'_> {
        self.of_scopes(query, |scope| &scope.network_allows)
    }

    fn of_scopes(&self, query: &Query<'_>, place: impl Fn(&Scope) -> &Place) -> Candidates<'_> {
        let mut found = Candidates::default();
        let asker = Asker { client: query.client, port: query.port };
        for number in self.scopes_of(query) {
            if let Some(scope) = self.scopes.get(number as usize) {
                place(scope).find(asker, Reach::DIRECT, &mut found);
            }
        }
        found.order();
        found
    }

    fn find_nets<'a>(
        &'a self,
        scope: u32,
        target: IpAddr,
        reach: impl Fn(u8) -> Reach,
        asker: Asker,
        found: &mut Candidates<'a>,
    ) {
        for (length, net) in self.scopes[scope as usize].lengths.around(target) {
            if let Some(place) = self.nets.get(&NetKey { scope, net }) {
                place.find(asker, reach(length), found);
            }
        }
    }

    fn find_names<'a>(
        &'a self,
        scope: u32,
        name: &'a str,
        asker: Asker,
        found: &mut Candidates<'a>,
    ) {
        let mut rest = Some(name);
        while let Some(end) = rest {
            if let Some(place) = self.names.get(&NameRef { scope, name: end }) {
                if end.len() == name.len() {
                    place.itself.find(asker, Reach::DIRECT, found);
                } else {
                    place.below.find(asker, Reach::DIRECT, found);
                    place.patterns.find(name, end.len() + 1, asker, found);
                }
            }
            rest = end.split_once('.').map(|(_, end)| end);
        }
        if let Some(place) = self.names.get(&NameRef { scope, name: "" }) {
            place.patterns.find(name, 0, asker, found);
        }
    }
}

fn scope_of(
    known: &mut HashMap<Box<str>, u32, RandomState>,
    name: &str,
    scopes: &mut Vec<Scope>,
) -> u32 {
    if let Some(scope) = known.get(name) {
        return *scope;
    }
    let scope = u32::try_from(scopes.len()).unwrap_or(u32::MAX);
    scopes.push(Scope::default());
    known.insert(name.into(), scope);
    scope
}

/// The first scope.
const EVERYBODY: u32 = 0;

#[cfg(test)]
impl Index {
    /// How many rules lie in all places, each as often as it does.
    pub(super) fn copies(&self) -> usize {
        let of_scopes = self.scopes.iter().flat_map(Scope::places);
        let of_names = self.names.values().flat_map(|of| [&of.itself, &of.below]);
        let of_nets = self.nets.values().chain(self.scopes.iter().map(|of| &of.network_allows));
        let places = of_scopes.chain(of_names).chain(of_nets);
        places.map(Place::copies).sum::<usize>()
            + self.names.values().map(|of| of.patterns.copies()).sum::<usize>()
    }
}
