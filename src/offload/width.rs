//! The networks that a client's address lies in, from the wide to the narrow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How wide a network is. What one owner has is often one of these, and whoever has it can take any address
/// of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// IPv4 /16, IPv6 /32: what a provider has.
    Provider,
    /// IPv4 /24, IPv6 /48: what a site has.
    Site,
    /// IPv4 /32, IPv6 /64: what one client has.
    Client,
}

impl Width {
    /// The next narrower one.
    pub(super) const fn within(self) -> Option<Self> {
        match self {
            Self::Provider => Some(Self::Site),
            Self::Site => Some(Self::Client),
            Self::Client => None,
        }
    }

    /// The network of this width that an address lies in, by its first address.
    pub(super) fn of(self, client: IpAddr) -> IpAddr {
        let (v4, v6) = match self {
            Self::Provider => (u32::MAX << 16, u128::MAX << 96),
            Self::Site => (u32::MAX << 8, u128::MAX << 80),
            Self::Client => (u32::MAX, u128::MAX << 64),
        };
        match client {
            IpAddr::V4(client) => Ipv4Addr::from_bits(client.to_bits() & v4).into(),
            IpAddr::V6(client) => Ipv6Addr::from_bits(client.to_bits() & v6).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_width_has_a_network_of_either_family() {
        for (client, expected) in [
            ("192.0.2.77", ["192.0.0.0", "192.0.2.0", "192.0.2.77"]),
            ("2001:db8:1:2:3:4:5:6", ["2001:db8::", "2001:db8:1::", "2001:db8:1:2::"]),
        ] {
            let widths = [Width::Provider, Width::Site, Width::Client];
            let networks = widths.map(|width| width.of(client.parse().unwrap()).to_string());
            assert_eq!(networks, expected);
        }
    }
}
