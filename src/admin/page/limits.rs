//! The cursors of quotas and of bans.

use std::net::IpAddr;
use std::sync::Arc;

use super::{hex, unhex};

/// The last row of a page of quotas: its name, and whose it is where each user has it for himself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaCursor {
    /// The name of the quota.
    pub quota: Arc<str>,
    /// Whose.
    pub user: Option<Box<str>>,
}

/// The last row of a page of bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BanCursor {
    /// When it ends, milliseconds since the epoch.
    pub until_ms: i64,
    /// The address.
    pub address: IpAddr,
}

impl QuotaCursor {
    /// The text that a client hands back.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut octets = vec![QUOTA_VERSION];
        // Neither name has control characters.
        octets.extend_from_slice(self.quota.as_bytes());
        octets.push(END);
        octets.push(u8::from(self.user.is_some()));
        octets.extend_from_slice(self.user.as_deref().unwrap_or_default().as_bytes());
        hex(&octets)
    }

    /// The inverse of [`QuotaCursor::encode`]; `None` for any text that it does not make.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > 2 * NAMES_MAX {
            return None;
        }
        let octets = unhex(text)?;
        let [QUOTA_VERSION, names @ ..] = octets.as_slice() else { return None };
        let end = names.iter().position(|octet| *octet == END)?;
        let (quota, user) = names.split_at(end);
        let user = match user {
            [END, 0] => None,
            [END, 1, user @ ..] => Some(str::from_utf8(user).ok()?.into()),
            _ => return None,
        };
        Some(Self { quota: str::from_utf8(quota).ok()?.into(), user })
    }
}

impl BanCursor {
    /// The text that a client hands back.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut octets = vec![BAN_VERSION];
        octets.extend_from_slice(&self.until_ms.to_be_bytes());
        match self.address {
            IpAddr::V4(address) => {
                octets.push(V4);
                octets.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                octets.push(V6);
                octets.extend_from_slice(&address.octets());
            }
        }
        hex(&octets)
    }

    /// The inverse of [`BanCursor::encode`]; `None` for any text that it does not make.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > 2 * BAN_MAX {
            return None;
        }
        let octets = unhex(text)?;
        let [BAN_VERSION, rest @ ..] = octets.as_slice() else { return None };
        let (until_ms, address) = rest.split_first_chunk::<8>()?;
        let address = match address {
            [V4, address @ ..] => <[u8; 4]>::try_from(address).ok()?.into(),
            [V6, address @ ..] => <[u8; 16]>::try_from(address).ok()?.into(),
            _ => return None,
        };
        Some(Self { until_ms: i64::from_be_bytes(*until_ms), address })
    }
}

/// Others than those of sessions, so that no list takes another's.
const QUOTA_VERSION: u8 = 3;
const BAN_VERSION: u8 = 4;
const END: u8 = 0;
const V4: u8 = 4;
const V6: u8 = 6;
/// Octets of a name of a quota and one of a user; each has far fewer than half of it.
const NAMES_MAX: usize = 2048;
const BAN_MAX: usize = 1 + 8 + 1 + 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_place_among_quotas_or_bans_comes_back_as_it_was(
            quota in "\\PC{1,50}",
            user in prop::option::of("\\PC{1,50}"),
            until_ms: i64,
            address: IpAddr,
        ) {
            let cursor = QuotaCursor { quota: quota.into(), user: user.map(Into::into) };
            prop_assert_eq!(QuotaCursor::decode(&cursor.encode()), Some(cursor));
            let cursor = BanCursor { until_ms, address };
            prop_assert_eq!(BanCursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn only_what_encode_makes_is_a_place(text in "0[34][0-9a-f]{0,60}|.{0,60}") {
            if let Some(cursor) = QuotaCursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text.clone());
            }
            if let Some(cursor) = BanCursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }
    }
}
