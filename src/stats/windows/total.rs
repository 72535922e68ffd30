//! A window added up.

use super::names::NameId;
use super::packed::Packed;
use super::span::{Lost, Span, Step, Thinned};
use super::weight::{Sums, Weight};

/// Weights by name, as an array: names are small numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Weights(Vec<Weight>);

impl Weights {
    #[inline]
    pub(super) fn add(&mut self, name: NameId, weight: Weight) {
        let index = name as usize;
        if index >= self.0.len() {
            self.0.resize(index + 1, Weight::default());
        }
        self.0[index].add(weight);
    }

    /// Gives up the room of names from `end` on, which have no weight.
    pub(super) fn give_up(&mut self, end: usize) {
        self.0.truncate(end);
        self.0.shrink_to(2 * end);
    }

    /// Those with any weight, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NameId, Weight)> + '_ {
        let all = (0..).zip(self.0.iter().copied());
        all.filter(|(_, weight)| *weight != Weight::default())
    }

    pub(super) fn memory(&self) -> usize {
        self.0.capacity() * size_of::<Weight>()
    }
}

/// The sum of all spans of a window.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    pub(super) sums: Sums,
    pub(super) users: Weights,
    pub(super) targets: Weights,
    pub(super) lost: Lost,
}

impl Total {
    pub(super) fn step(&mut self, step: &Step) {
        let weight = step.sums.weight();
        self.sums.add(&step.sums);
        self.users.add(step.user, weight);
        if let Some(target) = step.target {
            self.targets.add(target, weight);
        }
    }

    pub(super) fn add(&mut self, span: &Span) {
        self.sums.add(&span.sums);
        self.lost.add(Lost::of(span));
        span.users.weights().for_each(|(name, weight)| self.users.add(name, weight));
        span.targets.weights().for_each(|(name, weight)| self.targets.add(name, weight));
    }

    pub(super) fn subtract(&mut self, span: &Span) {
        self.sums.subtract(&span.sums);
        self.lost.add(Lost::of(span).negated());
        span.users.weights().for_each(|(name, weight)| self.users.add(name, weight.negated()));
        span.targets.weights().for_each(|(name, weight)| self.targets.add(name, weight.negated()));
    }

    /// The same of a span that was shared.
    pub(super) fn add_shared(&mut self, span: &Shared) {
        self.sums.add(&span.sums);
        self.lost.add(span.lost);
        for (list, (packed, recent)) in
            [(&mut self.users, &span.users), (&mut self.targets, &span.targets)]
        {
            packed.iter().for_each(|(name, weight)| list.add(name, weight));
            recent.iter().for_each(|(name, weight)| list.add(*name, *weight));
        }
    }

    /// Takes away what thinning took from one of its spans.
    pub(super) fn forget(&mut self, thinned: &Thinned) {
        self.lost.add(thinned.lost);
        for (list, dropped) in
            [(&mut self.users, &thinned.users), (&mut self.targets, &thinned.targets)]
        {
            dropped.iter().for_each(|(name, weight)| list.add(*name, weight.negated()));
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.users.memory() + self.targets.memory()
    }
}

/// A span as it is at one moment, to be added up later.
#[derive(Debug)]
pub(super) struct Shared {
    sums: Sums,
    users: (Packed, Vec<(NameId, Weight)>),
    targets: (Packed, Vec<(NameId, Weight)>),
    lost: Lost,
}

impl Shared {
    pub(super) fn of(span: &Span) -> Self {
        Self {
            sums: span.sums,
            users: span.users.share(),
            targets: span.targets.share(),
            lost: Lost::of(span),
        }
    }
}
