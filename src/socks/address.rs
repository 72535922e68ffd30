//! Addresses on the wire, both ways: RFC 1928 section 5.
//!
//! ```text
//! ATYP=1   4 octets            PORT        IPv4
//! ATYP=3   LENGTH  1..255      PORT        name, without a closing NUL
//! ATYP=4   16 octets           PORT        IPv6
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};

use super::cursor::{Cursor, Stop};
use super::malformed::Malformed;
use crate::target::{Host, HostName, Target};

/// The longest address, in octets: type, length, name, port.
pub(super) const OCTETS_MAX: usize = 1 + 1 + HostName::OCTETS_MAX + 2;

/// The longest that is no name: type, IPv6, port.
pub(super) const NUMERIC_OCTETS_MAX: usize = 1 + 16 + 2;

const V4: u8 = 0x01;
const NAME: u8 = 0x03;
const V6: u8 = 0x04;

/// Reads type, address and port. An unknown type stops at once, since its length is unknown too; an
/// impossible name only when all of it was received, so that the client has no octets on their way
/// when we hang up.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Target, Stop> {
    let host = match cursor.octet()? {
        V4 => Host::V4(Ipv4Addr::from(cursor.array::<4>()?)),
        V6 => Host::V6(Ipv6Addr::from(cursor.array::<16>()?)),
        NAME => {
            let name = cursor.counted()?;
            let port = parse_port(cursor)?;
            return Ok(Target::new(Host::from_name(name).map_err(Malformed::Name)?, port));
        }
        other => return Err(Malformed::AddressType(other).into()),
    };
    Ok(Target::new(host, parse_port(cursor)?))
}

/// Octets of the address that `octets` begin with: type, address and port. They need not all be there.
pub(super) fn length(octets: &[u8]) -> Result<usize, Stop> {
    let mut cursor = Cursor::new(octets);
    Ok(match cursor.octet()? {
        V4 => 1 + 4 + 2,
        V6 => NUMERIC_OCTETS_MAX,
        NAME => 1 + 1 + usize::from(cursor.octet()?) + 2,
        other => return Err(Malformed::AddressType(other).into()),
    })
}

fn parse_port(cursor: &mut Cursor<'_>) -> Result<u16, Stop> {
    Ok(u16::from_be_bytes(cursor.array()?))
}

/// Writes type, address and port by handing their octets to `put`, in order.
pub(super) fn write(target: &Target, mut put: impl FnMut(&[u8])) {
    match &target.host {
        Host::V4(ip) => {
            put(&[V4]);
            put(&ip.octets());
        }
        Host::V6(ip) => {
            put(&[V6]);
            put(&ip.octets());
        }
        Host::Name(name) => {
            let text = name.as_str().as_bytes();
            #[expect(clippy::cast_possible_truncation, reason = "a name has at most 255 octets")]
            put(&[NAME, text.len() as u8]);
            put(text);
        }
    }
    put(&target.port.to_be_bytes());
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::target::BadName;

    /// Any target that can stand in a request.
    pub(in crate::socks) fn any_target() -> impl Strategy<Value = Target> {
        let name = "[a-zA-Z0-9_-]{1,60}(\\.[a-zA-Z0-9_-]{1,60}){0,3}";
        let host = prop_oneof![
            any::<IpAddr>().prop_map(Host::from),
            name.prop_map(|name| Host::from_name(name.as_bytes()).unwrap()),
        ];
        (host, any::<u16>()).prop_map(|(host, port)| Target::new(host, port))
    }

    pub(in crate::socks) fn written(target: &Target) -> Vec<u8> {
        let mut octets = Vec::new();
        write(target, |more| octets.extend_from_slice(more));
        octets
    }

    fn read(octets: &[u8]) -> Result<Target, Stop> {
        parse(&mut Cursor::new(octets))
    }

    #[test]
    fn each_type_has_its_form() {
        let target = |text: &[u8], port| Target::new(Host::from_name(text).unwrap(), port);
        let forms: [(Target, &[u8]); 3] = [
            (target(b"192.0.2.1", 80), &[1, 192, 0, 2, 1, 0, 80]),
            (target(b"a.test", 443), b"\x03\x06a.test\x01\xbb"),
            (
                target(b"2001:db8::1", 0x1234),
                &[4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x12, 0x34],
            ),
        ];
        for (target, octets) in forms {
            assert_eq!(written(&target), octets);
            assert_eq!(read(octets), Ok(target));
        }
    }

    #[test]
    fn a_literal_dressed_as_a_name_is_an_address() {
        let read = read(b"\x03\x09127.0.0.1\x00\x50").unwrap();
        assert_eq!(read.host, Host::V4(Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn an_unknown_type_stops_at_once() {
        for octet in (0..=255).filter(|octet| ![V4, NAME, V6].contains(octet)) {
            assert_eq!(read(&[octet]), Err(Malformed::AddressType(octet).into()));
        }
    }

    #[test]
    fn an_impossible_name_stops_when_all_of_it_is_here() {
        let whole = b"\x03\x03a\0b\x00\x50";
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Err(Stop::Incomplete));
        }
        assert_eq!(read(whole), Err(Malformed::Name(BadName::Octet(0)).into()));
        assert_eq!(read(&[3, 0, 0, 80]), Err(Malformed::Name(BadName::Empty).into()));
    }

    #[test]
    fn the_longest_forms_are_what_the_constants_say() {
        let longest = Target::new(Host::from_name(&[b'a'; 255]).unwrap(), 1);
        assert_eq!(written(&longest).len(), OCTETS_MAX);
        let numeric = Target::new(Host::V6(Ipv6Addr::LOCALHOST), 1);
        assert_eq!(written(&numeric).len(), NUMERIC_OCTETS_MAX);
    }

    proptest! {
        #[test]
        fn any_target_is_read_back_and_every_prefix_is_incomplete(
            target in any_target(),
            behind: [u8; 3],
        ) {
            let whole = written(&target);
            for length in 0..whole.len() {
                prop_assert_eq!(read(&whole[..length]), Err(Stop::Incomplete));
            }
            let more = [whole.as_slice(), &behind].concat();
            let mut cursor = Cursor::new(&more);
            prop_assert_eq!(parse(&mut cursor), Ok(target));
            prop_assert_eq!(cursor.used(), whole.len());
        }

        #[test]
        fn no_octets_panic(octets: Vec<u8>) {
            if let Ok(target) = read(&octets) {
                prop_assert_eq!(read(&written(&target)), Ok(target));
            }
        }
    }
}
