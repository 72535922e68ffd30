//! Networks as keys: an address is looked up once for each length that there is.

use std::net::IpAddr;

use ipnet::IpNet;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Net {
    /// What is before its prefix is zero.
    bits: [u64; 2],
    length: u8,
    is_v6: bool,
}

impl Net {
    /// The network of this length that an address is in.
    pub(super) fn around(address: IpAddr, length: u8) -> Self {
        let bits = match address {
            IpAddr::V4(v4) => {
                u128::from(v4.to_bits().checked_shr(32 - u32::from(length)).unwrap_or(0))
            }
            IpAddr::V6(v6) => v6.to_bits().checked_shr(128 - u32::from(length)).unwrap_or(0),
        };
        let halves = [bits >> 64, bits & u128::from(u64::MAX)];
        let bits = halves.map(|half| u64::try_from(half).unwrap_or(0));
        Self { bits, length, is_v6: address.is_ipv6() }
    }

    /// This one.
    pub(super) fn of(net: IpNet) -> Self {
        Self::around(net.network(), net.prefix_len())
    }
}

/// Which lengths there are of either family: 0 to 128.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lengths([[u64; 3]; 2]);

impl Lengths {
    pub(super) fn insert(&mut self, net: IpNet) {
        let length = net.prefix_len();
        self.0[family(net.network())][usize::from(length / 64)] |= 1 << (length % 64);
    }

    /// The networks that an address may be in.
    pub(super) fn around(self, address: IpAddr) -> impl Iterator<Item = (u8, Net)> {
        let words = self.0[family(address)];
        (0..3_u8).flat_map(move |word| {
            let mut left = words[usize::from(word)];
            std::iter::from_fn(move || {
                let bit = u8::try_from(left.trailing_zeros()).ok().filter(|_| left != 0)?;
                left &= left - 1;
                let length = word * 64 + bit;
                Some((length, Net::around(address, length)))
            })
        })
    }
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}
