//! Where rules for the same people and targets lie. Where they are many, they are told apart by what
//! they say of clients, and then by ports.
//!
//! A rule lies under each network of its clients, and under each block of its ports: those that differ in
//! the lowest bits of their number only, of which a range has 30 at most. One that says nothing of either,
//! or too much, lies beside them.

use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::candidates::{Candidates, Ranks};
use super::crowd::{Crowds, Likeness, Settled};
use super::net::{Lengths, Net};
use super::room::Apart;
use crate::acl::rule::{Reach, Rule};

/// Rules for the same people and targets.
#[derive(Debug)]
pub(super) enum Place {
    /// In order.
    Plain(SmallVec<[u32; 4]>),
    ByClient(Box<ByClient>),
    ByPort(Box<ByPort>),
}

/// Rules by where clients come from.
#[derive(Debug)]
pub(super) struct ByClient {
    any: Place,
    lengths: Lengths,
    nets: HashMap<Net, Place, RandomState>,
}

/// Rules by ports.
#[derive(Debug)]
pub(super) struct ByPort {
    any: SmallVec<[u32; 4]>,
    /// How many bits the ports of a block differ in, as a set.
    sizes: u16,
    blocks: HashMap<u32, SmallVec<[u32; 4]>, RandomState>,
}

/// Whose rules are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) client: IpAddr,
    pub(super) port: u16,
}

/// How places are cut up.
pub(super) struct Cut<'a> {
    /// Rules in the order in which they are tried.
    pub(super) ordered: &'a [Rule],
    /// So many in one place are tried one by one.
    pub(super) few: usize,
    /// By what each of the rules may be told apart.
    pub(super) apart: Vec<Apart>,
    /// Which are many, and are so all the same.
    pub(super) crowds: Crowds,
}

impl Default for Place {
    fn default() -> Self {
        Self::Plain(SmallVec::new())
    }
}

impl Place {
    /// A rule lies here; those before it are added before it, and nothing is cut yet.
    pub(super) fn add(&mut self, rank: u32) {
        if let Self::Plain(ranks) = self
            // Two destinations of one rule may lie in the same place.
            && ranks.last() != Some(&rank)
        {
            ranks.push(rank);
        }
    }

    /// The rules that lie here, while nothing is cut.
    pub(super) fn ranks(&self) -> &[u32] {
        match self {
            Self::Plain(ranks) => ranks,
            Self::ByClient(_) | Self::ByPort(_) => &[],
        }
    }

    /// Nothing is added any more.
    pub(super) fn finish(&mut self, cut: &mut Cut<'_>) {
        if let Self::Plain(ranks) = self
            && ranks.len() > cut.few
        {
            *self = cut.by_client(std::mem::take(ranks), Cut::by_port);
        }
    }

    /// The same, where ports are not known when it is asked.
    pub(super) fn finish_by_client(&mut self, cut: &mut Cut<'_>) {
        if let Self::Plain(ranks) = self
            && ranks.len() > cut.few
        {
            *self = cut.by_client(std::mem::take(ranks), |_, ranks, _| Self::Plain(ranks));
        }
    }

    /// The rules that may hold for whoever asks.
    pub(super) fn find<'a>(&'a self, asker: Asker, reach: Reach, found: &mut Candidates<'a>) {
        match self {
            Self::Plain(ranks) => found.push(Ranks::All(ranks), reach),
            Self::ByClient(by_client) => {
                by_client.any.find(asker, reach, found);
                for (_, net) in by_client.lengths.around(asker.client) {
                    if let Some(place) = by_client.nets.get(&net) {
                        place.find(asker, reach, found);
                    }
                }
            }
            Self::ByPort(by_port) => by_port.find(asker.port, reach, found),
        }
    }
}

impl ByPort {
    fn find<'a>(&'a self, port: u16, reach: Reach, found: &mut Candidates<'a>) {
        found.push(Ranks::All(&self.any), reach);
        let mut left = self.sizes;
        while left != 0 {
            let size = left.trailing_zeros();
            left &= left - 1;
            if let Some(ranks) = self.blocks.get(&block(size, port >> size << size)) {
                found.push(Ranks::All(ranks), reach);
            }
        }
    }
}

/// The ports that differ from `first` in so many of the lowest bits, as a key.
fn block(size: u32, first: u16) -> u32 {
    size << 16 | u32::from(first)
}

impl Cut<'_> {
    /// `then` makes a place of rules that cannot be told apart by their clients.
    fn by_client(
        &mut self,
        ranks: SmallVec<[u32; 4]>,
        then: impl Fn(&mut Self, SmallVec<[u32; 4]>, Settled) -> Place,
    ) -> Place {
        let (mut any, mut lengths) = (SmallVec::new(), Lengths::default());
        let mut nets = HashMap::<Net, Place, RandomState>::default();
        for rank in ranks {
            let rule = &self.ordered[rank as usize];
            if !self.apart[rank as usize].clients {
                any.push(rank);
                continue;
            }
            for net in &rule.sources {
                lengths.insert(*net);
                nets.entry(Net::of(*net)).or_default().add(rank);
            }
        }
        let any = then(self, any, Settled::default());
        if nets.is_empty() {
            return any;
        }
        let settled = Settled { clients: true, ports: false };
        for place in nets.values_mut() {
            if let Place::Plain(ranks) = place {
                *place = then(self, std::mem::take(ranks), settled);
            }
        }
        nets.shrink_to_fit();
        Place::ByClient(Box::new(ByClient { any, lengths, nets }))
    }

    fn by_port(&mut self, ranks: SmallVec<[u32; 4]>, settled: Settled) -> Place {
        if ranks.len() <= self.few {
            return Place::Plain(ranks);
        }
        let (mut any, mut sizes) = (SmallVec::<[u32; 4]>::new(), 0);
        let mut blocks = HashMap::<u32, SmallVec<[u32; 4]>, RandomState>::default();
        for rank in ranks {
            let ports = &self.ordered[rank as usize].ports;
            match ports.blocks() {
                Some(few) if self.apart[rank as usize].ports => {
                    for (size, first) in few {
                        sizes |= 1 << size;
                        blocks.entry(block(size, first)).or_default().push(rank);
                    }
                }
                Some(_) | None => any.push(rank),
            }
        }
        let ordered = self.ordered;
        let rules = any.iter().map(|rank| &ordered[*rank as usize]);
        self.crowds.look(rules, Likeness::Matter, settled);
        if blocks.is_empty() {
            return Place::Plain(any);
        }
        for ranks in blocks.values_mut() {
            ranks.shrink_to_fit();
            let rules = ranks.iter().map(|rank| &ordered[*rank as usize]);
            self.crowds.look(rules, Likeness::Matter, Settled { ports: true, ..settled });
        }
        blocks.shrink_to_fit();
        Place::ByPort(Box::new(ByPort { any, sizes, blocks }))
    }
}

#[cfg(test)]
impl Place {
    /// How many rules lie here, each as often as it does.
    pub(super) fn copies(&self) -> usize {
        match self {
            Self::Plain(ranks) => ranks.len(),
            Self::ByClient(of) => {
                of.any.copies() + of.nets.values().map(Self::copies).sum::<usize>()
            }
            Self::ByPort(of) => {
                of.any.len() + of.blocks.values().map(|ranks| ranks.len()).sum::<usize>()
            }
        }
    }
}
