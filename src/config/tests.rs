//! Single values: whatever their key takes means what it says, and nothing else is taken.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;

/// A key with a number, its range, and what becomes of the number in units of the key.
struct Number {
    section: &'static str,
    key: &'static str,
    range: RangeInclusive<i64>,
    read: fn(&Settings) -> u128,
}

macro_rules! numbers {
    ($($section:literal $key:literal $range:expr, $read:expr;)*) => {
        [$(Number { section: $section, key: $key, range: $range, read: $read }),*]
    };
}

/// Durations and sizes: those whose number is not kept as it is.
const NUMBERS: [Number; 13] = numbers! {
    "server" "handshake_timeout_ms" 1..=600_000, |it| it.server.handshake_timeout.as_millis();
    "server" "connect_timeout_ms" 1..=600_000, |it| it.server.connect_timeout.as_millis();
    "server" "attempt_delay_ms" 10..=10_000, |it| it.server.attempt_delay.as_millis();
    "server" "idle_timeout_secs" 1..=604_800, |it| it.server.idle_timeout.as_millis() / 1000;
    "server" "half_close_timeout_secs" 1..=86_400, |it| {
        it.server.half_close_timeout.as_millis() / 1000
    };
    "server" "tcp_keepalive_secs" 0..=32_767, |it| it.server.keepalive_secs.into();
    "server" "drain_timeout_secs" 0..=86_400, |it| it.server.drain_timeout.as_millis() / 1000;
    "resolver" "timeout_ms" 10..=60_000, |it| it.resolver.timeout.as_millis();
    "resolver" "cache_max_ttl_secs" 0..=86_400, |it| it.resolver.cache_max_ttl.as_millis() / 1000;
    "resolver" "negative_max_ttl_secs" 0..=86_400, |it| {
        it.resolver.negative_max_ttl.as_millis() / 1000
    };
    "sessions" "batch_interval_ms" 1..=60_000, |it| it.sessions.batch_interval.as_millis();
    "sessions" "checkpoint_interval_secs" 1..=3600, |it| {
        it.sessions.checkpoint_interval.as_millis() / 1000
    };
    "sessions" "wal_limit_mb" 32..=1_048_576, |it| u128::from(it.sessions.wal_limit_bytes >> 20);
};

fn parse(text: &str) -> Result<Settings, String> {
    Settings::parse(None, text).map(|(settings, _)| settings).map_err(|error| error.to_string())
}

/// Numbers about a range: within, at its edges, and beyond.
fn about(range: &RangeInclusive<i64>) -> impl Strategy<Value = i64> + use<> {
    let (least, most) = (*range.start(), *range.end());
    prop_oneof![
        least..=most,
        least.saturating_sub(2)..=least + 2,
        most - 2..=most.saturating_add(2),
        any::<i64>(),
    ]
}

/// One of the numbers, and a value about its range.
fn any_number() -> impl Strategy<Value = (&'static Number, i64)> {
    (0..NUMBERS.len()).prop_flat_map(|at| {
        let number = &NUMBERS[at];
        (Just(number), about(&number.range))
    })
}

impl std::fmt::Debug for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.section, self.key)
    }
}

#[test]
fn each_default_is_within_its_range() {
    let defaults = parse("").unwrap();
    for number in &NUMBERS {
        let read = i64::try_from((number.read)(&defaults)).unwrap();
        assert!(number.range.contains(&read), "{number:?}: {read}");
    }
}

