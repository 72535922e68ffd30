//! The client that everybody has: curl, by name and by address, with and without a login.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::{Read, Write};
use std::process::{Command, Output};

use harness::origin::Origin;
use harness::proxy::Proxy;

/// A web server that answers every request with these octets.
fn web(address: &str, body: &'static [u8]) -> Origin {
    Origin::on(address, move |mut stream, _| {
        let mut head = Vec::new();
        let mut octet = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut octet) {
                Ok(1) => head.push(octet[0]),
                Ok(_) | Err(_) => return,
            }
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        drop(stream.write_all(answer.as_bytes()));
        drop(stream.write_all(body));
    })
}

fn curl(proxy: &str, url: &str) -> Output {
    Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "", "--proxy", proxy])
        .arg(url)
        .output()
        .expect("curl is installed (sh .ci/setup test)")
}

#[track_caller]
fn fetches(proxy: &str, url: &str, body: &[u8]) {
    let output = curl(proxy, url);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == body, "{proxy} {url}: {said}");
}

#[test]
fn curl_fetches_by_name_by_ipv4_and_by_ipv6() {
    let proxy = Proxy::start();
    let (four, six) = (web("127.0.0.1:0", b"four"), web("[::1]:0", b"six"));
    let (socks5, socks5h) =
        (format!("socks5://{}", proxy.socks), format!("socks5h://{}", proxy.socks));
    fetches(&socks5h, &format!("http://localhost:{}/", four.address.port()), b"four");
    fetches(&socks5, &format!("http://{}/", four.address), b"four");
    fetches(&socks5h, &format!("http://{}/", six.address), b"six");
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 3);
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE dest_ip = 'localhost'"), 1);
}

#[test]
fn curl_logs_in_and_is_told_when_it_may_not() {
    let hash = rustsocks::auth::hash(b"s3cret").unwrap();
    let proxy = Proxy::with(&format!(
        "[auth]\nsocks_method = \"userpass\"\n\
         [[auth.users]]\nusername = \"alice\"\npassword_hash = \"{hash}\"\n"
    ));
    let web = web("127.0.0.1:0", b"hello alice");
    let url = format!("http://{}/", web.address);
    fetches(&format!("socks5h://alice:s3cret@{}", proxy.socks), &url, b"hello alice");
    for wrong in ["alice:wrong@", "bob:s3cret@", ""] {
        let output = curl(&format!("socks5h://{wrong}{}", proxy.socks), &url);
        assert_eq!(output.status.code(), Some(97), "{wrong}");
    }
    proxy.wait_count("SELECT count(*) FROM sessions WHERE user = 'alice'", 1);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'auth_failed'", 2);
}

#[test]
fn curl_speaks_socks4_and_4a_and_http_connect_on_the_same_port() {
    let proxy = Proxy::start();
    let web = web("127.0.0.1:0", b"all the same");
    let (address, port) = (web.address, web.address.port());
    let by_address = format!("http://{address}/");
    let by_name = format!("http://localhost:{port}/");
    fetches(&format!("socks4://claim@{}", proxy.socks), &by_address, b"all the same");
    fetches(&format!("socks4a://{}", proxy.socks), &by_name, b"all the same");
    for url in [&by_address, &by_name] {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "", "--proxytunnel", "--proxy"])
            .args([&format!("http://{}", proxy.socks), url])
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"all the same", "{output:?}");
    }
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 4);
    let claims =
        "SELECT count(*) FROM sessions WHERE user = 'anonymous' AND claimed_user = 'claim'";
    assert_eq!(proxy.count(claims), 1);
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE dest_ip = 'localhost'"), 2);
}

#[test]
fn http_connect_asks_for_credentials_and_says_why_it_refuses() {
    let hash = rustsocks::auth::hash(b"s3cret").unwrap();
    let proxy = Proxy::with(&format!(
        "[auth]\nsocks_method = \"userpass\"\n\
         [[auth.users]]\nusername = \"alice\"\npassword_hash = \"{hash}\"\n"
    ));
    let web = web("127.0.0.1:0", b"hello alice");
    let through = |user: &str, url: &str| {
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "20", "--noproxy", "", "--proxytunnel", "--proxy"])
            .args([&format!("http://{user}{}", proxy.socks), url])
            .args(["--write-out", " %{http_connect}"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let url = format!("http://{}/", web.address);
    assert_eq!(through("alice:s3cret@", &url), "hello alice 200");
    assert_eq!(through("alice:wrong@", &url), " 407");
    assert_eq!(through("", &url), " 407");
    assert_eq!(through("alice:s3cret@", "http://169.254.169.254/"), " 403");
    assert_eq!(through("alice:s3cret@", "http://127.0.0.1:1/"), " 502");
    // SOCKS4 has no password to show.
    assert_eq!(curl(&format!("socks4://alice@{}", proxy.socks), &url).status.code(), Some(97));
    proxy.wait_count("SELECT count(*) FROM sessions WHERE user = 'alice'", 3);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'auth_failed'", 1);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE close_code = 'no_acceptable_method'", 2);
}

/// Clients send cookies and long agents: a head may be larger than what a SOCKS message takes.
#[test]
fn a_long_head_with_payload_behind_it_is_read_whole() {
    let proxy = Proxy::start();
    let origin = Origin::echo();
    for padding in [0, 900, 1100, 7900] {
        let mut stream = std::net::TcpStream::connect(proxy.socks).unwrap();
        stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
        let target = origin.address;
        let head = format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nX: {}\r\n\r\npayload",
            "x".repeat(padding)
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HTTP/1.1 200 Connection established\r\n\r\npayload", "{padding}");
    }
    let mut stream = std::net::TcpStream::connect(proxy.socks).unwrap();
    stream.write_all(&[b'A'; 9000]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}
