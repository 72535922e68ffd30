//! Who looks names up: c-ares on each worker's own poll, or a pool that asks the system.

#[cfg(feature = "dns-cares")]
use std::net::IpAddr;
use std::net::SocketAddr;
#[cfg(feature = "dns-cares")]
use std::os::fd::RawFd;
use std::sync::Arc;

use mio::Poll;

use super::crew::close;
use super::sandbox::Sandbox;
use super::start::Failure;
use crate::config::{self, ResolverKind, ResolverSettings, Settings};
use crate::egress::Egress;
use crate::linux::calls::Duty;
use crate::mailbox::Post;
use crate::offload::{Job, Pool};
#[cfg(feature = "dns-cares")]
use crate::resolve::{Cares, HostFiles, SERVERS_MAX};
use crate::resolve::{Family, Hosts, Local, Resolver, ResolverOptions, Source, System};
#[cfg(feature = "dns-cares")]
use crate::worker::token::{Role, Token};

/// What the workers' resolvers are made from.
pub(super) struct Names {
    options: ResolverOptions,
    kind: Kind,
}

enum Kind {
    /// c-ares.
    #[cfg(feature = "dns-cares")]
    Cares,
    /// The threads that ask the system.
    System(Pool<Job>),
}

impl Names {
    /// Reads the host's files, or starts the threads: a worker opens no file.
    #[cfg_attr(not(feature = "dns-cares"), expect(unused_variables, reason = "for c-ares"))]
    pub(super) fn start(
        settings: &ResolverSettings,
        egress: &Egress,
        sandbox: &Sandbox,
    ) -> Result<Self, Failure> {
        match settings.kind {
            #[cfg(feature = "dns-cares")]
            ResolverKind::Cares => {
                let files = HostFiles::read().map_err(|error| Failure::Other(error.to_string()))?;
                let hosts = Arc::unwrap_or_clone(files.hosts);
                let servers = match settings.servers.as_slice() {
                    [] => files.resolv.servers,
                    configured => configured.to_vec(),
                };
                let local = local(egress, &servers);
                let options = ResolverOptions { local, ..options(settings, servers, hosts) };
                Ok(Self { options, kind: Kind::Cares })
            }
            #[cfg(not(feature = "dns-cares"))]
            ResolverKind::Cares => Err(Failure::Configuration(
                "resolver.kind = \"cares\": this binary was built without c-ares".to_owned(),
            )),
            ResolverKind::System => {
                let pool = sandbox.within(Duty::Names, || {
                    Pool::start("names", THREADS, WAITING_MAX)
                        .map_err(|error| Failure::io("cannot start a thread", &error))
                })?;
                // The system reads the hosts file and knows its servers itself.
                let options = options(settings, Vec::new(), Hosts::default());
                Ok(Self { options, kind: Kind::System(pool) })
            }
        }
    }

    /// A resolver for the worker of this poll and post.
    #[cfg_attr(not(feature = "dns-cares"), expect(unused_variables, reason = "for c-ares"))]
    pub(super) fn resolver(&self, poll: &Poll, post: &Post) -> Result<Resolver, Failure> {
        let source = match &self.kind {
            #[cfg(feature = "dns-cares")]
            Kind::Cares => Source::Cares(cares(&self.options, poll)?),
            Kind::System(pool) => {
                let (desk, post) = (pool.desk(), post.clone());
                let submit = move |name: &_, record, id| {
                    let (name, post) = (Clone::clone(name), post.clone());
                    desk.submit(Job::Lookup { name, record, id, post }).is_ok()
                };
                Source::System(System::new(Box::new(submit)))
            }
        };
        Ok(Resolver::new(source, &self.options))
    }

    /// Ends the threads, if there are any.
    pub(super) fn close(self) {
        match self.kind {
            #[cfg(feature = "dns-cares")]
            Kind::Cares => {}
            Kind::System(pool) => close(pool),
        }
    }
}

/// What there is to warn of how names are looked up.
pub(super) fn doubt(settings: &Settings) -> Option<&'static str> {
    let by_system = settings.resolver.kind == ResolverKind::System;
    (by_system && !settings.egress.default.is_default())
        .then_some("names are looked up by the system, whose questions do not follow [egress]")
}

/// Descriptors that looking up names may take, in all of so many workers.
#[cfg_attr(not(feature = "dns-cares"), expect(unused_variables, reason = "for c-ares"))]
pub(super) fn descriptors_max(settings: &ResolverSettings, workers: usize) -> usize {
    match settings.kind {
        #[cfg(feature = "dns-cares")]
        ResolverKind::Cares => {
            // The host's own file may name so many.
            let servers =
                if settings.servers.is_empty() { SERVERS_MAX } else { settings.servers.len() };
            workers * Cares::descriptors_max(servers)
        }
        #[cfg(not(feature = "dns-cares"))]
        ResolverKind::Cares => 0,
        ResolverKind::System => THREADS * PER_THREAD,
    }
}

fn options(settings: &ResolverSettings, servers: Vec<SocketAddr>, hosts: Hosts) -> ResolverOptions {
    let fixed = settings.hosts.iter().map(|(name, addresses)| (name, addresses.as_slice()));
    ResolverOptions {
        servers,
        hosts: Arc::new(hosts.with_fixed(fixed)),
        timeout: settings.timeout,
        tries: settings.tries,
        cache_max_ttl: settings.cache_max_ttl,
        negative_max_ttl: settings.negative_max_ttl,
        per_client_max: settings.lookups_per_client_max,
        local: Local::default(),
        family: match settings.family {
            config::Family::Any => Family::Any,
            config::Family::PreferV4 => Family::PreferIpv4,
            config::Family::V4 => Family::Ipv4,
            config::Family::V6 => Family::Ipv6,
        },
    }
}

/// What questions to these servers are bound to: they go out as sessions do that have no way of their
/// own, from the first address of each family. Servers on this host are asked from this host.
#[cfg(feature = "dns-cares")]
fn local(egress: &Egress, servers: &[SocketAddr]) -> Local {
    let outside = !servers.is_empty() && !servers.iter().any(|server| server.ip().is_loopback());
    let fits = |ip: &&IpAddr| !ip.is_unspecified() && (outside || ip.is_loopback());
    let mut local = Local::default();
    for ip in egress.addresses.iter().filter(fits) {
        match ip {
            IpAddr::V4(ip) => local.ipv4 = local.ipv4.or(Some(*ip)),
            IpAddr::V6(ip) => local.ipv6 = local.ipv6.or(Some(*ip)),
        }
    }
    if outside {
        local.interface.clone_from(&egress.interface);
    }
    if egress.mark.is_some() {
        tracing::info!("questions to name servers do not bear egress.mark");
    }
    local
}

#[cfg(feature = "dns-cares")]
fn cares(options: &ResolverOptions, poll: &Poll) -> Result<Cares, Failure> {
    let registry = poll
        .registry()
        .try_clone()
        .map_err(|error| Failure::io("cannot start a resolver", &error))?;
    let token = |fd: RawFd| Token::own(Role::Resolver, fd.cast_unsigned()).into();
    Cares::new(options, registry, token)
        .map_err(|error| Failure::Other(format!("cannot start a resolver: {error}")))
}

/// Descriptors of one thread in getaddrinfo: two sockets towards servers, one that asks the kernel
/// for addresses to sort by, and a file.
const PER_THREAD: usize = 4;
/// Threads that ask the system, and questions that wait for them at most: two for each name.
const THREADS: usize = 16;
const WAITING_MAX: usize = 2048;
