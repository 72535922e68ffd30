//! What a client asks for: a host and a port.
//!
//! A target keeps the client's own words, because they are what rules, records and statistics speak
//! of; only the case and one trailing dot of a name are made uniform. A name that is in truth a
//! literal address becomes that address, so that nothing dressed as a name escapes the rules about
//! addresses.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a client wants to go (DST.ADDR and DST.PORT of RFC 1928).
///
/// Its `Display` is `host:port`, with IPv6 in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The address or name asked for.
    pub host: Host,
    /// The port asked for; 0 is possible, and meaningful for UDP ASSOCIATE.
    pub port: u16,
}

impl Target {
    /// The target at this host and port.
    #[must_use]
    pub const fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// The socket address, unless the host is a name.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.host.ip().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// The same target as it is written in records: see [`Host::canonical`].
    #[must_use]
    pub fn canonical(&self) -> Cow<'_, Self> {
        match self.host.canonical() {
            Cow::Borrowed(_) => Cow::Borrowed(self),
            Cow::Owned(host) => Cow::Owned(Self::new(host, self.port)),
        }
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip().into(), address.port())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::V4(ip) => write!(f, "{ip}:{}", self.port),
            Host::V6(ip) => write!(f, "[{ip}]:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// The host part of a target. Its `Display` is the bare text, without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, mapped ones included.
    V6(Ipv6Addr),
    /// A name that has to be looked up.
    Name(HostName),
}

