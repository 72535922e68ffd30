//! The sockets of an association towards targets: one for each family, made with the first datagram
//! to it.

use std::net::IpAddr;

use super::front::count_lost_source;
use super::kit::Kit;
use super::token::{Role, Token};
use super::udp_end::{UdpEnd, bind_failure};
use crate::acl::Permit;
use crate::egress::Outlet;
use crate::key::Key;
use crate::limit::Seat;
use crate::udp::Dropped;

/// The sockets towards targets.
pub(super) struct Targets {
    /// IPv4, IPv6.
    ends: [Option<UdpEnd>; FAMILIES],
    /// Which way they leave.
    outlet: Outlet,
}

impl Targets {
    pub(super) const fn new(outlet: Outlet) -> Self {
        Self { ends: [None, None], outlet }
    }

    /// The socket of one family, if there is one.
    pub(super) fn end(&mut self, family: usize) -> Option<&mut UdpEnd> {
        self.ends.get_mut(family)?.as_mut()
    }

    /// The sockets that there are.
    pub(super) fn ends(&mut self) -> impl Iterator<Item = &mut UdpEnd> {
        self.ends.iter_mut().flatten()
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.ends.iter().flatten().map(|_| 1).sum()
    }

    /// Sends a datagram to the permitted address, by the socket of its family. A socket that is to be
    /// made needs a place: the `others` of the connection have theirs.
    pub(super) fn send(
        &mut self,
        permit: &Permit,
        payload: &[u8],
        (seat, others): (&mut Seat, u32),
        key: Key,
        kit: &Kit,
    ) -> Result<(), Dropped> {
        let to = permit.address();
        let sockets_then = others + self.count() + 1;
        let (family, role) = if to.is_ipv4() { (0, Role::UdpV4) } else { (1, Role::UdpV6) };
        let end = match &mut self.ends[family] {
            Some(end) => end,
            none => {
                if !seat.claim(sockets_then) {
                    kit.counters.sockets_refused.add(1);
                    return Err(Dropped::NoSocket);
                }
                let end = bind(&self.outlet, to.ip(), Token::of(key, role), kit)?;
                none.insert(end)
            }
        };
        end.send(payload, to)
    }
}

fn bind(outlet: &Outlet, host: IpAddr, token: Token, kit: &Kit) -> Result<UdpEnd, Dropped> {
    // There is no address of its family to leave from.
    let out = outlet.towards(host).ok_or(Dropped::Unreachable)?;
    UdpEnd::towards(host, &out, &kit.registry, token).map_err(|error| {
        count_lost_source(&error, kit);
        bind_failure(&error)
    })
}

/// IPv4 and IPv6.
pub(super) const FAMILIES: usize = 2;
