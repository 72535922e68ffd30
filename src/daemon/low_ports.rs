//! Whether datagrams can be taken at the ports that are configured for them. Those below 1024 are for whoever
//! has CAP_NET_BIND_SERVICE (or what net.ipv4.ip_unprivileged_port_start says), which a process keeps only
//! if its settings want it at the start: without a look, every association would fail of it.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use super::start::Failure;
use crate::policy::AssociationPolicy;

/// Tries the first of them, which needs the most.
pub(super) fn try_ports(associations: &AssociationPolicy) -> Result<(), Failure> {
    let Some(ports) = &associations.ports else { return Ok(()) };
    match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, *ports.start())) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Failure::Permission(format!(
                "server.udp_port_range = \"{}-{}\": {} may not be listened on without \
                 CAP_NET_BIND_SERVICE, which this process has not, or has given up because it started \
                 without such a range; a restart may do",
                ports.start(),
                ports.end(),
                ports.start()
            )))
        }
        // One that is taken is no fault: there are others.
        Ok(_) | Err(_) => Ok(()),
    }
}