impl Host {
    /// Reads the text form of a host as it comes from the wire or from a configuration.
    ///
    /// The text of an IPv4 or IPv6 address gives that address. The old short and octal forms of
    /// IPv4 (`127.1`, `0177.0.0.1`) are names here; a resolver may make addresses of them, which
    /// are then judged as addresses.
    ///
    /// # Errors
    ///
    /// [`BadName`] says which rule the text breaks.
    pub fn from_name(octets: &[u8]) -> Result<Self, BadName> {
        // Only one dot is the root's; a second would let `example.com..` pass rules about
        // `example.com`.
        let octets = octets.strip_suffix(b".").unwrap_or(octets);
        if octets.is_empty() {
            return Err(BadName::Empty);
        }
        if octets.len() > HostName::OCTETS_MAX {
            return Err(BadName::TooLong(octets.len()));
        }
        if let Some(&octet) = octets.iter().find(|&&octet| !belongs_in_host(octet)) {
            return Err(BadName::Octet(octet));
        }
        // Borrows: only ASCII is left.
        let text = String::from_utf8_lossy(octets);
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(ip.into());
        }
        if octets.contains(&b':') {
            return Err(BadName::Octet(b':'));
        }
        if octets.split(|&octet| octet == b'.').any(<[u8]>::is_empty) {
            return Err(BadName::EmptyLabel);
        }
        Ok(Self::Name(HostName(text.to_ascii_lowercase().into_boxed_str())))
    }

    /// The address, unless this is a name.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::V4(ip) => Some(IpAddr::V4(*ip)),
            Self::V6(ip) => Some(IpAddr::V6(*ip)),
            Self::Name(_) => None,
        }
    }

    /// The name, unless this is an address.
    #[must_use]
    pub const fn name(&self) -> Option<&HostName> {
        match self {
            Self::V4(_) | Self::V6(_) => None,
            Self::Name(name) => Some(name),
        }
    }

    /// The same host as it is written in records: IPv4-mapped IPv6 as IPv4, all else unchanged.
    /// Never allocates.
    #[must_use]
    pub fn canonical(&self) -> Cow<'_, Self> {
        match self {
            Self::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => Cow::Owned(Self::V4(ip)),
                None => Cow::Borrowed(self),
            },
            Self::V4(_) | Self::Name(_) => Cow::Borrowed(self),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => Self::V6(ip),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(ip) => ip.fmt(f),
            Self::V6(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A name to be looked up: 1 to 255 octets of `a-z 0-9 - _ .`, lower case, no empty label, no
/// trailing dot, and not the text of an address. Made by [`Host::from_name`] only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Box<str>);

impl HostName {
    /// The longest name: what the one length octet of RFC 1928 section 5 can say.
    pub const OCTETS_MAX: usize = 255;

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for HostName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a text names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing, or only the root's dot.
    #[error("a host name must not be empty")]
    Empty,
    /// Longer than [`HostName::OCTETS_MAX`]; the length in octets.
    #[error("a host name of {0} octets is too long, at most 255 are allowed")]
    TooLong(usize),
    /// Two dots in a row, or a dot in front.
    #[error("a host name must not have an empty label")]
    EmptyLabel,
    /// An octet that has no place in a name, among them controls, blanks and all beyond ASCII.
    #[error("octet 0x{0:02x} does not belong in a host name")]
    Octet(u8),
}

/// The address without its IPv4-mapped wrapping (`::ffff:192.0.2.1` is `192.0.2.1`), as records and
/// rules want it.
#[must_use]
pub const fn canonical_ip(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// The colon is for IPv6 alone.
const fn belongs_in_host(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b':')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> Host {
        Host::from_name(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_name_is_lower_case_and_loses_one_trailing_dot() {
        assert_eq!(host("WWW.Example.COM.").to_string(), "www.example.com");
        assert_eq!(host("_dmarc.x-1.test").name().unwrap().as_str(), "_dmarc.x-1.test");
        assert_eq!(host("localhost").ip(), None);
    }

    #[test]
    fn the_text_of_an_address_is_that_address() {
        assert_eq!(host("192.0.2.1"), Host::V4(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(host("192.0.2.1."), Host::V4(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(host("::1"), Host::V6(Ipv6Addr::LOCALHOST));
        assert_eq!(host("2001:DB8::A"), Host::V6("2001:db8::a".parse().unwrap()));
        assert!(host("127.1").name().is_some());
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_rule() {
        let refused: &[(&[u8], BadName)] = &[
            (b"", BadName::Empty),
            (b".", BadName::Empty),
            (b"..", BadName::EmptyLabel),
            (b"example.com..", BadName::EmptyLabel),
            (b".example.com", BadName::EmptyLabel),
            (b"a..b", BadName::EmptyLabel),
            (b"a\0b", BadName::Octet(0)),
            (b"a b", BadName::Octet(b' ')),
            (b"a\r\nb", BadName::Octet(b'\r')),
            (b"a/b", BadName::Octet(b'/')),
            (b"[::1]", BadName::Octet(b'[')),
            (b"fe80::1%eth0", BadName::Octet(b'%')),
            (b"host:80", BadName::Octet(b':')),
            ("b\u{fc}cher.test".as_bytes(), BadName::Octet(0xc3)),
            (b"\x7f", BadName::Octet(0x7f)),
            (&[b'a'; 256], BadName::TooLong(256)),
        ];
        for (octets, why) in refused {
            assert_eq!(Host::from_name(octets), Err(*why), "{}", octets.escape_ascii());
        }
    }

    #[test]
    fn the_longest_name_has_255_octets() {
        assert!(Host::from_name(&[b'a'; 255]).is_ok());
        let with_dot = [[b'a'; 255].as_slice(), b"."].concat();
        assert!(Host::from_name(&with_dot).is_ok());
    }

    #[test]
    fn a_target_is_written_with_its_port_and_ipv6_in_brackets() {
        let written = |text, port| Target::new(host(text), port).to_string();
        assert_eq!(written("example.com", 443), "example.com:443");
        assert_eq!(written("192.0.2.1", 80), "192.0.2.1:80");
        assert_eq!(written("2001:db8::1", 0), "[2001:db8::1]:0");
        assert_eq!(host("2001:db8::1").to_string(), "2001:db8::1");
    }

    #[test]
    fn a_mapped_address_stays_as_asked_and_is_unwrapped_for_records() {
        let asked = Target::new(host("::ffff:192.0.2.1"), 80);
        assert_eq!(asked.to_string(), "[::ffff:192.0.2.1]:80");
        assert_eq!(asked.canonical().to_string(), "192.0.2.1:80");
        assert_eq!(asked.host.canonical().to_string(), "192.0.2.1");
        assert_eq!(canonical_ip(asked.host.ip().unwrap()), IpAddr::from([192, 0, 2, 1]));

        // An IPv4-compatible address (::192.0.2.1) is another thing, and stays.
        let plain = Target::new(host("::192.0.2.1"), 80);
        assert!(matches!(plain.canonical(), Cow::Borrowed(_)));
    }

    #[test]
    fn only_an_address_has_a_socket_address() {
        let address: SocketAddr = "[2001:db8::1]:8080".parse().unwrap();
        assert_eq!(Target::from(address).socket_addr(), Some(address));
        assert_eq!(Target::new(host("example.com"), 80).socket_addr(), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_judged_and_what_passes_is_a_fixed_point(octets: Vec<u8>) {
            if let Ok(host) = Host::from_name(&octets) {
                prop_assert_eq!(Host::from_name(host.to_string().as_bytes()), Ok(host));
            }
        }

        #[test]
        fn a_plausible_name_is_a_fixed_point(text in "[a-zA-Z0-9._:-]{1,40}") {
            if let Ok(host) = Host::from_name(text.as_bytes()) {
                prop_assert_eq!(Host::from_name(host.to_string().as_bytes()), Ok(host));
            }
        }

        #[test]
        fn the_written_address_is_read_back(ip: IpAddr) {
            prop_assert_eq!(Host::from_name(ip.to_string().as_bytes()), Ok(Host::from(ip)));
        }
    }
}
