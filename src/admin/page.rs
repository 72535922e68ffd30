//! Keyset pages: a cursor says after which row the next page begins. Pure.
//!
//! A cursor is opaque to clients: hexadecimal digits of a version, the order, and what the last row
//! of a page is sorted by. It names no offset, so rows that come and go before it move nothing.

mod limits;

use std::fmt::Write;
use std::net::IpAddr;

pub use self::limits::{BanCursor, QuotaCursor};
use crate::session::SessionId;
use crate::stats::{Order, Place};

/// What a page of sessions is sorted by; equal keys are sorted by session id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// `start_time`.
    #[default]
    StartTime,
    /// `user`.
    User,
    /// `source_ip`.
    SourceIp,
    /// `dest_ip`.
    DestIp,
    /// `bytes_sent`.
    BytesSent,
    /// `bytes_received`.
    BytesReceived,
    /// `bytes`: both ways together.
    Bytes,
}

/// The sort key of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortKey {
    /// A number: octets, or milliseconds since the epoch.
    Number(u64),
    /// A text of at most 1 024 octets.
    Text(String),
    /// An address: of IPv4 before those of IPv6.
    Address(IpAddr),
}

/// The last row of a page of live sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// What the page was sorted by.
    pub sort: Sort,
    /// Which way.
    pub order: Order,
    /// The key of its last row.
    pub key: SortKey,
    /// The id of its last row.
    pub id: SessionId,
}

/// Where a page of the history goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryCursor {
    /// Which way the page was read.
    pub order: Order,
    /// The last row that was looked at.
    pub place: Place,
}

impl Sort {
    /// Every sort, with the word for it in a query.
    pub(super) const ALL: [(Self, &'static str); 7] = [
        (Self::StartTime, "start_time"),
        (Self::User, "user"),
        (Self::SourceIp, "source_ip"),
        (Self::DestIp, "dest_ip"),
        (Self::BytesSent, "bytes_sent"),
        (Self::BytesReceived, "bytes_received"),
        (Self::Bytes, "bytes"),
    ];

    fn octet(self) -> u8 {
        match self {
            Self::StartTime => 0,
            Self::User => 1,
            Self::SourceIp => 2,
            Self::DestIp => 3,
            Self::BytesSent => 4,
            Self::BytesReceived => 5,
            Self::Bytes => 6,
        }
    }

    fn of_octet(octet: u8) -> Option<Self> {
        Self::ALL.iter().map(|(sort, _)| *sort).find(|sort| sort.octet() == octet)
    }
}

const fn octet(order: Order) -> u8 {
    match order {
        Order::Ascending => 0,
        Order::Descending => 1,
    }
}

const fn order(octet: u8) -> Option<Order> {
    match octet {
        0 => Some(Order::Ascending),
        1 => Some(Order::Descending),
        _ => None,
    }
}

impl Cursor {
    /// The text that a client hands back.
    #[must_use]
    pub fn encode(&self) -> String {
        let (high, low) = self.id.to_words();
        let mut octets = vec![VERSION, self.sort.octet(), octet(self.order)];
        octets.extend_from_slice(&high.to_be_bytes());
        octets.extend_from_slice(&low.to_be_bytes());
        match &self.key {
            SortKey::Number(number) => {
                octets.push(NUMBER);
                octets.extend_from_slice(&number.to_be_bytes());
            }
            SortKey::Text(text) => {
                octets.push(TEXT);
                octets.extend_from_slice(text.as_bytes());
            }
            SortKey::Address(address) => {
                octets.push(ADDRESS);
                match address {
                    IpAddr::V4(address) => octets.extend_from_slice(&address.octets()),
                    IpAddr::V6(address) => octets.extend_from_slice(&address.octets()),
                }
            }
        }
        hex(&octets)
    }

