//! The workers and the pools that they ask.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Sender;
use mio::net::TcpListener;
use mio::{Poll, Waker};

use super::start::{Failure, Shared, spawn};
use super::watch::{Ending, Event};
use crate::config::{self, ResolverKind, Settings};
use crate::linux::affinity::pin_this_thread;
use crate::mailbox::{Post, mailbox};
use crate::offload::{Job, Pool};
use crate::policy::Policy;
use crate::resolve::{self, HostFiles, IN_FLIGHT_MAX, Resolver, System};
use crate::session::{Journal, Share};
use crate::worker::token::{Role, Token};
use crate::worker::{Worker, WorkerParts};

/// The threads that do what blocks.
pub(super) struct Pools {
    hashes: Pool<Job>,
    names: Option<Pool<Job>>,
}

impl Pools {
    pub(super) fn start(settings: &Settings, workers: usize) -> Result<Self, Failure> {
        let failure = |error: io::Error| Failure::io("cannot start a thread", &error);
        let hashes = Pool::start("hash", workers, HASHES_WAITING_MAX, Job::run).map_err(failure)?;
        let names = match settings.resolver.kind {
            ResolverKind::System => Some(
                Pool::start("names", NAME_THREADS, NAMES_WAITING_MAX, Job::run).map_err(failure)?,
            ),
            ResolverKind::Cares => None,
        };
        Ok(Self { hashes, names })
    }

    pub(super) fn close(self) {
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
pub(super) struct Outfit<'a> {
    pub(super) index: usize,
    pub(super) settings: &'a Settings,
    pub(super) shared: &'a Shared,
    pub(super) pools: &'a Pools,
    /// What the host's own files say of names.
    pub(super) host_files: &'a HostFiles,
    /// The core that it is pinned to.
    pub(super) core: Option<usize>,
}

/// A worker that runs.
pub(super) struct Member {
    pub(super) post: Post,
    pub(super) thread: JoinHandle<()>,
}

impl Outfit<'_> {
    /// Starts a worker on its listeners.
    pub(super) fn start(
        &self,
        listeners: Vec<TcpListener>,
        policy: &Arc<Policy>,
        journal: Journal,
        events: &Sender<Event>,
    ) -> Result<Member, Failure> {
        let failure = |error: io::Error| Failure::io("cannot start a worker", &error);
        let poll = Poll::new().map_err(failure)?;
        let waker = Token::own(Role::Waker, 0).into();
        let waker = Waker::new(poll.registry(), waker).map_err(failure)?;
        let (post, mailbox) = mailbox(waker, JOBS_IN_FLIGHT_MAX);
        let mut share = Share::new();
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
            resolver: self.resolver(&poll, &post)?,
            poll,
            listeners,
            mailbox,
            post: post.clone(),
            hashes: self.pools.hashes.desk(),
            policy: Arc::clone(policy),
            admission: Arc::clone(&self.shared.admission),
            table: Arc::clone(&self.shared.table),
            journal,
            share,
            counters: Arc::clone(&self.shared.counters[self.index]),
            publish_every: self.settings.sessions.publish_every,
            records: self.settings.sessions.enabled,
        })
        .map_err(failure)?;
        let (index, core, events) = (self.index, self.core, events.clone());
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

    fn resolver(&self, poll: &Poll, post: &Post) -> Result<Resolver, Failure> {
        let settings = &self.settings.resolver;
        let family = match settings.family {
            config::Family::Any => resolve::Family::Any,
            config::Family::V4 => resolve::Family::Ipv4,
            config::Family::V6 => resolve::Family::Ipv6,
        };
        let Some(pool) = &self.pools.names else { return self.cares(poll, family) };
        let (desk, post) = (pool.desk(), post.clone());
        Ok(Resolver::System(System::new(
            family,
            Box::new(move |name, key, query| {
                let (name, post) = (name.clone(), post.clone());
                desk.submit(Job::Lookup { name, family, key, query, post }).is_ok()
            }),
        )))
    }

    #[cfg(feature = "dns-cares")]
    fn cares(&self, poll: &Poll, family: resolve::Family) -> Result<Resolver, Failure> {
        let settings = &self.settings.resolver;
        let servers = if settings.servers.is_empty() {
            &self.host_files.resolv.servers
        } else {
            &settings.servers
        };
        let options = resolve::ResolverOptions {
            servers: servers.clone(),
            hosts: Arc::clone(&self.host_files.hosts),
            timeout: settings.timeout,
            tries: settings.tries,
            cache_max_ttl: settings.cache_max_ttl,
            family,
        };
        let registry = poll
            .registry()
            .try_clone()
            .map_err(|error| Failure::io("cannot start a resolver", &error))?;
        let token = |fd: RawFd| Token::own(Role::Resolver, fd.cast_unsigned()).into();
        resolve::Cares::new(&options, registry, token)
            .map(Resolver::Cares)
            .map_err(|error| Failure::Other(format!("cannot start a resolver: {error}")))
    }

    #[cfg(not(feature = "dns-cares"))]
    fn cares(&self, _poll: &Poll, _family: resolve::Family) -> Result<Resolver, Failure> {
        let text = "resolver.kind = \"cares\": this binary was built without c-ares";
        Err(Failure::Configuration(text.to_owned()))
    }
}

/// Password checks that wait for a thread at most; beyond it a login is refused.
const HASHES_WAITING_MAX: usize = 1024;
/// Threads that ask the system for names, and questions that wait for them.
const NAME_THREADS: usize = 8;
const NAMES_WAITING_MAX: usize = 1024;
/// Answers that one worker may be sent before it reads them: all look-ups and all password checks.
const JOBS_IN_FLIGHT_MAX: usize = IN_FLIGHT_MAX + 2 * HASHES_WAITING_MAX;
/// How long the pools are waited for at the end; one that getaddrinfo holds is left behind.
const POOL_PATIENCE: Duration = Duration::from_millis(500);
