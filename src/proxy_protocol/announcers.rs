//! Who may announce clients: the networks of one listener's load balancers.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// Networks whose connections begin with an announcement; all others must not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcers(Arc<[IpNet]>);

impl Announcers {
    /// These networks; none is nobody.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// Whether a connection from this address begins with an announcement.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}
