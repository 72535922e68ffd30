//! Carries octets of one flow: decides step by step which carrier does it.

use std::io;

use super::copy;
use super::end::End;
use super::flow::{Flow, Step};
use super::held::Held;
use super::pipes::Pipes;
use super::splice;
use super::stash::StashPool;

/// What a worker lends to each of its relays in turn.
pub struct Carrier {
    pub(super) scratch: Box<[u8]>,
    pub(super) pool: StashPool,
    pub(super) pipes: Pipes,
}

impl Carrier {
    /// One that copies only. Allocates the scratch buffer; the pool allocates when it is needed.
    #[must_use]
    pub fn new() -> Self {
        Self::with_pipes(0)
    }

    /// One that splices heavy directions, by up to `pipes_max` pipes (two descriptors each), which
    /// are made when they are needed.
    #[must_use]
    pub fn with_pipes(pipes_max: usize) -> Self {
        let scratch = vec![0; SCRATCH_OCTETS].into_boxed_slice();
        Self { scratch, pool: StashPool::new(), pipes: Pipes::new(pipes_max) }
    }

    /// The pool, for [`Relay::new`](super::Relay::new).
    pub fn pool(&mut self) -> &mut StashPool {
        &mut self.pool
    }

    /// The pipes, for whoever counts them.
    #[must_use]
    pub fn pipes(&self) -> &Pipes {
        &self.pipes
    }

    /// Gives up what is held.
    pub(super) fn discard(&mut self, held: Held) {
        match held {
            Held::Stash(stash) => stash.release(&mut self.pool),
            Held::Load(load) => self.pipes.discard(load),
        }
    }
}

impl Default for Carrier {
    fn default() -> Self {
        Self::new()
    }
}

/// Why carrying stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// An end would block.
    Waiting,
    /// The budget is used up, and the source may have more.
    Again,
    /// The flow is over.
    Over,
}

/// The end that failed, seen from the flow.
#[derive(Debug)]
pub(super) enum Fault {
    Source(io::Error),
    Sink(io::Error),
}

/// What stops a carrier.
#[derive(Debug)]
pub(super) enum Halt {
    /// An end would block.
    Blocked,
    /// An end failed.
    Fault(Fault),
}

impl Halt {
    pub(super) fn at_source(error: io::Error) -> Self {
        if would_block(&error) { Self::Blocked } else { Self::Fault(Fault::Source(error)) }
    }

    pub(super) fn at_sink(error: io::Error) -> Self {
        if would_block(&error) { Self::Blocked } else { Self::Fault(Fault::Sink(error)) }
    }
}

/// Carries one flow on until an end would block, `budget` octets have been read, the flow is over, or
/// an end fails. `moved` hears what the sink accepted, once per transfer.
pub(super) fn carry<S: End, T: End>(
    flow: &mut Flow,
    (source, sink): (&mut S, &mut T),
    carrier: &mut Carrier,
    budget: usize,
    mut moved: impl FnMut(usize),
) -> Result<Pause, Fault> {
    let mut left = budget;
    loop {
        let done = match flow.step() {
            Step::Over => return Ok(Pause::Over),
            Step::ShutDown => {
                sink.shutdown_write().map_err(Fault::Sink)?;
                flow.shut_down();
                Ok(0)
            }
            Step::Write => deliver(flow, sink, carrier, &mut moved).map(|()| 0),
            Step::Read if left == 0 => return Ok(Pause::Again),
            Step::Read => {
                let spliceable = flow.is_heavy() && source.fd().is_some() && sink.fd().is_some();
                let pipe = if spliceable { carrier.pipes.lend() } else { None };
                let ends = (&mut *source, &mut *sink);
                match pipe {
                    Some(pipe) => splice::transfer(flow, ends, pipe, carrier, left, &mut moved),
                    None => copy::transfer(flow, ends, carrier, left, &mut moved),
                }
            }
        };
        match done {
            Ok(octets) => left -= octets.min(left),
            Err(Halt::Blocked) => return Ok(Pause::Waiting),
            Err(Halt::Fault(fault)) => return Err(fault),
        }
    }
}

/// Delivers what is held, by the carrier that holds it.
fn deliver<T: End>(
    flow: &mut Flow,
    sink: &mut T,
    carrier: &mut Carrier,
    moved: &mut impl FnMut(usize),
) -> Result<(), Halt> {
    match flow.take_held() {
        Some(Held::Stash(stash)) => copy::deliver(flow, stash, sink, &mut carrier.pool, moved),
        Some(Held::Load(load)) => splice::deliver(flow, load, sink, carrier, moved),
        None => Ok(()),
    }
}

pub(super) fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

pub(super) fn interrupted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

/// Size of a worker's scratch buffer, the most that is read at once.
pub const SCRATCH_OCTETS: usize = 256 * 1024;
/// What a relay usually may read per direction before others have their turn.
pub const BYTES_PER_TURN: usize = 64 * 1024;

/// The same of one that is heavy, whose turn comes after everybody else's. A GiB then costs 0.75 (8
/// streams) and 0.68 (64 streams) of what it costs in portions of 64 KiB.
pub const HEAVY_BYTES_PER_TURN: usize = 256 * 1024;

const _: () = assert!(BYTES_PER_TURN <= SCRATCH_OCTETS && HEAVY_BYTES_PER_TURN <= SCRATCH_OCTETS);
