//! The weights of the names of one kind in one span of time.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::names::NameId;
use super::packed::Packed;
use super::weight::Weight;

/// Weights by name: what has settled is packed, what was added since lies in a small table beside
/// it. A long session goes on adding to the minute it began in, hours later, so nothing is ever
/// closed to additions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    packed: Packed,
    /// Differences to what is packed. Its keys are our own numbers, so their hash needs no seed.
    recent: HashMap<NameId, Weight, FixedState>,
    lost: Weight,
}

/// What names are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    Sessions,
    Bytes,
}

impl Rank {
    /// What decides, then the other figure.
    pub(super) const fn key(self, weight: Weight) -> (u64, u64) {
        match self {
            Self::Sessions => (weight.sessions, weight.bytes),
            Self::Bytes => (weight.bytes, weight.sessions),
        }
    }
}

impl Tally {
    /// One of these weights, sorted by name, of which at most `lost` is missing for any name.
    pub(super) fn of(weights: impl IntoIterator<Item = (NameId, Weight)>, lost: Weight) -> Self {
        Self { packed: Packed::of(weights), recent: HashMap::default(), lost }
    }

    pub(super) fn add(&mut self, name: NameId, weight: Weight) {
        if weight != Weight::default() {
            self.recent.entry(name).or_default().add(weight);
        }
    }

    /// All weights in no order; one name may come twice, and its weight is the sum.
    pub(super) fn weights(&self) -> impl Iterator<Item = (NameId, Weight)> + '_ {
        self.packed.iter().chain(self.recent.iter().map(|(name, weight)| (*name, *weight)))
    }

    /// The same for whoever is to read it later: what is packed is shared, not copied.
    pub(super) fn share(&self) -> (Packed, Vec<(NameId, Weight)>) {
        (self.packed.clone(), self.recent.iter().map(|(name, weight)| (*name, *weight)).collect())
    }

    /// How many names it has at most: those with recent additions may be counted twice.
    pub(super) fn len(&self) -> usize {
        self.packed.len() + self.recent.len()
    }

    /// How many names have recent additions.
    pub(super) fn recent_len(&self) -> usize {
        self.recent.len()
    }

    /// What any name may be missing here, at most, because names were dropped.
    pub(super) const fn lost(&self) -> Weight {
        self.lost
    }

    /// Packs the recent additions.
    pub(super) fn fold(&mut self) {
        if self.recent.is_empty() {
            return;
        }
        let mut recent: Vec<_> = std::mem::take(&mut self.recent).into_iter().collect();
        recent.sort_unstable_by_key(|(name, _)| *name);
        let mut recent = recent.into_iter().peekable();
        let mut merged = Vec::with_capacity(self.packed.len() + recent.len());
        for (name, mut weight) in self.packed.iter() {
            while let Some(new) = recent.next_if(|(new, _)| *new < name) {
                merged.push(new);
            }
            if let Some((_, more)) = recent.next_if(|(same, _)| *same == name) {
                weight.add(more);
            }
            merged.push((name, weight));
        }
        merged.extend(recent);
        self.packed = Packed::of(merged);
    }

    /// Keeps the first `keep` names by this rank. Answers the others with what they had here; any
    /// of them may come again, and lacks that much then.
    pub(super) fn thin(&mut self, keep: usize, rank: Rank) -> Vec<(NameId, Weight)> {
        self.fold();
        if self.packed.len() <= keep {
            return Vec::new();
        }
        let mut kept: Vec<_> = self.packed.iter().collect();
        kept.select_nth_unstable_by(keep, |a, b| rank.key(b.1).cmp(&rank.key(a.1)));
        let dropped = kept.split_off(keep);
        let most =
            dropped.iter().fold(Weight::default(), |most, (_, weight)| most.or_more(*weight));
        self.lost.add(most);
        kept.sort_unstable_by_key(|(name, _)| *name);
        self.packed = Packed::of(kept);
        dropped
    }

    /// Octets of memory on the heap, about.
    pub(super) fn memory(&self) -> usize {
        self.packed.memory() + self.recent.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(tally: &Tally) -> Vec<(NameId, Weight)> {
        let mut weights: Vec<_> = tally.weights().collect();
        weights.sort_unstable_by_key(|(name, _)| *name);
        weights
    }

    fn weight(sessions: u64, bytes: u64) -> Weight {
        Weight { sessions, bytes }
    }

    #[test]
    fn folding_changes_nothing_but_the_form() {
        let mut tally = Tally::default();
        for (name, bytes) in [(7, 1), (3, 2), (300, 3), (7, 4)] {
            tally.add(name, weight(1, bytes));
        }
        tally.fold();
        assert_eq!((tally.recent_len(), tally.len()), (0, 3));
        for (name, bytes) in [(1, 1), (7, 10), (100, 1), (400, 9)] {
            tally.add(name, weight(1, bytes));
        }
        tally.add(3, weight(1, 2).negated());
        tally.add(5, weight(0, 0));
        tally.fold();
        let expected = [
            (1, weight(1, 1)),
            (7, weight(3, 15)),
            (100, weight(1, 1)),
            (300, weight(1, 3)),
            (400, weight(1, 9)),
        ];
        assert_eq!(sorted(&tally), expected, "3 is gone, since nothing of it is left");
        assert_eq!(tally.lost(), Weight::default());
    }

    #[test]
    fn thinning_drops_the_last_and_says_how_much_of_a_name_may_be_missing() {
        let mut tally = Tally::default();
        for (name, sessions, bytes) in [(1, 5, 1), (2, 2, 900), (3, 9, 2), (4, 1, 5)] {
            tally.add(name, weight(sessions, bytes));
        }
        assert!(tally.thin(4, Rank::Sessions).is_empty());
        let mut dropped = tally.thin(2, Rank::Sessions);
        dropped.sort_unstable_by_key(|(name, _)| *name);
        assert_eq!(dropped, [(2, weight(2, 900)), (4, weight(1, 5))]);
        assert_eq!((tally.len(), tally.lost()), (2, weight(2, 900)));
        tally.add(2, weight(1, 1));
        assert_eq!(tally.thin(2, Rank::Bytes), [(2, weight(1, 1))]);
        assert_eq!(tally.lost(), weight(3, 901), "each time adds");
    }
}
