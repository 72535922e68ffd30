//! Finds the few rules that can hold among very many.
//!
//! A rule lies under whom it is about (everybody, a user, a group: its *scope*), then under what it
//! is about: each name, each network, or, where the target may be any, each network of clients; else
//! under "any". In each such place it lies under its ports, where these are few. What a query finds
//! is a handful of sorted lists, whose rules are met in the order in which they are to be tried.
//!
//! What is left to be tried one by one: rules of one scope for the same target and port that differ
//! by commands or hours only (or by clients, where the target is named), and names with a `*` inside
//! that end alike.

use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use ipnet::IpNet;
use smallvec::SmallVec;

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
}

/// Rules for the same people.
#[derive(Debug, Default)]
struct Scope {
    any: Place,
    /// Lengths of the networks that there are, by their kind.
    lengths: [Lengths; 4],
    has_names: bool,
    /// Ranks of rules that allow a network.
    network_allows: Vec<u32>,
}

/// Rules for the same people and targets, sorted.
#[derive(Debug, Default)]
struct Place {
    plain: SmallVec<[u32; 4]>,
    /// Those with few ports, once for each.
    ported: Vec<(u16, u32)>,
}

/// Rules about a name.
#[derive(Debug, Default)]
struct NamePlace {
    /// About the name itself.
    itself: Place,
    /// About what is below it.
    below: Place,
    /// Whose fixed end it is.
    patterns: Vec<(u32, Pattern)>,
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
    kind: u8,
    length: u8,
    bits: u128,
}

/// Kinds of networks: of targets or of clients, of either family.
const TARGETS: usize = 0;
const CLIENTS: usize = 2;

/// Which prefix lengths there are: 0 to 128.
#[derive(Clone, Copy, Debug, Default)]
struct Lengths([u64; 3]);

impl Lengths {
    const fn insert(&mut self, length: u8) {
        self.0[length as usize / 64] |= 1 << (length % 64);
    }

    fn iter(self) -> impl Iterator<Item = u8> {
        (0..3_u8).flat_map(move |word| {
            let mut left = self.0[usize::from(word)];
            std::iter::from_fn(move || {
                let bit = u8::try_from(left.trailing_zeros()).ok().filter(|_| left != 0)?;
                left &= left - 1;
                Some(word * 64 + bit)
            })
        })
    }
}

impl Place {
    fn add(&mut self, rank: u32, ports: Option<&[u16]>) {
        match ports {
            Some(ports) => self.ported.extend(ports.iter().map(|port| (*port, rank))),
            // Two destinations of one rule may lie in the same place.
            None if self.plain.last() == Some(&rank) => {}
            None => self.plain.push(rank),
        }
    }

    fn finish(&mut self) {
        self.ported.sort_unstable();
        self.ported.dedup();
        self.ported.shrink_to_fit();
    }

    fn find<'a>(&'a self, port: u16, reach: Reach, lists: &mut Lists<'a>) {
        if !self.plain.is_empty() {
            lists.push(List { ranks: Ranks::Plain(&self.plain), reach });
        }
        if !self.ported.is_empty() {
            let first = self.ported.partition_point(|(of, _)| *of < port);
            let count = self.ported[first..].partition_point(|(of, _)| *of == port);
            if count > 0 {
                let ranks = Ranks::Ported(&self.ported[first..first + count]);
                lists.push(List { ranks, reach });
            }
        }
    }
}

