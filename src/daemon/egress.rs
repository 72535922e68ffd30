//! Tries every way out once, before anything is served: what the host does not have, or we are not
//! allowed to use, is one line at the start and not a failure of every session.

use std::io;
use std::net::IpAddr;

use rustix::io::Errno;

use super::start::Failure;
use crate::config::EgressSettings;
use crate::egress::Egress;
use crate::linux::outgoing::Outgoing;
use crate::linux::socket::try_outgoing;

/// Tries all of them.
pub(super) fn try_all(settings: &EgressSettings) -> Result<(), Failure> {
    try_one("egress", &settings.default)?;
    for named in &settings.named {
        try_one(&format!("egress.named {:?}", named.name), &named.egress)?;
    }
    Ok(())
}

fn try_one(place: &str, egress: &Egress) -> Result<(), Failure> {
    let Egress { addresses, spread: _, interface, mark } = egress;
    if let Some(mark) = *mark {
        let out = Outgoing { mark: Some(mark), ..Outgoing::default() };
        attempt(&out).map_err(|error| {
            let needs = "needs CAP_NET_ADMIN (or CAP_NET_RAW, from Linux 5.17)";
            failure(&format!("{place}.mark = {mark}"), &error, needs, "")
        })?;
    }
    if let Some(name) = interface.as_deref() {
        let out = Outgoing { interface: Some(name), ..Outgoing::default() };
        attempt(&out).map_err(|error| {
            let needs = "needs CAP_NET_RAW (or Linux 5.7)";
            let place = format!("{place}.interface = {name:?}");
            failure(&place, &error, needs, "there is no such interface on this host")
        })?;
    }
    for address in addresses.iter().filter(|address| !address.is_unspecified()) {
        let out = Outgoing { source: Some(*address), ..Outgoing::default() };
        try_outgoing(*address, &out).map_err(|error| {
            let place = format!("{place}.addresses: {address}");
            failure(&place, &error, "is not permitted", "is not an address of this host")
        })?;
    }
    Ok(())
}

/// In one family or the other: a host may lack one.
fn attempt(out: &Outgoing<'_>) -> io::Result<()> {
    try_outgoing(IpAddr::from([0; 4]), out).or_else(|error| match Errno::from_io_error(&error) {
        Some(Errno::AFNOSUPPORT) => try_outgoing(IpAddr::from([0; 16]), out),
        Some(_) | None => Err(error),
    })
}

fn failure(place: &str, error: &io::Error, needs: &str, absent: &str) -> Failure {
    match Errno::from_io_error(error) {
        Some(Errno::PERM | Errno::ACCESS) => {
            Failure::Permission(format!("{place}: {needs}: {error}"))
        }
        Some(Errno::NODEV | Errno::ADDRNOTAVAIL) if !absent.is_empty() => {
            Failure::Configuration(format!("{place}: {absent}"))
        }
        Some(_) | None => Failure::Other(format!("{place}: {error}")),
    }
}
