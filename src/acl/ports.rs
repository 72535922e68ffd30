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

    /// Each port by itself, where there are few of them.
    pub(super) fn few(&self) -> Option<SmallVec<[u16; FEW]>> {
        let mut few = SmallVec::new();
        for (first, last) in &self.ranges {
            for port in *first..=*last {
                if few.len() == FEW {
                    return None;
                }
                few.push(port);
            }
        }
        (!few.is_empty()).then_some(few)
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

/// Up to so many ports are looked up one by one.
const FEW: usize = 16;

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
    fn few_ports_are_told_apart_from_many() {
        assert_eq!(Ports::of([(80, 80), (443, 444)]).few().unwrap().as_slice(), [80, 443, 444]);
        assert_eq!(Ports::of([(1, 16)]).few().unwrap().len(), 16);
        assert!(Ports::of([(1, 17)]).few().is_none());
        assert!(Ports::of([(65_530, 65_535)]).few().is_some());
        assert!(Ports::default().few().is_none());
    }
}
