//! The guard: a client reaches through us no class of address that it could not reach without us.
//!
//! It is judged on the very address that is dialled. Of one that carries an IPv4 address ([`Embedded`]) that
//! one is judged; where nobody can tell which is meant, none of them is public, and each is judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use parking_lot::RwLock;

use super::embedded::{Embedded, READINGS_MAX};

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
    /// The same around each IPv4 address within it by which it was judged: naming all of these is enough,
    /// too. 0 where nothing stands against one.
    pub(super) inner_prefixes: [u8; READINGS_MAX],
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
        let (embedded, standing) = (Embedded::of(whole), standing(client));
        let against = |address: IpAddr| {
            if own.contains(SocketAddr::new(address, target.port())) {
                return Some((OWN_LISTENERS, if address.is_ipv4() { 32 } else { 128 }));
            }
            let (class, prefix) = class(address);
            Some((class.is_kept_from(standing)?, prefix))
        };
        let of_whole = |(sentence, prefix)| Forbidden { sentence, prefix, ..Forbidden::WITHIN };
        if embedded.is_empty() {
            return against(whole).map(of_whole).map_or(Ok(()), Err);
        }
        let mut forbidden: Option<Forbidden> = None;
        for (place, reading) in embedded.iter() {
            let Some((sentence, prefix)) = against(reading) else { continue };
            if embedded.is_ambiguous() && gravity(sentence).is_none() {
                continue;
            }
            let all = forbidden.get_or_insert(Forbidden { sentence, ..Forbidden::WITHIN });
            all.inner_prefixes[place] = prefix;
            if gravity(sentence) < gravity(all.sentence) {
                all.sentence = sentence;
            }
        }
        // No reading of it is more than public, or none makes sense.
        let private = || Some((Class::Private.is_kept_from(standing)?, LOCAL_NAT64_PREFIX));
        let unread = embedded.is_ambiguous().then(private).flatten().map(of_whole);
        forbidden.or(unread).map_or(Ok(()), Err)
    }
}

impl Forbidden {
    /// By what is within the address alone, and named by it or by every bit of the whole.
    const WITHIN: Self = Self { sentence: "", prefix: 128, inner_prefixes: [0; READINGS_MAX] };
}

impl Class {
    /// Why a target of this class is not for a client of that one, if it is not.
    const fn is_kept_from(self, client: Self) -> Option<&'static str> {
        match (self, client) {
            (Self::Nobody(sentence), _) => Some(sentence),
            (Self::Public, _)
            | (Self::Loopback | Self::Private, Self::Loopback)
            | (Self::Private, Self::Private) => None,
            (Self::Loopback, Self::Private | Self::Public | Self::Nobody(_)) => {
                Some(LOOPBACK_TARGETS)
            }
            (Self::Private, Self::Public | Self::Nobody(_)) => Some(PRIVATE_TARGETS),
        }
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
    let embedded = Embedded::of(client);
    if embedded.is_ambiguous() {
        return Class::Public;
    }
    match class(embedded.only().unwrap_or(client)).0 {
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

/// How grave it is that this stands against a reading of many, the gravest first; `None` if only an octet is
/// taken for an address that means something else.
fn gravity(sentence: &str) -> Option<u8> {
    match sentence {
        OWN_LISTENERS => Some(0),
        LINK_LOCAL => Some(1),
        LOOPBACK_TARGETS => Some(2),
        PRIVATE_TARGETS => Some(3),
        _ => None,
    }
}

const LOCAL_NAT64_PREFIX: u8 = 48;
const OWN_LISTENERS: &str = "guard: the proxy's own listeners are for nobody";
const LOOPBACK_TARGETS: &str = "guard: loopback targets are for loopback clients";
const PRIVATE_TARGETS: &str = "guard: private targets are for loopback and private clients";
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
