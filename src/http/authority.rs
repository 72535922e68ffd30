//! The target of a CONNECT: `host:port`, an IPv6 address in brackets (RFC 9112 §3.2.3, RFC 3986
//! §3.2.2). Both parts must be there (RFC 9110 §9.3.6).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::head::BadHead;
use crate::target::{Host, Target};

/// Reads an authority.
pub(super) fn parse(text: &str) -> Result<Target, BadHead> {
    let bad = || BadHead::Target;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or_else(bad)?;
            let address: Ipv6Addr = address.parse().map_err(|_| bad())?;
            (Host::V6(address), rest.strip_prefix(':').ok_or_else(bad)?)
        }
        None => {
            let (host, port) = text.split_once(':').ok_or_else(bad)?;
            let host = match host.parse::<Ipv4Addr>() {
                Ok(address) => Host::V4(address),
                Err(_) => Host::from_name(host.as_bytes()).map_err(|_| bad())?,
            };
            (host, port)
        }
    };
    // The standard library would take a sign.
    if port.is_empty() || !port.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(bad());
    }
    match port.parse::<u16>() {
        Ok(port @ 1..) => Ok(Target::new(host, port)),
        Ok(0) | Err(_) => Err(bad()),
    }
}

/// Whether this is the value of a Host field (RFC 9110 §7.2): the host of a URI, which may be empty, and
/// perhaps a port. It may be another than the target's, which is what counts.
pub(super) fn is_host(value: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(value.trim_ascii()) else { return false };
    let (is_right, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_registered_name(name), port)
        }
    };
    let is_port = |port: &str| port.bytes().all(|octet| octet.is_ascii_digit());
    is_right && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// RFC 3986 §3.2.2: unreserved, percent-encoded and sub-delims.
fn is_registered_name(mut name: &str) -> bool {
    while let Some((before, coded)) = name.split_once('%') {
        let is_coded = coded.len() >= 2 && coded.bytes().take(2).all(|it| it.is_ascii_hexdigit());
        if !is_coded || !is_plain(before) {
            return false;
        }
        name = &coded[2..];
    }
    is_plain(name)
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&octet))
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    /// Any target that a CONNECT can name.
    pub(in crate::http) fn any_target() -> impl Strategy<Value = Target> {
        let name = "[a-zA-Z0-9_-]{1,40}(\\.[a-zA-Z0-9_-]{1,40}){0,3}";
        let host = prop_oneof![
            any::<IpAddr>().prop_map(Host::from),
            name.prop_map(|name| Host::from_name(name.as_bytes()).unwrap()),
        ];
        (host, 1..=u16::MAX).prop_map(|(host, port)| Target::new(host, port))
    }

    #[test]
    fn hosts_and_ports_are_read() {
        for text in ["example.com:443", "192.0.2.1:80", "[2001:db8::1]:65535"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_lacks_a_part_or_has_a_strange_one_is_refused() {
        for text in [
            "",
            "example.com",
            "example.com:",
            "example.com:0",
            "example.com:65536",
            "example.com:+80",
            "example.com:80:80",
            ":80",
            "2001:db8::1:80",
            "[2001:db8::1]",
            "[2001:db8::1]80",
            "[example.com]:80",
            "http://example.com:80",
            "user@example.com:80",
            "exa mple:80",
        ] {
            assert_eq!(parse(text), Err(BadHead::Target), "{text}");
        }
    }

    #[test]
    fn a_host_field_holds_a_host_and_perhaps_a_port() {
        for host in ["", "a", "a.test:80", "a_b~1!", "a:", ":80", "%41%2f", "192.0.2.1:1", "[::1]"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in
            ["a@b", "a:b", "a:1:2", "a/", "a?", "a b", "%", "%4", "%4g", "[]", "[a]", "[::1]1"]
        {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
        assert!(!is_host(b"\xff") && !is_host("%\u{e9}".as_bytes()));
    }

    proptest! {
        #[test]
        fn any_octets_are_a_host_or_not(octets: Vec<u8>, text in "[%a-fA-F0-9:\\[\\]é]{0,12}") {
            let _: bool = is_host(&octets);
            let _: bool = is_host(text.as_bytes());
        }

        #[test]
        fn any_target_is_read_back(target in any_target()) {
            prop_assert!(is_host(target.to_string().as_bytes()));
            prop_assert_eq!(parse(&target.to_string()), Ok(target));
        }

        #[test]
        fn any_text_is_judged_and_what_passes_is_read_back(
            text in "[\\[\\]a-fA-F0-9x:.@/ *-]{0,40}|.{0,40}",
        ) {
            if let Ok(target) = parse(&text) {
                prop_assert!(target.port > 0);
                prop_assert_eq!(parse(&target.to_string()), Ok(target));
            }
        }
    }
}
