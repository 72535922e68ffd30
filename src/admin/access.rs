//! Who may ask: whose name a request may call us by, which pages may ask, and the bearer token.
//!
//! A page that a browser got from elsewhere can have its own name resolved to our address (DNS
//! rebinding) and then read the API as if it were ours. Its requests carry its name in `Host` and
//! `Origin`, so both are compared, whole, with what we are called.
//!
//! Names are the gate's business. The token is the handlers': only they know what a path does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::reply::ApiReply;

/// The names under which the API may be asked, beside the address of the listener and the
/// loopback names.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    further: Vec<String>,
}

impl Hosts {
    /// `further` are the values of `api_hosts`. One without a port stands for itself and for
    /// itself with the listener's port; one with a port only for itself.
    #[must_use]
    pub fn new(further: impl IntoIterator<Item = String>) -> Self {
        Self { further: further.into_iter().collect() }
    }

    /// Whether a request that reached us at `local` may carry this `Host`.
    #[must_use]
    pub fn admits_host(&self, host: &str, local: SocketAddr) -> bool {
        if self.is_further(host, local.port()) {
            return true;
        }
        match split(host) {
            Some((name, port)) => {
                port.is_none_or(|port| port == local.port()) && is_own(name, local.ip())
            }
            None => false,
        }
    }

    /// Whether a request that reached us at `local` may carry this `Origin`. The opaque origin
    /// `null` is foreign.
    #[must_use]
    pub fn admits_origin(&self, origin: &str, local: SocketAddr) -> bool {
        let Some((scheme, host)) = origin.split_once("://") else { return false };
        let plain = scheme.eq_ignore_ascii_case("http");
        if !plain && !scheme.eq_ignore_ascii_case("https") {
            return false;
        }
        if self.is_further(host, local.port()) {
            return true;
        }
        // We speak no TLS ourselves, and an http origin without a port is the server at port 80.
        match split(host) {
            Some((name, port)) => {
                plain && port.unwrap_or(80) == local.port() && is_own(name, local.ip())
            }
            None => false,
        }
    }

    fn is_further(&self, host: &str, own_port: u16) -> bool {
        self.further.iter().any(|name| {
            if host.eq_ignore_ascii_case(name) {
                return true;
            }
            let without_port = matches!(split(name), Some((_, None)));
            without_port && host.eq_ignore_ascii_case(&format!("{name}:{own_port}"))
        })
    }
}

/// The secret that changes and, where so configured, reads must show.
pub struct Token(Zeroizing<String>);

impl Token {
    /// `secret` without surrounding white space; `None` if nothing is left.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        let secret = secret.trim();
        (!secret.is_empty()).then(|| Self(Zeroizing::new(secret.to_owned())))
    }

    /// Whether the value of `Authorization` shows this token (RFC 6750 §2.1). The comparison takes
    /// the same time whichever octet differs; only the length can be told from it.
    #[must_use]
    pub fn admits(&self, authorization: Option<&str>) -> bool {
        let Some((scheme, shown)) = authorization.and_then(|value| value.split_once(' ')) else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer")
            && bool::from(shown.trim_matches(' ').as_bytes().ct_eq(self.0.as_bytes()))
    }
}

/// What a route does, and so what it wants to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Says how the process is doing, or nothing of it; for anybody who reaches it.
    Probing,
    /// Tells of sessions.
    Reading,
    /// Changes something.
    Changing,
}

/// What the token is wanted for.
pub struct Access {
    token: Result<Token, String>,
    reading_wants_it: bool,
}

/// Why a request is turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It showed no token.
    NotShown,
    /// It showed something else.
    Wrong,
    /// There is no token to compare with, and this is why.
    NoToken(String),
}

impl Access {
    /// Changes want the token, and so does reading if `reading_wants_it`. Without a token, for the
    /// reason given, what would want it is refused to everybody.
    #[must_use]
    pub const fn new(token: Result<Token, String>, reading_wants_it: bool) -> Self {
        Self { token, reading_wants_it }
    }

    /// Whether reading wants the token, too.
    #[must_use]
    pub const fn reading_wants_token(&self) -> bool {
        self.reading_wants_it
    }