proptest! {
    #[test]
    fn a_number_is_taken_exactly_within_its_range((number, value) in any_number()) {
        let read = parse(&format!("[{}]\n{} = {value}\n", number.section, number.key));
        if number.range.contains(&value) {
            prop_assert_eq!((number.read)(&read.unwrap()), value.unsigned_abs().into());
        } else {
            let refused = read.unwrap_err();
            prop_assert!(refused.contains(&format!("{number:?}: got {value}, expected ")), "{}", refused);
        }
    }

    #[test]
    fn any_address_can_be_listened_at(address: SocketAddr, further: SocketAddr) {
        let text = format!(
            "[server]\nallow_open_proxy = true\nbind_address = \"{}\"\nbind_port = {}\n\
             [[server.listen]]\naddress = \"{}\"\nport = {}\n",
            address.ip(), address.port(), further.ip(), further.port(),
        );
        let bare = |address: SocketAddr| SocketAddr::new(address.ip(), address.port());
        let (address, further) = (bare(address), bare(further));
        match parse(&text) {
            Ok(settings) => {
                let listen: Vec<_> = settings.server.listen.iter().map(|it| it.address).collect();
                prop_assert_eq!(listen, [address, further]);
            }
            Err(refused) => prop_assert_eq!(address, further, "{}", refused),
        }
    }

    #[test]
    fn any_name_server_is_asked_at_its_port_or_at_53(server: SocketAddr, named: bool) {
        let server = SocketAddr::new(server.ip(), if named { server.port() } else { 53 });
        let text = if named { server.to_string() } else { server.ip().to_string() };
        let settings = parse(&format!("[resolver]\nservers = [\"{text}\"]\n")).unwrap();
        prop_assert_eq!(settings.resolver.servers, [server]);
    }

    #[test]
    fn a_range_of_ports_is_taken_if_it_is_one(first: u16, last: u16) {
        let read = parse(&format!("[server]\nudp_port_range = \"{first}-{last}\"\n"));
        if 0 < first && first <= last {
            prop_assert_eq!(read.unwrap().server.associations.ports, Some(first..=last));
        } else {
            prop_assert!(read.unwrap_err().contains("udp_port_range"));
        }
    }

    #[test]
    fn networks_of_load_balancers_are_taken_with_a_length_or_without(ip: IpAddr, length in 0..=128_u8) {
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let net = IpNet::new(ip, length.min(most)).unwrap();
        let of = |net: IpNet| {
            parse(&format!("[server]\nproxy_protocol_from = [\"{net}\", \"{ip}\"]\n"))
        };
        let settings = of(net.trunc()).unwrap();
        prop_assert!(settings.server.listen[0].announcers.contains(ip));
        // Wider than the address says.
        prop_assert_eq!(of(net).is_ok(), net == net.trunc());
    }

    #[test]
    fn a_mark_is_taken_in_32_bits(mark in prop_oneof![0..=0x1_0000_0002_i64, any::<i64>()]) {
        let read = parse(&format!("[egress]\nmark = {mark}\n"));
        match u32::try_from(mark) {
            Ok(mark) => {
                let expected = (mark != 0).then_some(mark);
                prop_assert_eq!(read.unwrap().egress.default.mark, expected);
            }
            Err(_) => prop_assert!(read.unwrap_err().contains("egress.mark")),
        }
    }

    #[test]
    fn no_word_panics_and_what_is_refused_is_one_line_that_names_its_key(
        key in prop::sample::select(vec![
            "server.bind_address",
            "server.udp_port_range",
            "server.udp_advertised_address",
            "server.proxy_protocol_from",
            "resolver.servers",
            "egress.addresses",
            "egress.interface",
            "sessions.database_url",
            "sessions.stats_api_bind_address",
        ]),
        word in "[0-9a-f:./+ -]{0,20}|.{0,20}",
    ) {
        let (section, name) = key.split_once('.').unwrap();
        let value = toml::Value::String(word.clone()).to_string();
        let several = matches!(name, "proxy_protocol_from" | "servers" | "addresses");
        let value = if several { format!("[{value}]") } else { value };
        let text = format!("[{section}]\n{name} = {value}\n");
        match parse(&text) {
            Ok(_) => prop_assert!(name != "udp_port_range" || !word.contains('+')),
            Err(refused) => {
                prop_assert!(refused.contains(key), "{} of {}", refused, text);
                prop_assert!(!refused.contains('\n'), "{}", refused);
            }
        }
    }
}
