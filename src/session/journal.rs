//! The way from the workers to the writer: references to sessions, through one bounded channel.
//!
//! A worker never waits. An ending that finds the channel full waits in the worker's backlog,
//! which cannot be longer than the ledger has slots, because each of its entries holds one. An
//! opening is left out when the channel is three quarters full: the ending carries everything.
//! Dropping the last [`Journal`] ends the writer after a final flush.

use std::collections::VecDeque;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::SessionRef;

/// One fact for storage.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which session.
    pub session: SessionRef,
    /// What happened to it.
    pub kind: Kind,
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was opened; its row may be written as `active`.
    Opened,
    /// It was settled; after its row is committed its slot is free.
    Closed,
}

/// The sending half, one per worker.
#[derive(Debug)]
pub struct Journal {
    sender: Sender<Entry>,
    backlog: VecDeque<SessionRef>,
}

/// A journal's sending half, to be cloned for each worker by [`Journal::another`], and the
/// receiving half for the writer.
#[must_use]
pub fn journal(entries_max: usize) -> (Journal, Receiver<Entry>) {
    let (sender, receiver) = bounded(entries_max);
    (Journal { sender, backlog: VecDeque::new() }, receiver)
}

impl Journal {
    /// One more sending half of the same journal.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { sender: self.sender.clone(), backlog: VecDeque::new() }
    }

    /// Says that a session was opened. Answers whether it was said: it is left out when the
    /// channel is three quarters full.
    pub fn opened(&self, session: SessionRef) -> bool {
        let room = self.sender.capacity().unwrap_or(usize::MAX);
        if self.sender.len() >= room - room / 4 {
            return false;
        }
        self.sender.try_send(Entry { session, kind: Kind::Opened }).is_ok()
    }

    /// Says that a session ended. Never lost: what finds no room is kept until
    /// [`Journal::flush`].
    pub fn closed(&mut self, session: SessionRef) {
        if !self.backlog.is_empty() || !self.send_closed(session) {
            self.backlog.push_back(session);
        }
    }

    /// Sends what was kept, as far as there is room.
    pub fn flush(&mut self) {
        while let Some(session) = self.backlog.front().copied() {
            if !self.send_closed(session) {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// Endings that wait for room.
    #[must_use]
    pub fn backlog_len(&self) -> usize {
        self.backlog.len()
    }

    /// Entries in the channel, of all workers.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.sender.len()
    }

    fn send_closed(&self, session: SessionRef) -> bool {
        match self.sender.try_send(Entry { session, kind: Kind::Closed }) {
            Ok(()) => true,
            // Without a writer nobody will ever take it; keeping it keeps its slot, which is
            // bounded, and the ledger is what recovery reads.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

/// Entries that the channel holds at most.
pub const CHANNEL_ENTRIES_MAX: usize = 65_536;
