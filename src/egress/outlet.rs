//! What the sockets of one session are bound to.

use std::net::IpAddr;
use std::sync::Arc;

use super::configured::Egress;
use crate::linux::outgoing::Outgoing;

/// The way out of one session. Its sockets of one family all have the same address. Cheap to clone;
/// the default one is the kernel's own choice.
#[derive(Clone, Debug, Default)]
pub struct Outlet {
    lane: Option<Arc<Lane>>,
    turn: u32,
}

/// A way out with its addresses by family.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) egress: Egress,
    ipv4: Box<[IpAddr]>,
    ipv6: Box<[IpAddr]>,
}

impl Lane {
    pub(super) fn new(egress: Egress) -> Self {
        let (ipv4, ipv6): (Vec<_>, Vec<_>) = egress.addresses.iter().partition(|ip| ip.is_ipv4());
        Self { egress, ipv4: ipv4.into(), ipv6: ipv6.into() }
    }
}

impl Outlet {
    /// The way out by `lane` for a session with this turn.
    pub(super) const fn by(lane: Arc<Lane>, turn: u32) -> Self {
        Self { lane: Some(lane), turn }
    }

    /// What a socket towards a target is to be bound to; `None` when there is no address of the
    /// target's family to leave from.
    #[must_use]
    pub fn towards(&self, target: IpAddr) -> Option<Outgoing<'_>> {
        let Some(lane) = &self.lane else { return Some(Outgoing::default()) };
        let Egress { addresses, interface, mark, .. } = &lane.egress;
        let source = if addresses.is_empty() {
            None
        } else {
            let of_family = if target.to_canonical().is_ipv4() { &lane.ipv4 } else { &lane.ipv6 };
            let count = u32::try_from(of_family.len()).unwrap_or(u32::MAX);
            let place = self.turn.checked_rem(count)? as usize;
            of_family.get(place).copied().filter(|ip| !ip.is_unspecified())
        };
        Some(Outgoing { source, interface: interface.as_deref(), mark: *mark })
    }

    /// Whether there is an address to leave from towards this target.
    #[must_use]
    pub fn reaches(&self, target: IpAddr) -> bool {
        self.towards(target).is_some()
    }

    /// An address of ours at which whoever comes from outside may reach us, by this way; `otherwise`
    /// where the way names none.
    #[must_use]
    pub fn at(&self, otherwise: IpAddr) -> IpAddr {
        let ipv4 = IpAddr::from([0; 4]);
        let ipv6 = IpAddr::from([0; 16]);
        let first = if otherwise.is_ipv4() { [ipv4, ipv6] } else { [ipv6, ipv4] };
        let named = first.iter().find_map(|any| self.towards(*any)?.source);
        named.unwrap_or(otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlet(addresses: &[&str], turn: u32) -> Outlet {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let egress = Egress {
            addresses,
            interface: Some("eth1".to_owned()),
            mark: Some(7),
            ..Egress::default()
        };
        Outlet::by(Arc::new(Lane::new(egress)), turn)
    }

    fn source(outlet: &Outlet, target: &str) -> Option<Option<String>> {
        let out = outlet.towards(target.parse().unwrap())?;
        assert_eq!((out.interface, out.mark), (Some("eth1"), Some(7)));
        Some(out.source.map(|ip| ip.to_string()))
    }

    #[test]
    fn the_kernel_chooses_where_nothing_is_configured() {
        let outlet = Outlet::default();
        assert_eq!(outlet.towards([192, 0, 2, 1].into()), Some(Outgoing::default()));
        assert_eq!(outlet.at([127, 0, 0, 1].into()), IpAddr::from([127, 0, 0, 1]));
    }

    #[test]
    fn each_family_has_its_addresses_and_one_without_is_out_of_reach() {
        let both = ["192.0.2.1", "2001:db8::1", "192.0.2.2"];
        let some = |ip: &str| Some(Some(ip.to_owned()));
        assert_eq!(source(&outlet(&both, 0), "198.51.100.1"), some("192.0.2.1"));
        assert_eq!(source(&outlet(&both, 5), "198.51.100.1"), some("192.0.2.2"));
        assert_eq!(source(&outlet(&both, 5), "2001:db8::9"), some("2001:db8::1"));
        // A mapped address is an IPv4 one.
        assert_eq!(source(&outlet(&both, 0), "::ffff:198.51.100.1"), some("192.0.2.1"));
        assert_eq!(source(&outlet(&["192.0.2.1"], 0), "2001:db8::9"), None);
        assert!(!outlet(&["192.0.2.1"], 0).reaches("::1".parse().unwrap()));
    }

    #[test]
    fn an_unspecified_address_leaves_its_family_to_the_kernel() {
        let outlet = outlet(&["192.0.2.1", "::"], 0);
        assert_eq!(source(&outlet, "2001:db8::9"), Some(None));
        assert_eq!(source(&self::outlet(&[], 3), "2001:db8::9"), Some(None));
    }

    #[test]
    fn who_comes_from_outside_finds_us_at_an_address_of_the_way() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let at = |addresses: &[&str]| outlet(addresses, 0).at(loopback).to_string();
        assert_eq!(at(&["2001:db8::1", "192.0.2.1"]), "192.0.2.1");
        assert_eq!(at(&["2001:db8::1"]), "2001:db8::1");
        assert_eq!(at(&["::", "0.0.0.0"]), "127.0.0.1");
        assert_eq!(at(&[]), "127.0.0.1");
    }
}