    /// Whether a request with this `Authorization` may do that.
    ///
    /// # Errors
    /// [`Denied`], if not.
    pub fn check(&self, need: Need, authorization: Option<&str>) -> Result<(), Denied> {
        let wanted = match need {
            Need::Probing => false,
            Need::Reading => self.reading_wants_it,
            Need::Changing => true,
        };
        if !wanted {
            return Ok(());
        }
        let token = self.token.as_ref().map_err(|why| Denied::NoToken(why.clone()))?;
        match authorization {
            None => Err(Denied::NotShown),
            Some(_) if token.admits(authorization) => Ok(()),
            Some(_) => Err(Denied::Wrong),
        }
    }
}

impl Denied {
    /// The answer that says so.
    #[must_use]
    pub fn reply(&self) -> ApiReply {
        let detail = "this wants `Authorization: Bearer` with what is in server.api_token_file";
        // RFC 6750 §3: an error code only for who has shown something.
        match self {
            Self::NotShown => {
                ApiReply::problem(401, detail).with_header("WWW-Authenticate", CHALLENGE)
            }
            Self::Wrong => ApiReply::problem(401, detail)
                .with_header("WWW-Authenticate", format!("{CHALLENGE}, error=\"invalid_token\"")),
            Self::NoToken(why) => {
                ApiReply::problem(503, &format!("nobody may do this: there is no token: {why}"))
            }
        }
    }
}

const CHALLENGE: &str = "Bearer realm=\"rustsocks\"";

#[derive(Clone, Copy)]
enum Name<'a> {
    Address(IpAddr),
    Word(&'a str),
}

/// Splits `name`, `name:port`, `[v6]` or `[v6]:port`; `None` if it is none of them.
fn split(host: &str) -> Option<(Name<'_>, Option<u16>)> {
    if let Some(rest) = host.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let port = match rest {
            "" => None,
            rest => Some(port(rest.strip_prefix(':')?)?),
        };
        return Some((Name::Address(IpAddr::V6(address).to_canonical()), port));
    }
    let (name, port) = match host.split_once(':') {
        None => (host, None),
        Some((name, rest)) => (name, Some(port(rest)?)),
    };
    match name.parse::<Ipv4Addr>() {
        Ok(address) => Some((Name::Address(IpAddr::V4(address)), port)),
        Err(_) if name.is_empty() => None,
        Err(_) => Some((Name::Word(name), port)),
    }
}

/// A port in digits; the standard library would take a sign too.
fn port(text: &str) -> Option<u16> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok())?
}

