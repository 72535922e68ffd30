//! The head of a request: RFC 9112 §2 to §5.
//!
//! httparse reads it; here is what a CONNECT asks of it. What smuggling needs (two lengths, a
//! transfer coding) has no use here: a CONNECT has no content, and every octet behind its head is the
//! tunnel's (RFC 9110 §9.3.6).

use super::authority;
use super::basic;
use super::status::Status;
use crate::socks::UserPass;
use crate::target::Target;

/// What a head says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) target: Target,
    pub(super) credentials: Option<UserPass>,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// It is not HTTP/1.0 or 1.1.
    #[error("the head is not that of an HTTP/1 request")]
    Syntax,
    /// It asks for something else than a tunnel.
    #[error("the method is not CONNECT")]
    Method,
    /// Its target is no `host:port`.
    #[error("the target is not host:port")]
    Target,
    /// RFC 9112 §3.2: HTTP/1.1 wants exactly one Host field, and none may be there twice or hold
    /// something else than a host.
    #[error("a request has one Host field at most, of a host, and an HTTP/1.1 request has one")]
    Host,
    /// Two Proxy-Authorization fields: nobody knows which one counts.
    #[error("there are two Proxy-Authorization fields")]
    Authorization,
    /// It goes beyond [`HEAD_OCTETS_MAX`] octets or [`FIELDS_MAX`] fields.
    #[error("the head has more than {HEAD_OCTETS_MAX} octets or {FIELDS_MAX} fields")]
    TooLarge,
}

impl BadHead {
    /// What the client is told.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Syntax | Self::Target | Self::Host | Self::Authorization => Status::BadRequest,
            Self::Method => Status::MethodNotAllowed,
            Self::TooLarge => Status::HeadTooLarge,
        }
    }
}

/// Reads a head from the front of `input`; answers it with its length, or `None` if it goes on.
pub(super) fn parse(input: &[u8]) -> Result<Option<(Head, usize)>, BadHead> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if input.len() >= HEAD_OCTETS_MAX => {
            return Err(BadHead::TooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(BadHead::TooLarge),
        Err(
            httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token
            | httparse::Error::Version,
        ) => return Err(BadHead::Syntax),
    };
    if length > HEAD_OCTETS_MAX {
        return Err(BadHead::TooLarge);
    }
    if request.method != Some("CONNECT") {
        return Err(BadHead::Method);
    }
    let named = |name: &'static str| {
        request.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name))
    };
    let mut hosts = named("host");
    let is_right = match (hosts.next(), hosts.next()) {
        (Some(host), None) => authority::is_host(host.value),
        (None, _) => request.version == Some(0),
        (Some(_), Some(_)) => false,
    };
    if !is_right {
        return Err(BadHead::Host);
    }
    let mut shown = named("proxy-authorization");
    let credentials = shown.next().and_then(|field| basic::parse(field.value));
    if shown.next().is_some() {
        return Err(BadHead::Authorization);
    }
    let target = authority::parse(request.path.unwrap_or_default())?;
    Ok(Some((Head { target, credentials }, length)))
}

