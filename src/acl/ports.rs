//! Sets of ports.

use std::fmt;

use smallvec::SmallVec;

/// Some ports, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ports {
    /// Inclusive, sorted, apart from each other. None is all.
    ranges: SmallVec<[(u16, u16); 4]>,
}

impl Ports {
    /// The ports of these ranges, first and last included; without a range, all.
    #[must_use]
    pub fn of(ranges: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let mut sorted: SmallVec<[(u16, u16); 4]> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut merged: SmallVec<[(u16, u16); 4]> = SmallVec::new();
        for (first, last) in sorted {
            match merged.last_mut() {
                Some((_, before)) if u32::from(first) <= u32::from(*before) + 1 => {
                    *before = (*before).max(last);
                }
                Some(_) | None => merged.push((first, last)),
            }
        }
        Self { ranges: merged }
    }

    /// Whether there is no port that is not among them.
    pub(super) fn are_all(&self) -> bool {
        self.ranges.is_empty() || self.ranges[..] == [(0, u16::MAX)]
    }

    /// Whether this port is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        if self.ranges.is_empty() {
            return true;
        }
        let behind = self.ranges.partition_point(|(first, _)| *first <= port);
        behind > 0 && self.ranges[behind - 1].1 >= port
    }

    /// The blocks that they are made of, each with how many of the lowest bits its ports differ in and the
    /// first of them; `None` where they are all, or make very many blocks.
    pub(super) fn blocks(&self) -> Option<SmallVec<[(u32, u16); 4]>> {
        if self.are_all() {
            return None;
        }
        let mut blocks = SmallVec::new();
        for (first, last) in &self.ranges {
            let (mut at, end) = (u32::from(*first), u32::from(*last) + 1);
            while at < end {
                if blocks.len() == BLOCKS_MAX {
                    return None;
                }
                let size = at.trailing_zeros().min((end - at).ilog2());
                blocks.push((size, u16::try_from(at).ok()?));
                at += 1 << size;
            }
        }
        Some(blocks)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ranges.is_empty() {
            return f.write_str("any");
        }
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

/// A range has 30 blocks at most; with more than these, ports are not told apart.
const BLOCKS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_merged_and_bounds_belong_to_them() {
        let ports = Ports::of([(443, 443), (8000, 9000), (80, 80), (9001, 9001), (8500, 8600)]);
        assert_eq!(ports.to_string(), "80,443,8000-9001");
        for port in [80, 443, 8000, 8555, 9001] {
            assert!(ports.contains(port), "{port}");
        }
        for port in [0, 79, 81, 444, 7999, 9002, 65_535] {
            assert!(!ports.contains(port), "{port}");
        }
        assert!(Ports::default().contains(0) && Ports::of([(0, 65_535)]).contains(65_535));
    }

    #[test]
    fn blocks_are_all_ports_once() {
        for ranges in [
            &[(443, 443)][..],
            &[(80, 80), (443, 444)],
            &[(8000, 9000)],
            &[(0, 0)],
            &[(1, 65_534)],
            &[(0, 32_767), (65_535, 65_535)],
            &[(1024, 65_535)],
        ] {
            let ports = Ports::of(ranges.iter().copied());
            let blocks = ports.blocks().unwrap();
            assert!(blocks.len() <= 30 * ranges.len());
            let is_in = |port: u16| {
                let of = |(size, first): &&(u32, u16)| port >> *size << *size == *first;
                blocks.iter().filter(of).count()
            };
            for port in 0..=u16::MAX {
                assert_eq!(is_in(port), usize::from(ports.contains(port)), "{ports} {port}");
            }
        }
        assert_eq!(Ports::default().blocks(), None);
        assert_eq!(Ports::of([(0, 65_535)]).blocks(), None);
        let odd = Ports::of((0..=64).map(|port| (2 * port + 1, 2 * port + 1)));
        assert_eq!(odd.blocks(), None);
    }
}
