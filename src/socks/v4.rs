//! SOCKS4 and its extension 4a: one message each way, no authentication, no IPv6.
//!
//! ```text
//! client   VN=4  CD  DSTPORT  DSTIP  USERID…  NUL  [name…  NUL]     server   VN=0  CD  PORT  IP
//!             1   1        2      4   0..255    1   1..255    1                 1   1     2   4
//! ```
//!
//! 4a: an impossible DSTIP of 0.0.0.x, with x other than 0, says that a name follows, which the
//! server is to resolve. USERID is what the client says it is, and nothing proves it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::cursor::{Cursor, Incomplete, Stop};
use super::malformed::Malformed;
use super::outbox::Outbox;
use super::request::{Command, Request};
use crate::target::{Host, HostName, Target, canonical_ip};

/// VN of a request.
pub(super) const VERSION: u8 = 0x04;
/// Octets of a reply.
pub(super) const REPLY_OCTETS: usize = 8;
/// The longest USERID that is read.
const USERID_OCTETS_MAX: usize = 255;
/// The longest request, in octets.
pub(super) const OCTETS_MAX: usize = 8 + USERID_OCTETS_MAX + 1 + HostName::OCTETS_MAX + 1;

/// CD of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Code {
    Granted = 90,
    /// Rejected or failed: the only reason there is, but for two that speak of identd.
    Rejected = 91,
}

/// Reads one request and the USERID that came with it.
pub(super) fn parse<'a>(cursor: &mut Cursor<'a>) -> Result<(Request, &'a [u8]), Stop> {
    let [_version, command] = cursor.array()?;
    let port = u16::from_be_bytes(cursor.array()?);
    let ip = Ipv4Addr::from(cursor.array::<4>()?);
    let userid = text(cursor, USERID_OCTETS_MAX)?;
    let host = if announces_name(ip) {
        Host::from_name(text(cursor, HostName::OCTETS_MAX)?).map_err(Malformed::Name)?
    } else {
        Host::V4(ip)
    };
    // Judged last, when all was received, so that no octets are on their way when we hang up.
    let command = match command {
        0x01 => Command::Connect,
        0x02 => Command::Bind,
        other => return Err(Malformed::Command(other).into()),
    };
    Ok((Request { command, target: Target::new(host, port) }, userid))
}

/// 4a: 0.0.0.x, with x other than 0.
const fn announces_name(ip: Ipv4Addr) -> bool {
    let [a, b, c, d] = ip.octets();
    a == 0 && b == 0 && c == 0 && d != 0
}

/// Octets up to a NUL, which is consumed too.
fn text<'a>(cursor: &mut Cursor<'a>, most: usize) -> Result<&'a [u8], Stop> {
    match cursor.until_nul(most) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(Malformed::Unterminated(most).into()),
        Err(Incomplete) => Err(Stop::Incomplete),
    }
}

/// Appends the reply that grants a request, from this address of ours; one that is not IPv4 cannot
/// be told, and is left 0.
pub(super) fn write_granted(bound: SocketAddr, out: &mut Outbox) {
    match canonical_ip(bound.ip()) {
        IpAddr::V4(ip) => write(Code::Granted, bound.port(), ip, out),
        IpAddr::V6(_) => write(Code::Granted, 0, Ipv4Addr::UNSPECIFIED, out),
    }
}

/// Appends the reply that rejects a request.
pub(super) fn write_rejected(out: &mut Outbox) {
    write(Code::Rejected, 0, Ipv4Addr::UNSPECIFIED, out);
}

