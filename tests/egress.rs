//! Which way sockets towards targets leave: the real binary, targets that say who has come, and, where the
//! loopback is not enough, network namespaces of the tests' own.
#![cfg(all(feature = "dns-cares", feature = "database", feature = "metrics"))]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;
#[path = "harness/names.rs"]
mod names;
#[path = "harness/namespace.rs"]
mod namespace;
#[path = "egress/namespaces.rs"]
mod namespaces;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Output, Stdio};

use harness::PATIENCE;
use harness::client::{self, Client};
use harness::datagrams::Associated;
use harness::origin::Origin;
use harness::proxy::Proxy;
use names::{NameServer, Reply};

/// Tells each client the address that it came from.
fn mirror(on: &str) -> Origin {
    Origin::on(on, |mut stream, _| {
        let text = stream.peer_addr().unwrap().ip().to_string();
        stream.write_all(text.as_bytes()).unwrap_or_default();
    })
}

/// The address that the target sees; it is also what the reply says.
#[track_caller]
fn seen(client: Client, target: SocketAddr) -> String {
    seen_by(client, target.into())
}

#[track_caller]
fn seen_by(mut client: Client, target: client::Asked<'_>) -> String {
    client.send(&client::connect(target));
    let (code, bound) = client.reply();
    assert_eq!(code, 0, "the reply code");
    let text = String::from_utf8(client.receive_all()).unwrap();
    assert_eq!(bound.ip().to_string(), text);
    text
}

/// A client that has greeted, from this address.
fn greeted(from: [u8; 4], proxy: SocketAddr) -> Client {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&proxy.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client { stream };
    client.send(&[5, 1, 0]);
    assert_eq!(client.receive(2), [5, 0]);
    client
}

fn anybody(proxy: &Proxy) -> Client {
    greeted([127, 0, 0, 1], proxy.socks)
}

/// One that has logged in; its password is its name.
fn user(proxy: &Proxy, name: &str) -> Client {
    let mut client = Client::to(proxy.socks);
    assert!(client.login(name, name), "{name} logs in");
    client
}

#[test]
fn a_session_leaves_from_the_configured_address_and_from_no_other_family() {
    let target = mirror("127.0.0.1:0");
    let port = target.address.port();
    let target_v6 = mirror(&format!("[::1]:{port}"));
    let server = NameServer::start(|_, _| {
        Reply::Addresses(vec![Ipv6Addr::LOCALHOST.into(), IpAddr::from([127, 0, 0, 1])])
    });
    let resolver = format!("[resolver]\nservers = [\"{}\"]\n", server.address());
    let proxy = Proxy::with(&format!("{resolver}[egress]\naddresses = [\"127.0.0.7\"]\n"));
    assert_eq!(seen(anybody(&proxy), target.address), "127.0.0.7");
    // By name, the family that can be reached from there is taken; the other one alone cannot.
    assert_eq!(seen_by(anybody(&proxy), ("both.test", port).into()), "127.0.0.7");
    assert_eq!(Client::to(proxy.socks).negotiate(target_v6.address), 3);
    let refused = "SELECT count(*) FROM sessions WHERE close_code = 'network_unreachable' \
                   AND status = 'failed' AND dest_ip = '::1'";
    proxy.wait_count(refused, 1);
    // So do questions to the name server.
    assert_eq!(server.askers(), BTreeSet::from([IpAddr::from([127, 0, 0, 7])]));

    let both = Proxy::with("[egress]\naddresses = [\"127.0.0.7\", \"::\"]\n");
    assert_eq!(seen(anybody(&both), target_v6.address), "::1");
    // A mapped address is an IPv4 one.
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), port);
    assert_eq!(seen(anybody(&both), mapped), "127.0.0.7");
}

#[test]
fn a_reload_changes_the_way_of_new_sessions_or_nothing() {
    let target = mirror("127.0.0.1:0");
    let proxy = Proxy::with("[egress]\naddresses = [\"127.0.0.7\"]\n");
    let edit = |from: &str, to: &str| {
        let file = proxy.directory().join("rustsocks.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, text.replace(from, to)).unwrap();
        let (api, token) = (proxy.api.unwrap(), proxy.token());
        harness::api::ask(api, "POST", "/api/admin/reload", Some(&token))
    };
    assert_eq!(seen(anybody(&proxy), target.address), "127.0.0.7");
    let answer = edit("127.0.0.7", "127.0.0.8");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("egress.addresses"), "{}", answer.body);
    assert_eq!(seen(anybody(&proxy), target.address), "127.0.0.8");
    let answer = edit("127.0.0.8", "192.0.2.77");
    assert_ne!(answer.status, 200);
    assert!(answer.body.contains("192.0.2.77: is not an address of this host"), "{}", answer.body);
    assert_eq!(seen(anybody(&proxy), target.address), "127.0.0.8");
}

