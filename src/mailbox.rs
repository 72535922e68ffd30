//! The one way into a worker from another thread: letters, in three lanes, and a wake-up.
//!
//! The job lane carries answers to questions that the worker asked; it is as long as questions may
//! be in flight, so an answer always finds room. The order lane carries the few letters of the
//! daemon. What an operator wants killed has a lane of its own: however much that is, it keeps
//! neither an order nor an answer out. So have clients that another worker hands over.
//!
//! Posting wakes the worker's poll once for many letters: the waker is used only by whoever finds the
//! flag down, and the worker lowers it *before* it reads.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::Waker;
use mio::net::TcpStream;

use crate::auth::Verdict;
use crate::clock::Now;
use crate::key::Key;
use crate::limit::{Seat, Stay};
use crate::policy::Policy;
use crate::resolve::{Addresses, LookupError, LookupId, Record};
use crate::session::{Chunk, SessionId};

/// A message to a worker.
#[derive(Debug)]
pub enum Letter {
    /// The answer to a look-up by the pool.
    Resolved {
        /// Which look-up.
        id: LookupId,
        /// Which half of it.
        record: Record,
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
    /// End these sessions at once, because an operator said so.
    Kill {
        /// Which; [`VICTIMS_MAX`] at most. Those that have ended since are passed over.
        victims: Vec<Victim>,
        /// From where it was asked.
        from: IpAddr,
    },
    /// Judge by this policy from now on.
    Policy(Arc<Policy>),
    /// A quota is used up: sessions that it ends are ended, those that move nothing, too.
    QuotaUsedUp,
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
    /// A client that another worker has accepted.
    Guest(Guest),
}

/// A client that was let in, and that nobody has read from yet.
#[derive(Debug)]
pub struct Guest {
    /// The connection; registered nowhere.
    pub stream: TcpStream,
    /// Where it came from, as accept(2) said.
    pub address: SocketAddr,
    /// When it was accepted.
    pub accepted: Now,
    /// Whether it begins with a PROXY protocol header.
    pub announced: bool,
    /// Its right to be here.
    pub seat: Seat,
    /// Its place among the connections of its address.
    pub door: Option<Box<Stay>>,
}

/// A session to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Victim {
    /// The connection.
    pub key: Key,
    /// The session that it must still be.
    pub id: SessionId,
}

impl Letter {
    /// How much work it is, in letters.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Kill { victims, .. } => victims.len().max(1),
            Self::Resolved { .. }
            | Self::Verdict { .. }
            | Self::Policy(_)
            | Self::QuotaUsedUp
            | Self::Chunk(_)
            | Self::Guest(_)
            | Self::Drain { .. } => 1,
        }
    }
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
    kills: Sender<Letter>,
    guests: Sender<Letter>,
    bell: Arc<Bell>,
}

/// The receiving half, owned by the worker.
#[derive(Debug)]
pub struct Mailbox {
    jobs: Receiver<Letter>,
    orders: Receiver<Letter>,
    kills: Receiver<Letter>,
    guests: Receiver<Letter>,
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
    let (kill_sender, kills) = bounded(KILLS_MAX);
    let (guest_sender, guests) = bounded(GUESTS_MAX);
    let bell = Arc::new(Bell { rung: AtomicBool::new(false), waker });
    let post = Post {
        jobs: job_sender,
        orders: order_sender,
        kills: kill_sender,
        guests: guest_sender,
        bell: Arc::clone(&bell),
    };
    (post, Mailbox { jobs, orders, kills, guests, bell })
}

impl Post {
    /// Posts an answer to a question of the worker.
    ///
    /// # Errors
    /// [`NoRoom`] when more answers wait than questions may be in flight, or the worker is gone.
    pub fn answer(&self, letter: Letter) -> Result<(), NoRoom> {
        self.send(&self.jobs, letter).map_err(|_| NoRoom)
    }

