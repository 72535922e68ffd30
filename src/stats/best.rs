//! The first so many of a stream that comes in any order. Pure.

use super::history::{Filter, Order, Place};

/// Keeps the first few places of one walk through a history, and what was found there.
#[derive(Debug)]
pub struct Best<T> {
    by_time: bool,
    order: Order,
    after: Option<Place>,
    most: usize,
    found: Vec<(Place, T)>,
}

impl<T> Best<T> {
    /// Keeps the first `most` places behind `after`, in the order in which `filter` is read.
    #[must_use]
    pub fn new(filter: &Filter, order: Order, after: Option<Place>, most: usize) -> Self {
        Self { by_time: filter.is_by_time(), order, after, most, found: Vec::new() }
    }

    /// Takes one in.
    pub fn push(&mut self, place: Place, thing: T) {
        let before = |after| self.order.of(self.key(place).cmp(&self.key(after))).is_le();
        if self.after.is_some_and(before) {
            return;
        }
        self.found.push((place, thing));
        // So that sorting is paid for by as many that came in as are kept.
        if self.found.len() >= self.most.saturating_mul(2) {
            self.settle();
        }
    }

    /// Whether as many are there as are kept; more may push them out if they come in any order.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.found.len() >= self.most
    }

    /// What was kept, in order.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<(Place, T)> {
        self.settle();
        self.found
    }

    fn settle(&mut self) {
        let (by_time, order) = (self.by_time, self.order);
        self.found
            .sort_unstable_by(|(a, _), (b, _)| order.of(key(by_time, *a).cmp(&key(by_time, *b))));
        self.found.truncate(self.most);
    }

    const fn key(&self, place: Place) -> (i64, i64) {
        key(self.by_time, place)
    }
}

const fn key(by_time: bool, place: Place) -> (i64, i64) {
    (if by_time { place.start_ms } else { 0 }, place.row)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_keeps_what_sorting_everything_would_put_first(
            starts in prop::collection::vec(0_i64..20, 0..100),
            by_time: bool,
            ascending: bool,
            after in prop::option::of((0_i64..20, 0_i64..100)),
            most in 1_usize..20,
        ) {
            let filter = Filter { since_ms: by_time.then_some(0), ..Filter::default() };
            let order = if ascending { Order::Ascending } else { Order::Descending };
            let after = after.map(|(start_ms, row)| Place { start_ms, row });
            let mut best = Best::new(&filter, order, after, most);
            let places = (0..).zip(&starts).map(|(row, start)| Place { start_ms: *start, row });
            let mut all: Vec<Place> = places.collect();
            for place in &all {
                best.push(*place, ());
            }
            all.retain(|it| {
                after.is_none_or(|after| order.of(key(by_time, *it).cmp(&key(by_time, after))).is_gt())
            });
            all.sort_by(|a, b| order.of(key(by_time, *a).cmp(&key(by_time, *b))));
            all.truncate(most);
            let kept: Vec<Place> = best.into_sorted().into_iter().map(|(place, ())| place).collect();
            prop_assert_eq!(kept, all);
        }
    }
}
