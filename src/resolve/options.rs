//! How a resolver is to work.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::host_files::HostFiles;
use super::hosts::Hosts;
use super::order::Family;

/// How a resolver is to work.
#[derive(Clone, Debug)]
pub struct ResolverOptions {
    /// The name servers, best first; without any, one on this host, port 53.
    pub servers: Vec<SocketAddr>,
    /// The entries that answer before any server is asked.
    pub hosts: Arc<Hosts>,
    /// Patience with a server, until it is known better: at least 250 ms.
    pub timeout: Duration,
    /// How often each server is asked, at least once.
    pub tries: u32,
    /// How long addresses are remembered at most; zero remembers none.
    pub cache_max_ttl: Duration,
    /// How long it is remembered at most that a name has no address; zero remembers nothing.
    pub negative_max_ttl: Duration,
    /// Look-ups that one client may have in flight, at least one.
    pub per_client_max: usize,
    /// Which addresses are wanted.
    pub family: Family,
    /// What sockets towards servers are bound to.
    pub local: Local,
}

/// What sockets towards name servers are bound to; nothing leaves it to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// The address towards IPv4 servers.
    pub ipv4: Option<Ipv4Addr>,
    /// The address towards IPv6 servers.
    pub ipv6: Option<Ipv6Addr>,
    /// The interface that they leave by.
    pub interface: Option<String>,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            hosts: Arc::default(),
            timeout: Duration::from_secs(2),
            tries: 5,
            cache_max_ttl: Duration::from_secs(300),
            negative_max_ttl: Duration::from_secs(60),
            per_client_max: 256,
            family: Family::Any,
            local: Local::default(),
        }
    }
}

impl ResolverOptions {
    /// The defaults, with what the host's files say.
    #[must_use]
    pub fn from_host_files(files: &HostFiles) -> Self {
        let defaults = Self::default();
        Self {
            servers: files.resolv.servers.clone(),
            hosts: Arc::clone(&files.hosts),
            timeout: files.resolv.timeout.unwrap_or(defaults.timeout),
            tries: files.resolv.tries.unwrap_or(defaults.tries),
            ..defaults
        }
    }
}
