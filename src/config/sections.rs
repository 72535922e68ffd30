//! `[acl]`, `[resolver]`, `[sessions]` and `[metrics]`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::choice::{GuardMode, ResolverKind, Storage};
use super::error::ConfigError;
use super::file::{self, File};
use super::settings::{AclSettings, MetricsSettings, ResolverSettings, SessionSettings};
use super::source::Source;
use crate::target::{Host, HostName};

pub(super) fn acl(
    source: &Source<'_>,
    acl: &file::Acl,
    warnings: &mut Vec<String>,
) -> Result<AclSettings, ConfigError> {
    source.name("acl.anonymous_user", &acl.anonymous_user)?;
    let guard = match acl.guard.get_ref() {
        GuardMode::Auto => true,
        GuardMode::Off => {
            let message = "\"off\" lets clients reach this host's own services and networks \
                           through the proxy; use \"auto\" unless that is meant";
            warnings.push(source.warning(acl.guard.span(), "acl.guard", message));
            false
        }
    };
    let path = &acl.config_file;
    let rule_file = match (*acl.enabled.get_ref(), path.get_ref().is_empty()) {
        (true, false) => Some(PathBuf::from(path.get_ref())),
        (true, true) => {
            let message =
                "got none, expected the path of a rule file, because `acl.enabled` is true";
            // Where it is not written, what asks for it is.
            let written = [path.span(), acl.enabled.span()].into_iter().find(|it| !it.is_empty());
            return Err(source.error(written.unwrap_or_default(), "acl.config_file", message));
        }
        (false, false) => {
            let message = "not used, because `acl.enabled` is false";
            warnings.push(source.warning(path.span(), "acl.config_file", message));
            None
        }
        (false, true) => None,
    };
    let anonymous_user = acl.anonymous_user.get_ref().clone();
    Ok(AclSettings { rule_file, watch: acl.watch, anonymous_user, guard })
}

pub(super) fn resolver(
    source: &Source<'_>,
    resolver: &file::Resolver,
) -> Result<ResolverSettings, ConfigError> {
    let kind = *resolver.kind.get_ref();
    if kind == ResolverKind::Cares && !cfg!(feature = "dns-cares") {
        let message = "\"cares\" needs a build with the feature `dns-cares`, which this one is \
                       not; use \"system\"";
        return Err(source.error(resolver.kind.span(), "resolver.kind", message));
    }
    let mut servers = Vec::new();
    for server in &resolver.servers {
        let text = server.get_ref();
        let address = text
            .parse()
            .or_else(|_| text.parse().map(|address| SocketAddr::new(address, DNS_PORT)))
            .map_err(|_| {
                let message = format!(
                    "got {text:?}, expected an address such as \"192.0.2.53\", \
                     \"192.0.2.53:5353\" or \"[2001:db8::53]:5353\"",
                );
                source.error(server.span(), "resolver.servers", message)
            })?;
        servers.push(address);
    }
    let timeout = source.number("resolver.timeout_ms", &resolver.timeout_ms, 10..=60_000)?;
    Ok(ResolverSettings {
        kind,
        servers,
        timeout: Duration::from_millis(timeout),
        tries: source.number("resolver.tries", &resolver.tries, 1..=10)?,
        cache_max_ttl: Duration::from_secs(source.number(
            "resolver.cache_max_ttl_secs",
            &resolver.cache_max_ttl_secs,
            0..=86_400,
        )?),
        negative_max_ttl: Duration::from_secs(source.number(
            "resolver.negative_max_ttl_secs",
            &resolver.negative_max_ttl_secs,
            0..=86_400,
        )?),
        lookups_per_client_max: source.number(
            "resolver.lookups_per_client_max",
            &resolver.lookups_per_client_max,
            1..=4096,
        )?,
        family: resolver.family,
        hosts: hosts(source, resolver)?,
    })
}

/// Names with fixed addresses.
fn hosts(
    source: &Source<'_>,
    resolver: &file::Resolver,
) -> Result<Vec<(HostName, Vec<IpAddr>)>, ConfigError> {
    let mut hosts: Vec<(HostName, Vec<IpAddr>)> = Vec::new();
    for (name, texts) in &resolver.hosts {
        let key = format!("resolver.hosts.{}", name.get_ref());
        let Ok(Host::Name(host)) = Host::from_name(name.get_ref().as_bytes()) else {
            let message = "expected a host name such as \"db.example\"";
            return Err(source.error(name.span(), &key, message));
        };
        if hosts.iter().any(|(other, _)| *other == host) {
            return Err(source.error(name.span(), &key, "written twice, expected once"));
        }
        let addresses = texts.iter().map(|text| source.ip(&key, text));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        if !(1..=ADDRESSES_MAX).contains(&addresses.len()) {
            let message =
                format!("got {} addresses, expected 1 to {ADDRESSES_MAX}", addresses.len());
            return Err(source.error(name.span(), &key, message));
        }
        hosts.push((host, addresses));
    }
    Ok(hosts)
}

