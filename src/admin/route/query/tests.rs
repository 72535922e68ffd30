//! What a client writes into a query is what it means.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

/// Text as a client may write it into a query: what must be is encoded, and of the rest what `also`
/// says, in whichever case.
fn written(text: &str, also: &[bool]) -> String {
    let mut out = String::new();
    for (octet, also) in text.bytes().zip(also.iter().chain(std::iter::repeat(&false))) {
        let plain = octet.is_ascii_alphanumeric() || b"-._~*:,/@!$'();?[]".contains(&octet);
        match octet {
            b' ' if !also => out.push('+'),
            _ if plain && !also => out.push(char::from(octet)),
            _ if *also => out.push_str(&format!("%{octet:02x}")),
            _ => out.push_str(&format!("%{octet:02X}")),
        }
    }
    out
}

/// Text that a parameter may have: not empty, and nothing that moves a cursor.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,20}", "\\PC{1,20}"]
}

proptest! {
    #[test]
    fn any_parameters_are_read_back_in_any_order(
        values in prop::collection::btree_map(any_value(), any_value(), 0..6),
        also in prop::collection::vec(any::<bool>(), 0..20),
        empty in 0..3_usize,
    ) {
        let pieces = values.iter().map(|(name, value)| {
            format!("{}={}", written(name, &also), written(value, &also))
        });
        let query = pieces.collect::<Vec<_>>().join(&"&".repeat(empty + 1));
        let mut parameters = Parameters::parse(Some(&query)).unwrap();
        for (name, value) in values.iter().rev() {
            prop_assert_eq!(parameters.text(name), Ok(Some(value.clone())), "{}", query);
            prop_assert_eq!(parameters.text(name), Ok(None));
        }
        prop_assert_eq!(parameters.finish(), Ok(()));
    }

    #[test]
    fn what_nobody_takes_and_what_stands_twice_is_refused_by_name(
        (name, value) in ("[a-z]{1,9}", "[a-z]{1,9}"),
        also: bool,
    ) {
        let named = |miss: Miss| matches!(miss, Miss::Bad(what) if what.contains(&format!("`{name}`")));
        let once = Parameters::parse(Some(&format!("{name}={value}"))).unwrap();
        prop_assert!(named(once.finish().unwrap_err()));
        let twice = format!("{name}={value}&{}={value}", written(&name, &[also]));
        prop_assert!(named(Parameters::parse(Some(&twice)).unwrap_err()));
    }

    #[test]
    fn a_number_is_taken_from_its_range_and_by_digits_alone(
        (least, most) in (0..50_u32, 50..200_u32),
        number in 0..300_u32,
        sign in prop::sample::select(vec!["", "%2B", "-", "+", "0x"]),
    ) {
        let mut parameters = Parameters::parse(Some(&format!("n={sign}{number}"))).unwrap();
        let read = parameters.number("n", least, most);
        if sign.is_empty() && (least..=most).contains(&number) {
            prop_assert_eq!(read, Ok(Some(number)));
        } else {
            prop_assert!(matches!(read, Err(Miss::Bad(_))));
        }
    }

    #[test]
    fn any_address_and_any_target_of_a_record_can_be_asked_for(
        ip: IpAddr,
        name in "[a-z0-9_-]{1,20}(\\.[a-z0-9_-]{1,20}){0,2}",
        port: Option<u16>,
        as_address: bool,
        also in prop::collection::vec(any::<bool>(), 0..40),
    ) {
        let source = format!("source={}", written(&ip.to_string(), &also));
        let mut parameters = Parameters::parse(Some(&source)).unwrap();
        prop_assert_eq!(parameters.source(), Ok(Some(ip.to_canonical())));

        // Some names are spelled as addresses are.
        let host = if as_address || name.parse::<IpAddr>().is_ok() { ip.to_string() } else { name };
        let text = match (port, host.contains(':')) {
            (Some(port), true) => format!("[{host}]:{port}"),
            (Some(port), false) => format!("{host}:{port}"),
            (None, _) => host.clone(),
        };
        let dest = format!("dest={}", written(&text, &also));
        let mut parameters = Parameters::parse(Some(&dest)).unwrap();
        let host = host.parse::<IpAddr>().map_or(host, |ip| ip.to_canonical().to_string());
        prop_assert_eq!(parameters.dest(), Ok(Some(Dest { host, port })), "{}", text);
    }

    #[test]
    fn encoded_text_is_decoded_and_broken_encoding_is_none(
        text in "\\PC{0,30}",
        octets: Vec<u8>,
        also in prop::collection::vec(any::<bool>(), 0..30),
    ) {
        let coded = written(&text, &also).replace('+', "%20");
        prop_assert_eq!(decode(&coded), Some(text));
        let all: String = octets.iter().map(|octet| format!("%{octet:02x}")).collect();
        let expected = String::from_utf8(octets).ok().filter(|text| !text.contains(char::is_control));
        prop_assert_eq!(decode(&all), expected);
        if !all.is_empty() {
            prop_assert_eq!(decode(&all[..all.len() - 1]), None);
        }
    }

    #[test]
    fn no_query_panics(query in ".{0,80}|[a-z&=%+0-9]{0,80}") {
        if let Ok(parameters) = Parameters::parse(Some(&query)) {
            let names: BTreeMap<_, _> = parameters.0.iter().cloned().collect();
            prop_assert_eq!(names.len(), parameters.0.len());
        }
    }
}