    /// The inverse of [`Cursor::encode`]; `None` for any text that it does not make.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > 2 * (HEAD_LENGTH + TEXT_MAX) {
            return None;
        }
        let octets = unhex(text)?;
        let (head, key) = octets.split_first_chunk::<HEAD_LENGTH>()?;
        let [version, sort, way, id @ .., kind] = head;
        let (high, low) = id.split_first_chunk::<8>()?;
        let order = order(*way)?;
        let key = match *kind {
            NUMBER => SortKey::Number(u64::from_be_bytes(key.try_into().ok()?)),
            TEXT => SortKey::Text(String::from_utf8(key.to_vec()).ok()?),
            ADDRESS => SortKey::Address(match key.len() {
                4 => <[u8; 4]>::try_from(key).ok()?.into(),
                _ => <[u8; 16]>::try_from(key).ok()?.into(),
            }),
            _ => return None,
        };
        let id = SessionId::from_words(
            u64::from_be_bytes(*high),
            u64::from_be_bytes(low.try_into().ok()?),
        );
        (*version == VERSION).then_some(Self { sort: Sort::of_octet(*sort)?, order, key, id })
    }
}

impl HistoryCursor {
    /// The text that a client hands back.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut octets = vec![HISTORY_VERSION, octet(self.order)];
        octets.extend_from_slice(&self.place.start_ms.to_be_bytes());
        octets.extend_from_slice(&self.place.row.to_be_bytes());
        hex(&octets)
    }

    /// The inverse of [`HistoryCursor::encode`]; `None` for any text that it does not make.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() != 2 * HISTORY_LENGTH {
            return None;
        }
        let octets = unhex(text)?;
        let [version, way, place @ ..] = octets.as_slice() else { return None };
        let (start_ms, row) = place.split_first_chunk::<8>()?;
        let place = Place {
            start_ms: i64::from_be_bytes(*start_ms),
            row: i64::from_be_bytes(row.try_into().ok()?),
        };
        (*version == HISTORY_VERSION).then_some(Self { order: order(*way)?, place })
    }
}

fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    for octet in octets {
        // Invariant: writing to a String does not fail.
        write!(text, "{octet:02x}").expect("a String takes all");
    }
    text
}

/// Lower-case hexadecimal digits; another spelling of the same octets is not ours.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    }
}

/// Octets of a sort key that is text; names of users and hosts have at most 255.
const TEXT_MAX: usize = 1024;
const VERSION: u8 = 1;
/// Another than that of live sessions, so that neither takes the other's.
const HISTORY_VERSION: u8 = 2;
/// Version, order, start, row.
const HISTORY_LENGTH: usize = 2 + 8 + 8;
const NUMBER: u8 = 0;
const TEXT: u8 = 1;
const ADDRESS: u8 = 2;
/// Version, sort, order, id, kind of key.
const HEAD_LENGTH: usize = 3 + 16 + 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors() -> impl Strategy<Value = Cursor> {
        let key = prop_oneof![
            any::<u64>().prop_map(SortKey::Number),
            ".{0,200}".prop_map(SortKey::Text),
            any::<IpAddr>().prop_map(SortKey::Address),
        ];
        (0..Sort::ALL.len(), any::<bool>(), key, any::<(u64, u64)>()).prop_map(
            |(sort, ascending, key, (high, low))| Cursor {
                sort: Sort::ALL[sort].0,
                order: if ascending { Order::Ascending } else { Order::Descending },
                key,
                id: SessionId::from_words(high, low),
            },
        )
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(cursor in cursors()) {
            let text = cursor.encode();
            prop_assert!(text.bytes().all(|octet| octet.is_ascii_alphanumeric()));
            prop_assert_eq!(Cursor::decode(&text), Some(cursor));
        }

        #[test]
        fn only_what_encode_makes_is_a_cursor(text in "01[0-9a-f]{36,64}|.{0,60}") {
            if let Some(cursor) = Cursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }
    }

    proptest! {
        #[test]
        fn a_place_in_the_history_comes_back_as_it_was(start_ms: i64, row: i64, ascending: bool) {
            let order = if ascending { Order::Ascending } else { Order::Descending };
            let cursor = HistoryCursor { order, place: Place { start_ms, row } };
            let text = cursor.encode();
            prop_assert_eq!(HistoryCursor::decode(&text), Some(cursor));
            prop_assert_eq!(Cursor::decode(&text), None);
        }

        #[test]
        fn only_what_encode_makes_is_a_place(text in "02[0-9a-f]{34}|.{0,60}") {
            if let Some(cursor) = HistoryCursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }
    }
}
