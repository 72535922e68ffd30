//! What counts as one client.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or the /64 of an IPv6 address: its owner may take any address of it. Mapped IPv4 is
/// unwrapped first.
pub(super) fn block(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & NETWORK).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The upper half.
const NETWORK: u128 = !0 << 64;
