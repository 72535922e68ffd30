//! The parameters of quotas and bans.

use super::query::Parameters;
use super::{LIMIT, LIMIT_MAX, Miss};
use crate::admin::page::{BanCursor, QuotaCursor};

/// Which page of the quotas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotasQuery {
    /// Only what this user has for himself.
    pub user: Option<String>,
    /// At most so many.
    pub limit: u32,
    /// After this row.
    pub cursor: Option<QuotaCursor>,
}

/// Which page of the bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BansQuery {
    /// At most so many.
    pub limit: u32,
    /// After this row.
    pub cursor: Option<BanCursor>,
}

impl QuotasQuery {
    pub(super) fn take(parameters: &mut Parameters) -> Result<Self, Miss> {
        Ok(Self {
            user: parameters.text("user")?,
            limit: parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT),
            cursor: parameters.value("cursor", "one that we gave", QuotaCursor::decode)?,
        })
    }
}

impl BansQuery {
    pub(super) fn take(parameters: &mut Parameters) -> Result<Self, Miss> {
        Ok(Self {
            limit: parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT),
            cursor: parameters.value("cursor", "one that we gave", BanCursor::decode)?,
        })
    }
}
