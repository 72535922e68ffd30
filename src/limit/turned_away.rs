//! Clients that were turned away at the door: counted per address over all workers, so that a flood
//! of them makes one record per address and minute.
//!
//! The lock is taken only for a client that is turned away, never for one that is let in. Whoever
//! notes the first client of an address takes the count out a minute later and records it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Now;

/// The counts of the addresses whose minute is not over.
#[derive(Debug, Default)]
pub struct TurnedAway {
    counts: Mutex<HashMap<(IpAddr, Why), Count>>,
}

/// How many clients of one address were turned away.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// When the first one came.
    pub first: Now,
    /// Its port.
    pub port: u16,
    /// When the last one came.
    pub last: Now,
    /// All of them.
    pub clients: u64,
}

/// Why a client was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// There was no room.
    NoRoom,
    /// Its address is banned.
    Banned,
    /// Its address has as many connections as it may, or opens them too fast.
    AddressLimit,
}

/// What became of a client in the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is the first of its address: the count is to be [taken](TurnedAway::take) a
    /// [`MINUTE`] later.
    First,
    /// It is one more.
    Again,
    /// [`ADDRESSES_MAX`] others are being counted: it will not be recorded.
    Unlisted,
}

impl TurnedAway {
    /// Counts a client.
    pub fn note(&self, client: SocketAddr, why: Why, now: Now) -> Noted {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&(client.ip(), why)) {
            count.clients += 1;
            count.last = now;
            return Noted::Again;
        }
        if counts.len() >= ADDRESSES_MAX {
            return Noted::Unlisted;
        }
        let count = Count { first: now, port: client.port(), last: now, clients: 1 };
        counts.insert((client.ip(), why), count);
        Noted::First
    }

    /// Ends the count of an address.
    #[must_use]
    pub fn take(&self, address: IpAddr, why: Why) -> Option<Count> {
        self.counts.lock().remove(&(address, why))
    }
}

/// For how long the clients of one address are counted together. A second more than a minute: a
/// worker reads its clock once per turn, and a client that it notes a little late must not begin a
/// second record of the same minute.
pub const MINUTE: Duration = Duration::from_secs(61);
/// Addresses counted at one time at most.
pub const ADDRESSES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn clients_of_one_address_are_one_count_until_it_is_taken() {
        let book = TurnedAway::default();
        let now = clock::now();
        let later = Now { utc_ms: now.utc_ms + 5, ..now };
        assert_eq!(book.note(([192, 0, 2, 1], 40_000).into(), Why::NoRoom, now), Noted::First);
        assert_eq!(book.note(([192, 0, 2, 1], 50_000).into(), Why::NoRoom, later), Noted::Again);
        assert_eq!(book.note(([192, 0, 2, 2], 1).into(), Why::NoRoom, later), Noted::First);
        let count = book.take([192, 0, 2, 1].into(), Why::NoRoom).unwrap();
        assert_eq!((count.clients, count.port), (2, 40_000));
        assert_eq!((count.first.utc_ms, count.last.utc_ms), (now.utc_ms, later.utc_ms));
        assert!(book.take([192, 0, 2, 1].into(), Why::NoRoom).is_none());
        assert_eq!(book.note(([192, 0, 2, 1], 1).into(), Why::NoRoom, later), Noted::First);
    }

    #[test]
    fn the_bound_on_addresses_holds_and_those_that_are_known_still_count() {
        let book = TurnedAway::default();
        let now = clock::now();
        let client = |number: usize| -> SocketAddr {
            let number = u32::try_from(number).unwrap();
            (std::net::Ipv4Addr::from_bits(number), 1).into()
        };
        for number in 0..ADDRESSES_MAX {
            assert_eq!(book.note(client(number), Why::NoRoom, now), Noted::First);
        }
        assert_eq!(book.note(client(ADDRESSES_MAX), Why::NoRoom, now), Noted::Unlisted);
        assert_eq!(book.note(client(0), Why::NoRoom, now), Noted::Again);
        assert_eq!(book.take(client(0).ip(), Why::NoRoom).unwrap().clients, 2);
        assert_eq!(book.note(client(ADDRESSES_MAX), Why::NoRoom, now), Noted::First);
    }
}
