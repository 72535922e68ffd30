//! The reply to a request: RFC 1928 section 6.
//!
//! ```text
//! VER=5  REP  RSV=0  ATYP  BND.ADDR  BND.PORT
//!     1    1      1     1   4 or 16         2
//! ```

use std::net::{Ipv4Addr, SocketAddr};

use super::outbox::Outbox;
use super::{VERSION, Version, address, v4};
use crate::target::{Target, canonical_ip};

/// REP: what became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ReplyCode {
    /// X'00': done.
    Succeeded = 0x00,
    /// X'01': what no other code says.
    GeneralFailure = 0x01,
    /// X'02': a rule forbids it.
    NotAllowed = 0x02,
    /// X'03': no route to the target's network.
    NetworkUnreachable = 0x03,
    /// X'04': the target cannot be reached, or its name is not known.
    HostUnreachable = 0x04,
    /// X'05': the target refused the connection.
    ConnectionRefused = 0x05,
    /// X'06': "TTL expired", and by custom any time that ran out.
    TtlExpired = 0x06,
    /// X'07': a command we do not know or do not offer.
    CommandNotSupported = 0x07,
    /// X'08': an address type we do not know.
    AddressTypeNotSupported = 0x08,
}

/// A reply. A failure closes the connection (within ten seconds, says the RFC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// REP.
    pub code: ReplyCode,
    /// BND.ADDR and BND.PORT: our end of the connection to the target; IPv4-mapped addresses are
    /// sent as IPv4.
    pub bound: SocketAddr,
}

impl Reply {
    /// The longest reply, in octets.
    pub(super) const OCTETS_MAX: usize = 3 + address::NUMERIC_OCTETS_MAX;

    /// The reply to a request that was carried out from this address of ours.
    #[must_use]
    pub const fn success(bound: SocketAddr) -> Self {
        Self { code: ReplyCode::Succeeded, bound }
    }

    /// The reply to a request that was not carried out; its address is 0.0.0.0:0, since there is
    /// none to tell.
    #[must_use]
    pub const fn failure(code: ReplyCode) -> Self {
        Self { code, bound: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0) }
    }

    /// Appends the reply to what is to be sent, as the client's version of the protocol has it:
    /// version 4 knows granted and rejected, and no reason.
    pub fn write(&self, version: Version, out: &mut Outbox) {
        match (version, self.code) {
            (Version::V5, _) => self.write_v5(out),
            (Version::V4, ReplyCode::Succeeded) => v4::write_granted(self.bound, out),
            (Version::V4, _) => v4::write_rejected(out),
        }
    }

    fn write_v5(&self, out: &mut Outbox) {
        let bound = SocketAddr::new(canonical_ip(self.bound.ip()), self.bound.port());
        out.push(&[VERSION, self.code as u8, 0x00]);
        address::write(&Target::from(bound), |octets| out.push(octets));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: Reply) -> Vec<u8> {
        let mut out = Outbox::new();
        reply.write(Version::V5, &mut out);
        out.pending().to_vec()
    }

    #[test]
    fn success_tells_the_bound_address() {
        let reply = Reply::success("192.0.2.1:4660".parse().unwrap());
        assert_eq!(written(reply), [5, 0, 0, 1, 192, 0, 2, 1, 0x12, 0x34]);
        let reply = Reply::success("[2001:db8::1]:1".parse().unwrap());
        let expected = [5, 0, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];
        assert_eq!(written(reply), expected);
        assert_eq!(expected.len(), Reply::OCTETS_MAX);
    }

    #[test]
    fn a_mapped_address_is_sent_as_ipv4() {
        let reply = Reply::success("[::ffff:192.0.2.1]:80".parse().unwrap());
        assert_eq!(written(reply), [5, 0, 0, 1, 192, 0, 2, 1, 0, 80]);
    }

    #[test]
    fn failure_has_its_code_and_no_address() {
        let codes = [
            (ReplyCode::GeneralFailure, 1),
            (ReplyCode::NotAllowed, 2),
            (ReplyCode::NetworkUnreachable, 3),
            (ReplyCode::HostUnreachable, 4),
            (ReplyCode::ConnectionRefused, 5),
            (ReplyCode::TtlExpired, 6),
            (ReplyCode::CommandNotSupported, 7),
            (ReplyCode::AddressTypeNotSupported, 8),
        ];
        for (code, octet) in codes {
            assert_eq!(written(Reply::failure(code)), [5, octet, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
    }
}
