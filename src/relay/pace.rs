//! How heavily one direction flows, and so whether a pipe pays for it. Pure.
//!
//! A splice spares the copy but costs more than a read and a write before it has moved an octet. So a
//! direction is copied first, and becomes heavy when octets have come in large portions for a while;
//! a few small ones in a row make it light again.

/// The rule, as far as it has been applied to one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// Octets that came in large portions, one after the other.
    run: u32,
    /// Small portions in a row since it is heavy.
    smalls: u8,
}

impl Pace {
    /// A portion of `octets` has come; there was room for `room`.
    pub(crate) fn came(&mut self, octets: usize, room: usize) {
        // One that was cut short by us says nothing about how much there was.
        if octets >= LARGE_OCTETS || octets == room {
            self.run = self.run.saturating_add(u32::try_from(octets).unwrap_or(u32::MAX));
            self.smalls = 0;
        } else if self.is_heavy() && self.smalls < SMALLS_MAX {
            self.smalls += 1;
        } else {
            *self = Self::default();
        }
    }

    /// Whether a pipe pays.
    pub(crate) const fn is_heavy(self) -> bool {
        self.run >= HEAVY_OCTETS
    }
}

/// A portion is large from here on: where a splice costs as much as a read and a write (`benches/relay.rs`:
/// 16 KiB 24 against 21 µs, 32 KiB 21 against 22, 64 KiB 17 against 24, 128 KiB 19 against 38).
const LARGE_OCTETS: usize = 32 * 1024;
/// Octets in large portions that make a direction heavy. Whole sessions of 64 KiB cost the same by either
/// carrier, those of 1 MiB a third by splice.
pub(super) const HEAVY_OCTETS: u32 = 128 * 1024;
/// Small portions in a row that a heavy direction may have.
const SMALLS_MAX: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(portions: &[(usize, usize)]) -> bool {
        let mut pace = Pace::default();
        portions.iter().for_each(|(octets, room)| pace.came(*octets, *room));
        pace.is_heavy()
    }

    #[test]
    fn large_portions_make_it_heavy_and_small_ones_never_do() {
        const ROOM: usize = 64 * 1024;
        assert!(!after(&[(ROOM, ROOM)]));
        assert!(after(&[(ROOM, ROOM), (ROOM, ROOM)]));
        assert!(after(&[(LARGE_OCTETS, ROOM); 4]));
        assert!(!after(&[(LARGE_OCTETS - 1, ROOM); 1000]));
        assert!(!after(&[(ROOM, ROOM), (100, ROOM), (ROOM, ROOM)]));
    }

    #[test]
    fn what_was_cut_short_by_us_is_no_small_portion() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.came(60_000, 64 * 1024);
            pace.came(5536, 5536);
        }
        assert!(pace.is_heavy());
    }

    #[test]
    fn a_few_small_portions_in_a_row_make_it_light_again() {
        let mut pace = Pace { run: HEAVY_OCTETS, smalls: 0 };
        for _ in 0..SMALLS_MAX {
            pace.came(64, 4096);
        }
        assert!(pace.is_heavy());
        pace.came(LARGE_OCTETS, LARGE_OCTETS);
        for _ in 0..SMALLS_MAX {
            pace.came(64, 4096);
        }
        assert!(pace.is_heavy());
        pace.came(64, 4096);
        assert!(!pace.is_heavy());
    }
}
