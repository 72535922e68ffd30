//! The addresses of this host, getifaddrs(3).

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

/// Every address of every interface, loopback included; IPv4-mapped ones unwrapped.
///
/// # Errors
/// Whatever getifaddrs(3) says.
pub fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = getifaddrs()?
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .map(|address| address.to_canonical())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_them() {
        assert!(local_addresses().unwrap().contains(&IpAddr::from([127, 0, 0, 1])));
    }
}
