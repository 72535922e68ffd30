//! A histogram with one writer and any number of readers.

use std::array;

use super::counters::Count;

/// Observations by size. Cells are not cumulative: one observation is two loads and two stores.
#[derive(Debug)]
pub struct Histogram<const BOUNDS: usize> {
    bounds: &'static [u64; BOUNDS],
    cells: [Count; BOUNDS],
    above: Count,
    sum: Count,
}

/// What a histogram held at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Each bound, and how many observations were at most that large.
    pub cumulative: Vec<(u64, u64)>,
    /// Observations in all.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
}

impl<const BOUNDS: usize> Histogram<BOUNDS> {
    /// An empty one; `bounds` ascend.
    #[must_use]
    pub fn new(bounds: &'static [u64; BOUNDS]) -> Self {
        Self {
            bounds,
            cells: array::from_fn(|_| Count::default()),
            above: Count::default(),
            sum: Count::default(),
        }
    }

    /// Counts one observation. Only the owning thread may call it.
    pub fn observe(&self, value: u64) {
        let index = self.bounds.partition_point(|&bound| bound < value);
        self.cells.get(index).unwrap_or(&self.above).add(1);
        self.sum.add(value);
    }

    /// The sum of all observations now.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.get()
    }

    /// How many observations there are now.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.cells.iter().map(Count::get).sum::<u64>() + self.above.get()
    }
}

impl Distribution {
    /// All observations of these histograms together.
    #[must_use]
    pub fn of<'a, const BOUNDS: usize>(
        histograms: impl IntoIterator<Item = &'a Histogram<BOUNDS>>,
    ) -> Self {
        let mut all = Self::default();
        for histogram in histograms {
            all.cumulative.resize(BOUNDS, (0, 0));
            let mut below = 0;
            for (index, cell) in histogram.cells.iter().enumerate() {
                below += cell.get();
                all.cumulative[index].0 = histogram.bounds[index];
                all.cumulative[index].1 += below;
            }
            all.count += below + histogram.above.get();
            all.sum += histogram.sum.get();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [u64; 3] = [1, 10, 100];

    #[test]
    fn an_observation_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new(&BOUNDS);
        for value in [0, 1, 2, 100, 101, 5000] {
            histogram.observe(value);
        }
        let distribution = Distribution::of([&histogram]);
        assert_eq!(distribution.cumulative, [(1, 2), (10, 3), (100, 4)]);
        assert_eq!((distribution.count, distribution.sum), (6, 5204));
        assert_eq!((histogram.count(), histogram.sum()), (6, 5204));
    }

    #[test]
    fn those_of_several_workers_add_up() {
        let (one, other) = (Histogram::new(&BOUNDS), Histogram::new(&BOUNDS));
        one.observe(5);
        other.observe(7);
        other.observe(70);
        let both = Distribution::of([&one, &other]);
        assert_eq!(both.cumulative, [(1, 0), (10, 2), (100, 3)]);
        assert_eq!((both.count, both.sum), (3, 82));
        assert_eq!(Distribution::of::<3>([]).cumulative, []);
    }
}
