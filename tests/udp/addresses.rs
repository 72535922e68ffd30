//! Where an association listens, and what its client is told of it.

use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};

use super::harness::client::Client;
use super::harness::datagrams::{Associated, UdpEcho};
use super::harness::proxy::Proxy;
use super::listening;
use super::namespace::{in_a_namespace, ip, is_inside};

#[test]
fn ports_and_the_advertised_address_are_as_configured() {
    // A range of two: the third association finds none.
    let free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    let first = (20_000..60_000).step_by(2).find(|port| free(*port) && free(port + 1)).unwrap();
    let server = format!(
        "udp_port_range = \"{first}-{}\"\nudp_advertised_address = \"203.0.113.9\"",
        first + 1
    );
    let (proxy, echo) = (Proxy::with_sections(&server, "", ""), UdpEcho::on("127.0.0.1:0"));
    let mut held: Vec<Associated> = (0..2).map(|_| Associated::with(proxy.socks)).collect();
    let mut ports: Vec<u16> = held.iter().map(|client| client.relay.port()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [first, first + 1]);
    let mut third = Client::to(proxy.socks);
    assert_eq!(third.ask(3, SocketAddr::from(([0, 0, 0, 0], 0))).0, 1);
    let mut client = held.pop().unwrap();
    assert_eq!(client.relay.ip(), IpAddr::from([203, 0, 113, 9]));
    client.relay.set_ip(IpAddr::from([127, 0, 0, 1]));
    client.send(echo.address, b"x");
    assert_eq!(client.receive().1, b"x");
}

#[test]
fn the_advertised_address_is_for_clients_of_its_family() {
    for (advertised, told) in
        [("203.0.113.9", ["203.0.113.9", "::1"]), ("2001:db8::9", ["127.0.0.1", "2001:db8::9"])]
    {
        let server = format!("udp_advertised_address = \"{advertised}\"");
        let further = "[[server.listen]]\naddress = \"::1\"\nport = 0\n";
        let mut proxy = Proxy::with_sections(&server, "", further);
        let clients = ["127.0.0.1", "[::1]"].map(|on| Associated::with(listening(&mut proxy, on)));
        assert_eq!(clients.map(|client| client.relay.ip().to_string()), told);
    }
}

#[test]
fn a_client_at_a_link_local_address_has_its_datagrams() {
    in_a_namespace("addresses::inside_link_local");
}

#[test]
#[ignore = "run in a namespace by a_client_at_a_link_local_address_has_its_datagrams"]
fn inside_link_local() {
    if !is_inside() {
        return;
    }
    ip("link set lo up");
    ip("addr add fe80::9/64 dev lo");
    ip("addr add 10.9.9.9/32 dev lo");
    let server = "bind_address = \"::\"\nallow_open_proxy = true";
    let (proxy, echo) = (Proxy::with_sections(server, "", ""), UdpEcho::on("10.9.9.9:0"));
    // The loopback is the first link.
    let at = SocketAddrV6::new("fe80::9".parse().unwrap(), proxy.socks.port(), 0, 1);
    let client = Associated::with(at.into());
    assert_eq!(client.relay.ip(), *at.ip());
    client.send(echo.address, b"here");
    assert_eq!(client.receive(), (echo.address, b"here".to_vec()));
}
