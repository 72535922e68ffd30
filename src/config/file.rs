//! The file as written: every key, its type and its default. What the values mean, and whether
//! they can be meant, is for `settings.rs`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, IgnoredAny, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use toml::Spanned;
use zeroize::Zeroizing;

use super::choice::{
    Family, Format, GuardMode, Level, ResolverKind, Sandbox, SocksMethod, Spread, Storage,
    Synchronous, Workers,
};

pub(super) use super::limits_file::Limits;

/// A value that knows where it stands; one that was not written stands nowhere.
pub(super) type Placed<T> = Spanned<T>;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) auth: Auth,
    pub(super) acl: Acl,
    pub(super) limits: Limits,
    pub(super) resolver: Resolver,
    pub(super) egress: Egress,
    pub(super) sessions: Sessions,
    pub(super) logging: Logging,
    pub(super) metrics: Metrics,
    #[serde(skip_serializing)]
    pub(super) qos: Option<Placed<IgnoredAny>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    pub(super) bind_address: Placed<String>,
    pub(super) bind_port: Placed<i64>,
    pub(super) workers: Placed<Workers>,
    pub(super) max_connections: Placed<i64>,
    pub(super) handshake_timeout_ms: Placed<i64>,
    pub(super) connect_timeout_ms: Placed<i64>,
    pub(super) attempt_delay_ms: Placed<i64>,
    pub(super) idle_timeout_secs: Placed<i64>,
    pub(super) half_close_timeout_secs: Placed<i64>,
    pub(super) tcp_keepalive_secs: Placed<i64>,
    pub(super) splice: bool,
    pub(super) drain_timeout_secs: Placed<i64>,
    pub(super) commands: Placed<Vec<Placed<String>>>,
    pub(super) udp_advertised_address: Placed<String>,
    pub(super) udp_port_range: Placed<String>,
    pub(super) allow_open_proxy: bool,
    pub(super) api_hosts: Vec<Placed<String>>,
    pub(super) api_token_file: Placed<String>,
    pub(super) api_require_token: bool,
    #[serde(skip_serializing)]
    pub(super) pool: Option<Placed<IgnoredAny>>,
    pub(super) proxy_protocol_from: Vec<Placed<String>>,
    pub(super) user: Placed<String>,
    pub(super) group: Placed<String>,
    pub(super) sandbox: Sandbox,
    pub(super) listen: Vec<Listen>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            bind_address: placed("127.0.0.1".to_owned()),
            bind_port: placed(1080),
            workers: placed(Workers::Auto),
            max_connections: placed(10_000),
            handshake_timeout_ms: placed(10_000),
            connect_timeout_ms: placed(10_000),
            attempt_delay_ms: placed(250),
            idle_timeout_secs: placed(600),
            half_close_timeout_secs: placed(120),
            tcp_keepalive_secs: placed(60),
            splice: true,
            drain_timeout_secs: placed(10),
            commands: placed(vec![
                placed("connect".to_owned()),
                placed("udp_associate".to_owned()),
            ]),
            udp_advertised_address: placed(String::new()),
            udp_port_range: placed(String::new()),
            allow_open_proxy: false,
            api_hosts: Vec::new(),
            api_token_file: placed("data/api-token".to_owned()),
            api_require_token: false,
            pool: None,
            proxy_protocol_from: Vec::new(),
            user: placed(String::new()),
            group: placed(String::new()),
            sandbox: Sandbox::On,
            listen: Vec::new(),
        }
    }
}

