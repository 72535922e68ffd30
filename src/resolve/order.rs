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
}

/// Which addresses of a name are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Both, alternating.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl Family {
    /// Whether an address belongs to the family.
    #[must_use]
    pub const fn admits(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => ip.is_ipv4(),
            Self::Ipv6 => ip.is_ipv6(),
        }
    }
}

/// The addresses of `family` in the order to dial them: the families alternate (RFC 8305 §4),
/// beginning with the family of the first, and each keeps its own order. Repetitions are dropped,
/// and so is what goes beyond [`ADDRESSES_MAX`].
///
/// # Errors
/// [`LookupError::NotFound`] when none is left.
pub fn interleave(
    addresses: impl IntoIterator<Item = IpAddr>,
    family: Family,
) -> Result<Addresses, LookupError> {
    let mut leading = Addresses::new();
    let mut other = Addresses::new();
    for ip in addresses.into_iter().filter(|&ip| family.admits(ip)) {
        let leads = leading.first().is_none_or(|first| first.is_ipv4() == ip.is_ipv4());
        let list = if leads { &mut leading } else { &mut other };
        // The bound holds the search for repetitions short, however long an answer is.
        if list.len() < ADDRESSES_MAX && !list.contains(&ip) {
            list.push(ip);
        }
    }
    if leading.is_empty() {
        return Err(LookupError::NotFound);
    }
    let mut ordered = Addresses::new();
    let (mut leading, mut other) = (leading.into_iter(), other.into_iter());
    loop {
        let pair = [leading.next(), other.next()];
        if pair == [None, None] {
            break;
        }
        ordered.extend(pair.into_iter().flatten());
    }
    ordered.truncate(ADDRESSES_MAX);
    Ok(ordered)
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
    fn families_alternate_beginning_with_the_family_of_the_first() {
        let v6_first = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"];
        let expected = ["2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"];
        assert_eq!(ordered(&v6_first, Family::Any), expected);
        let v4_first = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
        assert_eq!(ordered(&v4_first, Family::Any), ["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
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
}