impl Index {
    /// Rules in the order in which they are tried.
    pub(super) fn new(ordered: &[Rule]) -> Self {
        let mut index = Self { scopes: vec![Scope::default()], ..Self::default() };
        for (rank, rule) in (0..).zip(ordered) {
            if rule.who.is_everybody() {
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
        index.scopes.iter_mut().for_each(|scope| scope.any.finish());
        index.nets.values_mut().for_each(Place::finish);
        for place in index.names.values_mut() {
            place.itself.finish();
            place.below.finish();
        }
        index
    }

    fn add(&mut self, scope: u32, rank: u32, rule: &Rule) {
        let few = rule.ports.few();
        let few = few.as_deref();
        if rule.is_for_any_destination() {
            if rule.sources.is_empty() {
                self.scope_mut(scope).any.add(rank, few);
            } else {
                for net in &rule.sources {
                    self.add_net(scope, CLIENTS, *net, rank, few);
                }
            }
            // A network beside "any" is named all the same.
        }
        for destination in &rule.destinations {
            match destination {
                Destination::Any => {}
                Destination::Net(net) => {
                    self.add_net(scope, TARGETS, *net, rank, few);
                    let allows = &mut self.scope_mut(scope).network_allows;
                    if rule.action == Action::Allow && allows.last() != Some(&rank) {
                        allows.push(rank);
                    }
                }
                Destination::Name(pattern) => self.add_name(scope, pattern, rank, few),
            }
        }
    }

    fn scope_mut(&mut self, scope: u32) -> &mut Scope {
        &mut self.scopes[scope as usize]
    }

    fn add_net(&mut self, scope: u32, what: usize, net: IpNet, rank: u32, few: Option<&[u16]>) {
        let kind = kind_of(what, net.network());
        self.scope_mut(scope).lengths[usize::from(kind)].insert(net.prefix_len());
        let key = net_key(scope, kind, net.network(), net.prefix_len());
        self.nets.entry(key).or_default().add(rank, few);
    }

    fn add_name(&mut self, scope: u32, pattern: &Pattern, rank: u32, few: Option<&[u16]>) {
        self.scope_mut(scope).has_names = true;
        let key = NameKey { scope, name: pattern.fixed_end().into() };
        let place = self.names.entry(key).or_default();
        match pattern {
            Pattern::Exact(_) => place.itself.add(rank, few),
            Pattern::Below(_) => place.below.add(rank, few),
            Pattern::Within(_) => {
                place.itself.add(rank, few);
                place.below.add(rank, few);
            }
            Pattern::Labels(_) => place.patterns.push((rank, pattern.clone())),
        }
    }

    /// The scopes that somebody is in.
    pub(super) fn scopes_of(&self, query: &Query<'_>) -> SmallVec<[u32; 4]> {
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

    /// The rules whose destinations and people fit, in the order in which they are tried. Of what else
    /// they say, nothing is looked at but that which places told apart.
    pub(super) fn candidates<'a>(&'a self, query: &Query<'_>) -> Candidates<'a> {
        let mut lists = Lists::new();
        for number in self.scopes_of(query) {
            let Some(scope) = self.scopes.get(number as usize) else { continue };
            scope.any.find(query.port, Reach::DIRECT, &mut lists);
            let of_client = (CLIENTS, query.client);
            self.find_nets(number, of_client, |_| Reach::DIRECT, query.port, &mut lists);
            if let Some(address) = query.address {
                let of_target = (TARGETS, address);
                self.find_nets(number, of_target, Reach::by_net, query.port, &mut lists);
            }
            for (place, reading) in query.embedded.iter() {
                let reach = |prefix| Reach::by_inner_net(place, prefix);
                self.find_nets(number, (TARGETS, reading), reach, query.port, &mut lists);
            }
            if let Some(name) = query.name
                && scope.has_names
            {
                self.find_names(number, name, query.port, &mut lists);
            }
        }
        Candidates { lists }
    }

    fn find_nets<'a>(
        &'a self,
        scope: u32,
        (what, address): (usize, IpAddr),
        reach: impl Fn(u8) -> Reach,
        port: u16,
        lists: &mut Lists<'a>,
    ) {
        let kind = kind_of(what, address);
        let lengths = self.scopes[scope as usize].lengths[usize::from(kind)];
        for length in lengths.iter() {
            let Some(place) = self.nets.get(&net_key(scope, kind, address, length)) else {
                continue;
            };
            place.find(port, reach(length), lists);
        }
    }

    fn find_names<'a>(&'a self, scope: u32, name: &str, port: u16, lists: &mut Lists<'a>) {
        let reach = Reach::DIRECT;
        let mut rest = Some(name);
        while let Some(end) = rest {
            if let Some(place) = self.names.get(&NameRef { scope, name: end }) {
                let about = if end.len() == name.len() { &place.itself } else { &place.below };
                about.find(port, reach, lists);
                place.find_patterns(name, lists);
            }
            rest = end.split_once('.').map(|(_, end)| end);
        }
        if let Some(place) = self.names.get(&NameRef { scope, name: "" }) {
            place.find_patterns(name, lists);
        }
    }

    /// The ranks of rules that allow a network and may hold for this query once it has an address;
    /// for each scope, in order.
    pub(super) fn network_allows(&self, query: &Query<'_>) -> impl Iterator<Item = &[u32]> {
        self.scopes_of(query)
            .into_iter()
            .filter_map(|scope| self.scopes.get(scope as usize))
            .map(|scope| scope.network_allows.as_slice())
    }
}

impl NamePlace {
    fn find_patterns<'a>(&'a self, name: &str, lists: &mut Lists<'a>) {
        let reach = Reach::DIRECT;
        for (rank, pattern) in &self.patterns {
            if pattern.is(name) {
                lists.push(List { ranks: Ranks::Plain(std::slice::from_ref(rank)), reach });
            }
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

fn kind_of(what: usize, address: IpAddr) -> u8 {
    let family = usize::from(address.is_ipv6());
    u8::try_from(what + family).unwrap_or(0)
}

fn net_key(scope: u32, kind: u8, address: IpAddr, length: u8) -> NetKey {
    let bits = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits().checked_shr(32 - u32::from(length)).unwrap_or(0)),
        IpAddr::V6(v6) => v6.to_bits().checked_shr(128 - u32::from(length)).unwrap_or(0),
    };
    NetKey { scope, kind, length, bits }
}

type Lists<'a> = SmallVec<[List<'a>; 12]>;

/// Rules that lie in one place, in order.
#[derive(Debug)]
struct List<'a> {
    ranks: Ranks<'a>,
    reach: Reach,
}

#[derive(Debug)]
enum Ranks<'a> {
    Plain(&'a [u32]),
    Ported(&'a [(u16, u32)]),
}

impl List<'_> {
    fn head(&self) -> Option<u32> {
        match self.ranks {
            Ranks::Plain(ranks) => ranks.first().copied(),
            Ranks::Ported(ranks) => ranks.first().map(|(_, rank)| *rank),
        }
    }

    fn advance(&mut self) {
        match &mut self.ranks {
            Ranks::Plain(ranks) => *ranks = ranks.get(1..).unwrap_or_default(),
            Ranks::Ported(ranks) => *ranks = ranks.get(1..).unwrap_or_default(),
        }
    }
}

/// Rules that may hold, each once, in the order in which they are tried.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    lists: Lists<'a>,
}

impl Iterator for Candidates<'_> {
    type Item = (u32, Reach);

    fn next(&mut self) -> Option<(u32, Reach)> {
        let rank = self.lists.iter().filter_map(List::head).min()?;
        let mut reach = Reach::default();
        for list in &mut self.lists {
            if list.head() == Some(rank) {
                reach.join(list.reach);
                list.advance();
            }
        }
        Some((rank, reach))
    }
}

/// The first scope.
const EVERYBODY: u32 = 0;
