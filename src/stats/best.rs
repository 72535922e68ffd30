//! The first so many of a stream that comes in any order. Pure.

use super::history::Order;

/// Keeps the first few behind a key, and what was found there. Whatever comes, it holds at most twice as
/// many as it keeps.
#[derive(Debug)]
pub struct Best<K, T> {
    order: Order,
    after: Option<K>,
    most: usize,
    found: Vec<(K, T)>,
    /// The last of those that are kept, once there are enough: what is not before it does not enter.
    bar: Option<K>,
}

impl<K: Ord + Clone, T> Best<K, T> {
    /// Keeps the first `most` keys behind `after`, in this `order`.
    #[must_use]
    pub const fn new(order: Order, after: Option<K>, most: usize) -> Self {
        Self { order, after, most, found: Vec::new(), bar: None }
    }

    /// Whether a thing of this key would be among them, as far as is known: whoever asks makes only what
    /// is taken.
    #[must_use]
    pub fn admits(&self, key: &K) -> bool {
        let behind = |after| self.order.of(key.cmp(after)).is_gt();
        let before = |bar| self.order.of(key.cmp(bar)).is_lt();
        self.after.as_ref().is_none_or(behind) && self.bar.as_ref().is_none_or(before)
    }

    /// Takes one in, if it is admitted.
    pub fn push(&mut self, key: K, thing: T) {
        if !self.admits(&key) {
            return;
        }
        self.found.push((key, thing));
        // So that sorting is paid for by as many that came in as are kept.
        if self.found.len() >= self.most.saturating_mul(2) {
            self.settle();
        }
    }

    /// Whether as many are there as are kept; more may push them out if they come in any order.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.found.len() >= self.most
    }

    /// What was kept, in order.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<(K, T)> {
        self.settle();
        self.found
    }

    fn settle(&mut self) {
        self.found.sort_unstable_by(|(a, _), (b, _)| self.order.of(a.cmp(b)));
        self.found.truncate(self.most);
        self.bar = self.found.last().filter(|_| self.is_full()).map(|(key, _)| key.clone());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_keeps_what_sorting_everything_would_put_first_and_little_more_meanwhile(
            starts in prop::collection::vec(0_i64..20, 0..100),
            ascending: bool,
            after in prop::option::of((0_i64..20, 0_i64..100)),
            most in 1_usize..20,
        ) {
            let order = if ascending { Order::Ascending } else { Order::Descending };
            let mut best = Best::new(order, after, most);
            let mut all: Vec<(i64, i64)> = starts.into_iter().zip(0..).collect();
            for key in &all {
                best.push(*key, ());
                prop_assert!(best.found.len() < 2 * most);
            }
            all.retain(|it| after.is_none_or(|after| order.of(it.cmp(&after)).is_gt()));
            all.sort_unstable_by(|a, b| order.of(a.cmp(b)));
            all.truncate(most);
            let kept: Vec<_> = best.into_sorted().into_iter().map(|(key, ())| key).collect();
            prop_assert_eq!(kept, all);
        }
    }
}
