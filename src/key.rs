//! The name of one connection of one worker. A slot is used again and again; the generation tells
//! its users apart, so a late answer or an old kill never reaches the wrong connection.
#![forbid(unsafe_code)]

/// Names one connection of one worker, safe against reuse of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Index into the worker's slots.
    pub slot: u32,
    /// Use of that slot, counted; 28 bits are used, because a poll token carries them.
    pub generation: u32,
}
