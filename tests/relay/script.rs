//! The world of a relay as a script.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;

use rustsocks::relay::{Advance, BYTES_PER_TURN, Carrier, Direction, End, Meter, Relay};

/// What an end answers to the reads to come. When it has run out: `WouldBlock`.
#[derive(Clone, Debug)]
pub(crate) enum In {
    Octets(Vec<u8>),
    Blocks,
    /// Stays.
    Fin,
    /// Stays.
    Fails(ErrorKind),
    Interrupted,
}

/// What an end answers to the writes to come. When it has run out, it takes everything.
#[derive(Clone, Debug)]
pub(crate) enum Out {
    Takes(usize),
    Blocks,
    /// Stays.
    Fails(ErrorKind),
    Interrupted,
}

/// One end: plays its script and keeps what it was given.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) reads: VecDeque<In>,
    pub(crate) writes: VecDeque<Out>,
    pub(crate) shutdown_fails: Option<ErrorKind>,
    pub(crate) given_out: usize,
    pub(crate) got: Vec<u8>,
    pub(crate) got_fin: bool,
}

impl Script {
    pub(crate) fn new(
        reads: impl IntoIterator<Item = In>,
        writes: impl IntoIterator<Item = Out>,
    ) -> Self {
        Self {
            reads: reads.into_iter().collect(),
            writes: writes.into_iter().collect(),
            ..Self::default()
        }
    }

    pub(crate) fn reads(reads: impl IntoIterator<Item = In>) -> Self {
        Self::new(reads, [])
    }

    pub(crate) fn writes(writes: impl IntoIterator<Item = Out>) -> Self {
        Self::new([], writes)
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a read of nothing looks like EOF");
        match self.reads.front_mut() {
            None => Err(ErrorKind::WouldBlock.into()),
            Some(In::Fin) => Ok(0),
            Some(In::Fails(kind)) => Err((*kind).into()),
            Some(In::Blocks) => {
                self.reads.pop_front();
                Err(ErrorKind::WouldBlock.into())
            }
            Some(In::Interrupted) => {
                self.reads.pop_front();
                Err(ErrorKind::Interrupted.into())
            }
            Some(In::Octets(octets)) => {
                let read = octets.len().min(buffer.len());
                buffer[..read].copy_from_slice(&octets[..read]);
                octets.drain(..read);
                if octets.is_empty() {
                    self.reads.pop_front();
                }
                self.given_out += read;
                Ok(read)
            }
        }
    }
}

impl Write for Script {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        assert!(!octets.is_empty(), "there is nothing to say by writing nothing");
        assert!(!self.got_fin, "octets after FIN");
        let taken = match self.writes.front() {
            None => octets.len(),
            Some(Out::Fails(kind)) => return Err((*kind).into()),
            Some(Out::Blocks) => {
                self.writes.pop_front();
                return Err(ErrorKind::WouldBlock.into());
            }
            Some(Out::Interrupted) => {
                self.writes.pop_front();
                return Err(ErrorKind::Interrupted.into());
            }
            Some(Out::Takes(taken)) => {
                let taken = octets.len().min(*taken);
                self.writes.pop_front();
                taken
            }
        };
        self.got.extend_from_slice(&octets[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl End for Script {
    fn shutdown_write(&mut self) -> io::Result<()> {
        assert!(!self.got_fin, "a second FIN");
        if let Some(kind) = self.shutdown_fails {
            return Err(kind.into());
        }
        self.got_fin = true;
        Ok(())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Every transfer, in order.
#[derive(Default)]
pub(crate) struct Book(pub(crate) Vec<(Direction, usize)>);

impl Book {
    pub(crate) fn total(&self, direction: Direction) -> usize {
        self.0.iter().filter(|(which, _)| *which == direction).map(|(_, octets)| octets).sum()
    }
}

impl Meter for Book {
    fn moved(&mut self, direction: Direction, octets: usize) {
        assert_ne!(octets, 0, "nothing moved");
        self.0.push((direction, octets));
    }
}

/// A relay between two scripts, and what it is lent.
pub(crate) struct Stage {
    pub(crate) client: Script,
    pub(crate) upstream: Script,
    pub(crate) relay: Relay,
    pub(crate) carrier: Carrier,
    pub(crate) book: Book,
    pub(crate) early: usize,
}

impl Stage {
    pub(crate) fn new(early_upload: &[u8], client: Script, upstream: Script) -> Self {
        let mut carrier = Carrier::new();
        let relay = Relay::new(early_upload, carrier.pool());
        Self { client, upstream, relay, carrier, book: Book::default(), early: early_upload.len() }
    }

    pub(crate) fn advance(&mut self) -> Advance {
        self.advance_by(BYTES_PER_TURN)
    }

    pub(crate) fn advance_by(&mut self, budget: usize) -> Advance {
        let Self { client, upstream, relay, carrier, book, .. } = self;
        relay.advance(client, upstream, carrier, budget, book)
    }

    /// Octets that were read and are neither delivered nor stashed: those of a sink that failed.
    pub(crate) fn lost(&self, direction: Direction) -> usize {
        let (read, sink) = match direction {
            Direction::Upload => (self.early + self.client.given_out, &self.upstream),
            Direction::Download => (self.upstream.given_out, &self.client),
        };
        assert_eq!(self.book.total(direction), sink.got.len(), "booked is what was accepted");
        read - sink.got.len() - self.relay.held(direction)
    }

    pub(crate) fn assert_nothing_lost(&self) {
        assert_eq!(self.lost(Direction::Upload), 0);
        assert_eq!(self.lost(Direction::Download), 0);
    }
}
