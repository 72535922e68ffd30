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
//! - Unless told not to, c-ares reads the hosts file and `resolv.conf`. That is switched off: a
//!   worker touches no file.
//! - Its look-up of "addresses" waits for both families, sorts them by connecting a UDP socket to
//!   each (RFC 6724), and tells no time of a miss; its cache has no bound. So it is given one bare
//!   query for each kind of records, and what comes back is read and kept here.
//! - One question cannot be cancelled. The bound on questions counts those whose asker has gone,
//!   because the servers are busy with them too.
//! - After three answers c-ares takes a server's patience from its average latency (five times,
//!   but no less than 250 ms), and doubles it each round, less up to half of it by chance. The
//!   answers of a cache make that short for the first question about a slow name; it is why a server
//!   is asked five times by default, which takes 4 s at least. Whoever asked waits no longer than
//!   for its connect.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use c_ares::{
    Channel, DnsCls, DnsFlags, DnsOpcode, DnsRcode, DnsRecord, DnsRecordType, DnsRr, DnsRrKey,
    DnsSection, FdEventFlags, FdEvents, Flags, Options, ProcessFlags,
};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use parking_lot::Mutex;

use super::options::ResolverOptions;
use super::order::{ADDRESSES_MAX, Addresses, LookupError, Record};
use super::resolver::{Found, IN_FLIGHT_MAX, LookupId};
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
    /// Shared with the handlers of questions only, and those run inside calls of this type: the
    /// lock is never waited for.
    answers: Arc<Mutex<VecDeque<Found>>>,
    /// Whether sockets may wait to be closed.
    stirred: bool,
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
        let mut settings = Options::new();
        settings
            .set_flags(Flags::EDNS | Flags::NOSEARCH | Flags::NOALIASES)
            .set_query_cache_max_ttl(0)
            .set_timeout(options.timeout)
            .set_max_timeout(options.timeout.saturating_mul(2).max(TIMEOUT_MAX))
            .set_tries(options.tries.max(1))
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
        if let Some(address) = options.local.ipv4 {
            channel.set_local_ipv4(address);
        }
        if let Some(address) = options.local.ipv6 {
            channel.set_local_ipv6(address);
        }
        if let Some(interface) = &options.local.interface {
            channel.set_local_device(interface)?;
        }
        Ok(Self { channel, answers: Arc::default(), stirred: false })
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

    /// Asks for one half of a name; exactly one answer comes out of [`drain`](Self::drain).
    pub(super) fn ask(&mut self, name: &HostName, record: Record, id: LookupId) {
        let query = match query(name, record) {
            Ok(query) => query,
            Err(error) => {
                let answer = Err(lookup_error(error));
                return self.answers.lock().push_back(Found { id, record, answer, ttl: None });
            }
        };
        let answers = Arc::clone(&self.answers);
        self.stirred = true;
        let sent = self.channel.send_dnsrec(&query, move |result| {
            let (answer, ttl) = match result {
                Ok(reply) => read(reply, record),
                Err(error) => (Err(lookup_error(error)), None),
            };
            answers.lock().push_back(Found { id, record, answer, ttl });
        });
        if let Err(error) = sent {
            // The handler has been told so, too.
            tracing::trace!(%error, "a question was not sent");
        }
    }

    /// The next answer.
    #[must_use]
    pub(super) fn drain(&self) -> Option<Found> {
        self.answers.lock().pop_front()
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
        f.debug_struct("Cares").field("stirred", &self.stirred).finish_non_exhaustive()
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

/// A question for the records of one kind, with room for a long answer by UDP (RFC 6891).
fn query(name: &HostName, record: Record) -> c_ares::Result<DnsRecord> {
    let mut query = DnsRecord::new(0, DnsFlags::RD, DnsOpcode::Query, DnsRcode::NoError)?;
    query.query_add(name.as_str(), kind(record), DnsCls::IN)?;
    query
        .rr_add(DnsSection::Additional, "", DnsRecordType::OPT, DnsCls::IN, 0)?
        .set_u16(DnsRrKey::OPT_UDP_SIZE, UDP_OCTETS_MAX)?
        .set_u8(DnsRrKey::OPT_VERSION, 0)?
        .set_u16(DnsRrKey::OPT_FLAGS, 0)?;
    Ok(query)
}

const fn kind(record: Record) -> DnsRecordType {
    match record {
        Record::A => DnsRecordType::A,
        Record::Aaaa => DnsRecordType::AAAA,
    }
}

/// What a reply says, and how long that holds.
fn read(reply: &DnsRecord, record: Record) -> (Result<Addresses, LookupError>, Option<Duration>) {
    #[expect(clippy::wildcard_enum_match_arm, reason = "c-ares' enum: all else is a failure")]
    match reply.rcode() {
        DnsRcode::NoError | DnsRcode::NXDomain => {}
        _ => return (Err(LookupError::Failed), None),
    }
    let mut addresses = Addresses::new();
    // Whatever led to the addresses holds no longer than the shortest of the aliases.
    let mut ttl = u32::MAX;
    for answer in reply.rrs(DnsSection::Answer) {
        ttl = ttl.min(answer.ttl());
        if let Some(address) = address(answer, record)
            && addresses.len() < ADDRESSES_MAX
        {
            addresses.push(address);
        }
    }
    let seconds = |ttl: u32| Duration::from_secs(u64::from(ttl));
    if addresses.is_empty() {
        // RFC 2308 §5: the lesser of the SOA's own time and its last field.
        let soa = reply.rrs(DnsSection::Authority).find_map(DnsRr::as_soa);
        return (Err(LookupError::NotFound), soa.map(|soa| seconds(soa.ttl().min(soa.minimum()))));
    }
    (Ok(addresses), Some(seconds(ttl)))
}

fn address(answer: &DnsRr, record: Record) -> Option<IpAddr> {
    match record {
        Record::A => answer.as_a().map(|a| a.addr().into()),
        Record::Aaaa => answer.as_aaaa().map(|aaaa| aaaa.addr().into()),
    }
}

fn lookup_error(error: c_ares::Error) -> LookupError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "c-ares' enum: all else is a failure")]
    match error {
        c_ares::Error::ENOTFOUND
        | c_ares::Error::ENODATA
        | c_ares::Error::ENONAME
        | c_ares::Error::EBADQUERY
        | c_ares::Error::EBADNAME => LookupError::NotFound,
        c_ares::Error::ETIMEOUT => LookupError::TimedOut,
        c_ares::Error::ENOMEM => LookupError::Overloaded,
        _ => LookupError::Failed,
    }
}

/// The longest that one try may wait, unless the configured patience is longer than half of it.
const TIMEOUT_MAX: Duration = Duration::from_secs(3);

/// Questions that leave from one port, before another is taken: what a forger has to guess
/// (RFC 5452 §9.2) stays fresh.
const PORT_QUERIES_MAX: u32 = 100;

/// Octets of an answer that we take by UDP: what passes everywhere unfragmented.
const UDP_OCTETS_MAX: u16 = 1232;
