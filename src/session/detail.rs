//! What a record says beyond its outcome: one thing at most, in two words of its slot.

use std::net::{IpAddr, Ipv6Addr};

/// What there is to add to the sentence of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The record stands for so many clients of one address in one minute.
    Clients(u64),
    /// The client of the API that asked for it.
    AskedFrom(IpAddr),
}

impl Detail {
    /// `sentence` with the detail behind it.
    #[must_use]
    pub fn behind(self, sentence: &str) -> String {
        match self {
            Self::Clients(1) => format!("{sentence} (1 client in this minute)"),
            Self::Clients(count) => format!("{sentence} ({count} clients in this minute)"),
            Self::AskedFrom(address) => format!("{sentence} (asked from {address})"),
        }
    }

    pub(super) const fn to_words(self) -> [u64; 2] {
        match self {
            Self::Clients(count) => [0, count],
            Self::AskedFrom(address) => ip_words(address),
        }
    }

    pub(super) const fn clients(words: [u64; 2]) -> Self {
        Self::Clients(words[1])
    }

    pub(super) fn asked_from(words: [u64; 2]) -> Self {
        Self::AskedFrom(ip_from(words))
    }
}

/// An address as a slot keeps it: IPv4 as mapped IPv6.
pub(super) const fn ip_words(ip: IpAddr) -> [u64; 2] {
    let bits = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are meant")]
    [(bits >> 64) as u64, bits as u64]
}

/// The inverse of [`ip_words`]; mapped addresses are written as IPv4 everywhere.
pub(super) fn ip_from([high, low]: [u64; 2]) -> IpAddr {
    Ipv6Addr::from_bits((u128::from(high) << 64) | u128::from(low)).to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_either() {
        assert_eq!(Detail::clients(Detail::Clients(17).to_words()), Detail::Clients(17));
        for address in ["192.0.2.7", "2001:db8::7"] {
            let detail = Detail::AskedFrom(address.parse().unwrap());
            assert_eq!(Detail::asked_from(detail.to_words()), detail);
        }
    }

    #[test]
    fn it_follows_the_sentence() {
        assert_eq!(Detail::Clients(1).behind("full"), "full (1 client in this minute)");
        assert_eq!(Detail::Clients(17).behind("full"), "full (17 clients in this minute)");
        let address = "::1".parse().unwrap();
        assert_eq!(Detail::AskedFrom(address).behind("ended"), "ended (asked from ::1)");
    }
}
