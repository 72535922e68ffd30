//! Builds everything in order; the only place where the parts meet.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use mio::{Poll, Waker};

use super::drain::drain;
use super::limits::connections_max;
use super::signals::Forwarder;
use super::watch::{Ending, Event};
use crate::acl::{Acl, Guard, OwnListeners};
use crate::admin::{Admin, Api, Readiness};
use crate::auth::Identity;
use crate::config::{ResolverKind, Settings, Storage, Workers};
use crate::limit::Admission;
use crate::linux::affinity::{allowed_cores, allowed_parallelism, pin_this_thread};
use crate::linux::interfaces::local_addresses;
use crate::linux::listener::{ListenerOptions, bind_listener, probe};
use crate::linux::nofile::raise_nofile;
use crate::linux::socket::keepalive;
use crate::mailbox::{Letter, Mailbox, Post, mailbox};
use crate::offload::{Desk, Job, Pool};
use crate::policy::{Policy, Timeouts};
use crate::resolve::{HostFiles, Resolver, ResolverOptions};
use crate::session::{CHANNEL_ENTRIES_MAX, Journal, Ledger, Share, Table, journal};
use crate::socks::MethodSet;
use crate::stats::Counters;
use crate::worker::token::{Role, Token};
use crate::worker::{Worker, WorkerParts};

/// Why the proxy did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration asks for what cannot be.
    #[error("{0}")]
    Configuration(String),
    /// We are not allowed to.
    #[error("{0}")]
    Permission(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// Whether the exit status is that of missing permission.
    #[must_use]
    pub const fn is_permission(&self) -> bool {
        matches!(self, Self::Permission(_))
    }

    /// Whether the exit status is that of a bad configuration.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Configuration(_))
    }

    fn io(what: &str, error: &io::Error) -> Self {
        let text = format!("{what}: {error}");
        if error.kind() == io::ErrorKind::PermissionDenied {
            Self::Permission(text)
        } else {
            Self::Other(text)
        }
    }
}

/// Runs the proxy until it is told to stop, and everything is stored.
///
/// # Errors
/// [`Failure`], in one sentence: a busy port, an unusable database, a worker that died.
pub fn run(settings: &Settings) -> Result<(), Failure> {
    let (events, inbox) = crossbeam_channel::unbounded();
    let signals = Forwarder::new(events.clone())
        .map_err(|error| Failure::io("cannot take over the signals", &error))?;
    let plan = Plan::new(settings)?;
    let storage = super::storage::open(settings)?;
    let shared = Shared::new(settings, &plan);
    let (journal, entries) = journal(CHANNEL_ENTRIES_MAX);

    // The API's threads first: they inherit the affinity of whoever starts them.
    let admin = start_api(settings, &shared, &storage, &plan)?;
    let policy = Arc::new(policy(settings, &plan, admin.as_ref()));
    let writer = storage.start_writer(settings, &shared, entries)?;
    let pools = Pools::start(settings, &plan)?;
    let mut crew = Vec::with_capacity(plan.workers);
    for (index, listeners) in plan.listeners.into_iter().enumerate() {
        let outfit = Outfit { index, listeners, settings, shared: &shared, pools: &pools };
        crew.push(outfit.start(&policy, journal.another(), plan.pin.get(index).copied(), &events)?);
    }
    drop(journal);
    let handle = signals.handle();
    let signals = spawn("signals", move || signals.run())?;
    announce(settings, &plan.addresses, admin.as_ref(), plan.workers);
    shared.readiness.set_ready();

    let ended = drain(&super::drain::Running {
        events: &inbox,
        posts: &crew.iter().map(|member| member.post.clone()).collect::<Vec<_>>(),
        shared: &shared,
        drain_timeout: settings.server.drain_timeout,
    });
    for member in crew {
        // How it ended was said by its own last message.
        drop(member.thread.join());
    }
    let stored = writer.finish();
    if let Some(admin) = admin {
        admin.stop();
    }
    handle.close();
    drop(signals.join());
    pools.close();
    ended.and(stored)
}

/// What is settled before anything is started.
struct Plan {
    workers: usize,
    /// The core of each worker, where they are pinned.
    pin: Vec<usize>,
    connections_max: u32,
    addresses: Vec<SocketAddr>,
    /// For each worker, a listener for each address.
    listeners: Vec<Vec<mio::net::TcpListener>>,
}

impl Plan {
    fn new(settings: &Settings) -> Result<Self, Failure> {
        let nofile = raise_nofile();
        let cores = allowed_cores()
            .map_err(|error| Failure::io("cannot read the CPU affinity", &error))?;
        let workers = match settings.server.workers {
            Workers::Fixed(workers) => workers,
            // One core is left to the writer where that costs little.
            Workers::Auto => match allowed_parallelism().min(cores.len().max(1)) {
                few @ 0..PINNED_FROM => few.max(1),
                many => many - 1,
            },
        };
        let pin = if cores.len() >= PINNED_FROM && workers <= cores.len() {
            cores.into_iter().take(workers).collect()
        } else {
            Vec::new()
        };
        let connections_max = connections_max(settings.server.max_connections, &nofile, workers);
        if connections_max < settings.server.max_connections {
            tracing::warn!(
                "max_connections is held at {connections_max} of {}: the limit of descriptors is {}",
                settings.server.max_connections,
                nofile.soft
            );
        }
        let (addresses, listeners) = listen(settings, workers)?;
        Ok(Self { workers, pin, connections_max, addresses, listeners })
    }
}

