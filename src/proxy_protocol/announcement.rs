//! One announcement. The `ppp` crate reads both versions; here is what it means for us.

use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};

/// What a load balancer says of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// It passes on a client from this address, IPv4-mapped ones unwrapped.
    Client(SocketAddr),
    /// It speaks for itself (v2 LOCAL, a health check), or cannot say for whom (v1 UNKNOWN, a Unix
    /// socket): the connection's own address counts.
    Itself,
}

/// The octets are no announcement, and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnnouncement {
    /// They break the protocol.
    #[error("the connection does not begin with a PROXY protocol header")]
    Syntax,
    /// A client of datagrams on a stream.
    #[error("the PROXY protocol header announces something else than a TCP client")]
    Protocol,
    /// It goes beyond [`ANNOUNCEMENT_OCTETS_MAX`].
    #[error("the PROXY protocol header has more than {ANNOUNCEMENT_OCTETS_MAX} octets")]
    TooLong,
}

/// Reads an announcement from the front of `input`; answers it with its length, or `None` if it goes
/// on.
///
/// # Errors
/// [`BadAnnouncement`].
pub fn parse(input: &[u8]) -> Result<Option<(Announcement, usize)>, BadAnnouncement> {
    let Some(length) = length(input)? else { return Ok(None) };
    // The parser takes some prefixes of a header for a fault, so it sees whole ones only.
    let result = HeaderResult::parse(&input[..length]);
    match result {
        HeaderResult::V1(Ok(header)) => {
            let announced = match header.addresses {
                v1::Addresses::Tcp4(ip) => {
                    Announcement::Client(SocketAddr::new(ip.source_address.into(), ip.source_port))
                }
                v1::Addresses::Tcp6(ip) => Announcement::Client(canonical(SocketAddr::new(
                    ip.source_address.into(),
                    ip.source_port,
                ))),
                v1::Addresses::Unknown => Announcement::Itself,
            };
            Ok(Some((announced, length)))
        }
        HeaderResult::V2(Ok(header)) => {
            let announced = match (header.command, header.addresses) {
                (v2::Command::Local, _)
                | (v2::Command::Proxy, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => {
                    Announcement::Itself
                }
                (v2::Command::Proxy, _) if header.protocol == v2::Protocol::Datagram => {
                    return Err(BadAnnouncement::Protocol);
                }
                (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
                    Announcement::Client(SocketAddr::new(ip.source_address.into(), ip.source_port))
                }
                (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => Announcement::Client(canonical(
                    SocketAddr::new(ip.source_address.into(), ip.source_port),
                )),
            };
            Ok(Some((announced, length)))
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(BadAnnouncement::Syntax),
    }
}

/// How long the header is that `input` begins with; `None` while that, or all of it, is not here yet.
fn length(input: &[u8]) -> Result<Option<usize>, BadAnnouncement> {
    let begins = |prefix: &[u8]| input.iter().zip(prefix).all(|(a, b)| a == b);
    if begins(v1::PROTOCOL_PREFIX.as_bytes()) {
        let line = &input[..input.len().min(V1_OCTETS_MAX)];
        let end = line.windows(2).position(|two| two == b"\r\n").map(|at| at + 2);
        return match end {
            None if input.len() >= V1_OCTETS_MAX => Err(BadAnnouncement::TooLong),
            end => Ok(end),
        };
    }
    if !begins(v2::PROTOCOL_PREFIX) {
        return Err(BadAnnouncement::Syntax);
    }
    let Some([high, low]) = input.get(14..16) else { return Ok(None) };
    let length = 16 + usize::from(u16::from_be_bytes([*high, *low]));
    if length > ANNOUNCEMENT_OCTETS_MAX {
        return Err(BadAnnouncement::TooLong);
    }
    Ok((input.len() >= length).then_some(length))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Octets of an announcement that are read at most: addresses and any fields in use.
pub const ANNOUNCEMENT_OCTETS_MAX: usize = 4096;
/// The longest line of version 1, its end included.
const V1_OCTETS_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use ppp::v2::{Builder, Command, Protocol, Version};
    use proptest::prelude::*;

    use super::*;

    const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 1080\r\n";

    fn version_2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut header = v2::PROTOCOL_PREFIX.to_vec();
        header.extend([0x20 | command, family, 0, u8::try_from(addresses.len()).unwrap()]);
        header.extend(addresses);
        header
    }

    fn client(text: &str) -> Announcement {
        Announcement::Client(text.parse().unwrap())
    }

    #[test]
    fn both_versions_name_the_client_and_leave_what_follows() {
        let four = [203, 0, 113, 7, 192, 0, 2, 1, 0x9c, 0x40, 4, 56];
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        (six[15], six[32], six[33]) = (7, 0x9c, 0x40);
        let cases = [
            (V1.to_vec(), client("203.0.113.7:40000")),
            (
                b"PROXY TCP6 ::ffff:203.0.113.7 ::1 40000 1080\r\n".to_vec(),
                client("203.0.113.7:40000"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), Announcement::Itself),
            (version_2(1, 0x11, &four), client("203.0.113.7:40000")),
            (version_2(1, 0x21, &six), client("[2001:db8::7]:40000")),
            (version_2(0, 0x00, &[]), Announcement::Itself),
        ];
        for (header, expected) in cases {
            for length in 0..header.len() {
                assert_eq!(parse(&header[..length]), Ok(None), "{length} of {header:?}");
            }
            let more = [header.as_slice(), &[5, 1, 0]].concat();
            assert_eq!(parse(&more), Ok(Some((expected, header.len()))));
        }
    }

    #[test]
    fn anything_else_is_known_as_such() {
        for other in [&[5, 1, 0][..], b"GET / HTTP/1.1\r\n", b"PROXY TCP4 x y 1 2\r\n"] {
            assert_eq!(parse(other), Err(BadAnnouncement::Syntax), "{other:?}");
        }
        let datagram = version_2(1, 0x12, &[1; 12]);
        assert_eq!(parse(&datagram), Err(BadAnnouncement::Protocol));
        let mut long = version_2(1, 0x11, &[]);
        (long[14], long[15]) = (0xff, 0xff);
        assert_eq!(parse(&long), Err(BadAnnouncement::TooLong));
    }

    /// A client and the address that it reached, of one family.
    fn any_pair() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
        let four = any::<([[u8; 4]; 2], [u16; 2])>().prop_map(|([from, to], ports)| {
            (SocketAddr::from((from, ports[0])), SocketAddr::from((to, ports[1])))
        });
        let six =
            any::<([[u16; 8]; 2], [u16; 2], bool)>().prop_map(|([from, to], ports, mapped)| {
                let from = if mapped { [0, 0, 0, 0, 0, 0xffff, from[6], from[7]] } else { from };
                (SocketAddr::from((from, ports[0])), SocketAddr::from((to, ports[1])))
            });
        prop_oneof![four, six]
    }

    /// Header and client of either version; with whatever fields behind the addresses in the second.
    fn any_header() -> impl Strategy<Value = (Vec<u8>, Announcement)> {
        let first = any_pair().prop_map(|(from, to)| {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            let (ips, ports) = ((from.ip(), to.ip()), (from.port(), to.port()));
            let line = format!("PROXY {family} {} {} {} {}\r\n", ips.0, ips.1, ports.0, ports.1);
            (line.into_bytes(), Announcement::Client(canonical(from)))
        });
        let kinds = prop_oneof![Just(1_u8), Just(2), Just(5), 0xe0..=0xff_u8];
        let field = (kinds, prop::collection::vec(any::<u8>(), 0..40));
        let fields = prop::collection::vec(field, 0..4);
        let second = (any_pair(), any::<bool>(), fields).prop_map(|(pair, local, fields)| {
            let command = if local { Command::Local } else { Command::Proxy };
            let mut builder =
                Builder::with_addresses(Version::Two | command, Protocol::Stream, pair);
            for (kind, value) in fields {
                builder = builder.write_tlv(kind, &value).unwrap();
            }
            let client = Announcement::Client(canonical(pair.0));
            (builder.build().unwrap(), if local { Announcement::Itself } else { client })
        });
        prop_oneof![first, second]
    }

    proptest! {
        #[test]
        fn any_header_is_read_back_and_every_prefix_goes_on(
            (header, announced) in any_header(),
            behind: Vec<u8>,
        ) {
            for length in 0..header.len() {
                prop_assert_eq!(parse(&header[..length]), Ok(None), "{}", length);
            }
            let whole = [&header[..], &behind].concat();
            prop_assert_eq!(parse(&whole), Ok(Some((announced, header.len()))));
        }

        #[test]
        fn no_damaged_header_makes_it_panic_or_read_what_is_not_there(
            (mut header, _) in any_header(),
            place: prop::sample::Index,
            octet: u8,
        ) {
            let place = place.index(header.len());
            header[place] = octet;
            if let Ok(Some((announced, length))) = parse(&header) {
                prop_assert!(length <= header.len());
                if let Announcement::Client(client) = announced {
                    let plain: IpAddr = client.ip().to_canonical();
                    prop_assert_eq!(client.ip(), plain);
                }
            }
        }

        #[test]
        fn no_octets_make_it_panic(octets: Vec<u8>, second: bool) {
            let prefix = if second { v2::PROTOCOL_PREFIX } else { b"PROXY " };
            let _unused = parse(&[prefix, &octets].concat());
        }
    }
}