#[test]
fn a_pool_is_dealt_out_in_turns_or_by_client() {
    let target = mirror("127.0.0.1:0");
    let pool = "addresses = [\"127.0.0.7\", \"127.0.0.8\", \"127.0.0.9\"]";
    let proxy = Proxy::with(&format!("[egress]\n{pool}\nspread = \"turns\"\n"));
    let turns: Vec<_> = (0..6).map(|_| seen(anybody(&proxy), target.address)).collect();
    assert_eq!(turns[..3], turns[3..]);
    assert_eq!(turns.iter().collect::<BTreeSet<_>>().len(), 3);

    let proxy = Proxy::with(&format!("[egress]\n{pool}\n"));
    let of = |last| seen(greeted([127, 0, 1, last], proxy.socks), target.address);
    let by_client: Vec<_> = (1..30).map(of).collect();
    assert_eq!(by_client.iter().collect::<BTreeSet<_>>().len(), 3, "{by_client:?}");
    assert_eq!((1..30).map(of).collect::<Vec<_>>(), by_client);
}

#[test]
fn users_and_groups_leave_by_ways_of_their_own() {
    let target = mirror("127.0.0.1:0");
    let proxy = Proxy::with(
        r#"
[auth]
socks_method = "userpass"
users = [
    { username = "alice", password = "alice", groups = ["staff"] },
    { username = "bob", password = "bob", groups = ["guests", "staff"] },
    { username = "carol", password = "carol" },
]
[egress]
addresses = ["127.0.0.20"]
[[egress.named]]
name = "for alice"
users = ["alice"]
addresses = ["127.0.0.21"]
[[egress.named]]
name = "for the staff"
groups = ["staff"]
addresses = ["127.0.0.22"]
"#,
    );
    assert_eq!(seen(user(&proxy, "alice"), target.address), "127.0.0.21");
    assert_eq!(seen(user(&proxy, "bob"), target.address), "127.0.0.22");
    assert_eq!(seen(user(&proxy, "carol"), target.address), "127.0.0.20");
}

#[test]
fn a_rule_names_the_way_of_what_it_allows() {
    let (target, other) = (mirror("127.0.0.1:0"), mirror("127.0.0.1:0"));
    let rules = |egress: &str| {
        format!(
            "[global]\ndefault_policy = \"allow\"\n[[rules]]\naction = \"allow\"\nprotocols = [\"tcp\"]\n\
             destinations = [\"127.0.0.1\"]\nports = [{}]\negress = \"{egress}\"\n",
            target.address.port()
        )
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("acl.toml");
    std::fs::write(&file, rules("second")).unwrap();
    let further = "[acl]\nenabled = true\nconfig_file = \"{dir}/acl.toml\"\n\
                   [egress]\naddresses = [\"127.0.0.7\"]\n\
                   [[egress.named]]\nname = \"second\"\naddresses = [\"127.0.0.8\"]\n";
    let proxy = Proxy::start_in(directory, "commands = [\"connect\", \"bind\"]", "", further);
    assert_eq!(seen(anybody(&proxy), target.address), "127.0.0.8");
    assert_eq!(seen(anybody(&proxy), other.address), "127.0.0.7");
    let mut client = anybody(&proxy);
    client.send(&client::request(2, target.address));
    assert_eq!(client.reply().1.ip(), IpAddr::from([127, 0, 0, 8]));
    // A name that nobody knows is refused, and nothing changes.
    std::fs::write(&file, rules("third")).unwrap();
    let (api, token) = (proxy.api.unwrap(), proxy.token());
    let answer = harness::api::ask(api, "POST", "/api/admin/reload", Some(&token));
    assert_ne!(answer.status, 200);
    assert!(answer.body.contains("acl.toml:8:10: rule 1: egress: got"), "{}", answer.body);
    assert_eq!(seen(anybody(&proxy), target.address), "127.0.0.8");
}

#[test]
fn datagrams_leave_from_the_configured_address() {
    let proxy = Proxy::with("[egress]\naddresses = [\"127.0.0.7\"]\n");
    let target = UdpSocket::bind("127.0.0.1:0").unwrap();
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = Associated::with(proxy.socks);
    assert_eq!(
        client.relay.ip(),
        IpAddr::from([127, 0, 0, 1]),
        "towards the client nothing changes"
    );
    client.send(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9)), b"no way");
    client.send(target.local_addr().unwrap(), b"ping");
    let mut buffer = [0; 16];
    let (length, source) = target.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], source.ip()), (&b"ping"[..], IpAddr::from([127, 0, 0, 7])));
    target.send_to(b"pong", source).unwrap();
    assert_eq!(client.receive(), (target.local_addr().unwrap(), b"pong".to_vec()));
    let scrape = harness::scrape::Scrape::of(proxy.api.unwrap());
    let unreachable = "rustsocks_udp_dropped_total{reason=\"unreachable\"}";
    assert_eq!(scrape.value(unreachable), Some(1.0));
}

