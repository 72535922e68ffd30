//! `Socket`: a stream and what is remembered of its readiness.
//!
//! mio registers edge-triggered: the kernel reports a change once. So a socket is registered once
//! for life, events only set flags, and a flag is cleared where the kernel shows that the next change
//! will be reported:
//!
//! - `WouldBlock` clears it, always.
//! - A **short read** clears `readable`: what arrives later makes an edge of its own, and one system
//!   call is saved. With two exceptions. After a hang-up was reported no further edge will come, so a
//!   socket that has hung up is read to its end. And a read stops short at an urgent octet (MSG_OOB)
//!   though more lies behind it; a peer that was seen to use them is read until `WouldBlock`.
//! - A short write clears nothing, and so does a short splice, in or out: it may have been the pipe.
//!
//! While a flag is off, `read` and `write` answer `WouldBlock` without a system call.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry};

use super::token::Token;
use crate::linux::pipe::Pipe;
use crate::relay::End;

/// A non-blocking TCP stream that remembers whether it is worth asking.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    readable: bool,
    writable: bool,
    /// The peer's FIN or a reset was reported: no edge will announce more.
    hung_up: bool,
    /// A reset was reported, or both sides are closed.
    broken: bool,
    /// The peer was seen to send urgent data: a short read proves nothing.
    urgent: bool,
}

impl Socket {
    /// An accepted stream: writable, and worth a first read, since clients speak first.
    #[must_use]
    pub fn accepted(stream: TcpStream) -> Self {
        Self {
            stream,
            readable: true,
            writable: true,
            hung_up: false,
            broken: false,
            urgent: false,
        }
    }

    /// A stream that is connecting: nothing is ready until an event says so.
    #[must_use]
    pub fn dialled(stream: TcpStream) -> Self {
        Self {
            stream,
            readable: false,
            writable: false,
            hung_up: false,
            broken: false,
            urgent: false,
        }
    }

    /// Registers the socket under `token`, once for its life: dropping it is all it takes to end that.
    /// Whatever is ready already is reported as an event.
    ///
    /// # Errors
    /// Whatever epoll_ctl(2) says: no memory, or too many watches.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        registry.register(&mut self.stream, token.into(), interest)
    }

    /// Takes note of an event; nothing else is done with it.
    pub fn note(&mut self, event: &Event) {
        let failed = event.is_error();
        self.broken |= failed || event.is_write_closed();
        self.urgent |= event.is_priority();
        self.hung_up |= failed || event.is_read_closed();
        self.readable |= failed || event.is_readable() || event.is_read_closed();
        self.writable |= failed || event.is_writable() || event.is_write_closed();
    }

    /// Whether it was reported that nothing can be sent any more: as long as we have not closed our
    /// side, that is a reset.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// A read may bring something: octets, EOF or an error.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// A write may get something accepted, or an error.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// How the connect went that this socket was [dialled](Self::dialled) for; `None` while it is under
    /// way. The error is the kernel's: refused, unreachable, timed out. To be asked once.
    ///
    /// A connect that fails is reported as a hang-up too, so a socket that is only writable has
    /// succeeded (tcp_poll() of the kernel), and nothing has to be asked.
    #[must_use]
    pub fn connected(&self) -> Option<io::Result<()>> {
        if !self.writable {
            return None;
        }
        if !self.hung_up {
            return Some(Ok(()));
        }
        match self.stream.take_error() {
            Ok(Some(error)) | Err(error) => return Some(Err(error)),
            Ok(None) => {}
        }
        match self.stream.peer_addr() {
            Ok(_) => Some(Ok(())),
            // Neither failed nor connected: the event was about something else.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// The stream, for its addresses and options.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.readable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.stream.read(buffer);
        match &read {
            // EOF stays readable: it is there for whoever asks next.
            Ok(0) => {}
            Ok(read) => {
                self.readable = *read == buffer.len() || self.hung_up || self.urgent;
            }
            Err(error) => self.readable = error.kind() != io::ErrorKind::WouldBlock,
        }
        read
    }
}

impl Write for Socket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if !self.writable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = self.stream.write(octets);
        if let Err(error) = &written {
            self.writable = error.kind() != io::ErrorKind::WouldBlock;
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl End for Socket {
    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Not after urgent data: a splice does not get past it.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        (!self.urgent).then(|| self.stream.as_fd())
    }

    fn may_read(&self) -> bool {
        self.readable
    }

    fn splice_into(&mut self, pipe: &Pipe, most: usize) -> io::Result<usize> {
        if !self.readable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let filled = pipe.fill(&self.stream, most);
        if let Err(error) = &filled {
            self.readable = error.kind() != io::ErrorKind::WouldBlock;
        }
        filled
    }

    fn splice_from(&mut self, pipe: &Pipe, most: usize) -> io::Result<usize> {
        if !self.writable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let drained = pipe.drain(&self.stream, most);
        if let Err(error) = &drained {
            self.writable = error.kind() != io::ErrorKind::WouldBlock;
        }
        drained
    }
}

#[cfg(test)]
mod tests;
