//! The configuration as meant: typed, checked, with every default filled in.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::auth::{PamService, User, Users};
use crate::egress::{Egress, Named};
use crate::limit::{BanTerms, LimitTerms};
use crate::policy::AssociationPolicy;
use crate::proxy_protocol::Announcers;
use crate::socks::CommandSet;
use crate::target::HostName;

use super::choice::{Family, ResolverKind, Sandbox, Storage, Synchronous, Workers};
use super::environment::{Environment, NONE};
use super::error::{ConfigError, Place};
use super::file::File;
use super::logging::{self, LoggingSettings};
use super::source::Source;
use super::{egress, limits, sections, server, users};

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Listeners, threads and patience.
    pub server: ServerSettings,
    /// Who may use us.
    pub auth: AuthSettings,
    /// What they may reach.
    pub acl: AclSettings,
    /// How much of everything; but for the users, who are those of `auth`.
    pub limits: LimitTerms,
    /// How names become addresses.
    pub resolver: ResolverSettings,
    /// Which way sockets towards targets leave.
    pub egress: EgressSettings,
    /// What is booked, where, and who may read it.
    pub sessions: SessionSettings,
    /// What is logged, and how.
    pub logging: LoggingSettings,
    /// What is measured.
    pub metrics: MetricsSettings,
    /// What it was made from, with no secret in it.
    pub(super) file: File,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where SOCKS clients are accepted; at least one, no two the same. Port 0 is any free port.
    pub listen: Vec<ListenSettings>,
    /// How many threads serve connections.
    pub workers: Workers,
    /// Connections at one time, over all workers; 1 to 1 000 000.
    pub max_connections: u32,
    /// From accept to a complete request, never re-armed by octets.
    pub handshake_timeout: Duration,
    /// Over name look-up and all addresses of a target.
    pub connect_timeout: Duration,
    /// Until an address that is silent is joined by the next one; 10 ms to 10 s.
    pub attempt_delay: Duration,
    /// Without an octet in either direction.
    pub idle_timeout: Duration,
    /// Without an octet after one side has closed.
    pub half_close_timeout: Duration,
    /// Idle seconds before TCP keepalive probes; 0 switches them off.
    pub keepalive_secs: u32,
    /// Whether what flows heavily is relayed inside the kernel, where the kernel does that.
    pub splice: bool,
    /// How long connections may go on once we are asked to stop; zero cuts them at once.
    pub drain_timeout: Duration,
    /// What clients may ask for.
    pub commands: CommandSet,
    /// Where their datagrams are taken.
    pub associations: AssociationPolicy,
    /// Names by which the HTTP API may be addressed, beside its own address and `localhost`.
    pub api_hosts: Vec<String>,
    /// Where the secret is that changes through the API must show. Never empty.
    pub api_token_file: PathBuf,
    /// Whether reading wants it too; so on every address that is not loopback.
    pub api_require_token: bool,
    /// Whom the process becomes once it listens; `None` is whoever starts it.
    pub user: Option<String>,
    /// Its group then; `None` is the user's own.
    pub group: Option<String>,
    /// What it keeps itself from.
    pub sandbox: Sandbox,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whose connections begin with a PROXY protocol header.
    pub announcers: Announcers,
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// Whether a name and a password are demanded (RFC 1929).
    pub required: bool,
    /// Who may log in: those of the file itself, those of `users_file`, and whom `pam` lets in.
    pub users: Arc<Users>,
    /// Who is asked about everybody else, if anybody is.
    pub pam: Option<PamService>,
    /// Where more of them are; it may change while we run.
    pub users_file: Option<PathBuf>,
    /// What becomes of addresses from which passwords are tried.
    pub bans: BanTerms,
    /// Those of the file itself.
    pub(super) listed: Arc<[User]>,
}

/// `[acl]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclSettings {
    /// The file with the rules, if there are any.
    pub rule_file: Option<PathBuf>,
    /// Whether a change of that file is taken over by itself.
    pub watch: bool,
    /// Whom sessions of clients that need not log in are booked to; 1 to 255 octets.
    pub anonymous_user: String,
    /// Whether the guard stands.
    pub guard: bool,
}

/// `[resolver]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverSettings {
    /// Who looks names up.
    pub kind: ResolverKind,
    /// DNS servers; if empty, those of the system.
    pub servers: Vec<SocketAddr>,
    /// For one try at one server.
    pub timeout: Duration,
    /// Tries at each server; 1 to 10.
    pub tries: u32,
    /// Addresses are kept no longer than this, whatever their TTL; zero keeps none.
    pub cache_max_ttl: Duration,
    /// That a name has no address is kept no longer than this; zero keeps nothing of it.
    pub negative_max_ttl: Duration,
    /// Look-ups that one client may have in flight at each worker; 1 to 4096.
    pub lookups_per_client_max: usize,
    /// Which addresses of a name are used, and which are tried first.
    pub family: Family,
    /// Names with the addresses that they have, whatever anybody says; no name twice, and each with
    /// at least one address.
    pub hosts: Vec<(HostName, Vec<IpAddr>)>,
}

/// `[egress]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressSettings {
    /// The way of all who have no other.
    pub default: Egress,
    /// The ways of some; no name, no user and no group twice.
    pub named: Vec<Named>,
}

