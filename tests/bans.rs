//! Many wrong passwords from one address, and every way to come in without the right one.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use harness::api::{ask, get};
use harness::client::{self, Client, userpass};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::size;
use socket2::{Domain, Socket, Type};

fn alice(auth: &str) -> String {
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    format!("[auth]\n{auth}\n[[auth.users]]\nusername = \"alice\"\npassword_hash = \"{hash}\"\n")
}

/// A connection from that address.
fn connected(from: [u8; 4], proxy: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&proxy.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Says all this from that address, and what comes back until the end, however that comes.
fn said(from: [u8; 4], proxy: SocketAddr, octets: &[u8]) -> Vec<u8> {
    let mut stream = connected(from, proxy);
    let mut answer = Vec::new();
    // Whoever is banned may be gone before he has spoken.
    if stream.write_all(octets).is_ok() {
        let read = stream.read_to_end(&mut answer);
        drop(read);
    }
    answer
}

/// How long things took, in words.
fn spread(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    format!("{} times, median {:?}, p99 {:?}", took.len(), at(50), at(99))
}

fn login_and_echo(password: &str, origin: SocketAddr) -> Vec<u8> {
    let login = userpass("alice", password);
    [&[5, 1, 2][..], &login, &client::connect(origin), b"ping"].concat()
}

/// A series of `/metrics`.
fn sum(proxy: &Proxy, name: &str) -> f64 {
    Scrape::of(proxy.api.unwrap()).value(name).unwrap()
}

#[test]
fn whoever_tries_passwords_is_banned_counted_and_harms_nobody_else() {
    let attempts = size("WRONG_PASSWORDS", 10_000);
    let proxy = Proxy::with(&alice("socks_method = \"userpass\""));
    let (origin, api) = (Origin::echo(), proxy.api.unwrap());
    let (wrong, right) =
        (login_and_echo("wrong", origin.address), login_and_echo("secret", origin.address));
    // From the connection to the echo, with the login.
    let served = || {
        let began = Instant::now();
        let mut client = connected([127, 0, 0, 2], proxy.socks);
        client.write_all(&right).unwrap();
        let mut answer = [0; 18];
        client.read_exact(&mut answer).unwrap();
        assert!(answer.ends_with(b"ping"), "{answer:?}");
        began.elapsed()
    };
    let alone: Vec<_> = (0..500).map(|_| served()).collect();
    let over = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        let good = scope.spawn(|| {
            let mut took = vec![served()];
            while !over.load(Relaxed) {
                took.push(served());
            }
            took
        });
        let bad: Vec<_> = (0..ATTACKERS)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..attempts / ATTACKERS {
                        let answer = said([127, 0, 0, 1], proxy.socks, &wrong);
                        assert!(!answer.ends_with(b"ping"));
                    }
                })
            })
            .collect();
        for attacker in bad {
            attacker.join().unwrap();
        }
        over.store(true, Relaxed);
        good.join().unwrap()
    });
    let [alone, beside] = [alone, beside].map(spread);
    eprintln!("a good user's session: {alone}; beside {attempts} wrong passwords: {beside}");
    let bans = get(api, "/api/bans").json();
    assert_eq!((&bans["total"], &bans["data"][0]["address"]), (&1.into(), &"127.0.0.1".into()));
    // However many came at once, no more were checked than may fail.
    assert_eq!(bans["data"][0]["failures"], 10);
    assert_eq!((sum(&proxy, "rustsocks_bans"), sum(&proxy, "rustsocks_bans_total")), (1.0, 1.0));
    let turned_away = sum(&proxy, "rustsocks_banned_clients_total");
    assert!(turned_away >= (attempts - 100) as f64, "{turned_away}");
    // The right password does not help while the ban lasts.
    assert_eq!(said([127, 0, 0, 1], proxy.socks, &right), b"");

    assert_ne!(ask(api, "DELETE", "/api/bans/127.0.0.1", None).status, 200);
    let token = proxy.token();
    assert_eq!(ask(api, "DELETE", "/api/bans/127.0.0.1", Some(&token)).status, 200);
    assert_eq!(ask(api, "DELETE", "/api/bans/127.0.0.1", Some(&token)).status, 404);
    assert_eq!(get(api, "/api/bans").json()["total"], 0);
    assert!(Client::to(proxy.socks).login("alice", "secret"));
}

