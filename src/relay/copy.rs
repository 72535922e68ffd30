//! The copying carrier: through the worker's scratch buffer, leftovers to a stash.
//!
//! An idle relay owns no buffer. A sink that takes everything costs one read and one write; only
//! what it refuses is copied once more, into blocks of the worker's pool.

use std::io;

use super::carrier::{Carrier, Halt, interrupted};
use super::end::End;
use super::flow::Flow;
use super::held::Held;
use super::stash::{Stash, StashPool};

/// Reads a portion, `most` octets at most, and writes it; how many were read.
pub(super) fn transfer<S: End, T: End>(
    flow: &mut Flow,
    (source, sink): (&mut S, &mut T),
    carrier: &mut Carrier,
    most: usize,
    moved: &mut impl FnMut(usize),
) -> Result<usize, Halt> {
    let room = most.min(carrier.scratch.len()).min(carrier.pool.read_limit());
    let read = match source.read(&mut carrier.scratch[..room]) {
        Ok(0) => {
            flow.source_closed();
            return Ok(0);
        }
        Ok(read) => read,
        Err(error) if interrupted(&error) => return Ok(0),
        Err(error) => return Err(Halt::at_source(error)),
    };
    flow.came(read, room);
    let octets = &carrier.scratch[..read];
    let (accepted, halt) = push(sink, octets);
    if accepted > 0 {
        moved(accepted);
    }
    match halt.map_err(Halt::at_sink) {
        Ok(()) => Ok(read),
        Err(Halt::Blocked) => {
            let stash = Stash::keep(&octets[accepted..], &mut carrier.pool);
            flow.put_back(stash.map(Held::Stash));
            Err(Halt::Blocked)
        }
        Err(fault) => Err(fault),
    }
}

/// Writes the stash until it is gone or the sink stops. Whatever was accepted is booked as one
/// transfer.
pub(super) fn deliver<T: End>(
    flow: &mut Flow,
    stash: Stash,
    sink: &mut T,
    pool: &mut StashPool,
    moved: &mut impl FnMut(usize),
) -> Result<(), Halt> {
    let before = stash.len();
    let mut stash = Some(stash);
    let mut halt = Ok(());
    while let Some(held) = stash.take() {
        let (accepted, pushed) = push(sink, held.front());
        stash = held.consume(accepted, pool);
        if pushed.is_err() {
            halt = pushed;
            break;
        }
    }
    let delivered = before - stash.as_ref().map_or(0, Stash::len);
    flow.put_back(stash.map(Held::Stash));
    if delivered > 0 {
        moved(delivered);
    }
    halt.map_err(Halt::at_sink)
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
