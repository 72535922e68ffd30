//! Who looks names up: c-ares on each worker's own poll, or a pool that asks the system.

#[cfg(feature = "dns-cares")]
use std::net::SocketAddr;
#[cfg(feature = "dns-cares")]
use std::os::fd::RawFd;
#[cfg(feature = "dns-cares")]
use std::sync::Arc;

use mio::Poll;

use super::crew::close;
use super::start::Failure;
use crate::config::{self, ResolverKind, ResolverSettings};
use crate::mailbox::Post;
use crate::offload::{Job, Pool};
#[cfg(feature = "dns-cares")]
use crate::resolve::{Cares, HostFiles, ResolverOptions};
use crate::resolve::{Family, Resolver, System};
#[cfg(feature = "dns-cares")]
use crate::worker::token::{Role, Token};

/// What the workers' resolvers are made from.
pub(super) enum Names {
    /// The host's own files, read once: a worker opens no file.
    #[cfg(feature = "dns-cares")]
    Cares(HostFiles),
    /// The threads that ask the system.
    System(Pool<Job>),
}

impl Names {
    /// Reads the host's files, or starts the threads.
    pub(super) fn start(settings: &ResolverSettings) -> Result<Self, Failure> {
        match settings.kind {
            #[cfg(feature = "dns-cares")]
            ResolverKind::Cares => HostFiles::read()
                .map(Self::Cares)
                .map_err(|error| Failure::Other(error.to_string())),
            #[cfg(not(feature = "dns-cares"))]
            ResolverKind::Cares => Err(Failure::Configuration(
                "resolver.kind = \"cares\": this binary was built without c-ares".to_owned(),
            )),
            ResolverKind::System => Pool::start("names", THREADS, WAITING_MAX, Job::run)
                .map(Self::System)
                .map_err(|error| Failure::io("cannot start a thread", &error)),
        }
    }

    /// A resolver for the worker of this poll and post.
    #[cfg_attr(not(feature = "dns-cares"), expect(unused_variables, reason = "for c-ares"))]
    pub(super) fn resolver(
        &self,
        settings: &ResolverSettings,
        poll: &Poll,
        post: &Post,
    ) -> Result<Resolver, Failure> {
        let family = match settings.family {
            config::Family::Any => Family::Any,
            config::Family::V4 => Family::Ipv4,
            config::Family::V6 => Family::Ipv6,
        };
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(files) => cares(settings, family, files, poll).map(Resolver::Cares),
            Self::System(pool) => {
                let (desk, post) = (pool.desk(), post.clone());
                let submit = move |name: &_, key, query| {
                    let (name, post) = (Clone::clone(name), post.clone());
                    desk.submit(Job::Lookup { name, family, key, query, post }).is_ok()
                };
                Ok(Resolver::System(System::new(family, Box::new(submit))))
            }
        }
    }

    /// Descriptors that looking up names may take, in all of so many workers.
    #[cfg_attr(not(feature = "dns-cares"), expect(unused_variables, reason = "for c-ares"))]
    pub(super) fn descriptors_max(&self, settings: &ResolverSettings, workers: usize) -> usize {
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(files) => {
                // Without any, c-ares asks this host.
                let servers = servers(settings, files).len().max(1);
                workers * Cares::descriptors_max(servers)
            }
            Self::System(_) => THREADS * PER_THREAD,
        }
    }

    /// Ends the threads, if there are any.
    pub(super) fn close(self) {
        match self {
            #[cfg(feature = "dns-cares")]
            Self::Cares(_) => {}
            Self::System(pool) => close(pool),
        }
    }
}

#[cfg(feature = "dns-cares")]
fn cares(
    settings: &ResolverSettings,
    family: Family,
    files: &HostFiles,
    poll: &Poll,
) -> Result<Cares, Failure> {
    let options = ResolverOptions {
        servers: servers(settings, files).to_vec(),
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
    let token = |fd: RawFd| Token::own(Role::Resolver, fd.cast_unsigned()).into();
    Cares::new(&options, registry, token)
        .map_err(|error| Failure::Other(format!("cannot start a resolver: {error}")))
}

/// The configured servers, or else the host's.
#[cfg(feature = "dns-cares")]
fn servers<'a>(settings: &'a ResolverSettings, files: &'a HostFiles) -> &'a [SocketAddr] {
    if settings.servers.is_empty() { &files.resolv.servers } else { &settings.servers }
}

/// Descriptors of one thread in getaddrinfo: two sockets towards servers, one that asks the kernel
/// for addresses to sort by, and a file.
const PER_THREAD: usize = 4;
/// Threads that ask the system, and questions that wait for them at most.
const THREADS: usize = 8;
const WAITING_MAX: usize = 1024;
