//! The guard: a client reaches through us no class of address that it could not reach without us.
//!
//! It is judged on the very address that is dialled. Forms that carry an IPv4 address inside an
//! IPv6 one are unwrapped first, because the kernel, a NAT64 gateway or a 6to4 relay would reach
//! the inner address: IPv4-mapped `::ffff:0:0/96` (RFC 4291 §2.5.5.2), IPv4-compatible `::/96`
//! (deprecated, §2.5.5.1), IPv4-translated `::ffff:0:0:0/96` (RFC 2765 §2.1), NAT64 `64:ff9b::/96`
//! (RFC 6052) and 6to4 `2002::/16` (RFC 3056).
//!
//! `64:ff9b:1::/48` (RFC 8215) is cut into prefixes of any length by whoever uses it, so that nobody can
//! tell which IPv4 address is meant: none of it is public, and each reading of it is judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use parking_lot::RwLock;

/// Which targets are forbidden to whom.
#[derive(Debug)]
pub enum Guard {
    /// By the class of the client's address; our own listeners are for nobody.
    Auto(OwnListeners),
    /// Nothing is forbidden.
    Off,
}

/// Where we listen ourselves, API included.
#[derive(Clone, Debug, Default)]
pub struct OwnListeners {
    /// The addresses we are bound to; an unspecified one means every address of this host.
    pub bound: Vec<SocketAddr>,
    /// The addresses of this host's interfaces.
    pub local: LocalAddresses,
}

/// The addresses of this host's interfaces as they are: a host is given others while we run. All clones
/// are the same list, which is looked at only for targets with the port of a listener of ours.
#[derive(Clone, Debug, Default)]
pub struct LocalAddresses(Arc<RwLock<Vec<IpAddr>>>);

impl LocalAddresses {
    /// They are these from here on; whether they are others than before.
    pub fn set(&self, addresses: Vec<IpAddr>) -> bool {
        let mut known = self.0.write();
        let others = *known != addresses;
        *known = addresses;
        others
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.read().contains(&address)
    }
}

impl From<Vec<IpAddr>> for LocalAddresses {
    fn from(addresses: Vec<IpAddr>) -> Self {
        Self(Arc::new(RwLock::new(addresses)))
    }
}

/// Why a target is forbidden, and what a rule has to name to allow it all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// The sentence that goes into the record as the rule.
    pub sentence: &'static str,
    /// How long the prefix is of what is forbidden around the address: a network that is wider has not
    /// been named for its sake.
    pub(super) prefix: u8,
    /// It was judged by the IPv4 address within it, and is named by that one.
    pub(super) embedded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Loopback,
    Private,
    Public,
    Nobody(&'static str),
}

impl Guard {
    /// Whether `client` may be connected to `target`.
    ///
    /// # Errors
    /// What stands against it.
    pub fn allows(&self, client: IpAddr, target: SocketAddr) -> Result<(), Forbidden> {
        let own = match self {
            Self::Off => return Ok(()),
            Self::Auto(own) => own,
        };
        let whole = target.ip().to_canonical();
        let address = unwrap(whole);
        let embedded = address != whole;
        let is_own = |address| own.contains(SocketAddr::new(address, target.port()));
        if is_own(address) || local_nat64(whole).into_iter().flatten().any(is_own) {
            let prefix = if address.is_ipv4() { 32 } else { 128 };
            let sentence = "guard: the proxy's own listeners are for nobody";
            return Err(Forbidden { sentence, prefix, embedded });
        }
        let (class, prefix, embedded) = match class(address) {
            // No reading of it is more than public, or none makes sense.
            (Class::Public | Class::Nobody(_), _) if is_misread(whole, address) => {
                (Class::Private, LOCAL_NAT64_PREFIX, false)
            }
            (class, prefix) => (class, prefix, embedded),
        };
        let sentence = match (class, standing(client)) {
            (Class::Nobody(sentence), _) => sentence,
            (Class::Public, _)
            | (Class::Loopback | Class::Private, Class::Loopback)
            | (Class::Private, Class::Private) => return Ok(()),
            (Class::Loopback, Class::Private | Class::Public | Class::Nobody(_)) => {
                "guard: loopback targets are for loopback clients"
            }
            (Class::Private, Class::Public | Class::Nobody(_)) => {
                "guard: private targets are for loopback and private clients"
            }
        };
        Err(Forbidden { sentence, prefix, embedded })
    }
}

impl OwnListeners {
    fn contains(&self, target: SocketAddr) -> bool {
        self.bound.iter().any(|bound| {
            bound.port() == target.port()
                && if bound.ip().is_unspecified() {
                    target.ip().is_loopback() || self.local.contains(target.ip())
                } else {
                    bound.ip().to_canonical() == target.ip()
                }
        })
    }
}