fn write(code: Code, port: u16, ip: Ipv4Addr, out: &mut Outbox) {
    let [high, low] = port.to_be_bytes();
    let [a, b, c, d] = ip.octets();
    let reply: [u8; REPLY_OCTETS] = [0, code as u8, high, low, a, b, c, d];
    out.push(&reply);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(octets: &[u8]) -> Result<(Request, Vec<u8>), Stop> {
        parse(&mut Cursor::new(octets)).map(|(request, userid)| (request, userid.to_vec()))
    }

    #[test]
    fn an_address_a_name_and_a_user_are_read() {
        let (request, userid) = parsed(b"\x04\x01\x00\x50\xc0\x00\x02\x01fred\x00").unwrap();
        assert_eq!(
            (request.command, request.target.to_string()),
            (Command::Connect, "192.0.2.1:80".into())
        );
        assert_eq!(userid, b"fred");
        let (request, _) = parsed(b"\x04\x02\x01\xbb\x00\x00\x00\x01\x00example.com\x00").unwrap();
        assert_eq!(
            (request.command, request.target.to_string()),
            (Command::Bind, "example.com:443".into())
        );
        // 0.0.0.0 announces no name.
        let (request, _) = parsed(b"\x04\x01\x00\x50\x00\x00\x00\x00\x00").unwrap();
        assert_eq!(request.target.to_string(), "0.0.0.0:80");
    }

    #[test]
    fn a_text_without_end_is_known_by_its_length() {
        let endless = [&[4, 1, 0, 80, 192, 0, 2, 1][..], &[b'x'; USERID_OCTETS_MAX + 1]].concat();
        assert_eq!(parsed(&endless), Err(Malformed::Unterminated(255).into()));
        assert_eq!(parsed(&endless[..endless.len() - 1]), Err(Stop::Incomplete));
    }

    #[test]
    fn an_unknown_command_and_an_impossible_name_are_judged_when_all_is_here() {
        assert_eq!(parsed(&[4, 3, 0, 80, 192, 0, 2, 1]), Err(Stop::Incomplete));
        assert_eq!(parsed(&[4, 3, 0, 80, 192, 0, 2, 1, 0]), Err(Malformed::Command(3).into()));
        let named = parsed(b"\x04\x01\x00\x50\x00\x00\x00\x09\x00a b\x00");
        assert!(matches!(named, Err(Stop::Malformed(Malformed::Name(_)))));
    }

    #[test]
    fn replies_are_eight_octets() {
        let mut out = Outbox::new();
        write_granted("192.0.2.1:4660".parse().unwrap(), &mut out);
        write_granted("[2001:db8::1]:4660".parse().unwrap(), &mut out);
        write_rejected(&mut out);
        let expected: [[u8; 8]; 3] = [
            [0, 90, 0x12, 0x34, 192, 0, 2, 1],
            [0, 90, 0, 0, 0, 0, 0, 0],
            [0, 91, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(out.pending(), expected.as_flattened());
    }

    proptest! {
        #[test]
        fn every_prefix_is_incomplete_and_what_follows_is_left(
            port: u16,
            ip in prop_oneof![any::<[u8; 4]>(), any::<u8>().prop_map(|x| [0, 0, 0, x])],
            userid in prop::collection::vec(1u8.., 0..=USERID_OCTETS_MAX),
            name in "[a-z]{1,60}(\\.[a-z]{1,60}){0,3}",
            behind: [u8; 3],
        ) {
            let mut whole = vec![4, 1];
            whole.extend(port.to_be_bytes());
            whole.extend(ip);
            whole.extend(&userid);
            whole.push(0);
            if announces_name(ip.into()) {
                whole.extend(name.as_bytes());
                whole.push(0);
            }
            for length in 0..whole.len() {
                prop_assert_eq!(parsed(&whole[..length]), Err(Stop::Incomplete));
            }
            prop_assert!(whole.len() <= OCTETS_MAX);
            let more = [whole.as_slice(), &behind].concat();
            let mut cursor = Cursor::new(&more);
            let (request, read) = parse(&mut cursor).unwrap();
            prop_assert_eq!((read, request.target.port), (&userid[..], port));
            prop_assert_eq!(cursor.used(), whole.len());
        }

        #[test]
        fn no_octets_make_it_panic(octets: Vec<u8>) {
            let _unused = parsed(&octets);
        }
    }
}
