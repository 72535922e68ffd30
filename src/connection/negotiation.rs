//! Which protocol a client speaks, told by its first octet, and the answers in its terms.
//!
//! | first octet | protocol |
//! |---|---|
//! | 4 | SOCKS4, SOCKS4a |
//! | 5 | SOCKS5 |
//! | a letter, or the line end that RFC 9112 §2.2 allows before it | an HTTP method |

use std::net::SocketAddr;

use crate::http::{self, BadHead, Connect, Status};
use crate::session::Outcome;
use crate::socks::{
    self, Handshake, Malformed, MethodSet, Outbox, Reply, ReplyCode, Request, UserPass, Version,
};

/// The server's side of a negotiation, from the first octet to the request.
#[derive(Debug)]
pub(super) enum Negotiation {
    /// Nothing has come yet.
    Unknown(MethodSet),
    Socks(Handshake),
    Http(Connect),
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Progress {
    NeedMore,
    Verify(UserPass),
    Requested {
        request: Request,
        /// What a SOCKS4 client says it is; mostly empty.
        userid: Box<[u8]>,
    },
    /// No method suits both sides; the client has been told.
    NoMethod {
        /// What a SOCKS4 client says it is; mostly empty.
        userid: Box<[u8]>,
    },
}

/// What a client broke.
#[derive(Debug)]
pub(super) enum Fault {
    Socks(Malformed),
    Http(BadHead),
}

/// The terms in which a client is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Socks(Version),
    Http,
}

impl Negotiation {
    pub(super) const fn new(methods: MethodSet) -> Self {
        Self::Unknown(methods)
    }

    /// Whether nothing has come yet.
    pub(super) const fn is_untouched(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// Consumes octets from the front of `input`, appends answers to `out`, and stops at the first
    /// question.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        out: &mut Outbox,
    ) -> Result<(usize, Progress), Fault> {
        if let (Self::Unknown(methods), Some(first)) = (&*self, input.first()) {
            *self = if first.is_ascii_alphabetic() || matches!(first, b'\r' | b'\n') {
                Self::Http(Connect::new(*methods))
            } else {
                Self::Socks(Handshake::new(*methods))
            };
        }
        match self {
            Self::Unknown(_) => Ok((0, Progress::NeedMore)),
            Self::Socks(handshake) => {
                let (used, next) = handshake.feed(input, out).map_err(Fault::Socks)?;
                let next = match next {
                    socks::Progress::NeedMore => Progress::NeedMore,
                    socks::Progress::Verify(login) => Progress::Verify(login),
                    socks::Progress::Requested { request, userid } => {
                        Progress::Requested { request, userid }
                    }
                    socks::Progress::NoMethod { userid } => Progress::NoMethod { userid },
                };
                Ok((used, next))
            }
            Self::Http(connect) => {
                let (used, next) = connect.feed(input, out).map_err(Fault::Http)?;
                let next = match next {
                    http::Progress::NeedMore => Progress::NeedMore,
                    http::Progress::Verify(login) => Progress::Verify(login),
                    http::Progress::Requested(request) => {
                        Progress::Requested { request, userid: Box::default() }
                    }
                    http::Progress::NoCredentials => Progress::NoMethod { userid: Box::default() },
                };
                Ok((used, next))
            }
        }
    }

    /// Answers `Progress::Verify`: the login is good, or the client is told that it leads nowhere. RFC
    /// 1929 has one word for that, HTTP says why.
    pub(super) fn verdict(&mut self, verdict: Result<(), Outcome>, out: &mut Outbox) {
        match self {
            Self::Socks(handshake) => handshake.verdict(verdict.is_ok(), out),
            Self::Http(connect) => connect.verdict(verdict.map_err(status), out),
            Self::Unknown(_) => debug_assert!(false, "a verdict without a question"),
        }
    }

    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Unknown(_) => Dialect::Socks(Version::V5),
            Self::Socks(handshake) => Dialect::Socks(handshake.version()),
            Self::Http(_) => Dialect::Http,
        }
    }
}