/// The class that a client belongs to. A link-local one stands on our own network, as a private one does;
/// one at another address that is for nobody (a load balancer may announce anything) is a stranger.
fn standing(client: IpAddr) -> Class {
    if local_nat64(client).is_some() {
        return Class::Public;
    }
    match class(unwrap(client)).0 {
        Class::Nobody(sentence) if sentence == LINK_LOCAL => Class::Private,
        Class::Nobody(_) => Class::Public,
        known @ (Class::Loopback | Class::Private | Class::Public) => known,
    }
}

/// Whether no address of this network is public: what the guard keeps from strangers anyhow.
pub(super) fn is_for_some(net: &IpNet) -> bool {
    // No class other than the public one has holes, so that both ends tell where they are of one.
    let (first, last) = (class(net.network()).0, class(net.broadcast()).0);
    first == last && first != Class::Public
}

/// The class of an address, and how long the prefix is of that network of the class which it is in; 0 for
/// the public rest.
fn class(address: IpAddr) -> (Class, u8) {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

fn class_v4(address: Ipv4Addr) -> (Class, u8) {
    let [a, b, ..] = address.octets();
    match (a, b) {
        (0, _) => (Class::Nobody("guard: 0.0.0.0/8 is for nobody"), 8),
        (127, _) => (Class::Loopback, 8),
        (10, _) => (Class::Private, 8),
        (172, 16..=31) => (Class::Private, 12),
        (192, 168) => (Class::Private, 16),
        (100, 64..=127) => (Class::Private, 10),
        (169, 254) => (Class::Nobody(LINK_LOCAL), 16),
        (224..=239, _) => (Class::Nobody("guard: multicast is for nobody"), 4),
        (240..=255, _) => (Class::Nobody("guard: 240.0.0.0/4 and broadcast are for nobody"), 4),
        (_, _) => (Class::Public, 0),
    }
}

fn class_v6(address: Ipv6Addr) -> (Class, u8) {
    let first = address.segments()[0];
    if address.is_unspecified() {
        (Class::Nobody("guard: the unspecified address is for nobody"), 128)
    } else if address.is_loopback() {
        (Class::Loopback, 128)
    } else if first & 0xfe00 == 0xfc00 {
        // Unique local (RFC 4193), and below the site-local ones that came before them.
        (Class::Private, 7)
    } else if first & 0xffc0 == 0xfec0 {
        (Class::Private, 10)
    } else if first & 0xffc0 == 0xfe80 {
        (Class::Nobody(LINK_LOCAL), 10)
    } else if first & 0xff00 == 0xff00 {
        (Class::Nobody("guard: multicast is for nobody"), 8)
    } else {
        (Class::Public, 0)
    }
}

/// The IPv4 address within an address, if there is one; else the address. Of an address of local NAT64
/// that one which the fewest may reach.
pub(super) fn unwrap(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let embedded = |high: u16, low: u16| {
        IpAddr::V4(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)))
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0) if (g, h) != (0, 0) && (g, h) != (0, 1) => embedded(g, h),
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => {
            embedded(g, h)
        }
        (0x64, 0xff9b, 1, ..) => local_nat64(address)
            .into_iter()
            .flatten()
            .min_by_key(|reading| match class(*reading).0 {
                Class::Nobody(LINK_LOCAL) => 0,
                Class::Loopback => 1,
                Class::Private => 2,
                Class::Public => 3,
                // An octet that means something else.
                Class::Nobody(_) => 4,
            })
            .unwrap_or(address),
        (0x2002, high, low, ..) => embedded(high, low),
        (_, _, _, _, _, _) => address,
    }
}

/// What an address of the local NAT64 block can mean: with a prefix of 48, 56, 64 and 96 bits (RFC 6052
/// §2.2; octet 8 belongs to none of them).
fn local_nat64(address: IpAddr) -> Option<[IpAddr; 4]> {
    let IpAddr::V6(v6) = address else { return None };
    let [0x64, 0xff9b, 1, d, e, f, g, h] = v6.segments() else { return None };
    let [high, low] = [|word: u16| u32::from(word >> 8), |word: u16| u32::from(word & 0xff)];
    let readings = [
        (u32::from(d) << 16) | (low(e) << 8) | high(f),
        (low(d) << 24) | (low(e) << 16) | u32::from(f),
        (low(e) << 24) | (u32::from(f) << 8) | high(g),
        (u32::from(g) << 16) | u32::from(h),
    ];
    Some(readings.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))))
}

/// Whether this reading of an address of local NAT64 says nothing about who may reach it.
fn is_misread(whole: IpAddr, reading: IpAddr) -> bool {
    let is_link_local = matches!(class(reading).0, Class::Nobody(LINK_LOCAL));
    local_nat64(whole).is_some() && !is_link_local
}

