//! `[limits]` as written.

use serde::{Deserialize, Serialize};

use super::file::{Placed, placed};

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) connections_per_user: Placed<i64>,
    pub(super) connections_per_address: Placed<i64>,
    pub(super) connection_rate_per_address: Placed<i64>,
    pub(super) connection_burst_per_address: Placed<i64>,
    pub(super) bandwidth: Vec<Bandwidth>,
    pub(super) quotas: Vec<Quota>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_user: placed(0),
            connections_per_address: placed(0),
            connection_rate_per_address: placed(0),
            connection_burst_per_address: placed(0),
            bandwidth: Vec::new(),
            quotas: Vec::new(),
        }
    }
}

/// One limit on bandwidth.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bandwidth {
    pub(super) name: Placed<String>,
    #[serde(default)]
    pub(super) users: Vec<Placed<String>>,
    #[serde(default)]
    pub(super) groups: Vec<Placed<String>>,
    #[serde(default)]
    pub(super) per: Per,
    #[serde(default = "zero")]
    pub(super) upload_kbit: Placed<i64>,
    #[serde(default = "zero")]
    pub(super) download_kbit: Placed<i64>,
    #[serde(default = "zero")]
    pub(super) burst_kib: Placed<i64>,
}

/// One quota.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quota {
    pub(super) name: Placed<String>,
    #[serde(default)]
    pub(super) users: Vec<Placed<String>>,
    #[serde(default)]
    pub(super) groups: Vec<Placed<String>>,
    #[serde(default)]
    pub(super) per: PerQuota,
    pub(super) period: Period,
    #[serde(default)]
    pub(super) direction: Counted,
    pub(super) limit_mib: Placed<i64>,
    #[serde(default = "eighty")]
    pub(super) warn_percent: Placed<i64>,
    #[serde(default)]
    pub(super) action: Action,
    #[serde(default = "throttled")]
    pub(super) throttle_kbit: Placed<i64>,
}

fn zero() -> Placed<i64> {
    placed(0)
}

fn eighty() -> Placed<i64> {
    placed(80)
}

fn throttled() -> Placed<i64> {
    placed(256)
}

/// Who shares a limit on bandwidth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Per {
    #[default]
    User,
    Session,
    All,
}

/// Who shares a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PerQuota {
    #[default]
    User,
    All,
}

/// Over how long a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Period {
    Hour,
    Day,
    Week,
    Month,
}

/// Which octets count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Counted {
    Upload,
    Download,
    #[default]
    Both,
}

/// What becomes of sessions whose quota is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    #[default]
    Cut,
    Throttle,
}
