//! The header in front of each datagram of an association: RFC 1928 section 7.
//!
//! ```text
//! RSV=0  FRAG  ATYP  DST.ADDR  DST.PORT  DATA
//!     2     1     1    4..256         2   0..
//! ```
//!
//! RSV must be zero, but its value is ignored, as in the request. FRAG other than zero is a fragment
//! of a larger datagram; putting those together is optional, and as everywhere else they are dropped.
//!
//! Towards the client the address is that of the host which the datagram came from.

use std::net::SocketAddr;

use super::address;
use super::cursor::{Cursor, Stop};
use super::malformed::Malformed;
use crate::target::{Target, canonical_ip};

/// A client's datagram, taken apart without a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// ATYP, DST.ADDR and DST.PORT as they came. Where the datagrams of one target are recognised,
    /// these octets do, and nothing is read or allocated.
    pub address: &'a [u8],
    /// DATA; may be empty.
    pub payload: &'a [u8],
}

/// Why a datagram is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDatagram {
    /// FRAG is not 0.
    #[error("fragment {0} of a datagram, and fragments are not supported")]
    Fragment(u8),
    /// It ends within its header.
    #[error("the datagram ends within its header")]
    Short,
    /// Its address is none.
    #[error("{0}")]
    Address(#[from] Malformed),
}

impl<'a> Datagram<'a> {
    /// Takes a datagram of a client apart. Whether its address can be meant is for
    /// [`target`](Self::target) to say.
    ///
    /// # Errors
    /// [`BadDatagram`]: a fragment, or no address in front.
    pub fn split(octets: &'a [u8]) -> Result<Self, BadDatagram> {
        let [_, _, fragment, rest @ ..] = octets else { return Err(BadDatagram::Short) };
        if *fragment != 0 {
            return Err(BadDatagram::Fragment(*fragment));
        }
        let length = address::length(rest)?;
        let (address, payload) = rest.split_at_checked(length).ok_or(BadDatagram::Short)?;
        Ok(Self { address, payload })
    }

    /// Where it is to go.
    ///
    /// # Errors
    /// [`BadDatagram::Address`], when DST.ADDR is an impossible name.
    pub fn target(&self) -> Result<Target, BadDatagram> {
        address::parse(&mut Cursor::new(self.address)).map_err(BadDatagram::from)
    }

    /// Writes the header for a datagram that came from `source` into the end of `room`, right before
    /// the payload that lies behind it, and returns where in `room` it begins. IPv4-mapped addresses are
    /// written as IPv4.
    pub fn write_header(source: SocketAddr, room: &mut [u8; HEADER_OCTETS_MAX]) -> usize {
        let source = SocketAddr::new(canonical_ip(source.ip()), source.port());
        let length = if source.is_ipv4() { 3 + 1 + 4 + 2 } else { HEADER_OCTETS_MAX };
        let start = room.len() - length;
        let mut at = start;
        let mut put = |octets: &[u8]| {
            room[at..at + octets.len()].copy_from_slice(octets);
            at += octets.len();
        };
        put(&[0, 0, 0]);
        address::write(&Target::from(source), put);
        start
    }
}

/// The longest header towards a client, in octets: that of an IPv6 address.
pub const HEADER_OCTETS_MAX: usize = 3 + address::NUMERIC_OCTETS_MAX;

impl From<Stop> for BadDatagram {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Incomplete => Self::Short,
            Stop::Malformed(malformed) => Self::Address(malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::address::tests::{any_target, written};
    use super::*;

    #[test]
    fn the_parts_are_where_the_rfc_says() {
        let octets = b"\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x35data";
        let datagram = Datagram::split(octets).unwrap();
        assert_eq!(datagram.address, b"\x01\xc0\x00\x02\x01\x00\x35");
        assert_eq!(datagram.payload, b"data");
        assert_eq!(datagram.target().unwrap().to_string(), "192.0.2.1:53");
    }

    #[test]
    fn a_fragment_a_short_one_and_an_unknown_type_are_no_datagrams() {
        let split = |octets: &[u8]| Datagram::split(octets).unwrap_err();
        assert_eq!(split(b"\x00\x00\x01\x01\xc0\x00\x02\x01\x00\x35"), BadDatagram::Fragment(1));
        assert_eq!(split(b"\x00\x00\x80"), BadDatagram::Fragment(0x80));
        assert_eq!(split(b"\x00\x00\x00\x07"), Malformed::AddressType(7).into());
        let whole = b"\x00\x00\x00\x03\x01a\x00\x35";
        for length in 0..whole.len() {
            assert_eq!(split(&whole[..length]), BadDatagram::Short);
        }
        assert_eq!(Datagram::split(whole).unwrap().payload, b"");
    }

    #[test]
    fn an_impossible_name_is_no_target() {
        let datagram = Datagram::split(b"\x00\x00\x00\x03\x03a\0b\x00\x35").unwrap();
        assert!(matches!(datagram.target(), Err(BadDatagram::Address(Malformed::Name(_)))));
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_back(
            reserved: [u8; 2],
            target in any_target(),
            payload: Vec<u8>,
        ) {
            let octets = [&reserved[..], &[0], &written(&target), &payload].concat();
            let datagram = Datagram::split(&octets).unwrap();
            prop_assert_eq!(datagram.target(), Ok(target));
            prop_assert_eq!(datagram.payload, &payload);
        }

        #[test]
        fn any_answer_is_read_back(source: SocketAddr, payload: Vec<u8>) {
            let mut room = [0xff; HEADER_OCTETS_MAX];
            let start = Datagram::write_header(source, &mut room);
            let octets = [&room[start..], &payload].concat();
            let datagram = Datagram::split(&octets).unwrap();
            let expected = SocketAddr::new(source.ip().to_canonical(), source.port());
            prop_assert_eq!(datagram.target(), Ok(Target::from(expected)));
            prop_assert_eq!(datagram.payload, &payload);
        }

        #[test]
        fn no_octets_panic(octets: Vec<u8>) {
            if let Ok(datagram) = Datagram::split(&octets) {
                drop(datagram.target());
                prop_assert_eq!(
                    3 + datagram.address.len() + datagram.payload.len(),
                    octets.len()
                );
            }
        }
    }
}