/// One more listener.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    pub(super) address: Placed<String>,
    pub(super) port: Placed<i64>,
    #[serde(default)]
    pub(super) proxy_protocol_from: Vec<Placed<String>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Auth {
    pub(super) socks_method: Placed<SocksMethod>,
    pub(super) users_file: Placed<String>,
    pub(super) pam_service: Placed<String>,
    pub(super) pam_groups: Vec<String>,
    pub(super) max_failures: Placed<i64>,
    pub(super) ban_secs: Placed<i64>,
    pub(super) failure_delay_ms: Placed<i64>,
    pub(super) users: Vec<Placed<UserEntry>>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            socks_method: placed(SocksMethod::None),
            users_file: placed(String::new()),
            pam_service: placed(String::new()),
            pam_groups: Vec::new(),
            max_failures: placed(10),
            ban_secs: placed(300),
            failure_delay_ms: placed(500),
            users: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserEntry {
    pub(super) username: Placed<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password_hash: Option<Placed<Secret>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<Placed<Secret>>,
    #[serde(default)]
    pub(super) groups: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Acl {
    pub(super) enabled: Placed<bool>,
    pub(super) config_file: Placed<String>,
    pub(super) watch: bool,
    pub(super) anonymous_user: Placed<String>,
    pub(super) guard: Placed<GuardMode>,
}

impl Default for Acl {
    fn default() -> Self {
        Self {
            enabled: placed(false),
            config_file: placed(String::new()),
            watch: false,
            anonymous_user: placed("anonymous".to_owned()),
            guard: placed(GuardMode::Auto),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Resolver {
    pub(super) kind: Placed<ResolverKind>,
    pub(super) servers: Vec<Placed<String>>,
    pub(super) timeout_ms: Placed<i64>,
    pub(super) tries: Placed<i64>,
    pub(super) cache_max_ttl_secs: Placed<i64>,
    pub(super) negative_max_ttl_secs: Placed<i64>,
    pub(super) lookups_per_client_max: Placed<i64>,
    pub(super) family: Family,
    pub(super) hosts: BTreeMap<Placed<String>, Vec<Placed<String>>>,
}

impl Default for Resolver {
    fn default() -> Self {
        let kind =
            if cfg!(feature = "dns-cares") { ResolverKind::Cares } else { ResolverKind::System };
        Self {
            kind: placed(kind),
            servers: Vec::new(),
            timeout_ms: placed(2000),
            tries: placed(5),
            cache_max_ttl_secs: placed(300),
            negative_max_ttl_secs: placed(60),
            lookups_per_client_max: placed(256),
            family: Family::Any,
            hosts: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Egress {
    pub(super) addresses: Vec<Placed<String>>,
    pub(super) spread: Spread,
    pub(super) interface: Placed<String>,
    pub(super) mark: Placed<i64>,
    pub(super) named: Vec<NamedEgress>,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            spread: Spread::Client,
            interface: placed(String::new()),
            mark: placed(0),
            named: Vec::new(),
        }
    }
}

/// One more way out.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedEgress {
    pub(super) name: Placed<String>,
    #[serde(default)]
    pub(super) users: Vec<Placed<String>>,
    #[serde(default)]
    pub(super) groups: Vec<Placed<String>>,
    #[serde(default)]
    pub(super) addresses: Vec<Placed<String>>,
    #[serde(default = "by_client")]
    pub(super) spread: Spread,
    #[serde(default = "nothing")]
    pub(super) interface: Placed<String>,
    #[serde(default = "zero")]
    pub(super) mark: Placed<i64>,
}

const fn by_client() -> Spread {
    Spread::Client
}

fn nothing() -> Placed<String> {
    placed(String::new())
}

fn zero() -> Placed<i64> {
    placed(0)
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Sessions {
    pub(super) enabled: bool,
    pub(super) storage: Placed<Storage>,
    pub(super) database_url: Placed<String>,
    pub(super) batch_size: Placed<i64>,
    pub(super) batch_interval_ms: Placed<i64>,
    pub(super) retention_days: Placed<i64>,
    pub(super) cleanup_interval_hours: Placed<i64>,
    pub(super) traffic_update_packet_interval: Placed<i64>,
    pub(super) stats_api_enabled: bool,
    pub(super) stats_api_bind_address: Placed<String>,
    pub(super) stats_api_port: Placed<i64>,
    pub(super) stats_window_hours: Placed<i64>,
    pub(super) stats_window_max_hours: Placed<i64>,
    pub(super) history_max_sessions: Placed<i64>,
    pub(super) synchronous: Synchronous,
    pub(super) node: Placed<String>,
    pub(super) checkpoint_interval_secs: Placed<i64>,
    pub(super) wal_limit_mb: Placed<i64>,
    pub(super) ledger_slots_max: Placed<i64>,
    pub(super) ledger_path: String,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            enabled: true,
            storage: placed(Storage::Sqlite),
            database_url: placed("sqlite://data/sessions.db".to_owned()),
            batch_size: placed(100),
            batch_interval_ms: placed(1000),
            retention_days: placed(90),
            cleanup_interval_hours: placed(24),
            traffic_update_packet_interval: placed(10),
            stats_api_enabled: true,
            stats_api_bind_address: placed("127.0.0.1".to_owned()),
            stats_api_port: placed(9090),
            stats_window_hours: placed(24),
            stats_window_max_hours: placed(168),
            history_max_sessions: placed(10_000),
            synchronous: Synchronous::Full,
            node: placed(String::new()),
            checkpoint_interval_secs: placed(5),
            wal_limit_mb: placed(64),
            ledger_slots_max: placed(262_144),
            ledger_path: String::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Logging {
    pub(super) level: Level,
    pub(super) format: Format,
    pub(super) access_log: Placed<String>,
    pub(super) access_log_format: Placed<String>,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: Level::Info,
            format: Format::Text,
            access_log: placed(String::new()),
            access_log_format: placed("json".to_owned()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) enabled: Placed<bool>,
    pub(super) users_max: Placed<i64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: placed(cfg!(feature = "metrics")), users_max: placed(100) }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq)]
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    /// Nothing of the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    /// Nothing of the text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::from(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A value that stands nowhere in the file.
pub(super) fn placed<T>(value: T) -> Placed<T> {
    Spanned::new(0..0, value)
}

/// What is shown in a secret's place.
const MASK: &str = "***";
