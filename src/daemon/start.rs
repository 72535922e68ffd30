//! Builds everything in order; the only place where the parts meet.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use mio::net::TcpListener;

use super::access_log::AccessLog;
use super::api::Api;
use super::crew::{Logins, Outfit, PAM_DESCRIPTORS, Place};
use super::drain::Running;
use super::egress;
use super::inspection;
use super::limits::{Others, PER_RELAY, pipes_max, sockets_max};
use super::low_ports::try_ports;
use super::names::{self, Names};
use super::passed::Passed;
use super::proof;
use super::reload::Reloader;
use super::sandbox::Sandbox;
use super::service::Service;
use super::signals::Forwarder;
use super::storage::Storage;
use crate::access_log::AccessTally;
use crate::acl::{OwnListeners, Rules};
use crate::admin::Posts;
use crate::clock;
use crate::config::{self, Settings, Workers};
use crate::limit::Admission;
use crate::linux::affinity::{allowed_cores, allowed_parallelism};
use crate::linux::calls::Duty;
use crate::linux::host_name::host_name;
use crate::linux::interfaces::local_addresses;
use crate::linux::listener::{ListenerOptions, adopt_listener, bind_listener, probe};
use crate::linux::nofile::{NofileLimit, raise_nofile};
use crate::linux::socket::keepalive;
use crate::policy::{InForce, Policy};
use crate::proxy_protocol::Announcers;
use crate::session::{CHANNEL_ENTRIES_MAX, Ledger, Table, journal};
use crate::stats::{Counters, Minutes, News, Readiness, UserSums, Windows, WriterGauges};

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

    pub(super) fn io(what: &str, error: &io::Error) -> Self {
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
pub fn run(
    config: Option<&Path>,
    settings: &Settings,
    rules: Option<Arc<Rules>>,
) -> Result<(), Failure> {
    let mut passed = Passed::take_from_environment()?;
    let (events, inbox) = crossbeam_channel::unbounded();
    let (wishes, wished) = crossbeam_channel::bounded(WISHES_MAX);
    let mut signals = Forwarder::new(events.clone(), wishes.clone())
        .map_err(|error| Failure::io("cannot take over the signals", &error))?;
    egress::try_all(&settings.egress)?;
    let plan = Plan::new(settings, &mut passed)?;
    let api = Api::bind(settings, &mut passed)?;
    passed.expect_none()?;
    let sandbox = Sandbox::enter(settings, config)?;
    // Again: with what is left of our rights.
    egress::try_all(&settings.egress)?;
    try_ports(&settings.server.associations)?;
    let names = Names::start(&settings.resolver, &settings.egress.default, &sandbox)?;
    inspection::say(inspection::of_the_host(settings));
    let Some((claim, ledger)) = Storage::claim(settings, &mut || signals.stop_asked())? else {
        tracing::info!("stopped: the database is another's, and nothing was served");
        names.close();
        return Ok(());
    };
    let shared = Shared::new(settings, &plan, ledger, sandbox);
    let (journal, entries) = journal(CHANNEL_ENTRIES_MAX);
    // Before the database is opened, which says what has been used of quotas.
    let terms = settings.limit_terms(rules.as_deref());
    shared.admission.limits().adopt(&Arc::new(terms), clock::utc_ms());
    let storage = Storage::open(settings, &shared, claim)?;
    let (access_log, log) = AccessLog::start(settings.logging.access_log.as_ref(), &shared)?;
    // The API's threads first: they inherit the affinity of whoever starts them.
    let api = Api::start(api, settings, &shared, &storage, wishes)?;
    let own = own_listeners(&plan.addresses, api.address());
    // So that a number means one set of rules in all rows.
    let generation = storage.last_generation.saturating_add(1);
    let policy = settings.policy(generation, own.clone(), rules, plan.workers);
    let policy = Arc::new(policy.counting_in(shared.admission.limits()));
    shared.in_force.set(Arc::clone(&policy));
    storage.start_writer(settings, &shared, log, entries, events.clone())?;
    let logins = Logins::start(&settings.auth, plan.workers, &shared.sandbox)?;
    if settings.auth.required {
        shared.admission.proofs().announce();
    }
    let places = (0..plan.workers).map(|_| Place::new()).collect::<Result<Vec<_>, _>>()?;
    let posts: Vec<_> = places.iter().map(Place::post).collect();
    for (index, (place, listeners)) in places.into_iter().zip(plan.listeners).enumerate() {
        let outfit = Outfit {
            index,
            posts: &posts,
            settings,
            shared: &shared,
            logins: &logins,
            names: &names,
            core: plan.pin.get(index).copied(),
            pipes_max: plan.pipes_max,
        };
        outfit.start(place, listeners, &policy, journal.another(), &events)?;
    }
    let posts = shared.posts.get_or_init(|| posts);
    let handle = signals.handle();
    let reopen = access_log.reopener();
    let signals = shared.sandbox.spawn("signals", Duty::Main, move || signals.run(&reopen))?;
    let reloader = Reloader::new(config, settings, &policy, own, &shared);
    // It ends when nobody is left who may wish, and is not waited for: a file may hang.
    shared.sandbox.spawn("reload", Duty::Main, move || reloader.run(&wished))?;
    shared.sandbox.put_on(Duty::Main);
    proof::prove(settings, &plan.addresses, shared.admission.proofs())?;
    shared.readiness.set_ready();
    let mut service = Service::new(plan.workers);
    service.ready(&shared);
    announce(settings, &policy, &plan.addresses, api.address(), plan.workers);

    let drain_timeout = settings.server.drain_timeout;
    let running = Running { events: &inbox, posts, shared: &shared, drain_timeout };
    let ended = running.until_ended(journal, service);
    match (&ended, shared.ledger.file_path()) {
        // Everything in it is in the database.
        (Ok(()), _) => shared.ledger.remove_file(),
        (Err(_), Some(path)) => tracing::error!("the next start recovers what is left in {path}"),
        (Err(_), None) => {}
    }
    // A thread that has not ended by now hangs in the system, and is left behind.
    access_log.wait();
    api.stop();
    handle.close();
    drop(signals.join());
    logins.close();
    names.close();
    match &ended {
        Ok(()) => tracing::info!("stopped{}", all_stored(settings, &shared.counters)),
        Err(failure) => tracing::error!("stopped: {failure}"),
    }
    ended
}

/// What there is to say of sessions when all went well.
fn all_stored(settings: &Settings, counters: &[Arc<Counters>]) -> String {
    match (settings.sessions.enabled, settings.sessions.storage) {
        (true, config::Storage::Sqlite) => {}
        (true, config::Storage::Memory) | (false, _) => return String::new(),
    }
    let unrecorded = |of: &Arc<Counters>| {
        of.unrecorded.get() + of.attempts_unrecorded.get() + of.over_limit_unlisted.get()
    };
    match counters.iter().map(unrecorded).sum::<u64>() {
        0 => ": every session is stored".to_owned(),
        count => {
            format!(": every session is stored but {count} that ran, or were refused, unrecorded")
        }
    }
}

fn announce(
    settings: &Settings,
    policy: &Policy,
    addresses: &[SocketAddr],
    api: Option<SocketAddr>,
    workers: usize,
) {
    for address in addresses {
        tracing::info!("SOCKS on {address}");
    }
    if let Some(api) = api {
        tracing::info!("API on http://{api}");
    }
    let storage = match (settings.sessions.enabled, settings.sessions.storage) {
        (false, _) => "sessions are not recorded",
        (true, config::Storage::Memory) => "sessions are kept in memory only",
        (true, config::Storage::Sqlite) => settings.sessions.database_url.as_str(),
    };
    let rules = policy.acl.rules().map(|rules| &**rules);
    tracing::info!("policy {} is in force: {}", policy.generation, Rules::name(rules));
    tracing::info!(
        "rustsocks {} is ready: {workers} workers, {storage}",
        env!("CARGO_PKG_VERSION")
    );
}

/// A listener, and whose connections to it begin with a PROXY protocol header.
pub(super) type Listening = (TcpListener, Announcers);

/// What is settled before anything is started.
struct Plan {
    workers: usize,
    /// The core of each worker, where they are pinned.
    pin: Vec<usize>,
    /// Sockets that all connections may have.
    sockets_max: u32,
    /// Pipes of each worker.
    pipes_max: usize,
    addresses: Vec<SocketAddr>,
    /// For each worker, a listener for each address.
    listeners: Vec<Vec<Listening>>,
}

impl Plan {
    fn new(settings: &Settings, passed: &mut Passed) -> Result<Self, Failure> {
        let nofile = raise_nofile();
        let Crew { workers, pin } = crew(settings)?;
        let pipes_max = pipes_allowed(settings, &nofile, workers);
        let sockets_max = sockets_allowed(settings, &nofile, workers);
        let relays = sockets_max / PER_RELAY;
        say_what_descriptors_allow(nofile.soft, relays, settings.server.max_connections);
        let (addresses, listeners) = listen(settings, workers, passed)?;
        Ok(Self { workers, pin, sockets_max, pipes_max, addresses, listeners })
    }
}

/// Where not all `connections` can be relays at once: a little less is worth knowing, much less is to be
/// mended.
fn say_what_descriptors_allow(descriptors: u64, relays: u32, connections: u32) {
    match descriptors_lacking(descriptors, relays, connections) {
        None => {}
        Some(text) if u64::from(relays) * 10 >= u64::from(connections) * 9 => {
            tracing::info!("{text}");
        }
        Some(text) => tracing::warn!("{text}"),
    }
}

/// What there is to say where not all `connections` can be relays at once.
pub(super) fn descriptors_lacking(
    descriptors: u64,
    relays: u32,
    connections: u32,
) -> Option<String> {
    let missing = u64::from(connections.checked_sub(relays)?) * u64::from(PER_RELAY);
    (missing > 0).then(|| {
        format!(
            "{descriptors} descriptors are enough for {relays} relays at once, of {connections} connections \
             (server.max_connections); {} would do for all (LimitNOFILE= of the unit, ulimit -Hn)",
            descriptors + missing
        )
    })
}

/// How many workers there are, and the core of each where they are pinned.
pub(super) struct Crew {
    pub(super) workers: usize,
    pin: Vec<usize>,
}

/// The workers that the settings and the host ask for.
pub(super) fn crew(settings: &Settings) -> Result<Crew, Failure> {
    let cores =
        allowed_cores().map_err(|error| Failure::io("cannot read the CPU affinity", &error))?;
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
    Ok(Crew { workers, pin })
}

fn pipes_allowed(settings: &Settings, nofile: &NofileLimit, workers: usize) -> usize {
    if settings.server.splice { pipes_max(nofile, workers) } else { 0 }
}

fn sockets_allowed(settings: &Settings, nofile: &NofileLimit, workers: usize) -> u32 {
    let others = Others {
        workers,
        pipes: pipes_allowed(settings, nofile, workers),
        listeners: settings.server.listen.len(),
        resolvers: names::descriptors_max(&settings.resolver, workers),
        modules: if settings.auth.pam.is_some() { PAM_DESCRIPTORS } else { 0 },
    };
    sockets_max(nofile, &others)
}

/// Sessions that so many workers can relay at once.
pub(super) fn relays_allowed(settings: &Settings, nofile: &NofileLimit, workers: usize) -> u32 {
    sockets_allowed(settings, nofile, workers) / PER_RELAY
}

/// The configured name of this node, or the host's.
fn node_name(settings: &Settings) -> String {
    if !settings.sessions.node.is_empty() {
        return settings.sessions.node.clone();
    }
    host_name()
}

/// Binds every address once for each worker. A plain bind without `SO_REUSEPORT` comes first, so
/// that a busy port is an error and not a share of somebody else's. What the service manager has bound
/// already is shared by the workers.
fn listen(
    settings: &Settings,
    workers: usize,
    passed: &mut Passed,
) -> Result<(Vec<SocketAddr>, Vec<Vec<Listening>>), Failure> {
    let mut addresses = Vec::new();
    let mut listeners: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for listen in &settings.server.listen {
        let configured = listen.address;
        let failure = |error: io::Error| {
            let who = Storage::who_else(settings, &error);
            Failure::io(&format!("cannot listen on {configured}{who}"), &error)
        };
        if let Some(socket) = passed.take(configured) {
            keepalive(&socket, settings.server.keepalive_secs).map_err(failure)?;
            let shared = adopt_listener(&socket, workers).map_err(failure)?;
            for (own, listener) in listeners.iter_mut().zip(shared) {
                own.push((listener, listen.announcers.clone()));
            }
            addresses.push(configured);
            continue;
        }
        probe(configured).map_err(failure)?;
        let mut address = configured;
        for own in &mut listeners {
            let listener = bind_listener(address, ListenerOptions::default()).map_err(failure)?;
            // Inherited by what is accepted: one system call instead of four for each client.
            keepalive(&listener, settings.server.keepalive_secs).map_err(failure)?;
            // With port 0 the first one picks, and the others take its number.
            address = listener.local_addr().map_err(failure)?;
            own.push((listener, listen.announcers.clone()));
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
    /// The ways to the workers; the API is there before them.
    pub(super) posts: Arc<Posts>,
    pub(super) users: Arc<UserSums>,
    pub(super) minutes: Arc<Minutes>,
    pub(super) windows: Arc<Windows>,
    pub(super) gauges: Arc<WriterGauges>,
    /// What happens to sessions, for whoever listens.
    pub(super) news: Arc<News>,
    pub(super) access_tally: Arc<AccessTally>,
    /// The policy, for those who are no workers.
    pub(super) in_force: Arc<InForce>,
    pub(super) node: String,
    /// What threads are started in.
    pub(super) sandbox: Sandbox,
}

impl Shared {
    fn new(settings: &Settings, plan: &Plan, ledger: Ledger, sandbox: Sandbox) -> Self {
        let sessions = &settings.sessions;
        let minutes = Minutes::new(sessions.window_max_hours);
        let stored = sessions.enabled && sessions.storage == config::Storage::Sqlite;
        let minutes = if stored { minutes.to_be_saved() } else { minutes };
        Self {
            table: Arc::new(Table::new(plan.workers)),
            ledger: Arc::new(ledger),
            counters: (0..plan.workers).map(|_| Arc::new(Counters::new())).collect(),
            admission: Admission::new(settings.server.max_connections, plan.sockets_max),
            readiness: Arc::default(),
            posts: Arc::default(),
            users: Arc::new(UserSums::new(settings.metrics.users_max)),
            minutes: Arc::new(minutes),
            windows: Arc::new(Windows::new(sessions.window_hours, sessions.window_max_hours)),
            gauges: Arc::default(),
            news: Arc::default(),
            access_tally: Arc::default(),
            in_force: Arc::default(),
            node: node_name(settings),
            sandbox,
        }
    }
}

/// Where a proxy listens itself, on this host: at these addresses, and for its API.
#[must_use]
pub fn own_listeners(addresses: &[SocketAddr], api: Option<SocketAddr>) -> OwnListeners {
    let mut bound = addresses.to_vec();
    bound.extend(api);
    let local = local_addresses().unwrap_or_else(|error| {
        tracing::warn!("the addresses of this host cannot be read: {error}");
        Vec::new()
    });
    OwnListeners { bound, local: local.into() }
}

/// Wishes for a reload that wait at most: it reads what is there when it is its turn, so a second one
/// would do nothing more.
const WISHES_MAX: usize = 1;
/// Allowed cores from which on workers are pinned and one is left to the writer: with fewer, the
/// kernel's scheduler does better.
const PINNED_FROM: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_says_how_many_sessions_ran_unrecorded() {
        let (settings, _) = Settings::load(None).unwrap();
        let counters = [Arc::new(Counters::new()), Arc::new(Counters::new())];
        assert_eq!(all_stored(&settings, &counters), ": every session is stored");
        counters[0].unrecorded.add(2);
        counters[1].attempts_unrecorded.add(3);
        let said = all_stored(&settings, &counters);
        assert_eq!(said, ": every session is stored but 5 that ran, or were refused, unrecorded");
    }
}
