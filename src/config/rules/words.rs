//! What single words of a rule mean.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::acl::{Destination, Pattern, normal_net};

/// `*`, an address, a network, or names.
pub(super) fn destination(text: &str) -> Result<Destination, String> {
    if text == "*" {
        return Ok(Destination::Any);
    }
    match network(text) {
        Ok(net) => return Ok(Destination::Net(net)),
        Err(NoNetwork::Other) => {}
        Err(NoNetwork::HostBits(why)) => return Err(why),
    }
    let refuse = |why: &str| format!("got {text:?}, {why}expected {A_DESTINATION}");
    if text.contains('/') {
        return Err(refuse(""));
    }
    if text.contains(':') {
        return Err(refuse("a port goes into `ports`; "));
    }
    if looks_like_an_address(text) {
        return Err(refuse("which is no whole address; "));
    }
    Pattern::parse(text).map(Destination::Name).map_err(|error| refuse(&format!("and {error}; ")))
}

/// Why a word is no network.
#[derive(Debug)]
pub(in crate::config) enum NoNetwork {
    /// It is an address with a length that cuts it off: a network around it, or just it, may be meant. In
    /// a sentence.
    HostBits(String),
    /// It is something else.
    Other,
}

/// A network or one address, mapped ones unwrapped. One with bits beyond its length is none: it would be
/// far wider than the address says.
pub(in crate::config) fn network(text: &str) -> Result<IpNet, NoNetwork> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = || bare.parse::<IpAddr>().map(IpNet::from);
    let net = bare.parse::<IpNet>().or_else(|_| address()).map_err(|_| NoNetwork::Other)?;
    if net == net.trunc() {
        return Ok(normal_net(net));
    }
    let (meant, address) = (normal_net(net), net.addr().to_canonical());
    Err(NoNetwork::HostBits(format!(
        "got {text:?}, an address with the length of a network; expected the network \"{meant}\" or the \
         address \"{address}\""
    )))
}

/// `443`, `8000-9000`, `80,443`, `*`; the ranges, first and last included.
pub(super) fn ports(text: &str) -> Option<Vec<(u16, u16)>> {
    text.split(',')
        .map(|part| {
            let part = part.trim();
            if part == "*" {
                return Some((0, u16::MAX));
            }
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (port(first.trim())?, port(last.trim())?);
            (first <= last).then_some((first, last))
        })
        .collect()
}

/// A port in digits; the standard library would take a sign.
pub(in crate::config) fn port(text: &str) -> Option<u16> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `+02:00`, `-05:30`, `Z`; minutes.
pub(super) fn utc_offset(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str| -> Option<i32> {
        let two = text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_digit());
        two.then(|| text.parse().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// Numbers and dots, with or without a `*`: nobody means a name by that.
fn looks_like_an_address(text: &str) -> bool {
    let mut labels = text.trim_matches('.').split('.').filter(|label| *label != "*").peekable();
    let is_number =
        |label: &str| !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_digit());
    labels.peek().is_some() && labels.all(is_number)
}

pub(super) const A_DESTINATION: &str = concat!(
    "\"*\", an address, a network such as \"10.0.0.0/8\", or names such as \"example.com\", ",
    "\"*.example.com\" (below it), \".example.com\" (both) or \"api.*.example.com\"",
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn destinations_are_told_apart() {
        let shown = |text: &str| destination(text).map(|of| of.to_string());
        for (text, meant) in [
            ("*", "*"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("WWW.Example.com.", "www.example.com"),
            ("*.Example.com", "*.example.com"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(meant), "{text}");
        }
        for (text, meant) in [
            ("10.1.2.3/8", "the network \"10.0.0.0/8\" or the address \"10.1.2.3\""),
            ("2001:db8::1/32", "the network \"2001:db8::/32\" or the address \"2001:db8::1\""),
            ("::ffff:10.0.0.1/104", "the network \"10.0.0.0/8\" or the address \"10.0.0.1\""),
        ] {
            let error = shown(text).expect_err(text);
            assert!(error.ends_with(meant) && !error.contains("names"), "{error}");
        }
        for text in
            ["10.0.0", "192.168.1.*", "10.0.0.0/33", "a.test:443", "", "1", "http://a.test/"]
        {
            let error = shown(text).expect_err(text);
            assert!(error.contains("expected \"*\", an address"), "{error}");
        }
    }

    #[test]
    fn ports_and_offsets() {
        assert_eq!(ports("80, 443,8000-9000").unwrap(), [(80, 80), (443, 443), (8000, 9000)]);
        assert_eq!(ports("*").unwrap(), [(0, 65_535)]);
        for text in ["", "http", "65536", "9000-8000", "80,", "-1", "80-"] {
            assert_eq!(ports(text), None, "{text}");
        }
        assert_eq!(utc_offset("+02:00"), Some(120));
        assert_eq!(utc_offset("-05:30"), Some(-330));
        assert_eq!(utc_offset("Z"), Some(0));
        for text in ["", "2", "+2:00", "+15:00", "+02:60", "CET"] {
            assert_eq!(utc_offset(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_ranges_of_ports_are_read_back(
            ranges in prop::collection::vec(any::<(u16, u16)>(), 1..6),
            blanks in "[ ]{0,2}",
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
            let written = ranges.iter().map(|(first, last)| match first == last {
                true => format!("{blanks}{first}{blanks}"),
                false => format!("{blanks}{first}{blanks}-{blanks}{last}"),
            });
            prop_assert_eq!(ports(&written.collect::<Vec<_>>().join(",")), Some(ranges));
        }

        #[test]
        fn any_network_is_read_back_as_its_first_address(ip: IpAddr, length in 0..=128_u8) {
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let net = IpNet::new(ip, length.min(most)).unwrap();
            let expected = Ok(Destination::Net(normal_net(net.trunc())).to_string());
            let read = |text: String| destination(&text).map(|read| read.to_string());
            prop_assert_eq!(read(net.to_string()).is_ok(), net == net.trunc());
            prop_assert_eq!(read(net.trunc().to_string()), expected);
            let one = Ok(Destination::Net(normal_net(ip.into())).to_string());
            prop_assert_eq!(read(ip.to_string()), one.clone());
            prop_assert_eq!(read(format!("[{ip}]")), one);
        }

        #[test]
        fn any_offset_is_read_back(minutes in -14 * 60 - 59..=14 * 60 + 59_i32) {
            let (sign, apart) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
            let text = format!("{sign}{:02}:{:02}", apart / 60, apart % 60);
            prop_assert_eq!(utc_offset(&text), Some(minutes));
        }

        #[test]
        fn no_word_panics_and_what_passes_is_read_back(
            word in "[\\[\\]a-z0-9.*:/,+ -]{0,24}|.{0,24}",
        ) {
            if let Ok(read) = destination(&word) {
                let again = destination(&read.to_string()).map(|read| read.to_string());
                prop_assert_eq!(again, Ok(read.to_string()));
            }
            for (first, last) in ports(&word).unwrap_or_default() {
                prop_assert!(first <= last);
                prop_assert!(!word.contains('+'), "a sign in {}", word);
            }
            prop_assert!(utc_offset(&word).is_none_or(|minutes| minutes.abs() < 15 * 60));
        }
    }
}
