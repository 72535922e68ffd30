//! The pipes of one worker, lent to its relays.
//!
//! A pipe is two descriptors and, for users without privilege, a part of 64 MiB for all of them. So
//! no relay owns one: it is lent for a transfer and comes back when it is empty, mostly within the
//! same call; only while a sink does not take what is in it does a relay keep it. An idle relay has its
//! two sockets and nothing else.

use super::held::Load;
use crate::linux::pipe::Pipe;

/// A cache of empty pipes, and the bound on all of them.
#[derive(Default)]
pub struct Pipes {
    free: Vec<Pipe>,
    lent: usize,
    /// Pipes in all; 0 where nothing is to be spliced.
    max: usize,
    /// splice(2) was refused: never again.
    refused: bool,
    /// Requests that are still turned down without asking the kernel.
    rest: u32,
    sums: PipeSums,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipeSums {
    /// Octets that passed through pipes.
    pub octets: u64,
    /// Transfers that were copied because there was no pipe for them.
    pub missed: u64,
    /// Pipes that the kernel did not give: no descriptor, or the user's pages used up.
    pub failures: u64,
}

impl Pipes {
    pub(super) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    /// Pipes that exist.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lent + self.free.len()
    }

    /// Of those, how many are in use by relays.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// What happened since the start.
    #[must_use]
    pub fn sums(&self) -> PipeSums {
        self.sums
    }

    /// An empty pipe, if one can be had.
    pub(super) fn lend(&mut self) -> Option<Pipe> {
        if self.refused || self.max == 0 {
            return None;
        }
        let pipe = self.free.pop().or_else(|| self.make());
        match &pipe {
            Some(_) => self.lent += 1,
            None => self.sums.missed += 1,
        }
        pipe
    }

    fn make(&mut self) -> Option<Pipe> {
        if self.rest > 0 {
            self.rest -= 1;
            return None;
        }
        if self.lent >= self.max {
            return None;
        }
        // It may be short of something for long: it is not asked each time.
        Pipe::new(PIPE_OCTETS).map_err(|_| (self.sums.failures += 1, self.rest = REST)).ok()
    }

    /// Takes back a pipe that is empty.
    pub(super) fn take_back(&mut self, pipe: Pipe) {
        self.lent = self.lent.saturating_sub(1);
        self.free.push(pipe);
    }

    /// Closes a pipe that is not empty: what is in it is nobody's.
    pub(super) fn discard(&mut self, load: Load) {
        self.lent = self.lent.saturating_sub(1);
        drop(load);
    }

    pub(super) fn passed(&mut self, octets: usize) {
        self.sums.octets += octets as u64;
    }

    /// Nothing is spliced any more.
    pub(super) fn give_up(&mut self) {
        self.refused = true;
        self.free = Vec::new();
    }
}

/// Size of a pipe: 64 slots, which take a portion even where each segment has a slot of its own.
pub(super) const PIPE_OCTETS: usize = 256 * 1024;
/// Requests that are turned down after the kernel gave no pipe.
const REST: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_comes_back_is_lent_again_and_no_more_than_the_bound_are() {
        let mut pipes = Pipes::new(2);
        let (one, two) = (pipes.lend().unwrap(), pipes.lend().unwrap());
        assert!(pipes.lend().is_none());
        assert_eq!((pipes.open(), pipes.lent(), pipes.sums().missed), (2, 2, 1));
        pipes.take_back(one);
        assert_eq!((pipes.open(), pipes.lent()), (2, 1));
        let one = pipes.lend().unwrap();
        assert_eq!(pipes.open(), 2);
        pipes.discard(Load { pipe: two, octets: 1 });
        assert_eq!((pipes.open(), pipes.lent()), (1, 1));
        assert!(pipes.lend().is_some());
        drop(one);
    }

    #[test]
    fn without_a_bound_or_after_a_refusal_there_are_none() {
        assert!(Pipes::new(0).lend().is_none());
        let mut pipes = Pipes::new(1);
        let pipe = pipes.lend().unwrap();
        pipes.take_back(pipe);
        pipes.give_up();
        assert!(pipes.lend().is_none());
        assert_eq!(pipes.open(), 0);
    }

    #[test]
    fn while_it_rests_the_kernel_is_not_asked() {
        let mut pipes = Pipes::new(1);
        pipes.rest = 2;
        assert!(pipes.lend().is_none() && pipes.lend().is_none());
        assert!(pipes.lend().is_some());
        assert_eq!(pipes.sums(), PipeSums { missed: 2, ..PipeSums::default() });
    }
}
