//! The sockets of an association towards targets: one for each family, made with the first datagram
//! to it.

use std::net::{IpAddr, SocketAddr};

use super::front::count_lost_source;
use super::kit::Kit;
use super::token::{Role, Token};
use super::udp_end::{Sent, UdpEnd, bind_failure};
use crate::egress::Outlet;
use crate::key::Key;
use crate::limit::Seat;
use crate::linux::batch::Parcel;
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

    /// Sees that there is a socket for an address that may be sent to. One that is to be made needs a
    /// place: the `others` of the connection have theirs.
    pub(super) fn make(
        &mut self,
        to: SocketAddr,
        (seat, others): (&mut Seat, u32),
        key: Key,
        kit: &Kit,
    ) -> Result<(), Dropped> {
        let family = family(to);
        if self.ends[family].is_some() {
            return Ok(());
        }
        if !seat.claim(others + self.count() + 1) {
            kit.counters.sockets_refused.add(1);
            return Err(Dropped::NoSocket);
        }
        let token = Token::of(key, ROLES[family]);
        self.ends[family] = Some(bind(&self.outlet, to.ip(), token, kit)?);
        Ok(())
    }

    /// Sends datagrams by the socket of the family of `to`; what became of each.
    pub(super) fn send(&self, to: SocketAddr, parcels: &[Parcel<'_>]) -> Sent {
        match &self.ends[family(to)] {
            Some(end) => end.send(parcels),
            None => parcels.iter().map(|_| Err(Dropped::NoSocket)).collect(),
        }
    }
}

const fn family(to: SocketAddr) -> usize {
    if to.is_ipv4() { 0 } else { 1 }
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
const ROLES: [Role; FAMILIES] = [Role::UdpV4, Role::UdpV6];
