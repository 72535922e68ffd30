//! The workers, and the threads that check logins for them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use mio::{Poll, Waker};

use super::names::Names;
use super::sandbox::Sandbox;
use super::start::{Failure, Listening, Shared};
use super::watch::{Ending, Event};
use crate::config::{AuthSettings, Settings};
use crate::linux::affinity::pin_this_thread;
use crate::linux::calls::Duty;
use crate::mailbox::{Mailbox, Post, mailbox};
use crate::offload::{Job, Pool};
use crate::policy::Policy;
use crate::resolve::IN_FLIGHT_MAX;
use crate::session::{Journal, Share};
use crate::worker::token::{Role, Token};
use crate::worker::{Fellow, Worker, WorkerParts};

/// The threads that check logins.
pub(super) struct Logins {
    /// Those that check passwords.
    hashes: Pool<Job>,
    /// Those that ask the host's PAM, if anybody is to.
    pam: Option<Pool<Job>>,
}

impl Logins {
    pub(super) fn start(
        auth: &AuthSettings,
        workers: usize,
        sandbox: &Sandbox,
    ) -> Result<Self, Failure> {
        let start = |duty, name, threads, waiting_max| {
            sandbox.within(duty, || {
                Pool::start(name, threads, waiting_max)
                    .map_err(|error| Failure::io("cannot start a thread", &error))
            })
        };
        let hashes = start(Duty::Hash, "hash", workers, HASHES_WAITING_MAX)?;
        let wanted = auth.pam.is_some();
        let pam = wanted.then(|| start(Duty::Pam, "pam", PAM_THREADS, PAM_WAITING_MAX));
        Ok(Self { hashes, pam: pam.transpose()? })
    }

    pub(super) fn close(self) {
        close(self.hashes);
        self.pam.into_iter().for_each(close);
    }
}

/// Stops a pool; a thread that the system holds for long is left behind.
pub(super) fn close(pool: Pool<Job>) {
    let held = pool.close(crate::clock::mono() + POOL_PATIENCE);
    if held > 0 {
        tracing::debug!("{held} threads were still held by the system at the end");
    }
}

/// Where a worker hears of what happens: its poll, and its mailbox.
pub(super) struct Place {
    poll: Poll,
    post: Post,
    mailbox: Mailbox,
}

impl Place {
    pub(super) fn new() -> Result<Self, Failure> {
        let failure = |error: io::Error| Failure::io("cannot start a worker", &error);
        let poll = Poll::new().map_err(failure)?;
        let waker = Token::own(Role::Waker, 0).into();
        let waker = Waker::new(poll.registry(), waker).map_err(failure)?;
        let (post, mailbox) = mailbox(waker, JOBS_IN_FLIGHT_MAX);
        Ok(Self { poll, post, mailbox })
    }

    pub(super) fn post(&self) -> Post {
        self.post.clone()
    }
}

/// What one worker is started with.
pub(super) struct Outfit<'a> {
    pub(super) index: usize,
    /// The way to each worker, this one included.
    pub(super) posts: &'a [Post],
    pub(super) settings: &'a Settings,
    pub(super) shared: &'a Shared,
    pub(super) logins: &'a Logins,
    pub(super) names: &'a Names,
    /// The core that it is pinned to.
    pub(super) core: Option<usize>,
    /// Pipes that its relays may have.
    pub(super) pipes_max: usize,
}

impl Outfit<'_> {
    /// Starts a worker in its place, on its listeners; its end is an event.
    pub(super) fn start(
        &self,
        Place { poll, post, mailbox }: Place,
        listeners: Vec<Listening>,
        policy: &Arc<Policy>,
        journal: Journal,
        events: &Sender<Event>,
    ) -> Result<(), Failure> {
        let failure = |error: io::Error| Failure::io("cannot start a worker", &error);
        let (_, slots_max) = self.shared.ledger.capacity();
        let workers = self.shared.counters.len().max(1);
        let attempts_max = slots_max as usize / ATTEMPTS_PART / workers;
        let mut share = Share::new().with_attempts_max(attempts_max);
        match self.shared.ledger.grow() {
            Ok(chunk) => share.add(chunk),
            Err(full) => {
                return Err(Failure::Configuration(format!(
                    "sessions.ledger_slots_max is too small for the workers: {full}"
                )));
            }
        }
        let worker = Worker::new(WorkerParts {
            index: self.index,
            resolver: self.names.resolver(&poll, &post)?,
            poll,
            listeners,
            mailbox,
            fellows: self.fellows(),
            post,
            hashes: self.logins.hashes.desk(),
            pam: self.logins.pam.as_ref().map(Pool::desk),
            policy: Arc::clone(policy),
            admission: Arc::clone(&self.shared.admission),
            table: Arc::clone(&self.shared.table),
            journal,
            share,
            counters: Arc::clone(&self.shared.counters[self.index]),
            publish_every: self.settings.sessions.publish_every,
            records: self.settings.sessions.enabled,
            pipes_max: self.pipes_max,
        })
        .map_err(failure)?;
        let (index, core, events) = (self.index, self.core, events.clone());
        self.shared.sandbox.spawn(&format!("worker-{index}"), Duty::Worker, move || {
            let panicked = Err(io::Error::other("it panicked"));
            let ending = Ending::new(events, Event::WorkerEnded(index, panicked));
            if let Some(core) = core
                && let Err(error) = pin_this_thread(core)
            {
                tracing::warn!("worker {index} is not pinned to core {core}: {error}");
            }
            ending.say(Event::WorkerEnded(index, worker.run()));
        })?;
        Ok(())
    }

    /// The others, from its neighbour on, so that not all look at the same one first.
    fn fellows(&self) -> Vec<Fellow> {
        let others = (1..self.posts.len()).map(|ahead| (self.index + ahead) % self.posts.len());
        let fellow = |worker: usize| Fellow {
            post: self.posts[worker].clone(),
            counters: Arc::clone(&self.shared.counters[worker]),
        };
        others.map(fellow).collect()
    }
}

/// The part of the ledger that refused attempts may hold is one of so many.
const ATTEMPTS_PART: usize = 4;
/// Password checks that wait for a thread at most; beyond it a login is refused.
const HASHES_WAITING_MAX: usize = 1024;
/// Logins that the host is asked about at one time. A module may sleep for seconds after a wrong
/// password; how many one client can have checked is bounded by what bans it. It may also hang for ever,
/// which then holds no more threads than these: once all hang, the host is not asked any more.
const PAM_THREADS: usize = 8;
/// Logins that wait to be asked about at most; beyond it they are refused.
const PAM_WAITING_MAX: usize = 256;
/// Answers that one worker may be sent before it reads them: both halves of all look-ups, and all
/// logins.
const JOBS_IN_FLIGHT_MAX: usize =
    2 * IN_FLIGHT_MAX + 2 * HASHES_WAITING_MAX + PAM_WAITING_MAX + PAM_THREADS;
/// Descriptors that the threads which ask the host may have open: a file or two of a module, a socket
/// to a server of names, one to the log.
pub(super) const PAM_DESCRIPTORS: usize = 4 * PAM_THREADS;
/// How long the pools are waited for at the end; one that getaddrinfo holds is left behind.
const POOL_PATIENCE: Duration = Duration::from_millis(500);
