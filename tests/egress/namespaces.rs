//! Interfaces and marks, in network namespaces of the tests' own: each test runs itself again in a fresh
//! one, where it may do as it likes. What cannot be had is said loudly.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream};
use std::process::{Child, Command, Stdio};

use super::harness::client::Client;
use super::harness::proxy::Proxy;
use super::namespace::{in_a_namespace, ip, is_inside};
use super::{seen, user};

#[test]
fn a_session_leaves_by_the_interface_and_not_by_the_route() {
    in_a_namespace("namespaces::inside_by_interface");
}

/// Another namespace, that of the far side; ends when dropped.
struct Far(Child);

impl Far {
    fn start() -> Self {
        let mut command = Command::new("unshare");
        command.args(["-n", "sleep", "600"]).stdin(Stdio::null());
        let far = Self(command.spawn().unwrap());
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        super::harness::wait_for("the far namespace", || {
            let its = std::fs::read_link(format!("/proc/{}/ns/net", far.0.id())).ok()?;
            (its != own).then_some(())
        });
        far
    }

    fn enter(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.0.id().to_string(), "-n", program]);
        command
    }

    #[track_caller]
    fn ip(&self, arguments: &str) {
        let status = self.enter("ip").args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "ip {arguments} on the far side");
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
#[ignore = "run in a namespace by a_session_leaves_by_the_interface_and_not_by_the_route"]
fn inside_by_interface() {
    if !is_inside() {
        return;
    }
    let far = Far::start();
    ip("link set lo up");
    far.ip("link set lo up");
    far.ip("addr add 10.99.0.1/32 dev lo");
    for number in [0, 1] {
        ip(&format!("link add out{number} type veth peer name far{number}"));
        ip(&format!("link set far{number} netns {}", far.0.id()));
        ip(&format!("addr add 10.9.{number}.1/24 dev out{number}"));
        far.ip(&format!("addr add 10.9.{number}.2/24 dev far{number}"));
        ip(&format!("link set out{number} up"));
        far.ip(&format!("link set far{number} up"));
    }
    // The route leaves by the first; by the second there is one, but a worse one.
    ip("route add 10.99.0.1 via 10.9.0.2 dev out0 metric 10");
    ip("route add 10.99.0.1 via 10.9.1.2 dev out1 metric 20");
    // The far side is a proxy, too: its records say who has come.
    let directory = tempfile::tempdir().unwrap();
    let listens = "bind_address = \"10.99.0.1\"\nallow_open_proxy = true";
    let target =
        Proxy::launch(far.enter(env!("CARGO_BIN_EXE_rustsocks")), directory, listens, "", "");
    let came = |proxy: &Proxy| {
        let mut client = Client::connected(proxy.socks, target.socks);
        client.send(b"\x16\x03\x01 whoever I am");
        assert_eq!(client.receive_all(), b"");
    };
    let count = |source: &str| {
        format!(
            "SELECT count(*) FROM sessions WHERE source_ip = '{source}' AND close_code = 'malformed'"
        )
    };
    came(&Proxy::start());
    target.wait_count(&count("10.9.0.1"), 1);
    came(&Proxy::with("[egress]\ninterface = \"out1\"\n"));
    target.wait_count(&count("10.9.1.1"), 1);
    target.wait_count(&count("10.9.0.1"), 1);
}

#[test]
fn packets_bear_the_mark_of_their_user() {
    in_a_namespace("namespaces::inside_by_mark");
}

#[test]
#[ignore = "run in a namespace by packets_bear_the_mark_of_their_user"]
fn inside_by_mark() {
    if !is_inside() {
        return;
    }
    ip("link set lo up");
    // Addresses of this host are found before any rule, unless that is changed.
    ip("rule add pref 100 table local");
    ip("rule del pref 0");
    ip("rule add pref 50 fwmark 7 unreachable");
    let proxy = Proxy::with_sections(
        "commands = [\"connect\", \"udp_associate\"]",
        "",
        r#"
[auth]
socks_method = "userpass"
users = [
    { username = "marked", password = "marked" },
    { username = "plain", password = "plain" },
]
[[egress.named]]
name = "by mark"
users = ["marked"]
mark = 7
"#,
    );
    let target = super::mirror("127.0.0.1:0");
    assert_eq!(seen(user(&proxy, "plain"), target.address), "127.0.0.1");
    let mut client = user(&proxy, "marked");
    client.send(&super::client::connect(target.address));
    assert_eq!(client.reply(), (3, SocketAddr::from(([0, 0, 0, 0], 0))));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'network_unreachable'", 1);
}

#[test]
fn the_peer_of_a_bind_comes_by_the_link_of_its_client() {
    in_a_namespace("namespaces::inside_link_local");
}

#[test]
#[ignore = "run in a namespace by the_peer_of_a_bind_comes_by_the_link_of_its_client"]
fn inside_link_local() {
    if !is_inside() {
        return;
    }
    ip("link set lo up");
    ip("link add here type veth peer name there");
    ip("addr add fe80::1/64 dev here nodad");
    ip("link set here up");
    ip("link set there up");
    let link = Command::new("ip").args(["-o", "link", "show", "here"]).output().unwrap();
    let number = String::from_utf8(link.stdout).unwrap();
    let number: u32 = number.split(':').next().unwrap().parse().unwrap();
    let on_link = |address: SocketAddr| {
        let ours: Ipv6Addr = "fe80::1".parse().unwrap();
        assert!(address.ip().is_unspecified() || address.ip() == ours, "{address}");
        SocketAddr::from(SocketAddrV6::new(ours, address.port(), 0, number))
    };
    let server = "bind_address = \"::\"\nallow_open_proxy = true\ncommands = [\"bind\"]";
    // The guard lets nobody come from a link-local address.
    let proxy = Proxy::with_sections(server, "", "[acl]\nguard = \"off\"\n");
    for expected in ["[::]:0", "[fe80::1]:21"] {
        let mut client = Client::to(on_link(proxy.socks));
        let (code, bound) = client.ask(2, expected.parse::<SocketAddr>().unwrap());
        assert_eq!(code, 0, "{expected}");
        let peer = TcpStream::connect(on_link(bound)).unwrap();
        let (code, came) = client.reply();
        assert_eq!((code, came.port()), (0, peer.local_addr().unwrap().port()), "{expected}");
    }
}

#[test]
fn addresses_that_the_host_is_given_later_are_the_guards_too() {
    in_a_namespace("namespaces::inside_with_addresses");
}

#[test]
#[ignore = "run in a namespace by addresses_that_the_host_is_given_later_are_the_guards_too"]
fn inside_with_addresses() {
    if !is_inside() {
        return;
    }
    ip("link set lo up");
    let listens = "bind_address = \"0.0.0.0\"\nallow_open_proxy = true";
    let proxy = Proxy::with_sections(listens, "", "");
    let socks = SocketAddr::from(([127, 0, 0, 1], proxy.socks.port()));
    let to = |last: u8| {
        let target = SocketAddr::from(([203, 0, 113, last], socks.port()));
        Client::to(socks).negotiate(target)
    };
    ip("addr add 203.0.113.1/32 dev lo");
    super::harness::wait_for("the guard", || (to(1) == 2).then_some(()));
    ip("addr add 203.0.113.2/32 dev lo");
    let reload = "/api/admin/reload";
    let answer = super::harness::api::ask(proxy.api.unwrap(), "POST", reload, Some(&proxy.token()));
    assert_eq!((answer.status, to(1), to(2)), (200, 2, 2));
}
