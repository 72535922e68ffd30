//! Datagrams of a client that leave together: they go to targets of one family, so by one socket.

use std::net::SocketAddr;

use smallvec::SmallVec;

use super::udp_end::Sent;
use super::udp_targets::Targets;
use crate::acl::Permit;
use crate::linux::batch::{BATCH_MAX, Parcel};

/// A datagram on its way to a permitted address.
#[derive(Clone, Copy)]
pub(super) struct Load<'b> {
    to: SocketAddr,
    whole: &'b [u8],
    payload: &'b [u8],
    limit: Option<usize>,
}

impl<'b> Load<'b> {
    /// The last octets of a `whole` datagram, as many as its payload has, for an address that may be sent
    /// to; the number of the limit that its rule names.
    pub(super) fn new(
        permit: &Permit,
        whole: &'b [u8],
        payload: usize,
        limit: Option<usize>,
    ) -> Self {
        let (_, payload) = whole.split_at(whole.len().saturating_sub(payload));
        Self { to: permit.address(), whole, payload, limit }
    }

    pub(super) const fn to(&self) -> SocketAddr {
        self.to
    }

    /// As the client sent it.
    pub(super) const fn whole(&self) -> &'b [u8] {
        self.whole
    }

    pub(super) const fn payload(&self) -> &'b [u8] {
        self.payload
    }

    /// The number of the limit that its rule names.
    pub(super) const fn limit(&self) -> Option<usize> {
        self.limit
    }

    pub(super) const fn parcel(&self) -> Parcel<'b> {
        Parcel { to: self.to, octets: self.payload }
    }
}

/// Some of them, at most [`BATCH_MAX`].
#[derive(Default)]
pub(super) struct Leaving<'b> {
    loads: SmallVec<[Load<'b>; BATCH_MAX]>,
}

impl<'b> Leaving<'b> {
    /// Whether one more may leave with them: there is room, and it goes to the same family.
    pub(super) fn fits(&self, load: &Load<'b>) -> bool {
        let same = self.loads.first().is_none_or(|first| first.to.is_ipv4() == load.to.is_ipv4());
        same && self.loads.len() < BATCH_MAX
    }

    /// Puts one more there, which [fits](Self::fits).
    pub(super) fn put(&mut self, load: Load<'b>) {
        self.loads.push(load);
    }

    /// Sends them; what became of each. They stay here, to be looked at, until [`clear`](Self::clear).
    pub(super) fn send(&self, targets: &Targets) -> Sent {
        match &self.loads[..] {
            [] => Sent::new(),
            [one] => targets.send(one.to, &[one.parcel()]),
            [first, ..] => {
                let parcels: SmallVec<[Parcel<'b>; BATCH_MAX]> =
                    self.loads.iter().map(Load::parcel).collect();
                targets.send(first.to, &parcels)
            }
        }
    }

    /// The datagrams, in their order.
    pub(super) fn loads(&self) -> &[Load<'b>] {
        &self.loads
    }

    /// They have left.
    pub(super) fn clear(&mut self) {
        self.loads.clear();
    }
}
