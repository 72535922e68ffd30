//! What one direction has read and not yet delivered.

use super::stash::Stash;
use crate::linux::pipe::Pipe;

/// Where it lies. Never empty: no octets, nothing held.
pub(crate) enum Held {
    /// In blocks of the worker's pool.
    Stash(Stash),
    /// In a pipe of the kernel.
    Load(Load),
}

/// A pipe that is lent, and how many octets are in it.
pub(crate) struct Load {
    pub(crate) pipe: Pipe,
    /// Never 0.
    pub(crate) octets: usize,
}

impl Held {
    /// Octets still to be delivered; never 0.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Stash(stash) => stash.len(),
            Self::Load(load) => load.octets,
        }
    }
}