#[test]
fn a_peer_is_awaited_at_the_configured_address() {
    let proxy = Proxy::with_sections(
        "commands = [\"bind\"]",
        "",
        "[egress]\naddresses = [\"127.0.0.7\"]\n",
    );
    for expected in ["127.0.0.1:21", "0.0.0.0:0"] {
        let mut client = anybody(&proxy);
        client.send(&client::request(2, expected.parse::<SocketAddr>().unwrap()));
        let (code, bound) = client.reply();
        assert_eq!((code, bound.ip()), (0, IpAddr::from([127, 0, 0, 7])), "{expected}");
        let mut peer = TcpStream::connect(bound).unwrap();
        assert_eq!(client.reply().0, 0);
        peer.write_all(b"hello").unwrap();
        assert_eq!(client.receive(5), b"hello");
    }
    let mut client = anybody(&proxy);
    client.send(&client::request(2, "[::1]:21".parse::<SocketAddr>().unwrap()));
    assert_eq!(client.reply().0, 3);
}

/// Starts the binary, which is to refuse, by this command.
fn refused(mut command: Command, egress: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rustsocks.toml");
    let text =
        format!("[server]\nbind_port = 0\n[sessions]\nstats_api_port = 0\n[egress]\n{egress}\n");
    std::fs::write(&file, text).unwrap();
    let mut child = command
        .args(["run", "--config"])
        .arg(&file)
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ended = None;
    harness::wait_for("the refusal", || {
        ended = child.try_wait().unwrap();
        ended
    });
    let output = child.wait_with_output().unwrap();
    assert!(output.stdout.is_empty());
    output
}

#[test]
fn what_the_host_does_not_have_is_one_line_at_the_start() {
    let binary = || Command::new(env!("CARGO_BIN_EXE_rustsocks"));
    for (egress, line) in [
        (
            "addresses = [\"192.0.2.77\"]",
            "egress.addresses: 192.0.2.77: is not an address of this host",
        ),
        (
            "interface = \"nosuch0\"",
            "egress.interface = \"nosuch0\": there is no such interface on this host",
        ),
        (
            "[[egress.named]]\nname = \"b\"\naddresses = [\"2001:db8::77\"]",
            "egress.named \"b\".addresses: 2001:db8::77: is not an address of this host",
        ),
    ] {
        let output = refused(binary(), egress);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.trim_end().ends_with(line), "{text}");
    }
}

#[test]
fn a_missing_capability_is_one_line_at_the_start() {
    let mut command = Command::new("setpriv");
    let without = "-net_admin,-net_raw";
    command.args(["--bounding-set", without, "--inh-caps", without]);
    let may = command.arg("true").status().is_ok_and(|status| status.success());
    let mut command = if may {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", without, "--inh-caps", without]);
        command.arg(env!("CARGO_BIN_EXE_rustsocks"));
        command
    } else {
        Command::new(env!("CARGO_BIN_EXE_rustsocks"))
    };
    if !may && rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: setpriv cannot take capabilities away here");
        return;
    }
    command.env_remove("RUST_LOG");
    let output = refused(command, "mark = 7");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(77), "{text}");
    assert!(text.contains("egress.mark = 7: needs CAP_NET_ADMIN"), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
}
