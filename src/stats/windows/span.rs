//! One span of time: a minute, an hour or a day.

use super::names::NameId;
use super::tally::{Rank, Tally};
use super::total::Total;
use super::weight::{Sums, Weight};

/// What started in a span.
#[derive(Debug, Default)]
pub(super) struct Span {
    pub(super) sums: Sums,
    pub(super) users: Tally,
    /// By target; attempts that never named one are in the sums only.
    pub(super) targets: Tally,
    /// Whether it is on the list of those to be packed.
    pub(super) warm: bool,
}

/// A difference, on its way into the span of its row's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Minutes since the Unix epoch.
    pub(super) minute: i64,
    pub(super) sums: Sums,
    pub(super) user: NameId,
    pub(super) target: Option<NameId>,
}

/// What thinning took from a span.
#[derive(Debug)]
pub(super) struct Thinned {
    pub(super) users: Vec<(NameId, Weight)>,
    pub(super) targets: Vec<(NameId, Weight)>,
    /// What any name may be missing because of it.
    pub(super) lost: Lost,
}

impl Thinned {
    /// Names that were dropped, of both kinds.
    pub(super) fn len(&self) -> usize {
        self.users.len() + self.targets.len()
    }
}

impl Span {
    /// The span that a total is of.
    pub(super) fn of(total: &Total) -> Self {
        Self {
            sums: total.sums,
            users: Tally::of(total.users.iter(), total.lost.users),
            targets: Tally::of(total.targets.iter(), total.lost.targets),
            warm: false,
        }
    }

    pub(super) fn add(&mut self, step: &Step) {
        let weight = step.sums.weight();
        self.sums.add(&step.sums);
        self.users.add(step.user, weight);
        if let Some(target) = step.target {
            self.targets.add(target, weight);
        }
    }

    /// Packs what was added to either list.
    pub(super) fn fold(&mut self) {
        self.users.fold();
        self.targets.fold();
        self.warm = false;
    }

    /// Keeps the `keep` heaviest users by octets and targets by sessions.
    pub(super) fn thin(&mut self, keep: usize) -> Thinned {
        let before = Lost::of(self);
        let users = self.users.thin(keep, Rank::Bytes);
        let targets = self.targets.thin(keep, Rank::Sessions);
        let mut lost = Lost::of(self);
        lost.add(before.negated());
        Thinned { users, targets, lost }
    }

    /// Names with recent additions.
    pub(super) fn recent_len(&self) -> usize {
        self.users.recent_len() + self.targets.recent_len()
    }

    /// Names of both lists, at most.
    pub(super) fn len(&self) -> usize {
        self.users.len() + self.targets.len()
    }

    /// Octets of memory, about.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.users.memory() + self.targets.memory()
    }
}

/// What any name of a window may be missing at most, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) users: Weight,
    pub(super) targets: Weight,
}

impl Lost {
    pub(super) const fn of(span: &Span) -> Self {
        Self { users: span.users.lost(), targets: span.targets.lost() }
    }

    pub(super) const fn add(&mut self, more: Self) {
        self.users.add(more.users);
        self.targets.add(more.targets);
    }

    pub(super) const fn negated(self) -> Self {
        Self { users: self.users.negated(), targets: self.targets.negated() }
    }
}