/// Octets of a head, at most.
pub const HEAD_OCTETS_MAX: usize = 8192;
/// Fields of a head, at most.
const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Encoding};
    use proptest::prelude::*;

    use super::super::authority::tests::any_target;
    use super::*;

    fn bad(head: &str) -> BadHead {
        parse(head.as_bytes()).map(|_| ()).expect_err(head)
    }

    #[test]
    fn a_head_has_its_target_and_what_follows_is_left() {
        let text = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\npayload";
        let (head, length) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(head.target.to_string(), "example.com:443");
        assert!(head.credentials.is_none());
        assert_eq!(&text[length..], "payload");
    }

    #[test]
    fn version_1_0_needs_no_host_and_neither_has_two_or_a_strange_one() {
        assert!(parse(b"CONNECT 192.0.2.1:80 HTTP/1.0\r\n\r\n").unwrap().is_some());
        assert_eq!(bad("CONNECT 192.0.2.1:80 HTTP/1.1\r\n\r\n"), BadHead::Host);
        for minor in [0, 1] {
            let with = |hosts: &str| format!("CONNECT a:80 HTTP/1.{minor}\r\n{hosts}X: y\r\n\r\n");
            for host in ["a", "a:80", "other.test", "[::1]:80", "", " a:80 \t"] {
                let head = with(&format!("Host:{host}\r\n"));
                assert!(matches!(parse(head.as_bytes()), Ok(Some(_))), "{head}");
            }
            for hosts in ["Host: a\r\nHost: b\r\n", "Host: a\r\nhOST: a\r\n"] {
                assert_eq!(bad(&with(hosts)), BadHead::Host, "{hosts}");
            }
            for host in
                ["user@a", "a:b", "a/b", "a b", "http://a", "::1", "[::1", "a:80:80", "\u{e9}"]
            {
                assert_eq!(bad(&with(&format!("Host: {host}\r\n"))), BadHead::Host, "{host}");
            }
        }
    }

    #[test]
    fn each_fault_has_its_status() {
        let cases = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", BadHead::Method),
            ("connect a:80 HTTP/1.1\r\nHost: a\r\n\r\n", BadHead::Method),
            ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", BadHead::Target),
            ("CONNECT a:80 HTTP/2.0\r\n\r\n", BadHead::Syntax),
            ("CONNECT a:80\r\n\r\n", BadHead::Syntax),
            ("CONNECT a:80 HTTP/1.1\r\nbad name: x\r\n\r\n", BadHead::Syntax),
            (
                "CONNECT a:80 HTTP/1.0\r\nProxy-Authorization: x\r\nProxy-Authorization: y\r\n\r\n",
                BadHead::Authorization,
            ),
        ];
        for (head, fault) in cases {
            assert_eq!(bad(head), fault, "{head}");
        }
        assert_eq!(BadHead::Method.status(), Status::MethodNotAllowed);
        assert_eq!(BadHead::TooLarge.status(), Status::HeadTooLarge);
    }

    #[test]
    fn its_size_is_bounded() {
        let long = format!("CONNECT a:80 HTTP/1.0\r\nX: {}", "x".repeat(HEAD_OCTETS_MAX));
        assert_eq!(bad(&long), BadHead::TooLarge);
        let many = format!("CONNECT a:80 HTTP/1.0\r\n{}\r\n", "X: y\r\n".repeat(FIELDS_MAX + 1));
        assert_eq!(bad(&many), BadHead::TooLarge);
    }

    /// A head of a client, and what it says: its target, and its name and password if it has any.
    fn any_head() -> impl Strategy<Value = (Vec<u8>, Target, Option<(String, String)>)> {
        let field = ("X-[A-Za-z0-9-]{1,12}", "[ -~]{0,20}")
            .prop_map(|(name, value)| format!("{name}: {value}\r\n"));
        let login = prop::option::of(("[ -9;-~]{0,20}", "[ -~]{0,20}"));
        let fields = prop::collection::vec(field, 0..6);
        (any_target(), 0..=1_u8, login, fields, any::<prop::sample::Index>()).prop_map(
            |(target, minor, login, mut fields, place)| {
                if minor == 1 {
                    fields.insert(place.index(fields.len() + 1), format!("hOST: {target}\r\n"));
                }
                if let Some((name, password)) = &login {
                    let coded = Base64::encode_string(format!("{name}:{password}").as_bytes());
                    let field = format!("Proxy-Authorization: Basic {coded}\r\n");
                    fields.insert(place.index(fields.len() + 1), field);
                }
                let fields = fields.concat();
                let head = format!("CONNECT {target} HTTP/1.{minor}\r\n{fields}\r\n");
                (head.into_bytes(), target, login)
            },
        )
    }

    proptest! {
        #[test]
        fn any_head_is_read_back_and_every_prefix_goes_on(
            (octets, target, login) in any_head(),
            behind: Vec<u8>,
        ) {
            for length in 0..octets.len() {
                prop_assert!(matches!(parse(&octets[..length]), Ok(None)), "{length}");
            }
            let (head, length) = parse(&[&octets[..], &behind].concat()).unwrap().unwrap();
            prop_assert_eq!((head.target, length), (target, octets.len()));
            let read = head.credentials.map(|read| (read.username, read.password.to_vec()));
            let said = login.map(|(name, password)| (name.as_bytes().into(), password.into_bytes()));
            prop_assert_eq!(read, said);
        }

        #[test]
        fn no_octets_panic_and_none_are_read_that_are_not_there(
            (octets, _, _) in any_head(),
            places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            noise: Vec<u8>,
        ) {
            drop(parse(&noise));
            let mut mutant = octets;
            for (place, octet) in places {
                let place = place.index(mutant.len());
                mutant[place] = octet;
            }
            if let Ok(Some((_, length))) = parse(&mutant) {
                prop_assert!(length <= mutant.len());
            }
        }
    }
}