    /// Posts an order of the daemon.
    ///
    /// # Errors
    /// [`NoRoom`] when [`ORDERS_MAX`] orders wait, or the worker is gone.
    pub fn order(&self, letter: Letter) -> Result<(), NoRoom> {
        self.send(&self.orders, letter).map_err(|_| NoRoom)
    }

    /// Whether an order would find room now.
    #[must_use]
    pub fn takes_orders(&self) -> bool {
        self.orders.len() < ORDERS_MAX
    }

    /// Has sessions killed; at most [`VICTIMS_MAX`] of them.
    ///
    /// # Errors
    /// [`NoRoom`] when [`KILLS_MAX`] such letters wait, or the worker is gone.
    pub fn kill(&self, victims: Vec<Victim>, from: IpAddr) -> Result<(), NoRoom> {
        debug_assert!(victims.len() <= VICTIMS_MAX, "a letter is one portion of work");
        self.send(&self.kills, Letter::Kill { victims, from }).map_err(|_| NoRoom)
    }

    /// Hands a client over to the worker. One that is on its way when the worker leaves is closed, as one
    /// is that still waits to be accepted.
    ///
    /// # Errors
    /// The client again when [`GUESTS_MAX`] wait, or the worker is gone.
    pub fn guest(&self, guest: Guest) -> Result<(), Guest> {
        match self.send(&self.guests, Letter::Guest(guest)) {
            Err(Letter::Guest(guest)) => Err(guest),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// How many clients are on their way to the worker.
    #[must_use]
    pub fn guests(&self) -> usize {
        self.guests.len()
    }

    /// Wakes the worker without a letter.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wake(&self) -> io::Result<()> {
        self.bell.waker.wake()
    }

    /// The letter comes back if there is no room for it.
    fn send(&self, lane: &Sender<Letter>, letter: Letter) -> Result<(), Letter> {
        lane.try_send(letter).map_err(TrySendError::into_inner)?;
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

    /// The next letter: orders, then answers, then what is to be killed, then new clients.
    #[must_use]
    pub fn next(&self) -> Option<Letter> {
        self.lanes().into_iter().find_map(|lane| lane.try_recv().ok())
    }

    /// Whether letters wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes().into_iter().all(Receiver::is_empty)
    }

    const fn lanes(&self) -> [&Receiver<Letter>; 4] {
        [&self.orders, &self.jobs, &self.kills, &self.guests]
    }
}

/// Orders that wait for one worker at most.
pub const ORDERS_MAX: usize = 1024;
/// Letters with sessions to be killed that wait for one worker at most.
pub const KILLS_MAX: usize = 1024;
/// Clients that wait to be taken over by one worker at most; beyond it whoever accepts them keeps them.
pub const GUESTS_MAX: usize = 256;
/// Sessions in one of them at most.
pub const VICTIMS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};

    use super::*;

    #[test]
    fn a_flood_of_kills_is_bounded_and_keeps_no_order_and_no_answer_out() {
        let poll = Poll::new().unwrap();
        let (post, mailbox) = mailbox(Waker::new(poll.registry(), Token(0)).unwrap(), 1);
        let from = IpAddr::from([127, 0, 0, 1]);
        let mut taken = 0;
        while post.kill(Vec::new(), from).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, KILLS_MAX);
        let key = Key { slot: 0, generation: 0 };
        post.answer(Letter::Verdict { key, verdict: Verdict::Rejected }).unwrap();
        post.order(Letter::Drain { until: crate::clock::mono(), leave_at: crate::clock::mono() })
            .unwrap();
        assert!(matches!(mailbox.next(), Some(Letter::Drain { .. })));
        assert!(matches!(mailbox.next(), Some(Letter::Verdict { .. })));
        assert!(matches!(mailbox.next(), Some(Letter::Kill { .. })));
        assert!(!mailbox.is_empty());
        assert!(post.kill(Vec::new(), from).is_ok(), "there is room again");
    }
}
