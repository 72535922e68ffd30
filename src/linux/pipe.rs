//! Kernel pipes between sockets: octets pass through without being copied.
//!
//! splice(2) moves references to the pages in which a segment arrived, first into a pipe, then out of
//! it. What is to be known of that:
//!
//! - A pipe has *slots*, and each takes one fragment of a segment, small or large. So how many octets
//!   go into it is not known: 64 slots hold 90 KiB of plain Ethernet frames, or megabytes of what
//!   the kernel has merged. Nothing may depend on the contents being at most the size.
//! - `WouldBlock` while filling means that the socket is empty *or* that no slot is free. Only an empty
//!   pipe makes it clear, so only an empty pipe is filled.
//! - 0 while filling is the peer's FIN. A short splice says nothing about what is left in the socket.
//! - Filling stops before an urgent octet (MSG_OOB) and answers `WouldBlock` as long as it is there:
//!   such a socket has to be read.
//! - Some pairs of descriptors, old kernels and system call filters [refuse](is_refusal), and will
//!   not change their mind.
//! - Users without CAP_SYS_RESOURCE have a number of pages for all their pipes
//!   (`/proc/sys/fs/pipe-user-pages-soft`, 64 MiB). Beyond it a new pipe has two slots and may
//!   not grow: `PermissionDenied`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// A pipe for ourselves. Dropping it loses what is in it.
#[derive(Debug)]
pub struct Pipe {
    read_end: OwnedFd,
    write_end: OwnedFd,
}

impl Pipe {
    /// An empty pipe of `octets` (a power of two of pages), which is one slot for each page.
    ///
    /// # Errors
    /// Whatever pipe2(2) and F_SETPIPE_SZ say: no descriptor, or the user's pages are used up.
    pub fn new(octets: usize) -> io::Result<Self> {
        let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&write_end, octets)?;
        Ok(Self { read_end, write_end })
    }

    /// Moves at most `most` octets out of `source`, which does not block, into this pipe, which is
    /// empty. 0 is the peer's FIN.
    ///
    /// # Errors
    /// As a read of `source`; or a [refusal](is_refusal), after which nothing has been moved.
    pub fn fill(&self, source: impl AsFd, most: usize) -> io::Result<usize> {
        Ok(splice(source, None, &self.write_end, None, most, SpliceFlags::NONBLOCK)?)
    }

    /// Moves at most `most` octets, of which at least one is in this pipe, into `sink`, which does not
    /// block.
    ///
    /// # Errors
    /// As a write to `sink`; or a [refusal](is_refusal), after which nothing has been moved.
    pub fn drain(&self, sink: impl AsFd, most: usize) -> io::Result<usize> {
        Ok(splice(&self.read_end, None, sink, None, most, SpliceFlags::NONBLOCK)?)
    }

    /// Takes octets out of the pipe after all.
    ///
    /// # Errors
    /// `WouldBlock` when there are none.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.read_end, buffer)?)
    }
}

/// Whether splice(2) has said that it will never do this, rather than what happened to a socket.
#[must_use]
pub fn is_refusal(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    /// Both ends of a connection; the first does not block.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let theirs = crate::linux::socket::dial(
            listener.local_addr().unwrap(),
            &crate::linux::outgoing::Outgoing::default(),
        )
        .unwrap();
        let theirs = TcpStream::from(theirs);
        theirs.set_nonblocking(false).unwrap();
        let ours = listener.accept().unwrap().0;
        ours.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    /// Fills as soon as there is something.
    fn fill(pipe: &Pipe, source: &TcpStream, most: usize) -> usize {
        loop {
            match pipe.fill(source, most) {
                Ok(filled) => return filled,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }

    #[test]
    fn octets_pass_through_in_order_and_the_fin_is_0() {
        let ((source, mut says), (sink, mut hears)) = (pair(), pair());
        let pipe = Pipe::new(64 * 1024).unwrap();
        assert_eq!(pipe.fill(&source, 9).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        says.write_all(b"through the kernel").unwrap();
        drop(says);
        assert_eq!(fill(&pipe, &source, 7), 7);
        assert_eq!(pipe.drain(&sink, 7).unwrap(), 7);
        assert_eq!(fill(&pipe, &source, 100), 11);
        assert_eq!(pipe.drain(&sink, 11).unwrap(), 11);
        assert_eq!(fill(&pipe, &source, 100), 0);
        drop(sink);
        let mut heard = String::new();
        hears.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "through the kernel");
    }

    #[test]
    fn what_lies_in_a_pipe_can_be_read_after_all() {
        let (source, mut says) = pair();
        let pipe = Pipe::new(64 * 1024).unwrap();
        says.write_all(b"back").unwrap();
        assert_eq!(fill(&pipe, &source, 100), 4);
        let mut buffer = [0; 10];
        assert_eq!(pipe.read(&mut buffer[..3]).unwrap(), 3);
        assert_eq!(pipe.read(&mut buffer[3..]).unwrap(), 1);
        assert_eq!(&buffer[..4], b"back");
        let error = pipe.read(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_reset_is_an_error_and_no_refusal() {
        let (source, says) = pair();
        let pipe = Pipe::new(64 * 1024).unwrap();
        crate::linux::socket::abort_on_close(&says).unwrap();
        drop(says);
        let error = loop {
            let error = pipe.fill(&source, 100).unwrap_err();
            if error.kind() != io::ErrorKind::WouldBlock {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(!is_refusal(&error));
    }

    #[test]
    fn what_cannot_be_spliced_is_a_refusal_and_moves_nothing() {
        let (source, mut says) = pair();
        let pipe = Pipe::new(64 * 1024).unwrap();
        says.write_all(b"stays").unwrap();
        assert_eq!(fill(&pipe, &source, 100), 5);
        // A file that is opened for appending takes no splice.
        let path = tempfile::NamedTempFile::new().unwrap();
        let file = File::options().append(true).open(path.path()).unwrap();
        assert!(is_refusal(&pipe.drain(&file, 5).unwrap_err()));
        let mut buffer = [0; 10];
        assert_eq!(pipe.read(&mut buffer).unwrap(), 5);
    }
}
