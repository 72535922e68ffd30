//! The one way into a worker from another thread: letters, in two lanes, and a wake-up.
//!
//! The job lane carries answers to questions that the worker asked; it is as long as questions may
//! be in flight, so an answer always finds room. The order lane carries the few letters of the
//! daemon and the API. Posting wakes the worker's poll once for many letters: the waker is used
//! only by whoever finds the flag down, and the worker lowers it *before* it reads.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::Waker;

use crate::auth::Verdict;
use crate::key::Key;
use crate::resolve::{Addresses, LookupError};
use crate::session::Chunk;

/// A message to a worker.
#[derive(Debug)]
pub enum Letter {
    /// The answer to a look-up by the pool.
    Resolved {
        /// Who asked.
        key: Key,
        /// Which of its questions.
        query: u32,
        /// The addresses.
        answer: Result<Addresses, LookupError>,
    },
    /// The answer to a password check by the pool.
    Verdict {
        /// Who asked.
        key: Key,
        /// The answer.
        verdict: Verdict,
    },
    /// More ledger slots.
    Chunk(Chunk),
    /// Accept what waits, close the listeners, let sessions go on until the deadline, and return. A
    /// second one can only hasten the end.
    Drain {
        /// When the rest is cut.
        until: Instant,
        /// When to return even though endings have found no room in the journal. They stay in the
        /// ledger.
        leave_at: Instant,
    },
}

/// The lane was full, or its worker is gone; the letter was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker's mailbox is full")]
pub struct NoRoom;

/// The sending half; cheap to clone.
#[derive(Clone, Debug)]
pub struct Post {
    jobs: Sender<Letter>,
    orders: Sender<Letter>,
    bell: Arc<Bell>,
}

/// The receiving half, owned by the worker.
#[derive(Debug)]
pub struct Mailbox {
    jobs: Receiver<Letter>,
    orders: Receiver<Letter>,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    waker: Waker,
}

/// A mailbox whose post rings `waker`. `jobs_max` bounds the answers in flight.
#[must_use]
pub fn mailbox(waker: Waker, jobs_max: usize) -> (Post, Mailbox) {
    let (job_sender, jobs) = bounded(jobs_max);
    let (order_sender, orders) = bounded(ORDERS_MAX);
    let bell = Arc::new(Bell { rung: AtomicBool::new(false), waker });
    let post = Post { jobs: job_sender, orders: order_sender, bell: Arc::clone(&bell) };
    (post, Mailbox { jobs, orders, bell })
}

impl Post {
    /// Posts an answer to a question of the worker.
    ///
    /// # Errors
    /// [`NoRoom`] when more answers wait than questions may be in flight, or the worker is gone.
    pub fn answer(&self, letter: Letter) -> Result<(), NoRoom> {
        self.send(&self.jobs, letter)
    }

    /// Posts an order of the daemon or the API.
    ///
    /// # Errors
    /// [`NoRoom`] when [`ORDERS_MAX`] orders wait, or the worker is gone.
    pub fn order(&self, letter: Letter) -> Result<(), NoRoom> {
        self.send(&self.orders, letter)
    }

    /// Wakes the worker without a letter.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wake(&self) -> io::Result<()> {
        self.bell.waker.wake()
    }

    fn send(&self, lane: &Sender<Letter>, letter: Letter) -> Result<(), NoRoom> {
        match lane.try_send(letter) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Err(NoRoom),
        }
        if !self.bell.rung.swap(true, Ordering::SeqCst) && self.bell.waker.wake().is_err() {
            // The letter lies in its lane and is only delayed: a worker looks at its mailbox each
            // second, whatever happens. The next post rings again.
            self.bell.rung.store(false, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Mailbox {
    /// Lowers the flag; to be called before letters are read, so that none is left unannounced.
    pub fn open(&self) {
        // A swap and not a store: the reads that follow must not be moved before it.
        self.bell.rung.swap(false, Ordering::SeqCst);
    }

    /// The next letter, orders before answers.
    #[must_use]
    pub fn next(&self) -> Option<Letter> {
        self.orders.try_recv().or_else(|_| self.jobs.try_recv()).ok()
    }

    /// Whether letters wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty() && self.jobs.is_empty()
    }
}

/// Orders that wait for one worker at most.
pub const ORDERS_MAX: usize = 1024;
