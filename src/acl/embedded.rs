//! The IPv4 address within an IPv6 one, which the kernel, a NAT64 gateway or a 6to4 relay would reach:
//! IPv4-mapped `::ffff:0:0/96` (RFC 4291 §2.5.5.2), IPv4-compatible `::/96` (deprecated, §2.5.5.1),
//! IPv4-translated `::ffff:0:0:0/96` (RFC 2765 §2.1), NAT64 `64:ff9b::/96` (RFC 6052) and 6to4
//! `2002::/16` (RFC 3056).
//!
//! `64:ff9b:1::/48` (RFC 8215) is cut into prefixes of any length by whoever uses it, so that nobody can
//! tell which address is meant: there are as many readings as lengths.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The readings of an address: none where it means itself, and one, or each that there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Embedded([Option<Ipv4Addr>; READINGS_MAX]);

impl Embedded {
    /// None.
    pub(super) const NONE: Self = Self([None; READINGS_MAX]);

    /// Those of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        let IpAddr::V6(address) = address else { return Self::NONE };
        if let Some(readings) = local_nat64(address) {
            return Self(readings.map(Some));
        }
        let [a, b, c, d, e, f, g, h] = address.segments();
        let bits = |high: u16, low: u16| (u32::from(high) << 16) | u32::from(low);
        let bits = match (a, b, c, d, e, f) {
            (0, 0, 0, 0, 0, 0) if (g, h) != (0, 0) && (g, h) != (0, 1) => bits(g, h),
            (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => {
                bits(g, h)
            }
            (0x2002, high, low, ..) => bits(high, low),
            (_, _, _, _, _, _) => return Self::NONE,
        };
        Self([Some(Ipv4Addr::from_bits(bits)), None, None, None])
    }

    /// Each with its place among all.
    pub(super) fn iter(self) -> impl Iterator<Item = (usize, IpAddr)> {
        let all = self.0.into_iter().enumerate();
        all.filter_map(|(place, reading)| Some((place, reading?.into())))
    }

    /// The only one, or nothing where there are several.
    pub(super) fn only(self) -> Option<IpAddr> {
        self.0[0].filter(|_| !self.is_ambiguous()).map(IpAddr::V4)
    }

    /// Whether there is none.
    pub(super) const fn is_empty(self) -> bool {
        self.0[0].is_none()
    }

    /// Whether nobody can tell which is meant.
    pub(super) const fn is_ambiguous(self) -> bool {
        self.0[1].is_some()
    }
}

/// What an address of the local NAT64 block can mean: with a prefix of 48, 56, 64 and 96 bits (RFC 6052
/// §2.2; octet 8 belongs to none of them).
fn local_nat64(address: Ipv6Addr) -> Option<[Ipv4Addr; READINGS_MAX]> {
    let [0x64, 0xff9b, 1, d, e, f, g, h] = address.segments() else { return None };
    let [high, low] = [|word: u16| u32::from(word >> 8), |word: u16| u32::from(word & 0xff)];
    let readings = [
        (u32::from(d) << 16) | (low(e) << 8) | high(f),
        (low(d) << 24) | (low(e) << 16) | u32::from(f),
        (low(e) << 24) | (u32::from(f) << 8) | high(g),
        (u32::from(g) << 16) | u32::from(h),
    ];
    Some(readings.map(Ipv4Addr::from_bits))
}

/// Readings of one address.
pub(super) const READINGS_MAX: usize = 4;
