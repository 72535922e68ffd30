//! Which octet of a client broke which rule.

use super::reply::ReplyCode;
use crate::target::BadName;

/// A message that no further octet can make right. The connection ends with [`Malformed::reply`],
/// if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The first octet is neither 4 nor 5: another protocol altogether.
    #[error("the first octet is 0x{0:02x}, neither version 0x04 nor 0x05")]
    Version(u8),
    /// VER of the sub-negotiation (RFC 1929 §2) is not 1.
    #[error("the user name and password have version 0x{0:02x}, not 0x01")]
    UserPassVersion(u8),
    /// VER of the request (RFC 1928 §4) is not 5.
    #[error("the request has version 0x{0:02x}, not 0x05")]
    RequestVersion(u8),
    /// CMD of a request that is otherwise right (RFC 1928 §4) is none of the three.
    #[error("the request has the unknown command 0x{0:02x}")]
    Command(u8),
    /// ATYP (RFC 1928 §5) is none of the three, so nobody knows where the message ends.
    #[error("the request has the unknown address type 0x{0:02x}")]
    AddressType(u8),
    /// A text of a SOCKS4 request has more octets than any can have, and no NUL behind them.
    #[error("the request has a text of more than {0} octets without a NUL behind it")]
    Unterminated(usize),
    /// DST.ADDR is a name, but no possible one.
    #[error("the request has an impossible name: {0}")]
    Name(#[from] BadName),
}

impl Malformed {
    /// What the client is told; `None` before the request, where RFC 1928 has no reply to give.
    #[must_use]
    pub const fn reply(&self) -> Option<ReplyCode> {
        match self {
            Self::Version(_) | Self::UserPassVersion(_) => None,
            Self::RequestVersion(_) | Self::Name(_) | Self::Unterminated(_) => {
                Some(ReplyCode::GeneralFailure)
            }
            Self::Command(_) => Some(ReplyCode::CommandNotSupported),
            Self::AddressType(_) => Some(ReplyCode::AddressTypeNotSupported),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_the_octet() {
        assert_eq!(
            Malformed::Version(0x47).to_string(),
            "the first octet is 0x47, neither version 0x04 nor 0x05"
        );
        assert_eq!(
            Malformed::from(BadName::Octet(0)).to_string(),
            "the request has an impossible name: octet 0x00 does not belong in a host name"
        );
    }
}
