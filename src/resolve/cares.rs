//! Name servers asked by c-ares, one channel per worker, its sockets on the worker's own poll.
//!
//! Primer. What shapes this file:
//!
//! - c-ares closes a socket right after its callback has said "neither", and may have the same
//!   number back from the kernel within the same call. So sockets are registered and deregistered
//!   inside the callback; done later, the new socket would be the one deregistered.
//! - A question may be answered before `ask` returns (cache, bad name, no server reachable). So the
//!   handler only fills a queue, and `drain` empties it.
//! - The poll tells an edge once. c-ares reads UDP until it would block and TCP until a short
//!   read, so that is enough. An event of an earlier socket with the same number is harmless: it
//!   costs one read that would block.
//! - Unless told not to, c-ares sorts addresses by connecting a UDP socket to each (RFC 6724), and
//!   reads the hosts file and `resolv.conf`. All of that is switched off: a worker touches no file,
//!   and dialling tries the addresses in turn anyway.
//! - One question cannot be cancelled. An answer carries its asker's key, and the bound on
//!   questions counts those whose asker has gone, because the servers are busy with them too.
//! - After three answers c-ares takes a server's patience from its average latency (five times,
//!   but no less than 250 ms), and doubles it each round. The answers of a cache make that short
//!   for the first question about a slow name; it is why a server is asked four times by default.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use c_ares::{
    AddrInfoFlags, AddrInfoHints, AddrInfoResults, AddressFamily, Channel, FdEventFlags, FdEvents,
    Flags, Options, ProcessFlags,
};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use parking_lot::Mutex;

use super::hosts::Hosts;
use super::options::ResolverOptions;
use super::order::{Addresses, Family, LookupError, interleave};
use super::resolver::{Answered, IN_FLIGHT_MAX};
use crate::key::Key;
use crate::target::HostName;

/// The channel could not be made: out of memory, or a server's address that c-ares cannot use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the resolver cannot start: {0}")]
pub struct NoResolver(String);

impl From<c_ares::Error> for NoResolver {
    fn from(error: c_ares::Error) -> Self {
        Self(error.to_string())
    }
}

/// Asks name servers. Belongs to one worker.
pub struct Cares {
    channel: Channel,
    hosts: Arc<Hosts>,
    family: Family,
    /// Shared with the handlers of questions only, and those run inside calls of this type: the
    /// lock is never waited for.
    answers: Arc<Mutex<Answers>>,
    /// Whether sockets may wait to be closed.
    stirred: bool,
}

#[derive(Debug, Default)]
struct Answers {
    ready: VecDeque<Answered>,
    in_flight: usize,
}

impl Cares {
    /// A resolver whose sockets are registered with `registry`, each under `token` of its number.
    ///
    /// # Errors
    /// [`NoResolver`] when there is no memory, or c-ares cannot use a server's address.
    pub fn new(
        options: &ResolverOptions,
        registry: Registry,
        token: impl Fn(RawFd) -> Token + Send + Sync + 'static,
    ) -> Result<Self, NoResolver> {
        let sockets = Sockets { registry, known: Mutex::default() };
        let cache_secs = u32::try_from(options.cache_max_ttl.as_secs()).unwrap_or(u32::MAX);
        let mut settings = Options::new();
        settings
            .set_flags(Flags::EDNS | Flags::NOSEARCH | Flags::NOALIASES)
            .set_timeout(options.timeout)
            .set_max_timeout(options.timeout.saturating_mul(2).max(TIMEOUT_MAX))
            .set_tries(options.tries.max(1))
            .set_query_cache_max_ttl(cache_secs)
            .set_udp_max_queries(Some(PORT_QUERIES_MAX))
            .set_resolvconf_path("/dev/null")?
            .set_hosts_path("/dev/null")?
            .set_lookups("b")?
            .set_socket_state_callback(move |fd, readable, writable| {
                sockets.watch(fd, token(fd), interest(readable, writable));
            });
        let mut channel = Channel::with_options(settings)?;
        if !options.servers.is_empty() {
            channel.set_servers(options.servers.iter().map(ToString::to_string))?;
        }
        Ok(Self {
            channel,
            hosts: Arc::clone(&options.hosts),
            family: options.family,
            answers: Arc::default(),
            stirred: false,
        })
    }

    /// Descriptors that one resolver with so many servers may have open: as many questions as may be
    /// in flight, two queries each (A and AAAA), a port for so many of them; and for each server a
    /// port that is not used up and a TCP connection. A port that waits for a single slow answer is
    /// kept besides, so a flood of slow names can need more; what is refused then costs that
    /// question and no session.
    #[must_use]
    pub const fn descriptors_max(servers: usize) -> usize {
        (2 * IN_FLIGHT_MAX).div_ceil(PORT_QUERIES_MAX as usize) + 2 * servers
    }

    /// See [`Resolver::ask`](super::Resolver::ask).
    pub fn ask(&mut self, name: &HostName, key: Key, query: u32) {
        {
            let mut answers = self.answers.lock();
            if let Some(answer) = self.known(name, answers.in_flight) {
                answers.ready.push_back(Answered { key, query, answer });
                return;
            }
            answers.in_flight += 1;
        }
        let (answers, family) = (Arc::clone(&self.answers), self.family);
        let hints = AddrInfoHints {
            flags: AddrInfoFlags::NOSORT,
            family: match family {
                Family::Any => None,
                Family::Ipv4 => Some(AddressFamily::INET),
                Family::Ipv6 => Some(AddressFamily::INET6),
            },
            ..AddrInfoHints::default()
        };
        self.stirred = true;
        self.channel.get_addrinfo(name.as_str(), None, &hints, move |result| {
            let answer = match result {
                Ok(found) => addresses(&found, family),
                Err(error) => Err(lookup_error(error)),
            };
            let mut answers = answers.lock();
            answers.in_flight -= 1;
            answers.ready.push_back(Answered { key, query, answer });
        });
    }

