//! `[limits]`: how much of everything.

use std::collections::HashSet;
use std::sync::Arc;

use super::choice::Storage;
use super::error::ConfigError;
use super::file::{File, Placed};
use super::limits_file::{self, Action, Counted, Per, PerQuota, Period};
use super::source::Source;
use crate::limit::{self, BandwidthTerms, LimitTerms, QuotaTerms, Rate, Whom};

pub(super) fn limits(
    source: &Source<'_>,
    file: &File,
    warnings: &mut Vec<String>,
) -> Result<LimitTerms, ConfigError> {
    let section = &file.limits;
    let number = |key: &str, value| source.number(&format!("limits.{key}"), value, 0..=CLIENTS_MAX);
    let per_second: u64 =
        number("connection_rate_per_address", &section.connection_rate_per_address)?;
    let burst: u64 = number("connection_burst_per_address", &section.connection_burst_per_address)?;
    let terms = LimitTerms {
        connections_per_user: source.number(
            "limits.connections_per_user",
            &section.connections_per_user,
            0..=CLIENTS_MAX,
        )?,
        connections_per_address: source.number(
            "limits.connections_per_address",
            &section.connections_per_address,
            0..=CLIENTS_MAX,
        )?,
        connection_rate: (per_second > 0)
            .then_some(Rate { per_second, burst: if burst == 0 { per_second } else { burst } }),
        bandwidths: bandwidths(source, &section.bandwidth)?,
        quotas: quotas(source, &section.quotas)?,
        ..LimitTerms::default()
    };
    let kept = file.sessions.enabled && *file.sessions.storage.get_ref() == Storage::Sqlite;
    if let Some(quota) = section.quotas.first()
        && !kept
    {
        let message = "what is used of quotas is forgotten at a restart, because \
                       `sessions.storage` is not \"sqlite\"";
        warnings.push(source.warning(quota.name.span(), "limits.quotas", message));
    }
    Ok(terms)
}

fn bandwidths(
    source: &Source<'_>,
    entries: &[limits_file::Bandwidth],
) -> Result<Vec<BandwidthTerms>, ConfigError> {
    let key = |field: &str| format!("limits.bandwidth.{field}");
    let mut known = HashSet::new();
    let mut all = Vec::new();
    for entry in entries {
        let name = name(source, &key("name"), &entry.name, &mut known)?;
        let burst: u64 = source.number(&key("burst_kib"), &entry.burst_kib, 0..=KIB_MAX)?;
        let rate = |field: &str, kbit| -> Result<Option<Rate>, ConfigError> {
            let kbit: u64 = source.number(&key(field), kbit, 0..=KBIT_MAX)?;
            let rate = Rate { per_second: kbit * OCTETS_PER_KBIT, burst: burst * 1024 };
            Ok((kbit > 0).then_some(rate))
        };
        let rates = [
            rate("upload_kbit", &entry.upload_kbit)?,
            rate("download_kbit", &entry.download_kbit)?,
        ];
        if rates == [None, None] {
            let message = "limits nothing, expected `upload_kbit`, `download_kbit` or both";
            return Err(source.error(entry.name.span(), "limits.bandwidth", message));
        }
        let whom = whom(source, "limits.bandwidth", (&entry.users, &entry.groups))?;
        let per = match entry.per {
            Per::User => limit::Per::User,
            Per::Session => limit::Per::Session,
            Per::All => limit::Per::All,
        };
        all.push(BandwidthTerms { name, whom, per, rates });
    }
    Ok(all)
}

fn quotas(
    source: &Source<'_>,
    entries: &[limits_file::Quota],
) -> Result<Vec<Arc<QuotaTerms>>, ConfigError> {
    let key = |field: &str| format!("limits.quotas.{field}");
    let mut known = HashSet::new();
    let mut all = Vec::new();
    for entry in entries {
        let name = name(source, &key("name"), &entry.name, &mut known)?;
        if entry.users.is_empty() && entry.groups.is_empty() {
            let message = "is nobody's, expected `users`, `groups` or both; users = [\"*\"] is \
                           everybody";
            return Err(source.error(entry.name.span(), "limits.quotas", message));
        }
        let mib: u64 = source.number(&key("limit_mib"), &entry.limit_mib, 1..=MIB_MAX)?;
        let percent: u64 = source.number(&key("warn_percent"), &entry.warn_percent, 1..=100)?;
        let kbit: u64 = source.number(&key("throttle_kbit"), &entry.throttle_kbit, 1..=KBIT_MAX)?;
        let octets = mib * 1024 * 1024;
        all.push(Arc::new(QuotaTerms {
            name,
            whom: whom(source, "limits.quotas", (&entry.users, &entry.groups))?,
            per_user: entry.per == PerQuota::User,
            period: match entry.period {
                Period::Hour => limit::Period::Hour,
                Period::Day => limit::Period::Day,
                Period::Week => limit::Period::Week,
                Period::Month => limit::Period::Month,
            },
            counted: match entry.direction {
                Counted::Upload => limit::Counted::Upload,
                Counted::Download => limit::Counted::Download,
                Counted::Both => limit::Counted::Both,
            },
            octets,
            warn_octets: octets / 100 * percent + octets % 100 * percent / 100,
            brake: match entry.action {
                Action::Cut => None,
                Action::Throttle => Some(Rate { per_second: kbit * OCTETS_PER_KBIT, burst: 0 }),
            },
        }));
    }
    Ok(all)
}

/// A name that is there once. The table of what is used has it before a slash.
fn name<'a>(
    source: &Source<'_>,
    key: &str,
    name: &'a Placed<String>,
    known: &mut HashSet<&'a str>,
) -> Result<Arc<str>, ConfigError> {
    source.name(key, name)?;
    let got = name.get_ref();
    if got.contains(|c: char| c == '/' || c.is_control()) {
        let message =
            format!("got {got:?}, expected a name without slashes and control characters");
        return Err(source.error(name.span(), key, message));
    }
    if !known.insert(got) {
        let message = format!("got {got:?} twice, expected it once");
        return Err(source.error(name.span(), key, message));
    }
    Ok(got.as_str().into())
}

fn whom(
    source: &Source<'_>,
    key: &str,
    (users, groups): (&[Placed<String>], &[Placed<String>]),
) -> Result<Whom, ConfigError> {
    let mut whom = Whom::default();
    for user in users {
        source.name(&format!("{key}.users"), user)?;
        match user.get_ref().as_str() {
            "*" => whom.everybody = true,
            name => whom.users.push(name.into()),
        }
    }
    for group in groups {
        source.name(&format!("{key}.groups"), group)?;
        whom.groups.push(group.get_ref().as_str().into());
    }
    Ok(whom)
}

/// As many connections as there can be.
const CLIENTS_MAX: i64 = 1_000_000;
/// 1000 bits.
const OCTETS_PER_KBIT: u64 = 125;
/// 1 Tbit/s.
const KBIT_MAX: i64 = 1_000_000_000;
/// 1 GiB.
const KIB_MAX: i64 = 1024 * 1024;
/// 100 TiB, less than what is counted at most.
const MIB_MAX: i64 = 100 * 1024 * 1024;
