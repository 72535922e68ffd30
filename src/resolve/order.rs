//! The answer to a look-up, and the order in which its addresses are dialled.

use std::net::IpAddr;

use smallvec::SmallVec;

/// The addresses of a name, in the order in which they are to be tried; never empty, at most
/// [`ADDRESSES_MAX`].
pub type Addresses = SmallVec<[IpAddr; 4]>;

/// Why a look-up gave no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The name does not exist, or has no address.
    #[error("the name has no address")]
    NotFound,
    /// No server answered in time.
    #[error("no name server answered in time")]
    TimedOut,
    /// A server answered with an error, or none is reachable.
    #[error("the name servers failed")]
    Failed,
    /// A bound on look-ups in flight was reached.
    #[error("too many look-ups are in flight")]
    Overloaded,
    /// The client's own share of look-ups in flight was used up.
    #[error("the client has too many look-ups in flight")]
    ClientOverloaded,
}

impl LookupError {
    /// What is said of a name when this is known of one family and `other` of the other one: that it
    /// has no address is said only where both say so.
    #[must_use]
    pub(super) fn joined(self, other: Self) -> Self {
        if self == Self::NotFound { other } else { self }
    }
}

/// One of the two kinds of address records that a name may have (RFC 1035 §3.4.1, RFC 3596 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

impl Record {
    /// Both, in the order of their numbers.
    pub const BOTH: [Self; 2] = [Self::A, Self::Aaaa];

    /// Whether an address stands in records of this kind.
    #[must_use]
    pub const fn holds(self, ip: IpAddr) -> bool {
        match self {
            Self::A => ip.is_ipv4(),
            Self::Aaaa => ip.is_ipv6(),
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::Aaaa,
            Self::Aaaa => Self::A,
        }
    }

    /// Its place in [`Record::BOTH`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Which addresses of a name are wanted, and which are tried first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Both, alternating, IPv6 first (RFC 8305 §4).
    #[default]
    Any,
    /// Both, alternating, IPv4 first.
    PreferIpv4,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl Family {
    /// Whether records of this kind are wanted at all.
    #[must_use]
    pub const fn wants(self, record: Record) -> bool {
        match self {
            Self::Any | Self::PreferIpv4 => true,
            Self::Ipv4 => matches!(record, Record::A),
            Self::Ipv6 => matches!(record, Record::Aaaa),
        }
    }

    /// The records whose addresses are tried first.
    #[must_use]
    pub const fn leading(self) -> Record {
        match self {
            Self::PreferIpv4 | Self::Ipv4 => Record::A,
            Self::Any | Self::Ipv6 => Record::Aaaa,
        }
    }

    /// Whether an address belongs to what is wanted.
    #[must_use]
    pub const fn admits(self, ip: IpAddr) -> bool {
        match self {
            Self::Any | Self::PreferIpv4 => true,
            Self::Ipv4 => ip.is_ipv4(),
            Self::Ipv6 => ip.is_ipv6(),
        }
    }
}

/// The addresses of `family` in the order to dial them (RFC 8305 §4): the families alternate,
/// beginning with the one that leads, and each keeps its own order. Repetitions are dropped, and so
/// is what goes beyond [`ADDRESSES_MAX`].
///
/// # Errors
/// [`LookupError::NotFound`] when none is left.
pub fn interleave(
    addresses: impl IntoIterator<Item = IpAddr>,
    family: Family,
) -> Result<Addresses, LookupError> {
    let wanted = addresses.into_iter().filter(|&ip| family.admits(ip));
    let ordered = alternate(wanted, family.leading());
    if ordered.is_empty() { Err(LookupError::NotFound) } else { Ok(ordered) }
}

/// The same of addresses that are all wanted, beginning with those of `leading`; empty if there are
/// none.
pub fn alternate(addresses: impl IntoIterator<Item = IpAddr>, leading: Record) -> Addresses {
    let (mut first, mut other) = (Addresses::new(), Addresses::new());
    for ip in addresses {
        let list = if leading.holds(ip) { &mut first } else { &mut other };
        // The bound holds the search for repetitions short, however long an answer is.
        if list.len() < ADDRESSES_MAX && !list.contains(&ip) {
            list.push(ip);
        }
    }
    let mut ordered = Addresses::new();
    let (mut first, mut other) = (first.into_iter(), other.into_iter());
    loop {
        let pair = [first.next(), other.next()];
        if pair == [None, None] {
            break;
        }
        ordered.extend(pair.into_iter().flatten());
    }
    ordered.truncate(ADDRESSES_MAX);
    ordered
}

/// Addresses of one name that are dialled at most.
pub const ADDRESSES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ordered(texts: &[&str], family: Family) -> Vec<String> {
        let found = interleave(ips(texts), family).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn families_alternate_beginning_with_the_one_that_leads() {
        let all = ["192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.2"];
        let v6_first = ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"];
        assert_eq!(ordered(&all, Family::Any), v6_first);
        let v4_first = ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2", "2001:db8::3"];
        assert_eq!(ordered(&all, Family::PreferIpv4), v4_first);
        assert_eq!(ordered(&["192.0.2.1"], Family::Any), ["192.0.2.1"]);
    }

    #[test]
    fn one_family_alone_keeps_its_order() {
        let both = ["2001:db8::1", "192.0.2.2", "192.0.2.1"];
        assert_eq!(ordered(&both, Family::Ipv4), ["192.0.2.2", "192.0.2.1"]);
        assert_eq!(ordered(&both, Family::Ipv6), ["2001:db8::1"]);
    }

    #[test]
    fn a_name_without_an_address_of_the_family_is_not_found() {
        assert_eq!(interleave([], Family::Any), Err(LookupError::NotFound));
        assert_eq!(interleave(ips(&["192.0.2.1"]), Family::Ipv6), Err(LookupError::NotFound));
    }

    #[test]
    fn both_families_keep_their_share_when_an_answer_is_too_long() {
        let v6 = (0..100_u16).map(|n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]));
        let v4 = (0..100_u8).map(|n| IpAddr::from([192, 0, 2, n]));
        let found = interleave(v6.chain(v4), Family::Any).unwrap();
        assert_eq!(found.len(), ADDRESSES_MAX);
        assert_eq!(found.iter().filter(|ip| ip.is_ipv4()).count(), ADDRESSES_MAX / 2);
    }

    proptest! {
        #[test]
        fn nothing_is_invented_repeated_or_lost(addresses: Vec<IpAddr>) {
            let found = interleave(addresses.clone(), Family::Any).unwrap_or_default();
            let distinct: std::collections::HashSet<_> = addresses.iter().collect();
            let kept: std::collections::HashSet<_> = found.iter().collect();
            prop_assert_eq!(kept.len(), found.len());
            prop_assert!(kept.is_subset(&distinct));
            prop_assert!(found.len() == ADDRESSES_MAX || kept == distinct);
        }
    }

    #[test]
    fn that_a_name_has_no_address_is_said_only_where_both_families_say_so() {
        use LookupError::{Failed, NotFound, TimedOut};
        assert_eq!(NotFound.joined(NotFound), NotFound);
        assert_eq!(NotFound.joined(TimedOut), TimedOut);
        assert_eq!(Failed.joined(NotFound), Failed);
    }
}
