//! How much room the index of a file takes. A rule lies under each of its people and in each of its
//! targets, and there, where many lie, under each of its clients and of its ports: what it says is added
//! up, and what it takes is multiplied. So beyond what a file says there are so many copies and no more;
//! rules for which there is no room are told apart by less, and are tried one by one.

use crate::acl::rule::Rule;

/// Copies beyond what the file says that there is room for yet.
#[derive(Debug)]
pub(super) struct Room {
    left: usize,
}

/// By what a rule is told apart from others of its people and targets, where these are many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Apart {
    pub(super) clients: bool,
    pub(super) ports: bool,
}

impl Room {
    /// For these rules: as much again as they say, and enough for any small file.
    pub(super) fn of(rules: &[Rule]) -> Self {
        Self { left: rules.iter().map(said_by).fold(COPIES_MIN, usize::saturating_add) }
    }

    /// Whether a rule that lies in so many places may lie in so many parts of each.
    fn takes(&mut self, places: usize, parts: usize) -> bool {
        let (copies, said) = (places.saturating_mul(parts), places.saturating_add(parts));
        if copies > SHARE_MAX.saturating_mul(said) {
            return false;
        }
        let left = self.left.checked_sub(copies.saturating_sub(said));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Whether a rule may lie under each of its people; else it lies under everybody.
    pub(super) fn takes_people(&mut self, rule: &Rule) -> bool {
        let people = rule.who.users.len() + rule.who.groups.len();
        self.takes(people, rule.destinations.len().max(1))
    }

    /// By what a rule is told apart, in each of so many places where many lie.
    pub(super) fn takes_parts(&mut self, rule: &Rule, places: usize) -> Apart {
        let sources = rule.sources.len();
        let clients = sources > 0 && self.takes(places, sources);
        let places = if clients { places.saturating_mul(sources) } else { places };
        let ports = rule.ports.blocks().is_some_and(|blocks| self.takes(places, blocks.len()));
        Apart { clients, ports }
    }
}

/// How many things a rule says.
pub(in crate::acl) fn said_by(rule: &Rule) -> usize {
    let ports = rule.ports.blocks().map_or(0, |blocks| blocks.len());
    let people = rule.who.users.len() + rule.who.groups.len();
    people + rule.destinations.len() + rule.sources.len() + ports
}

/// Copies that any file may have beyond what it says: some 20 MB.
pub(in crate::acl) const COPIES_MIN: usize = 1 << 18;
/// For each thing that one rule says it has so many copies at most, so that it leaves some to others.
const SHARE_MAX: usize = 16;