/// `[sessions]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// Whether sessions are booked at all.
    pub enabled: bool,
    /// Where those that have ended are kept.
    pub storage: Storage,
    /// `sqlite://` and a path.
    pub database_url: String,
    /// Sessions that make a batch full; 1 to 100 000.
    pub batch_size: usize,
    /// After which a batch that is not full is written.
    pub batch_interval: Duration,
    /// Days for which sessions are kept: 0 (for ever), or more than the longest window has; up to
    /// 36 500.
    pub retention_days: u32,
    /// Between two searches for sessions that are too old.
    pub cleanup_interval: Duration,
    /// A session's traffic is published every so many reads; 1 to 1 000 000.
    pub publish_every: u32,
    /// Where the HTTP API listens; loopback, unless the token is required. `None` switches it off.
    pub api: Option<SocketAddr>,
    /// Hours over which statistics are made when none are asked for; 1 to `window_max_hours`.
    pub window_hours: u32,
    /// The most hours that can be asked for; 1 to 8760.
    pub window_max_hours: u32,
    /// Ended sessions in memory; 0 to 10 000 000.
    pub history_max: usize,
    /// When a batch counts as written.
    pub synchronous: Synchronous,
    /// The name of this instance in what is booked, up to 255 octets; empty means the host's name.
    pub node: String,
    /// Between two write-downs of the traffic of sessions that are still open.
    pub checkpoint_interval: Duration,
    /// Octets of the database's write-ahead log from which on it is complained of; 32 MiB to 1 TiB.
    pub wal_limit_bytes: u64,
    /// Sessions that the crash ledger has room for; 1 to 16 777 216.
    pub ledger_slots_max: u32,
    /// The ledger's directory; empty means `$RUNTIME_DIRECTORY/ledger`, or `/dev/shm/rustsocks-<uid>`.
    pub ledger_path: PathBuf,
}

/// `[metrics]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Whether `/metrics` is served.
    pub enabled: bool,
    /// Users with series of their own, the rest being summed; 0 to 100 000.
    pub users_max: usize,
}

impl Settings {
    /// Reads the file, or with none takes every default: no file is ever looked for. What the variables
    /// `RUSTSOCKS_SECTION_KEY` of the process say wins over the file. Beside the settings stand warnings,
    /// one line each.
    ///
    /// Plain passwords are hashed here, which takes milliseconds each.
    ///
    /// # Errors
    /// One line that says what is wrong, where, and what was expected.
    pub fn load(path: Option<&Path>) -> Result<(Self, Vec<String>), ConfigError> {
        let text = path.map(read).transpose()?.unwrap_or_default();
        Self::parse_with(path, &text, &Environment::of_process()?)
    }

    /// The same for a process that has read it before: a plain password that is as it was has the hash
    /// that it had, so that nothing seems to have changed.
    ///
    /// # Errors
    /// One line that says what is wrong, where, and what was expected.
    pub fn load_again(
        path: Option<&Path>,
        before: &Self,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let text = path.map(read).transpose()?.unwrap_or_default();
        Self::parse_beside(path, &text, &Environment::of_process()?, Some(before))
    }

    /// Which file of users a configuration names, without reading that.
    ///
    /// # Errors
    /// One line that says what is wrong with the configuration.
    pub fn users_file(path: &Path) -> Result<Option<PathBuf>, ConfigError> {
        let text = read(path)?;
        let environment = &Environment::of_process()?;
        let file = Source { path: Some(path), text: &text, environment }.parse()?;
        let users_file = file.auth.users_file.into_inner();
        Ok((!users_file.is_empty()).then(|| users_file.into()))
    }

    /// Whether a configuration lists a user of this name itself.
    ///
    /// # Errors
    /// One line that says what is wrong with the configuration.
    pub fn lists_user(path: &Path, name: &str) -> Result<bool, ConfigError> {
        let text = read(path)?;
        let environment = &Environment::of_process()?;
        let file = Source { path: Some(path), text: &text, environment }.parse()?;
        Ok(file.auth.users.iter().any(|user| user.get_ref().username.get_ref() == name))
    }

    /// The same of a text, and of no variables; `path` is only named.
    ///
    /// # Errors
    /// One line that says what is wrong, where, and what was expected.
    pub fn parse(path: Option<&Path>, text: &str) -> Result<(Self, Vec<String>), ConfigError> {
        Self::parse_with(path, text, &NONE)
    }

    pub(super) fn parse_with(
        path: Option<&Path>,
        text: &str,
        environment: &Environment,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        Self::parse_beside(path, text, environment, None)
    }

    fn parse_beside(
        path: Option<&Path>,
        text: &str,
        environment: &Environment,
        before: Option<&Self>,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let source = Source { path, text, environment };
        let mut file = source.parse()?;
        let mut warnings = environment.warnings().to_vec();
        server::replaced(&source, &mut file, &mut warnings);
        let server = server::server(&source, &file)?;
        let before = before.map(|before| &before.file.auth);
        let auth = users::auth(&source, &mut file.auth, before, &mut warnings)?;
        let settings = Self {
            server,
            auth,
            acl: sections::acl(&source, &file.acl, &mut warnings)?,
            limits: limits::limits(&source, &file, &mut warnings)?,
            resolver: sections::resolver(&source, &file.resolver)?,
            egress: egress::egress(&source, &file)?,
            sessions: sections::sessions(&source, &file)?,
            logging: logging::logging(&source, &file)?,
            metrics: sections::metrics(&source, &file.metrics)?,
            file,
        };
        let listen = &settings.server.listen;
        server::apart(&source, &settings.file, listen, settings.sessions.api)?;
        users::apart(&source, &settings)?;
        Ok((settings, warnings))
    }
}

pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError {
        place: Place { file: Some(path.to_path_buf()), position: None },
        key: String::new(),
        message: format!("cannot be read: {error}"),
        nearest: None,
    })
}