#[test]
fn whoever_a_load_balancer_speaks_for_is_banned_in_spite_of_a_login_that_is_remembered() {
    let proxy = Proxy::with_sections(
        "workers = 1\nproxy_protocol_from = [\"127.0.0.1\"]",
        "",
        &alice("socks_method = \"userpass\"\nmax_failures = 2\nfailure_delay_ms = 0"),
    );
    let origin = Origin::echo();
    // The balancer goes on for everybody else.
    let by_balancer = |client: &str, octets: &[u8]| {
        let announced = format!("PROXY TCP4 {client} 127.0.0.1 40000 1080\r\n");
        let mut stream = connected([127, 0, 0, 1], proxy.socks);
        stream.write_all(&[announced.as_bytes(), octets].concat()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    };
    let right = login_and_echo("secret", origin.address);
    assert!(by_balancer("127.0.0.9", &right).ends_with(b"ping"));
    for _ in 0..2 {
        let wrong = login_and_echo("wrong", origin.address);
        assert_eq!(by_balancer("127.0.0.9", &wrong), [5, 2, 1, 1]);
    }
    assert_eq!(by_balancer("127.0.0.9", &right), [5, 2, 1, 1]);
    let coded = Base64::encode_string(b"alice:secret");
    let head = format!(
        "CONNECT {} HTTP/1.0\r\nProxy-Authorization: Basic {coded}\r\n\r\n",
        origin.address
    );
    let answer = by_balancer("127.0.0.9", head.as_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 403 "), "{}", String::from_utf8_lossy(&answer));
    assert!(by_balancer("127.0.0.8", &right).ends_with(b"ping"));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'banned'", 2);
}

#[test]
fn each_failure_is_one_line_whatever_the_name_holds() {
    let mut proxy = Proxy::with(&alice("socks_method = \"userpass\"\nmax_failures = 2"));
    assert!(!Client::to(proxy.socks).login("x\ny client=192.0.2.1", "wrong"));
    assert!(!Client::to(proxy.socks).login("alice", "wrong"));
    let log = proxy.log();
    for line in [
        "authentication failed: client=127.0.0.1 user=\"x\\ny client=192.0.2.1\"",
        "authentication failed: client=127.0.0.1 user=\"alice\"",
        "banned after too many failures: client=127.0.0.1",
    ] {
        assert_eq!(log.lines().filter(|logged| logged.ends_with(line)).count(), 1, "{log}");
    }
}

/// The filter that is shipped, by the program that it is for.
#[test]
fn fail2ban_finds_each_failure_and_the_address_of_its_client() {
    let filter = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/fail2ban.conf");
    if Command::new("fail2ban-regex").arg("--version").output().is_err() {
        eprintln!("SKIPPED: fail2ban is not installed");
        return;
    }
    for format in ["text", "json"] {
        let mut proxy = Proxy::with(&format!(
            "{}[logging]\nformat = \"{format}\"\n",
            alice("socks_method = \"userpass\"\nmax_failures = 3\nfailure_delay_ms = 0")
        ));
        for (from, name) in [
            ([127, 0, 0, 1], "x\ny client=192.0.2.1 user="),
            ([127, 0, 0, 2], "\" client=192.0.2.2 user=\""),
            ([127, 0, 0, 3], "authentication failed: client=192.0.2.3 user=\""),
            ([127, 0, 0, 3], "alice"),
        ] {
            let login = [&[5, 1, 2][..], &userpass(name, "wrong")].concat();
            assert_eq!(said(from, proxy.socks, &login), [5, 2, 1, 1]);
        }
        assert_eq!(
            said([127, 0, 0, 4], proxy.socks, &login_and_echo("secret", proxy.socks))[..4],
            [5, 2, 1, 0]
        );
        let log = proxy.directory().join("log");
        std::fs::write(&log, proxy.log() + "\n").unwrap();
        let found = Command::new("fail2ban-regex")
            .args(["--out", "ip"])
            .arg(&log)
            .arg(filter)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&found.stdout);
        let mut addresses: Vec<_> = said.lines().map(str::trim).collect();
        addresses.sort_unstable();
        let expected = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.3"];
        assert_eq!(addresses, expected, "{format}: {said}\n{}", proxy.log());
    }
}

/// How a client asks.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// SOCKS5 that offers these methods, and logs in if the server takes the one for that.
    Socks5(&'static [u8]),
    /// SOCKS5 that offers to log in and sends its request instead.
    Skipping,
    Socks4,
    Socks4a,
    Http,
}

const WAYS: [Way; 9] = [
    Way::Socks5(&[0]),
    Way::Socks5(&[2]),
    Way::Socks5(&[0, 2]),
    Way::Socks5(&[2, 0]),
    Way::Socks5(&[1, 3, 0x80]),
    Way::Skipping,
    Way::Socks4,
    Way::Socks4a,
    Way::Http,
];

/// Name and password, and whether they are right.
const LOGINS: [(&str, &str, bool); 8] = [
    ("alice", "secret", true),
    ("alice", "Secret", false),
    ("alice", "secret\0", false),
    ("alice", "", false),
    ("Alice", "secret", false),
    ("bob", "secret", false),
    ("", "secret", false),
    ("", "", false),
];

impl Way {
    fn octets(self, required: bool, (name, password): (&str, &str), target: SocketAddr) -> Vec<u8> {
        let request = client::connect(target);
        let port = target.port().to_be_bytes();
        match self {
            Self::Socks5(offered) => {
                let mut octets = vec![5, u8::try_from(offered.len()).unwrap()];
                octets.extend(offered);
                if required && offered.contains(&2) {
                    octets.extend(userpass(name, password));
                }
                [octets, request].concat()
            }
            Self::Skipping => [&[5, 1, 2][..], &request].concat(),
            Self::Socks4 => {
                let ip = Ipv4Addr::LOCALHOST.octets();
                [&[4, 1][..], &port, &ip, name.as_bytes(), &[0]].concat()
            }
            Self::Socks4a => {
                [&[4, 1][..], &port, &[0, 0, 0, 1], name.as_bytes(), b"\x00127.0.0.1\0"].concat()
            }
            Self::Http => {
                let basic = Base64::encode_string(format!("{name}:{password}").as_bytes());
                format!(
                    "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\
                     Proxy-Authorization: Basic {basic}\r\n\r\n"
                )
                .into_bytes()
            }
        }
    }

    fn comes_through(self, required: bool, right: bool) -> bool {
        match (self, required) {
            (Self::Socks5(offered), true) => right && offered.contains(&2),
            (Self::Socks5(offered), false) => offered.contains(&0),
            (Self::Http, true) => right,
            (Self::Skipping, _) | (Self::Socks4 | Self::Socks4a, true) => false,
            (Self::Socks4 | Self::Socks4a | Self::Http, false) => true,
        }
    }
}

#[test]
fn no_way_of_asking_comes_past_the_login() {
    let origin = Origin::echo();
    for required in [true, false] {
        let method = if required { "userpass" } else { "none" };
        let proxy = Proxy::with(&alice(&format!(
            "socks_method = \"{method}\"\nmax_failures = 0\nfailure_delay_ms = 0"
        )));
        for way in WAYS {
            for (name, password, right) in LOGINS {
                let before = origin.count.connections.load(Relaxed);
                let mut client = connected([127, 0, 0, 1], proxy.socks);
                let octets = way.octets(required, (name, password), origin.address);
                client.write_all(&[&octets[..], b"ping"].concat()).unwrap();
                client.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                let read = client.read_to_end(&mut answer);
                drop(read);
                let row = format!("{method} {way:?} {name:?} {password:?}: {answer:?}");
                let expected = way.comes_through(required, right);
                assert_eq!(answer.ends_with(b"ping"), expected, "{row}");
                let reached = origin.count.connections.load(Relaxed) - before;
                assert_eq!(reached > 0, expected, "{row}");
            }
        }
    }
}

const ATTACKERS: usize = 20;

#[test]
fn without_bans_whoever_tries_very_many_passwords_at_once_leaves_the_others_their_turn() {
    let proxy =
        Proxy::with(&alice("socks_method = \"userpass\"\nmax_failures = 0\nfailure_delay_ms = 0"));
    let origin = Origin::echo();
    let wrong = login_and_echo("wrong", origin.address);
    let crowd: Vec<TcpStream> = (0..400)
        .map(|_| {
            let mut stream = connected([127, 0, 0, 9], proxy.socks);
            stream.write_all(&wrong).unwrap();
            stream
        })
        .collect();
    let put_off = || sum(&proxy, "rustsocks_logins_put_off_total");
    harness::wait_for("the crowd to wait", || (put_off() > 0.0).then_some(()));
    let mut client = connected([127, 0, 0, 2], proxy.socks);
    client.write_all(&login_and_echo("secret", origin.address)).unwrap();
    let mut answer = [0; 2 + 2 + 10 + 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!((&answer[..6], &answer[14..]), (&[5, 2, 1, 0, 5, 0][..], &b"ping"[..]));
    drop(crowd);
}

#[test]
fn a_crowd_of_many_addresses_leaves_whoever_comes_from_another_his_turn() {
    // As many tries of each as may fail, and more in all than may wait.
    let addresses = (0..200).flat_map(|number| [[127, 1, 0, number]; 10]);
    let still = a_good_user_comes_beside(addresses.collect());
    assert!(still > 512, "{still} of the crowd still waited, so the others were served first");
}

#[test]
fn a_crowd_of_one_network_with_one_try_of_each_address_leaves_others_their_turn() {
    // Each has one waiting: no line is longer than another.
    let addresses = (0..8).flat_map(|site| (0..250).map(move |number| [127, 1, site, number]));
    let still = a_good_user_comes_beside(addresses.collect());
    assert!(still > 512, "{still} of the crowd still waited, so the others were served first");
}

/// How many of a crowd from these addresses still wait when a user from elsewhere has been let in.
fn a_good_user_comes_beside(crowd: Vec<[u8; 4]>) -> usize {
    let auth = alice("socks_method = \"userpass\"\nfailure_delay_ms = 0");
    let proxy = Proxy::with_sections("handshake_timeout_ms = 300000", "", &auth);
    let origin = Origin::echo();
    let wrong = login_and_echo("wrong", origin.address);
    let mut crowd: Vec<TcpStream> = crowd
        .into_iter()
        .map(|address| {
            let mut stream = connected(address, proxy.socks);
            stream.write_all(&wrong).unwrap();
            stream
        })
        .collect();
    for stream in &mut crowd {
        stream.read_exact(&mut [0; 2]).unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    let waits = |stream: &&TcpStream| {
        let answer = stream.peek(&mut [0]);
        answer.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let busy = "SELECT count(*) FROM sessions WHERE close_code = 'server_busy'";
    harness::wait_for("a full queue", || (proxy.count(busy) > 0).then_some(()));
    let before = crowd.iter().filter(waits).count();
    let mut client = connected([127, 2, 0, 1], proxy.socks);
    client.write_all(&login_and_echo("secret", origin.address)).unwrap();
    let mut answer = [0; 2 + 2 + 10 + 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!((&answer[..6], &answer[14..]), (&[5, 2, 1, 0, 5, 0][..], &b"ping"[..]));
    let after = crowd.iter().filter(waits).count();
    eprintln!("{before} of the crowd waited before and {after} after a good user was served");
    assert!(sum(&proxy, "rustsocks_logins_turned_away_total") > 0.0);
    after
}