impl Fault {
    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::Socks(Malformed::Command(_)) | Self::Http(BadHead::Method) => {
                Outcome::UnsupportedCommand
            }
            Self::Socks(Malformed::AddressType(_)) => Outcome::UnsupportedAddressType,
            Self::Socks(
                Malformed::Version(_)
                | Malformed::UserPassVersion(_)
                | Malformed::RequestVersion(_)
                | Malformed::Unterminated(_)
                | Malformed::Name(_),
            )
            | Self::Http(
                BadHead::Syntax
                | BadHead::Target
                | BadHead::Host
                | BadHead::Authorization
                | BadHead::TooLarge,
            ) => Outcome::Malformed,
        }
    }

    /// Appends what the client is told, as far as that is not done yet.
    pub(super) fn write(&self, dialect: Dialect, out: &mut Outbox) {
        if let (Self::Socks(malformed), Dialect::Socks(version)) = (self, dialect)
            && let Some(code) = malformed.reply()
        {
            Reply::failure(code).write(version, out);
        }
    }
}

impl Dialect {
    /// Appends the answer that the target is reached, from this address of ours.
    pub(super) fn write_success(self, bound: SocketAddr, out: &mut Outbox) {
        match self {
            Self::Socks(version) => Reply::success(bound).write(version, out),
            Self::Http => Status::Established.write(out),
        }
    }

    /// Appends the answer that it is not.
    pub(super) fn write_failure(self, outcome: Outcome, out: &mut Outbox) {
        match self {
            Self::Socks(version) => Reply::failure(reply_code(outcome)).write(version, out),
            Self::Http => status(outcome).write(out),
        }
    }
}

fn reply_code(outcome: Outcome) -> ReplyCode {
    match outcome.reply() {
        2 => ReplyCode::NotAllowed,
        3 => ReplyCode::NetworkUnreachable,
        4 => ReplyCode::HostUnreachable,
        5 => ReplyCode::ConnectionRefused,
        6 => ReplyCode::TtlExpired,
        7 => ReplyCode::CommandNotSupported,
        8 => ReplyCode::AddressTypeNotSupported,
        _ => ReplyCode::GeneralFailure,
    }
}

/// HTTP has fewer words: whatever kept us from the target is a bad gateway. CONNECT that is switched off
/// is forbidden: 405 would have to name what is allowed, and there is nothing else.
fn status(outcome: Outcome) -> Status {
    match (outcome, outcome.reply()) {
        (Outcome::AuthFailed, _) => Status::AuthenticationRequired,
        (Outcome::ServerBusy | Outcome::OverLimit, _) => Status::Unavailable,
        (Outcome::HandshakeTimeout, _) => Status::RequestTimeout,
        (_, 2 | 7) => Status::Forbidden,
        (_, 6) => Status::GatewayTimeout,
        _ => Status::BadGateway,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_octet_tells_the_protocol() {
        let dialect = |first: &[u8]| {
            let (mut negotiation, mut out) = (Negotiation::new(MethodSet::NO_AUTH), Outbox::new());
            negotiation.feed(first, &mut out).map(|_| negotiation.dialect())
        };
        assert_eq!(dialect(&[5]).unwrap(), Dialect::Socks(Version::V5));
        assert_eq!(dialect(&[4]).unwrap(), Dialect::Socks(Version::V4));
        for first in [b"C", b"c", b"\r", b"\n"] {
            assert_eq!(dialect(first).unwrap(), Dialect::Http);
        }
        assert_eq!(dialect(b"").unwrap(), Dialect::Socks(Version::V5));
        for other in [0, 1, 6, b' ', b'0', 0x16, 0xff] {
            assert!(matches!(dialect(&[other]), Err(Fault::Socks(Malformed::Version(_)))));
        }
    }

    #[test]
    fn http_says_what_happened() {
        let said = |outcome| {
            let mut out = Outbox::new();
            Dialect::Http.write_failure(outcome, &mut out);
            String::from_utf8(out.pending()[9..12].to_vec()).unwrap()
        };
        assert_eq!(said(Outcome::AclDenied), "403");
        assert_eq!(said(Outcome::ConnectionRefused), "502");
        assert_eq!(said(Outcome::NameNotFound), "502");
        assert_eq!(said(Outcome::ConnectTimeout), "504");
        assert_eq!(said(Outcome::ServerBusy), "503");
        assert_eq!(said(Outcome::OverLimit), "503");
        assert_eq!(said(Outcome::AuthFailed), "407");
        for ours in [Outcome::Banned, Outcome::PolicyChanged, Outcome::UnsupportedCommand] {
            assert_eq!(said(ours), "403");
        }
    }
}
