//! What differs between two configurations, and whether that takes a restart.

use std::collections::BTreeMap;

use super::settings::Settings;

/// Keys whose values differ, each with its section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What a reload applies.
    pub live: Vec<String>,
    /// What only a restart applies.
    pub restart: Vec<String>,
}

impl Changes {
    /// What is new in `next` against what is in force: the settings that the process `started` with, and
    /// those that were `applied` last.
    #[must_use]
    pub fn between(started: &Settings, applied: &Settings, next: &Settings) -> Self {
        let (before, now, new) = (values(started), values(applied), values(next));
        let mut changes = Self::default();
        for (key, value) in &new {
            // Threads that ask PAM are only there where they were wanted from the start.
            let live = is_live(key) && (key != "auth.pam_service" || started.auth.pam.is_some());
            if live {
                if now.get(key) != Some(value) {
                    changes.live.push(key.clone());
                }
            } else if before.get(key) != Some(value) {
                changes.restart.push(key.clone());
            }
        }
        // Secrets are shown masked, so a new password is seen here only.
        let users = "auth.users".to_owned();
        if !applied.auth.users.lists_as(&next.auth.users) && !changes.live.contains(&users) {
            changes.live.push(users);
        }
        changes
    }
}

fn values(settings: &Settings) -> BTreeMap<String, toml::Value> {
    let sections = toml::Table::try_from(&settings.file).unwrap_or_default();
    let mut values = BTreeMap::new();
    for (section, keys) in sections {
        if let toml::Value::Table(keys) = keys {
            values.extend(keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)));
        }
    }
    values
}

fn is_live(key: &str) -> bool {
    LIVE.iter().any(|live| match live.strip_suffix('*') {
        Some(section) => key.starts_with(section),
        None => key == *live,
    })
}

/// What a reload applies: all that stands in the policy.
const LIVE: [&str; 13] = [
    "acl.*",
    "auth.*",
    "egress.*",
    "limits.*",
    "server.handshake_timeout_ms",
    "server.connect_timeout_ms",
    "server.attempt_delay_ms",
    "server.idle_timeout_secs",
    "server.half_close_timeout_secs",
    "server.commands",
    "server.udp_advertised_address",
    "server.udp_port_range",
    "server.allow_open_proxy",
];
