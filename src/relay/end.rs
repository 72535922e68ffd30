//! What the relay needs of the world: two ends to carry between and a meter that is told.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::linux::pipe::Pipe;

/// One end of a relay: a non-blocking socket, or a script that behaves like one.
///
/// `read` and `write` answer `WouldBlock` when they cannot go on, and the caller learns by its own
/// means when they can again. `read` returning 0 is the peer's FIN.
pub trait End: Read + Write {
    /// Sends FIN; reading goes on.
    ///
    /// # Errors
    /// Whatever shutdown(2) says; `NotConnected` is taken for a reset that nobody has read yet.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// The socket, where this end is nothing but one, and all of its octets may pass by inside the
    /// kernel.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether anything may have come to be read; `false` only where reading would block.
    fn may_read(&self) -> bool {
        true
    }

    /// Moves at most `most` octets from this end into a pipe that is empty. Answers as `read` does.
    ///
    /// # Errors
    /// As `read`, or [`Pipe::fill`]'s refusal: always where there is no [`fd`](Self::fd).
    fn splice_into(&mut self, pipe: &Pipe, most: usize) -> io::Result<usize> {
        match self.fd() {
            Some(socket) => pipe.fill(socket, most),
            None => Err(Errno::OPNOTSUPP.into()),
        }
    }

    /// Moves at most `most` octets, which are in the pipe, to this end. Answers as `write` does.
    ///
    /// # Errors
    /// As `write`, or [`Pipe::drain`]'s refusal: always where there is no [`fd`](Self::fd).
    fn splice_from(&mut self, pipe: &Pipe, most: usize) -> io::Result<usize> {
        match self.fd() {
            Some(socket) => pipe.drain(socket, most),
            None => Err(Errno::OPNOTSUPP.into()),
        }
    }
}

/// Hears of every transfer while it happens.
pub trait Meter {
    /// The sink of `direction` accepted `octets` (> 0) in one transfer. What was merely read does
    /// not count until it is accepted.
    fn moved(&mut self, direction: Direction, octets: usize);
}

/// Which way octets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Client to upstream.
    Upload,
    /// Upstream to client.
    Download,
}

/// Which of the two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The socket that was accepted.
    Client,
    /// The socket that was dialled.
    Upstream,
}

/// How a relay ended. After anything but the first two the other socket is to be aborted, once
/// the kernel has sent what the relay delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelayEnd {
    /// FIN both ways, the client's first.
    ClientClosed,
    /// FIN both ways, the target's first.
    TargetClosed,
    /// The client reset its connection.
    ClientReset,
    /// The target reset its connection.
    TargetReset,
    /// A socket failed otherwise: `TimedOut` by keepalive, for example.
    Failed {
        /// The socket that failed.
        side: Side,
        /// How.
        kind: io::ErrorKind,
    },
}

impl RelayEnd {
    pub(super) fn closed(first: Side) -> Self {
        match first {
            Side::Client => Self::ClientClosed,
            Side::Upstream => Self::TargetClosed,
        }
    }

    pub(super) fn failed(side: Side, kind: io::ErrorKind) -> Self {
        match (is_reset(kind), side) {
            (true, Side::Client) => Self::ClientReset,
            (true, Side::Upstream) => Self::TargetReset,
            (false, side) => Self::Failed { side, kind },
        }
    }
}

/// What a socket answers after its peer's RST: `ConnectionReset` to the first who asks, `BrokenPipe`
/// to later writers, and to any writer when FIN had come before; `NotConnected` to shutdown.
pub(super) fn is_reset(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
    )
}
