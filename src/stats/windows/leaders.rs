//! The first names of a list.

use super::names::{NameId, Names};
use super::tally::Rank;
use super::total::Weights;
use super::weight::Weight;

/// The first `most` of a list by this rank, heaviest first, and of equals the lesser name first:
/// the order of `ORDER BY … DESC, name`.
pub(super) fn leaders<'a>(
    weights: &Weights,
    names: &'a Names,
    rank: Rank,
    most: usize,
) -> Vec<(&'a [u8], Weight)> {
    let heaviness = |weight: Weight| rank.key(weight).0;
    let before = |a: (NameId, Weight), b: (NameId, Weight)| {
        let (ours, theirs) = (heaviness(a.1), heaviness(b.1));
        ours > theirs || ours == theirs && names.name(a.0) < names.name(b.0)
    };
    let mut first: Vec<(NameId, Weight)> = Vec::with_capacity(most + 1);
    for entry in weights.iter() {
        if first.len() >= most && first.last().is_none_or(|last| !before(entry, *last)) {
            continue;
        }
        let place = first.partition_point(|earlier| before(*earlier, entry));
        first.insert(place, entry);
        first.truncate(most);
    }
    first.into_iter().map(|(id, weight)| (names.name(id), weight)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_are_in_the_order_of_their_names() {
        let (mut names, mut weights) = (Names::default(), Weights::default());
        for (name, sessions, bytes) in
            [("c", 2, 1), ("a", 2, 0), ("ab", 2, 7), ("b", 3, 7), ("d", 0, 0), ("e", 0, 2)]
        {
            weights.add(names.intern(name.as_bytes()), Weight { sessions, bytes });
        }
        let first = |rank, most| {
            let first = leaders(&weights, &names, rank, most).into_iter();
            first.map(|(name, _)| str::from_utf8(name).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(first(Rank::Sessions, 9), ["b", "a", "ab", "c", "e"], "d has nothing");
        assert_eq!(first(Rank::Sessions, 2), ["b", "a"]);
        assert_eq!(first(Rank::Bytes, 3), ["ab", "b", "e"]);
        assert!(first(Rank::Bytes, 0).is_empty());
    }
}
