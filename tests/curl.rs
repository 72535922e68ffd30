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
