//! A TCP connection between the proxy and somebody, without a network: two bounded queues of octets.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use rustsocks::relay::End;

use crate::dice::Dice;

/// One connection. The far side uses it directly, the proxy through a [`Wire`].
pub(crate) struct Line {
    to_proxy: VecDeque<u8>,
    from_proxy: VecDeque<u8>,
    /// Octets that each queue holds at most.
    room: usize,
    far_ended: bool,
    /// How the far side broke it.
    broken: Option<ErrorKind>,
    proxy_ended: bool,
    closed: Option<Closed>,
    /// Octets that the proxy has read and written.
    pub(crate) read: u64,
    pub(crate) written: u64,
    dice: Dice,
}

/// How the proxy closed its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    Whole,
    /// By a reset: what the far side has not read is lost.
    Reset,
}

/// The far side's hold.
pub(crate) type Far = Rc<RefCell<Line>>;

impl Line {
    pub(crate) fn new(room: usize, dice: &mut Dice) -> Far {
        Rc::new(RefCell::new(Self {
            to_proxy: VecDeque::new(),
            from_proxy: VecDeque::new(),
            room,
            far_ended: false,
            broken: None,
            proxy_ended: false,
            closed: None,
            read: 0,
            written: 0,
            dice: Dice::new(dice.next()),
        }))
    }

    /// The far side sends, as much as there is room for.
    pub(crate) fn send(&mut self, octets: &[u8]) -> usize {
        assert!(!self.far_ended && self.broken.is_none());
        let taken = octets.len().min(self.room - self.to_proxy.len());
        if self.closed.is_none() {
            self.to_proxy.extend(&octets[..taken]);
        }
        taken
    }

    pub(crate) fn send_fin(&mut self) {
        self.far_ended = true;
    }

    pub(crate) fn reset(&mut self, kind: ErrorKind) {
        self.broken.get_or_insert(kind);
    }

    /// The far side reads.
    pub(crate) fn receive(&mut self, most: usize) -> Vec<u8> {
        let length = self.from_proxy.len().min(most);
        self.from_proxy.drain(..length).collect()
    }

    /// Whether the far side sees the end of what the proxy sends.
    pub(crate) fn is_at_end(&self) -> bool {
        self.from_proxy.is_empty() && (self.proxy_ended || self.closed.is_some())
    }

    pub(crate) fn has_far_ended(&self) -> bool {
        self.far_ended || self.broken.is_some()
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    pub(crate) fn closed(&self) -> Option<Closed> {
        self.closed
    }

    /// Whether the proxy could read octets, or their end.
    pub(crate) fn is_readable(&self) -> bool {
        !self.to_proxy.is_empty() || self.broken.is_some()
    }

    /// Octets that the proxy has not read.
    pub(crate) fn unread_by_proxy(&self) -> usize {
        self.to_proxy.len()
    }

    /// Whether the far side has ended by FIN, and the proxy has not.
    pub(crate) fn ends_before(&self, other: &Self) -> bool {
        self.far_ended && self.broken.is_none() && self.to_proxy.is_empty() && !other.proxy_ended
    }

    /// Whether the proxy could write.
    pub(crate) fn is_writable(&self) -> bool {
        self.broken.is_none() && self.from_proxy.len() < self.room
    }

    pub(crate) fn unread_by_far(&self) -> usize {
        self.from_proxy.len()
    }
}

/// The proxy's side. Dropped, it closes.
pub(crate) struct Wire {
    line: Far,
    aborts: bool,
}

impl Wire {
    pub(crate) fn new(line: &Far) -> Self {
        Self { line: Rc::clone(line), aborts: false }
    }

    pub(crate) fn line(&self) -> std::cell::Ref<'_, Line> {
        self.line.borrow()
    }

    /// It is to end by a reset when it is dropped.
    pub(crate) fn abort_on_close(&mut self) {
        self.aborts = true;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let mut line = self.line.borrow_mut();
        assert!(line.closed.is_none(), "closed twice");
        // What TCP does: whoever closes with unread octets resets.
        let resets = self.aborts || !line.to_proxy.is_empty();
        line.closed = Some(if resets { Closed::Reset } else { Closed::Whole });
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a read of nothing looks like an end");
        let mut line = self.line.borrow_mut();
        if line.dice.chance(2) {
            return Err(ErrorKind::Interrupted.into());
        }
        let length = line.to_proxy.len().min(buffer.len());
        if length == 0 {
            return match line.broken {
                Some(kind) => Err(kind.into()),
                None if line.far_ended => Ok(0),
                None => Err(ErrorKind::WouldBlock.into()),
            };
        }
        // A short read now and then.
        let length =
            if line.dice.chance(20) { 1 + line.dice.below(length as u64) as usize } else { length };
        for (place, octet) in buffer.iter_mut().zip(line.to_proxy.drain(..length)) {
            *place = octet;
        }
        line.read += length as u64;
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        assert!(!octets.is_empty(), "there is nothing to say by writing nothing");
        let mut line = self.line.borrow_mut();
        assert!(!line.proxy_ended, "octets after FIN");
        if line.dice.chance(2) {
            return Err(ErrorKind::Interrupted.into());
        }
        if let Some(kind) = line.broken {
            // What a socket answers after a reset: ECONNRESET, or EPIPE.
            let kind = if line.dice.chance(50) { kind } else { ErrorKind::BrokenPipe };
            return Err(kind.into());
        }
        let length = octets.len().min(line.room - line.from_proxy.len());
        if length == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        line.from_proxy.extend(&octets[..length]);
        line.written += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl End for Wire {
    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut line = self.line.borrow_mut();
        assert!(!line.proxy_ended, "a second FIN");
        if line.broken.is_some() {
            return Err(ErrorKind::NotConnected.into());
        }
        line.proxy_ended = true;
        Ok(())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