    /// What can be said of a name without c-ares.
    fn known(&self, name: &HostName, in_flight: usize) -> Option<Result<Addresses, LookupError>> {
        if let Some(addresses) = self.hosts.find(name, self.family) {
            Some(Ok(addresses))
        } else if name.as_str().len() > NAME_MAX {
            // c-ares would ask for it.
            Some(Err(LookupError::NotFound))
        } else if in_flight >= IN_FLIGHT_MAX {
            Some(Err(LookupError::Overloaded))
        } else {
            None
        }
    }

    /// The next answer.
    #[must_use]
    pub fn drain(&mut self) -> Option<Answered> {
        self.answers.lock().ready.pop_front()
    }

    /// Questions that have no answer yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.answers.lock().in_flight
    }

    /// Takes readiness of a descriptor. One that is no longer ours is passed over.
    pub fn on_event(&mut self, fd: RawFd, readable: bool, writable: bool) {
        let mut flags = FdEventFlags::empty();
        // An event that is neither is an error (a port where nobody listens): reading fetches it.
        flags.set(FdEventFlags::READ, readable || !writable);
        flags.set(FdEventFlags::WRITE, writable);
        self.process(&[FdEvents::new(fd, flags)], ProcessFlags::SKIP_NON_FD);
        self.stirred = true;
    }

    /// How long the poll may wait: until the next question has waited too long.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.channel.timeout(None)
    }

    /// Once each turn: asks again or gives up what has waited too long, and closes idle sockets.
    pub fn tend(&mut self) {
        // c-ares' own probes of servers that failed count as active, and must be timed too.
        if self.stirred || self.channel.queue_active_queries() > 0 {
            self.process(&[], ProcessFlags::empty());
            self.stirred = false;
        }
    }

    fn process(&mut self, events: &[FdEvents], flags: ProcessFlags) {
        if let Err(error) = self.channel.process_fds(events, flags) {
            // Out of memory: the questions concerned time out.
            tracing::warn!(%error, "the resolver could not go on");
        }
    }
}

impl fmt::Debug for Cares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cares")
            .field("family", &self.family)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// The channel's sockets on the worker's poll.
struct Sockets {
    registry: Registry,
    /// A handful: one per server and a hundred questions.
    known: Mutex<Vec<RawFd>>,
}

impl Sockets {
    fn watch(&self, fd: RawFd, token: Token, interest: Option<Interest>) {
        if let Err(error) = self.try_watch(fd, token, interest) {
            // The questions of this socket time out, and are asked again on another one.
            tracing::warn!(%error, "a resolver's socket could not be watched");
        }
    }

    fn try_watch(&self, fd: RawFd, token: Token, interest: Option<Interest>) -> io::Result<()> {
        let mut known = self.known.lock();
        let place = known.iter().position(|&other| other == fd);
        match (place, interest) {
            (None, None) => Ok(()),
            (Some(place), None) => {
                known.swap_remove(place);
                self.registry.deregister(&mut SourceFd(&fd))
            }
            (Some(_), Some(interest)) => {
                self.registry.reregister(&mut SourceFd(&fd), token, interest)
            }
            (None, Some(interest)) => {
                self.registry.register(&mut SourceFd(&fd), token, interest)?;
                known.push(fd);
                Ok(())
            }
        }
    }
}

const fn interest(readable: bool, writable: bool) -> Option<Interest> {
    match (readable, writable) {
        (false, false) => None,
        (true, false) => Some(Interest::READABLE),
        (false, true) => Some(Interest::WRITABLE),
        (true, true) => Some(Interest::READABLE.add(Interest::WRITABLE)),
    }
}

/// IPv6 leads, as RFC 8305 has it; each family keeps the server's order.
fn addresses(found: &AddrInfoResults, family: Family) -> Result<Addresses, LookupError> {
    let all = || found.nodes().filter_map(|node| node.ip_addr());
    interleave(all().filter(IpAddr::is_ipv6).chain(all().filter(IpAddr::is_ipv4)), family)
}

fn lookup_error(error: c_ares::Error) -> LookupError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "c-ares' enum: all else is a failure")]
    match error {
        c_ares::Error::ENOTFOUND
        | c_ares::Error::ENODATA
        | c_ares::Error::ENONAME
        | c_ares::Error::EBADNAME => LookupError::NotFound,
        c_ares::Error::ETIMEOUT => LookupError::TimedOut,
        c_ares::Error::ENOMEM => LookupError::Overloaded,
        _ => LookupError::Failed,
    }
}

/// The longest that one try may wait, unless the configured patience is longer than half of it.
const TIMEOUT_MAX: Duration = Duration::from_secs(3);

/// Octets of a name that DNS can carry, written without the root's dot (RFC 1035 §3.1: 255 on the
/// wire, the first length and the root's included).
const NAME_MAX: usize = 253;

/// Questions that leave from one port, before another is taken: what a forger has to guess
/// (RFC 5452 §9.2) stays fresh.
const PORT_QUERIES_MAX: u32 = 100;
