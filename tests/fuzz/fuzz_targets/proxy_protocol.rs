//! PROXY protocol: every prefix goes on, what follows is left, and the client can be announced again.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use rustsocks::proxy_protocol::{ANNOUNCEMENT_OCTETS_MAX, Announcement, parse};
use rustsocks_fuzz::{Setup, agree};

fuzz_target!(|input: &[u8]| {
    let Some((mut setup, octets)) = Setup::split(input) else { return };
    setup.announced = true;
    agree(&setup, octets);
    let whole = parse(octets);
    let mut end = octets.len();
    if let Ok(Some((announcement, used))) = whole {
        assert!((8..=ANNOUNCEMENT_OCTETS_MAX).contains(&used) && used <= octets.len());
        let more = [octets, b"\r\n\0"].concat();
        assert_eq!(parse(&more), whole, "what follows changes it");
        if let Announcement::Client(client) = announcement {
            announce_again(client);
        }
        end = used;
    }
    for length in 0..end {
        let part = parse(&octets[..length]);
        if part != Ok(None) {
            // A fault stays one, whatever follows.
            assert!(part.is_err(), "whole at {length}, and again later");
            assert_eq!(part, whole);
        }
    }
});

fn announce_again(client: SocketAddr) {
    assert_eq!(client.ip(), client.ip().to_canonical());
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (ip, port) = (client.ip(), client.port());
    let line = format!("PROXY {family} {ip} {ip} {port} 1080\r\n");
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    let addresses = match client {
        SocketAddr::V4(it) => [it.ip().octets(), it.ip().octets()].concat(),
        SocketAddr::V6(it) => [it.ip().octets(), it.ip().octets()].concat(),
    };
    binary.extend([0x21, if client.is_ipv4() { 0x11 } else { 0x21 }, 0]);
    binary.push(u8::try_from(addresses.len() + 4).expect("a short header"));
    binary.extend(addresses);
    binary.extend(port.to_be_bytes());
    binary.extend([4, 56]);
    for written in [line.into_bytes(), binary] {
        let length = written.len();
        assert_eq!(parse(&written), Ok(Some((Announcement::Client(client), length))));
    }
}
