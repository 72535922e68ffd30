//! The copying carrier: through the worker's scratch buffer, leftovers to a stash.
//!
//! An idle relay owns no buffer. A sink that takes everything costs one read and one write; only
//! what it refuses is copied once more, into blocks of the worker's pool.

use std::io;

use super::end::End;
use super::flow::{Flow, Step};
use super::stash::{Stash, StashPool};

/// What a worker lends to each of its relays in turn.
pub struct Carrier {
    scratch: Box<[u8]>,
    pool: StashPool,
}

impl Carrier {
    /// Allocates the scratch buffer; the pool allocates when it is needed.
    #[must_use]
    pub fn new() -> Self {
        Self { scratch: vec![0; SCRATCH_OCTETS].into_boxed_slice(), pool: StashPool::new() }
    }

    /// The pool, for [`Relay::new`](super::Relay::new) and [`Relay::release`](super::Relay::release).
    pub fn pool(&mut self) -> &mut StashPool {
        &mut self.pool
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
        match flow.step() {
            Step::Over => return Ok(Pause::Over),
            Step::ShutDown => {
                sink.shutdown_write().map_err(Fault::Sink)?;
                flow.shut_down();
            }
            Step::Write => match deliver(flow, sink, &mut carrier.pool, &mut moved) {
                Ok(()) => {}
                Err(error) if would_block(&error) => return Ok(Pause::Waiting),
                Err(error) => return Err(Fault::Sink(error)),
            },
            Step::Read => {
                let limit = left.min(carrier.scratch.len()).min(carrier.pool.read_limit());
                if limit == 0 {
                    return Ok(Pause::Again);
                }
                let read = match source.read(&mut carrier.scratch[..limit]) {
                    Ok(0) => {
                        flow.source_closed();
                        continue;
                    }
                    Ok(read) => read,
                    Err(error) if interrupted(&error) => continue,
                    Err(error) if would_block(&error) => return Ok(Pause::Waiting),
                    Err(error) => return Err(Fault::Source(error)),
                };
                left -= read;
                let octets = &carrier.scratch[..read];
                let (accepted, halt) = push(sink, octets);
                if accepted > 0 {
                    moved(accepted);
                }
                match halt {
                    Ok(()) => {}
                    Err(error) if would_block(&error) => {
                        flow.refused(Stash::keep(&octets[accepted..], &mut carrier.pool));
                        return Ok(Pause::Waiting);
                    }
                    Err(error) => return Err(Fault::Sink(error)),
                }
            }
        }
    }
}

/// Writes the stash until it is gone or the sink stops. Whatever was accepted is booked as one
/// transfer.
fn deliver<T: End>(
    flow: &mut Flow,
    sink: &mut T,
    pool: &mut StashPool,
    moved: &mut impl FnMut(usize),
) -> io::Result<()> {
    let before = flow.stashed();
    let mut stash = flow.take_stash();
    let mut halt = Ok(());
    while let Some(held) = stash.take() {
        let (accepted, pushed) = push(sink, held.front());
        stash = held.consume(accepted, pool);
        if pushed.is_err() {
            halt = pushed;
            break;
        }
    }
    flow.put_back(stash);
    let delivered = before - flow.stashed();
    if delivered > 0 {
        moved(delivered);
    }
    halt
}

/// Writes `octets` until all are accepted or the sink stops: how many it took, and why it stopped.
/// A short write is no reason to stop; only `WouldBlock` makes the kernel announce room.
fn push<T: End>(sink: &mut T, octets: &[u8]) -> (usize, io::Result<()>) {
    let mut accepted = 0;
    while accepted < octets.len() {
        match sink.write(&octets[accepted..]) {
            Ok(0) => return (accepted, Err(io::ErrorKind::WriteZero.into())),
            Ok(written) => accepted += written,
            Err(error) if interrupted(&error) => {}
            Err(error) => return (accepted, Err(error)),
        }
    }
    (accepted, Ok(()))
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn interrupted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

/// Size of a worker's scratch buffer, the most that is read at once.
pub const SCRATCH_OCTETS: usize = 256 * 1024;
/// What a relay usually may read per direction before others have their turn.
pub const BYTES_PER_TURN: usize = 64 * 1024;

const _: () = assert!(BYTES_PER_TURN <= SCRATCH_OCTETS);