pub(super) fn sessions(source: &Source<'_>, file: &File) -> Result<SessionSettings, ConfigError> {
    let sessions = &file.sessions;
    let storage = *sessions.storage.get_ref();
    if sessions.enabled && storage == Storage::Sqlite && !cfg!(feature = "database") {
        let message = "\"sqlite\" needs a build with the feature `database`, which this one is \
                       not; use \"memory\"";
        return Err(source.error(sessions.storage.span(), "sessions.storage", message));
    }
    let url = sessions.database_url.get_ref();
    if url.strip_prefix("sqlite://").is_none_or(str::is_empty) {
        let message = format!("got {url:?}, expected `sqlite://` and a path");
        let key = "sessions.database_url";
        return Err(source.error(sessions.database_url.span(), key, message));
    }
    let window_max_hours = source.number(
        "sessions.stats_window_max_hours",
        &sessions.stats_window_max_hours,
        1..=8760,
    )?;
    let retention_days = retention_days(source, sessions, window_max_hours)?;
    let node = sessions.node.get_ref();
    if !node.is_empty() {
        source.name("sessions.node", &sessions.node)?;
    }
    let number = |key, value, most| source.number(key, value, 1..=most);
    Ok(SessionSettings {
        enabled: sessions.enabled,
        storage,
        database_url: url.clone(),
        batch_size: source.number("sessions.batch_size", &sessions.batch_size, 1..=100_000)?,
        batch_interval: Duration::from_millis(number(
            "sessions.batch_interval_ms",
            &sessions.batch_interval_ms,
            60_000,
        )?),
        retention_days,
        cleanup_interval: Duration::from_hours(number(
            "sessions.cleanup_interval_hours",
            &sessions.cleanup_interval_hours,
            8760,
        )?),
        publish_every: source.number(
            "sessions.traffic_update_packet_interval",
            &sessions.traffic_update_packet_interval,
            1..=1_000_000,
        )?,
        api: api(source, file)?,
        window_hours: source.number(
            "sessions.stats_window_hours",
            &sessions.stats_window_hours,
            1..=i64::from(window_max_hours),
        )?,
        window_max_hours,
        history_max: source.number(
            "sessions.history_max_sessions",
            &sessions.history_max_sessions,
            0..=10_000_000,
        )?,
        synchronous: sessions.synchronous,
        node: node.clone(),
        checkpoint_interval: Duration::from_secs(number(
            "sessions.checkpoint_interval_secs",
            &sessions.checkpoint_interval_secs,
            3600,
        )?),
        wal_limit_bytes: 1024
            * 1024
            * source.number::<u64>(
                "sessions.wal_limit_mb",
                &sessions.wal_limit_mb,
                32..=1_048_576,
            )?,
        ledger_slots_max: source.number(
            "sessions.ledger_slots_max",
            &sessions.ledger_slots_max,
            1..=16_777_216,
        )?,
        ledger_path: PathBuf::from(&sessions.ledger_path),
    })
}

/// Days that rows are kept. Statistics equal the table, so a window may not reach rows that are
/// being deleted; without a table there is nothing to delete.
fn retention_days(
    source: &Source<'_>,
    sessions: &file::Sessions,
    window_max_hours: u32,
) -> Result<u32, ConfigError> {
    let key = "sessions.retention_days";
    let days: u32 = source.number(key, &sessions.retention_days, 0..=36_500)?;
    let table = sessions.enabled && *sessions.storage.get_ref() == Storage::Sqlite;
    if table && days != 0 && days * 24 <= window_max_hours {
        let message = format!(
            "got {days}, expected 0 (for ever) or more than the {window_max_hours} hours of \
             sessions.stats_window_max_hours, so {} or more",
            window_max_hours / 24 + 1
        );
        return Err(source.error(sessions.retention_days.span(), key, message));
    }
    Ok(days)
}

/// Where the API listens. Whoever reaches it may read every session, so either only this host may
/// reach it, or the token is wanted of everybody.
fn api(source: &Source<'_>, file: &File) -> Result<Option<SocketAddr>, ConfigError> {
    let sessions = &file.sessions;
    let key = "sessions.stats_api_bind_address";
    let address = source.ip(key, &sessions.stats_api_bind_address)?;
    let port = source.number("sessions.stats_api_port", &sessions.stats_api_port, 0..=65_535)?;
    if !sessions.stats_api_enabled {
        return Ok(None);
    }
    if !address.to_canonical().is_loopback() && !file.server.api_require_token {
        let message = format!(
            "got {address}, expected a loopback address such as 127.0.0.1 or ::1; set \
             `server.api_require_token = true` if others are to reach the API, who then must show \
             the token of `server.api_token_file`",
        );
        return Err(source.error(sessions.stats_api_bind_address.span(), key, message));
    }
    Ok(Some(SocketAddr::new(address, port)))
}

pub(super) fn metrics(
    source: &Source<'_>,
    metrics: &file::Metrics,
) -> Result<MetricsSettings, ConfigError> {
    let enabled = *metrics.enabled.get_ref();
    if enabled && !cfg!(feature = "metrics") {
        let message = "true needs a build with the feature `metrics`, which this one is not; use \
                       false";
        return Err(source.error(metrics.enabled.span(), "metrics.enabled", message));
    }
    let users_max = source.number("metrics.users_max", &metrics.users_max, 0..=100_000)?;
    Ok(MetricsSettings { enabled, users_max })
}

/// Addresses of one name at most: as many as are dialled of any.
const ADDRESSES_MAX: usize = 16;
const DNS_PORT: u16 = 53;
