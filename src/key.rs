//! `Key` names one connection of one worker, safe against reuse of its slot.

use std::fmt;

/// One tenancy of one slot in one worker.
///
/// A slot is reused as soon as its connection has ended, its generation never is: whoever still
/// holds the key of an ended connection (a kernel event, a DNS answer, a kill) finds another
/// generation there and is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Place in the worker's slots.
    pub slot: u32,
    /// How often the slot had been vacated before; [`Key::GENERATION_BITS`] bits wide, then wraps.
    pub generation: u32,
}

impl Key {
    /// Width of a generation: what a 64-bit token leaves beside slot and role.
    pub const GENERATION_BITS: u32 = 28;
    /// Greatest generation; the one after it is 0.
    pub const GENERATION_MAX: u32 = (1 << Self::GENERATION_BITS) - 1;

    /// The same slot for its next tenant.
    #[must_use]
    pub const fn successor(self) -> Self {
        Self { slot: self.slot, generation: self.generation.wrapping_add(1) & Self::GENERATION_MAX }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_wraps_within_its_bits() {
        let key = Key { slot: 7, generation: Key::GENERATION_MAX };
        assert_eq!(key.successor(), Key { slot: 7, generation: 0 });
        assert_eq!(Key { slot: 7, generation: 3 }.successor(), Key { slot: 7, generation: 4 });
    }
}
