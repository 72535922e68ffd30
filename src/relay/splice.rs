//! The carrier inside the kernel: from socket to socket through a pipe, without a copy.
//!
//! A transfer fills an empty pipe and drains it at once. What the sink refuses stays in the pipe, and
//! while it is there the source is not asked: so a pipe that is filled is always empty, and
//! `WouldBlock` then speaks of the source (`linux::pipe` says why that matters). Octets are booked when
//! they leave the pipe.

use std::io;

use super::carrier::{Carrier, Halt, interrupted};
use super::end::End;
use super::flow::Flow;
use super::held::{Held, Load};
use super::pipes::PIPE_OCTETS;
use super::stash::Stash;
use crate::linux::pipe::{Pipe, is_refusal};

/// Moves a portion through a pipe, `most` octets at most; how many left the source.
pub(super) fn transfer<S: End, T: End>(
    flow: &mut Flow,
    (source, sink): (&mut S, &mut T),
    pipe: Pipe,
    carrier: &mut Carrier,
    most: usize,
    moved: &mut impl FnMut(usize),
) -> Result<usize, Halt> {
    let most = most.min(PIPE_OCTETS);
    let filled = source.splice_into(&pipe, most);
    let Ok(octets @ 1..) = filled else {
        carrier.pipes.take_back(pipe);
        return match filled {
            Ok(_) => {
                flow.source_closed();
                Ok(0)
            }
            Err(error) if interrupted(&error) => Ok(0),
            Err(error) if is_refusal(&error) => {
                carrier.pipes.give_up();
                Ok(0)
            }
            Err(error) => Err(Halt::at_source(error)),
        };
    };
    flow.came(octets, most);
    deliver(flow, Load { pipe, octets }, sink, carrier, moved)?;
    Ok(octets)
}

/// Drains the pipe until it is empty or the sink stops. Whatever was accepted is booked as one
/// transfer.
pub(super) fn deliver<T: End>(
    flow: &mut Flow,
    mut load: Load,
    sink: &mut T,
    carrier: &mut Carrier,
    moved: &mut impl FnMut(usize),
) -> Result<(), Halt> {
    let before = load.octets;
    let mut halt = Ok(());
    while load.octets > 0 {
        match sink.splice_from(&load.pipe, load.octets) {
            Ok(0) => {
                halt = Err(io::ErrorKind::WriteZero.into());
                break;
            }
            Ok(drained) => load.octets -= drained.min(load.octets),
            Err(error) if interrupted(&error) => {}
            Err(error) => {
                halt = Err(error);
                break;
            }
        }
    }
    let delivered = before - load.octets;
    if delivered > 0 {
        moved(delivered);
        carrier.pipes.passed(delivered);
    }
    match halt {
        Ok(()) => {
            carrier.pipes.take_back(load.pipe);
            flow.put_back(None);
            Ok(())
        }
        Err(error) if is_refusal(&error) => {
            let unloaded = unload(&load, carrier);
            carrier.pipes.discard(load);
            carrier.pipes.give_up();
            flow.put_back(unloaded.map_err(Halt::at_sink)?.map(Held::Stash));
            Ok(())
        }
        Err(error) => {
            flow.put_back(Some(Held::Load(load)));
            Err(Halt::at_sink(error))
        }
    }
}

/// Copies what is in the pipe to blocks, for the other carrier to deliver.
fn unload(load: &Load, carrier: &mut Carrier) -> io::Result<Option<Stash>> {
    let octets = &mut carrier.scratch[..load.octets];
    let mut read = 0;
    while read < octets.len() {
        match load.pipe.read(&mut octets[read..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => read += more,
            Err(error) if interrupted(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Stash::keep(octets, &mut carrier.pool))
}

const _: () = assert!(PIPE_OCTETS <= super::carrier::SCRATCH_OCTETS, "what is unloaded finds room");
