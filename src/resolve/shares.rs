//! How many look-ups each client has in flight: one that asks for thousands of names uses up its own
//! share and nobody else's.

use std::net::{IpAddr, Ipv6Addr};

use hashbrown::HashMap;

/// The clients that have look-ups in flight; no more entries than look-ups.
#[derive(Debug)]
pub(super) struct Shares {
    taken: HashMap<IpAddr, usize, foldhash::fast::RandomState>,
    max: usize,
}

impl Shares {
    /// Shares of `max` look-ups each, at least one.
    pub(super) fn new(max: usize) -> Self {
        Self { taken: HashMap::default(), max: max.max(1) }
    }

    /// Takes a place of the client's share; whether there was one.
    pub(super) fn take(&mut self, client: IpAddr) -> bool {
        let taken = self.taken.entry(network(client)).or_insert(0);
        let room = *taken < self.max;
        *taken += usize::from(room);
        room
    }

    /// Gives a place back.
    pub(super) fn give_back(&mut self, client: IpAddr) {
        let client = network(client);
        if let Some(taken) = self.taken.get_mut(&client) {
            *taken -= 1;
            if *taken == 0 {
                self.taken.remove(&client);
            }
        }
    }
}

/// Who counts as one client: an IPv4 address, or the /64 that an IPv6 client can take any address
/// of.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_the_clients_own_and_comes_back() {
        let mut shares = Shares::new(2);
        let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        assert!(shares.take(one) && shares.take(one) && !shares.take(one));
        assert!(shares.take(other));
        shares.give_back(one);
        assert!(shares.take(one) && !shares.take(one));
        for client in [one, one, other] {
            shares.give_back(client);
        }
        assert!(shares.taken.is_empty());
    }

    #[test]
    fn an_ipv6_network_and_a_mapped_address_are_no_way_round() {
        let mut shares = Shares::new(1);
        assert!(shares.take("2001:db8::1".parse().unwrap()));
        assert!(!shares.take("2001:db8::2:1".parse().unwrap()));
        assert!(shares.take("2001:db8:0:1::1".parse().unwrap()));
        assert!(shares.take("192.0.2.1".parse().unwrap()));
        assert!(!shares.take("::ffff:192.0.2.1".parse().unwrap()));
    }
}