/// Binds every address once for each worker. A plain bind without `SO_REUSEPORT` comes first, so
/// that a busy port is an error and not a share of somebody else's.
fn listen(
    settings: &Settings,
    workers: usize,
) -> Result<(Vec<SocketAddr>, Vec<Vec<mio::net::TcpListener>>), Failure> {
    let mut addresses = Vec::new();
    let mut listeners: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for &configured in &settings.server.listen {
        let failure =
            |error: io::Error| Failure::io(&format!("cannot listen on {configured}"), &error);
        probe(configured).map_err(failure)?;
        let mut address = configured;
        for own in &mut listeners {
            let listener =
                bind_listener(address, ListenerOptions::default()).map_err(failure)?;
            // Inherited by what is accepted: one system call instead of four for each client.
            keepalive(&listener, settings.server.keepalive_secs).map_err(failure)?;
            // With port 0 the first one picks, and the others take its number.
            address = listener.local_addr().map_err(failure)?;
            own.push(listener);
        }
        addresses.push(address);
    }
    Ok((addresses, listeners))
}

/// What several threads look at.
pub(super) struct Shared {
    pub(super) table: Arc<Table>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) counters: Arc<[Arc<Counters>]>,
    pub(super) admission: Arc<Admission>,
    pub(super) readiness: Arc<Readiness>,
}

impl Shared {
    fn new(settings: &Settings, plan: &Plan) -> Self {
        Self {
            table: Arc::new(Table::new(plan.workers)),
            ledger: Arc::new(Ledger::new(settings.sessions.ledger_slots_max)),
            counters: (0..plan.workers).map(|_| Arc::new(Counters::new())).collect(),
            admission: Admission::new(plan.connections_max),
            readiness: Arc::default(),
        }
    }
}

/// The threads that do what blocks.
struct Pools {
    hashes: Pool<Job>,
    names: Option<Pool<Job>>,
}

impl Pools {
    fn start(settings: &Settings, plan: &Plan) -> Result<Self, Failure> {
        let failure = |error: io::Error| Failure::io("cannot start a thread", &error);
        let hashes =
            Pool::start("hash", plan.workers, HASHES_WAITING_MAX, Job::run).map_err(failure)?;
        let names = match settings.resolver.kind {
            ResolverKind::System => Some(
                Pool::start("names", NAME_THREADS, NAMES_WAITING_MAX, Job::run)
                    .map_err(failure)?,
            ),
            ResolverKind::Cares => None,
        };
        Ok(Self { hashes, names })
    }

    fn close(self) {
        let until = crate::clock::mono() + POOL_PATIENCE;
        for pool in [Some(self.hashes), self.names].into_iter().flatten() {
            let held = pool.close(until);
            if held > 0 {
                tracing::debug!("{held} threads were still held by the system at the end");
            }
        }
    }
}

/// What one worker is started with.
struct Outfit<'a> {
    index: usize,
    listeners: Vec<mio::net::TcpListener>,
    settings: &'a Settings,
    shared: &'a Shared,
    pools: &'a Pools,
}

/// A worker that runs.
struct Member {
    post: Post,
    thread: JoinHandle<()>,
}

impl Outfit<'_> {
    fn start(
        self,
        policy: &Arc<Policy>,
        journal: Journal,
        core: Option<usize>,
        events: &Sender<Event>,
    ) -> Result<Member, Failure> {
        let failure = |error: io::Error| Failure::io("cannot start a worker", &error);
        let poll = Poll::new().map_err(failure)?;
        let waker = Token::own(Role::Waker, 0).into();
        let waker = Waker::new(poll.registry(), waker).map_err(failure)?;
        let (post, mailbox) = mailbox(waker, JOBS_IN_FLIGHT_MAX);
        let worker = self.worker(poll, mailbox, &post, Arc::clone(policy), journal)?;
        let (index, events) = (self.index, events.clone());
        let thread = spawn(&format!("worker-{index}"), move || {
            let mut ending = Ending { worker: index, events, result: None };
            if let Some(core) = core
                && let Err(error) = pin_this_thread(core)
            {
                tracing::warn!("worker {index} is not pinned to core {core}: {error}");
            }
            ending.result = Some(worker.run());
        })?;
        Ok(Member { post, thread })
    }

    fn worker(
        &self,
        poll: Poll,
        mailbox: Mailbox,
        post: &Post,
        policy: Arc<Policy>,
        journal: Journal,
    ) -> Result<Worker, Failure> {
        unimplemented!()
    }
}