fn is_own(name: Name<'_>, local: IpAddr) -> bool {
    match name {
        Name::Word(word) => word.eq_ignore_ascii_case("localhost"),
        Name::Address(address) => {
            address == local.to_canonical()
                || address == IpAddr::V4(Ipv4Addr::LOCALHOST)
                || address == IpAddr::V6(Ipv6Addr::LOCALHOST)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(local: &str) -> SocketAddr {
        local.parse().unwrap()
    }

    #[test]
    fn loopback_names_are_ours_with_our_port_or_without() {
        let hosts = Hosts::default();
        let local = at("127.0.0.1:9090");
        for host in [
            "localhost",
            "LocalHost:9090",
            "127.0.0.1",
            "127.0.0.1:9090",
            "[::1]",
            "[::1]:9090",
            "[0:0:0:0:0:0:0:1]:9090",
        ] {
            assert!(hosts.admits_host(host, local), "{host}");
        }
    }

    #[test]
    fn a_host_is_compared_whole() {
        let hosts = Hosts::new(["api.example".to_owned()]);
        let local = at("127.0.0.1:9090");
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "localhost:80",
            "localhost:",
            "localhost:+9090",
            "localhost:09090x",
            "localhost.",
            "evil.example#localhost",
            "localhost@evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "0x7f000001",
            "[::1",
            "[::1]9090",
            "[localhost]",
            "::1",
            "api.example.",
            "xapi.example",
            "api.example.evil",
        ] {
            assert!(!hosts.admits_host(host, local), "{host}");
        }
    }

    #[test]
    fn the_address_of_the_listener_is_ours_and_no_other() {
        let hosts = Hosts::default();
        assert!(hosts.admits_host("192.0.2.7:9090", at("192.0.2.7:9090")));
        assert!(hosts.admits_host("192.0.2.7:9090", at("[::ffff:192.0.2.7]:9090")));
        assert!(hosts.admits_host("[2001:db8::7]", at("[2001:db8::7]:9090")));
        assert!(!hosts.admits_host("192.0.2.8:9090", at("192.0.2.7:9090")));
    }

    #[test]
    fn configured_names_count_as_written_or_with_our_port() {
        let hosts = Hosts::new(["api.example".to_owned(), "tunnel.example:8443".to_owned()]);
        let local = at("127.0.0.1:9090");
        assert!(hosts.admits_host("API.example", local));
        assert!(hosts.admits_host("api.example:9090", local));
        assert!(!hosts.admits_host("api.example:8443", local));
        assert!(hosts.admits_host("tunnel.example:8443", local));
        assert!(!hosts.admits_host("tunnel.example", local));
        assert!(!hosts.admits_host("tunnel.example:9090", local));
    }

    #[test]
    fn only_our_own_pages_may_ask() {
        let hosts = Hosts::new(["api.example".to_owned()]);
        let local = at("127.0.0.1:9090");
        for origin in [
            "http://localhost:9090",
            "http://127.0.0.1:9090",
            "http://[::1]:9090",
            "https://api.example",
            "http://api.example:9090",
        ] {
            assert!(hosts.admits_origin(origin, local), "{origin}");
        }
        for origin in [
            "",
            "null",
            "http://localhost",
            "http://localhost:8080",
            "https://localhost:9090",
            "ftp://localhost:9090",
            "http://evil.example",
            "http://evil.example:9090",
            "http://localhost:9090/",
            "file://",
        ] {
            assert!(!hosts.admits_origin(origin, local), "{origin}");
        }
    }

    #[test]
    fn a_token_is_shown_as_bearer_and_whole() {
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        assert!(token.admits(Some("Bearer 0123456789abcdef")));
        assert!(token.admits(Some("bearer  0123456789abcdef")));
        for value in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("0123456789abcdef"),
            Some("Basic 0123456789abcdef"),
            Some("Bearer 0123456789abcde"),
            Some("Bearer 0123456789abcdeF"),
            Some("Bearer 0123456789abcdef0"),
        ] {
            assert!(!token.admits(value), "{value:?}");
        }
        assert!(Token::new(" \n").is_none(), "an empty token would admit everyone");
    }

    #[test]
    fn changes_want_the_token_and_reading_where_it_is_so_configured() {
        let access = |reading| Access::new(Ok(Token::new("secret").unwrap()), reading);
        let shown = Some("Bearer secret");
        for reading in [false, true] {
            assert_eq!(access(reading).check(Need::Probing, None), Ok(()));
            assert_eq!(access(reading).check(Need::Changing, None), Err(Denied::NotShown));
            assert_eq!(access(reading).check(Need::Changing, Some("Bearer x")), Err(Denied::Wrong));
            assert_eq!(access(reading).check(Need::Changing, shown), Ok(()));
        }
        assert_eq!(access(false).check(Need::Reading, None), Ok(()));
        assert_eq!(access(true).check(Need::Reading, None), Err(Denied::NotShown));
        assert_eq!(access(true).check(Need::Reading, shown), Ok(()));
        let without = Access::new(Err("why".to_owned()), false);
        assert_eq!(without.check(Need::Reading, None), Ok(()));
        assert_eq!(without.check(Need::Changing, shown), Err(Denied::NoToken("why".to_owned())));
    }

    #[test]
    fn a_denial_says_how_to_be_let_in() {
        let header = |denied: Denied| {
            let reply = denied.reply();
            (reply.status, reply.headers.first().map(|(name, value)| format!("{name}: {value}")))
        };
        let challenge = "WWW-Authenticate: Bearer realm=\"rustsocks\"".to_owned();
        assert_eq!(header(Denied::NotShown), (401, Some(challenge.clone())));
        let wrong = format!("{challenge}, error=\"invalid_token\"");
        assert_eq!(header(Denied::Wrong), (401, Some(wrong)));
        assert_eq!(header(Denied::NoToken(String::new())), (503, None));
    }
}
