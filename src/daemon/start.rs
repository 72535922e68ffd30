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
        let mut share = Share::new();
        match self.shared.ledger.grow() {
            Ok(chunk) => share.add(chunk),
            Err(full) => return Err(Failure::Configuration(format!(
                "sessions.ledger_slots_max is too small for the workers: {full}"
            ))),
        }
        let resolver = self.resolver(&poll, post)?;
        let sessions = &self.settings.sessions;
        Worker::new(WorkerParts {
            index: self.index,
            poll,
            listeners: self.listeners,
            mailbox,
            post: post.clone(),
            resolver,
            hashes: self.pools.hashes.desk(),
            policy,
            admission: Arc::clone(&self.shared.admission),
            table: Arc::clone(&self.shared.table),
            journal,
            share,
            counters: Arc::clone(&self.shared.counters[self.index]),
            publish_every: sessions.publish_every,
            records: sessions.enabled,
        })
        .map_err(|error| Failure::io("cannot start a worker", &error))
    }

    fn resolver(&self, poll: &Poll, post: &Post) -> Result<Resolver, Failure> {
        let settings = &self.settings.resolver;
        let family = match settings.family {
            config::Family::Any => resolve::Family::Any,
            config::Family::V4 => resolve::Family::V4,
            config::Family::V6 => resolve::Family::V6,
        };
        match (settings.kind, &self.pools.names) {
            #[cfg(feature = "dns-cares")]
            (ResolverKind::Cares, _) => {
                let files = self.host_files;
                let servers = if settings.servers.is_empty() {
                    files.resolv.servers.clone()
                } else {
                    settings.servers.clone()
                };
                let options = ResolverOptions {
                    servers,
                    hosts: Arc::clone(&files.hosts),
                    timeout: settings.timeout,
                    tries: settings.tries,
                    cache_max_ttl: settings.cache_max_ttl,
                    family,
                };
                let registry = poll
                    .registry()
                    .try_clone()
                    .map_err(|error| Failure::io("cannot start a resolver", &error))?;
                Cares::new(&options, registry, |fd| {
                    Token::own(Role::Resolver, fd.cast_unsigned()).into()
                })
                .map(Resolver::Cares)
                .map_err(|error| Failure::Other(format!("cannot start a resolver: {error}")))
            }
            (_, Some(pool)) => {
                let (desk, post) = (pool.desk(), post.clone());
                Ok(Resolver::System(System::new(
                    family,
                    Box::new(move |name, key, query| {
                        desk.submit(Job::Lookup { name, family, key, query, post: post.clone() })
                            .is_ok()
                    }),
                )))
            }
            (_, None) => Err(Failure::Configuration(
                "resolver.kind = \"cares\": this binary was built without c-ares".to_owned(),
            )),
        }
    }
}

fn policy(settings: &Settings, plan: &Plan, api: Option<SocketAddr>) -> Policy {
    let server = &settings.server;
    let guard = if settings.acl.guard {
        let mut bound = plan.addresses.clone();
        bound.extend(api);
        let local = local_addresses().unwrap_or_else(|error| {
            tracing::warn!("the addresses of this host cannot be read: {error}");
            Vec::new()
        });
        Guard::Auto(OwnListeners { bound, local })
    } else {
        Guard::Off
    };
    Policy {
        generation: 1,
        methods: if settings.auth.required { MethodSet::USERPASS } else { MethodSet::NO_AUTH },
        users: Arc::clone(&settings.auth.users),
        anonymous: Identity::anonymous(&settings.acl.anonymous_user),
        acl: Acl::new(guard),
        timeouts: Timeouts {
            handshake: server.handshake_timeout,
            connect: server.connect_timeout,
            attempt: ATTEMPT_PATIENCE,
            idle: server.idle_timeout,
            half_close: server.half_close_timeout,
            linger: LINGER,
        },
    }
}

pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| Failure::io(&format!("cannot start the thread {name}"), &error))
}

/// Allowed cores from which on workers are pinned and one is left to the writer: with fewer, the
/// kernel's scheduler does better.
const PINNED_FROM: usize = 4;
/// Password checks that wait for a thread at most; beyond it a login is refused.
const HASHES_WAITING_MAX: usize = 1024;
/// Threads that ask the system for names, and questions that wait for them.
const NAME_THREADS: usize = 8;
const NAMES_WAITING_MAX: usize = 1024;
/// Answers that one worker may be sent before it reads them: all look-ups and all password checks.
const JOBS_IN_FLIGHT_MAX: usize = IN_FLIGHT_MAX + 2 * HASHES_WAITING_MAX;
/// How long an address may be silent before the next one is tried alongside.
const ATTEMPT_PATIENCE: Duration = Duration::from_secs(2);
/// How long a refused client's reply, or the octets before a reset, may take to leave.
const LINGER: Duration = Duration::from_secs(2);
/// How long the pools are waited for at the end; one that getaddrinfo holds is left behind.
const POOL_PATIENCE: Duration = Duration::from_millis(500);
