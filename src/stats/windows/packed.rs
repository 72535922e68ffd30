//! Weights by name, packed for keeps: sorted by number, each as three variable-length numbers
//! (distance to the name before, sessions, octets), about six octets in all where a table would
//! take thirty.

use std::sync::Arc;

use super::names::NameId;
use super::weight::Weight;

/// A packed list. It never changes, so readers share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    octets: Arc<[u8]>,
    names: usize,
}

impl Packed {
    /// Packs these, which are sorted by number; those without weight are left out.
    pub(super) fn of(weights: impl IntoIterator<Item = (NameId, Weight)>) -> Self {
        let (mut octets, mut names, mut last) = (Vec::new(), 0, 0);
        for (name, weight) in weights {
            if weight == Weight::default() {
                continue;
            }
            put(u64::from(name - last), &mut octets);
            put(weight.sessions, &mut octets);
            put(weight.bytes, &mut octets);
            last = name;
            names += 1;
        }
        Self { octets: octets.into(), names }
    }

    /// What was packed.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NameId, Weight)> + '_ {
        let mut rest = &*self.octets;
        let mut name: NameId = 0;
        std::iter::from_fn(move || {
            let distance = take(&mut rest)?;
            let weight = Weight { sessions: take(&mut rest)?, bytes: take(&mut rest)? };
            name = name.wrapping_add(u32::try_from(distance).ok()?);
            Some((name, weight))
        })
    }

    /// How many names it has.
    pub(super) const fn len(&self) -> usize {
        self.names
    }

    /// Octets of memory, about.
    pub(super) fn memory(&self) -> usize {
        self.octets.len()
    }
}

/// Seven bits per octet, least first; the eighth says that more follow.
fn put(mut number: u64, octets: &mut Vec<u8>) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return octets.push(low);
        }
        octets.push(low | 0x80);
    }
}

#[inline]
fn take(octets: &mut &[u8]) -> Option<u64> {
    let (first, rest) = octets.split_first()?;
    *octets = rest;
    if *first < 0x80 {
        return Some(u64::from(*first));
    }
    let mut number = u64::from(*first & 0x7f);
    for shift in (7..64).step_by(7) {
        let (next, rest) = octets.split_first()?;
        *octets = rest;
        number |= u64::from(*next & 0x7f) << shift;
        if *next < 0x80 {
            break;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers() -> impl Strategy<Value = u64> {
        prop_oneof![0..300_u64, any::<u64>(), Just(u64::MAX), Just(1 << 63), Just(127), Just(128)]
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(
            weights in prop::collection::btree_map(any::<u32>(), (numbers(), numbers()), 0..50),
        ) {
            let weights: Vec<_> = weights
                .into_iter()
                .map(|(name, (sessions, bytes))| (name, Weight { sessions, bytes }))
                .collect();
            let packed = Packed::of(weights.iter().copied());
            let some = |(_, weight): &(u32, Weight)| *weight != Weight::default();
            let expected: Vec<_> = weights.into_iter().filter(some).collect();
            prop_assert_eq!(packed.len(), expected.len());
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_common_entry_takes_six_octets() {
        let weights = (0..1000).map(|name| (name * 3, Weight { sessions: 2, bytes: 40_000 }));
        assert_eq!(Packed::of(weights).memory(), 5000);
    }
}