const LOCAL_NAT64_PREFIX: u8 = 48;
const LINK_LOCAL: &str = "guard: link-local and metadata addresses are for nobody";

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1";
    const PRIVATE: &str = "192.168.1.7";
    const PUBLIC: &str = "203.0.113.7";

    fn allows(client: &str, target: &str) -> bool {
        let own = OwnListeners {
            bound: vec![
                "127.0.0.1:1080".parse().unwrap(),
                "[::]:2080".parse().unwrap(),
                "[::1]:9090".parse().unwrap(),
            ],
            local: vec!["198.51.100.1".parse().unwrap(), "2001:db8::5".parse().unwrap()].into(),
        };
        let target = match target.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, 443),
            Err(_) => target.parse().unwrap(),
        };
        Guard::Auto(own).allows(client.parse().unwrap(), target).is_ok()
    }

    #[test]
    fn loopback_targets_in_every_spelling_are_for_loopback_clients_only() {
        for target in [
            "127.0.0.1",
            "127.9.8.7",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1:7f00:0:100::",
            "64:ff9b:1:abcd::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(allows(LOOPBACK, target), "{target}");
            assert!(allows("::1", target), "{target}");
            assert!(!allows(PRIVATE, target), "{target}");
            assert!(!allows(PUBLIC, target), "{target}");
        }
    }

    #[test]
    fn private_targets_are_for_loopback_and_private_clients() {
        for target in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "fc00::1",
            "fdff::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            // Local NAT64 in each of its forms, whatever it leads to.
            "64:ff9b:1:a00:0:100::",
            "64:ff9b:1:ab0a:0:1::",
            "64:ff9b:1:abcd:a:0:100:0",
            "64:ff9b:1:abcd::a00:1",
            "64:ff9b:1::a00:1",
            "64:ff9b:1::808:808",
            "64:ff9b:1:808:8:800::",
        ] {
            assert!(allows(LOOPBACK, target), "{target}");
            assert!(allows(PRIVATE, target), "{target}");
            assert!(allows("fd00::9", target), "{target}");
            assert!(allows("::ffff:10.1.1.1", target), "{target}");
            assert!(!allows(PUBLIC, target), "{target}");
            assert!(!allows("2001:db8::9", target), "{target}");
        }
    }

    #[test]
    fn some_targets_are_for_nobody() {
        for target in [
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "239.255.255.255",
            "ff02::1",
            "240.0.0.1",
            "255.255.255.255",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:aba9:fe:a9fe::",
            "64:ff9b:1:abcd:a9:fea9:fe00:0",
            "64:ff9b:1:abcd::a9fe:a9fe",
            "::ffff:0.0.0.0",
        ] {
            for client in [LOOPBACK, PRIVATE, PUBLIC, "::1"] {
                assert!(!allows(client, target), "{client} {target}");
            }
        }
    }

    #[test]
    fn a_client_at_an_address_that_nobody_has_is_a_stranger() {
        for client in ["0.0.0.1", "224.0.0.1", "240.0.0.1", "::", "::0.0.212.0", "ff02::1"] {
            assert!(allows(client, PUBLIC), "{client}");
            assert!(!allows(client, PRIVATE), "{client}");
            assert!(!allows(client, LOOPBACK), "{client}");
        }
        assert!(allows("169.254.0.9", PRIVATE) && allows("fe80::9", PRIVATE));
    }

    #[test]
    fn neighbours_of_the_special_ranges_are_public() {
        for target in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.0.1",
            "100.128.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "223.0.0.1",
            "2001:db8::1",
            "2002:808:808::",
            "64:ff9b::808:808",
            "fbff::1",
        ] {
            assert!(allows(PUBLIC, target), "{target}");
        }
    }

    #[test]
    fn our_own_listeners_are_for_nobody_whatever_the_spelling() {
        for target in [
            "127.0.0.1:1080",
            "[::ffff:127.0.0.1]:1080",
            "127.0.0.1:2080",
            "[::1]:2080",
            "198.51.100.1:2080",
            "[2001:db8::5]:2080",
            "[::1]:9090",
        ] {
            assert!(!allows(LOOPBACK, target), "{target}");
        }
        assert!(allows(LOOPBACK, "127.0.0.1:9090"));
        assert!(allows(LOOPBACK, "127.0.0.2:1080"));
        assert!(allows(LOOPBACK, "198.51.100.2:2080"));
    }

    #[test]
    fn an_address_that_the_host_is_given_later_is_its_own_and_one_that_it_has_lost_is_not() {
        let local = LocalAddresses::default();
        let bound = vec!["0.0.0.0:1080".parse().unwrap()];
        let guard = Guard::Auto(OwnListeners { bound, local: local.clone() });
        let target = "203.0.113.5:1080".parse().unwrap();
        let allows = || guard.allows(PUBLIC.parse().unwrap(), target).is_ok();
        assert!(allows());
        assert!(local.set(vec![target.ip()]) && !allows());
        assert!(!local.set(vec![target.ip()]) && !allows());
        assert!(local.set(Vec::new()) && allows());
    }

    #[test]
    fn switched_off_it_forbids_nothing() {
        let target = "169.254.169.254:80".parse().unwrap();
        assert!(Guard::Off.allows(PUBLIC.parse().unwrap(), target).is_ok());
    }
}
