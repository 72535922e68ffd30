//! Much data through curl and a real web server: it arrives whole, and the record has its octets.
//!
//! `TRANSFER_MIB` is the size of one transfer, 64 by default; 1024 makes it a gibibyte.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use harness::nginx::Nginx;
use harness::proxy::Proxy;
use harness::scrape::Scrape;
use harness::wait_for;

#[test]
fn octets_arrive_whole_and_are_in_the_record_without_login() {
    let proxy = Proxy::start();
    transfers(&proxy, None);
    // Both carriers had their part: heads and first octets are copied, the rest is not.
    let scrape = Scrape::of(proxy.api.unwrap());
    let spliced = scrape.sum("rustsocks_worker_spliced_bytes_total");
    let moved =
        scrape.sum("rustsocks_bytes_sent_total") + scrape.sum("rustsocks_bytes_received_total");
    assert!(spliced > moved / 2.0 && spliced < moved, "{spliced} of {moved}");
    let pipes = scrape.sum("rustsocks_worker_pipes");
    assert!((1.0..20.0).contains(&pipes), "{pipes} pipes for two directions at a time");
}

#[test]
fn octets_arrive_whole_and_are_in_the_record_where_everything_is_copied() {
    let proxy = Proxy::with_sections("splice = false", "", "");
    transfers(&proxy, None);
    let scrape = Scrape::of(proxy.api.unwrap());
    assert_eq!(scrape.sum("rustsocks_worker_spliced_bytes_total"), 0.0);
    assert_eq!(scrape.sum("rustsocks_worker_pipes"), 0.0);
}

#[test]
fn octets_arrive_whole_and_are_in_the_record_with_login() {
    let hash = rustsocks::auth::hash(b"change me").unwrap();
    let proxy = Proxy::with(&format!(
        "[auth]\nsocks_method = \"userpass\"\n\
         [[auth.users]]\nusername = \"alice\"\npassword_hash = \"{hash}\"\n"
    ));
    transfers(&proxy, Some("alice:change me"));
}

/// Down and up, by name, by IPv4 and by IPv6.
fn transfers(proxy: &Proxy, login: Option<&str>) {
    let user = login.map_or("anonymous", |_| "alice");
    let curl = Curl { proxy: proxy.socks, login };
    let nginx = Nginx::start();
    let (down, up) = (nginx.root().join("down"), nginx.root().join("up/file"));
    let octets = mebibytes() << 20;
    let random = File::open("/dev/urandom").unwrap().take(octets);
    io::copy(&mut io::BufReader::with_capacity(1 << 20, random), &mut File::create(&down).unwrap())
        .unwrap();
    let digest = sha256(&down);
    let port = nginx.port;
    let mut rows = 0;
    for (host, dest) in [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")] {
        let began = Instant::now();
        let (figures, arrived) = curl.download(&format!("http://{host}:{port}/down"));
        assert_eq!(arrived, digest, "down by {host}");
        assert_eq!(figures.size_download, octets);
        eprintln!("{} MiB down, by {host} as {user}: {:?}", octets >> 20, began.elapsed());
        rows += 1;
        row_agrees(proxy, rows, &figures, (user, dest, port));

        let began = Instant::now();
        let figures = curl.upload(&down, &format!("http://{host}:{port}/up/file"));
        eprintln!("{} MiB up, by {host} as {user}: {:?}", octets >> 20, began.elapsed());
        assert_eq!(sha256(&up), digest, "up by {host}");
        fs::remove_file(&up).unwrap();
        assert_eq!(figures.size_upload, octets);
        rows += 1;
        row_agrees(proxy, rows, &figures, (user, dest, port));
    }
}

/// What curl says that it moved.
struct Figures {
    size_request: u64,
    size_upload: u64,
    size_header: u64,
    size_download: u64,
}

/// Curl's own figures, to stderr.
const FIGURES: &str =
    "%{stderr}%{size_request} %{size_upload} %{size_header} %{size_download} %{response_code}";

/// The client, and how it gets in.
struct Curl<'a> {
    proxy: SocketAddr,
    login: Option<&'a str>,
}

impl Curl<'_> {
    fn command(&self) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "300", "--noproxy", ""])
            .args(["--proxy", &format!("socks5h://{}", self.proxy), "--write-out", FIGURES]);
        if let Some(login) = self.login {
            curl.args(["--proxy-user", login]);
        }
        curl
    }

    /// Figures, and the digest of what arrived.
    fn download(&self, url: &str) -> (Figures, String) {
        let mut child = self
            .command()
            .arg(url)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("curl is installed (sh .ci/setup test)");
        let arriving = child.stdout.take().unwrap();
        let digest = Command::new("sha256sum").stdin(arriving).output().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{url}: {said}");
        (figures(&said, &[200]), first_word(&digest.stdout))
    }

    fn upload(&self, file: &Path, url: &str) -> Figures {
        let output = self.command().arg("--upload-file").arg(file).arg(url).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{url}: {said}");
        figures(&said, &[201, 204])
    }
}

fn figures(said: &str, codes: &[u64]) -> Figures {
    let numbers: Vec<u64> = said.split(' ').map_while(|word| word.parse().ok()).collect();
    let [size_request, size_upload, size_header, size_download, code] = numbers[..] else {
        panic!("curl: {said}");
    };
    assert!(codes.contains(&code), "{said}");
    Figures { size_request, size_upload, size_header, size_download }
}

/// Waits for the row of the last session, which must have what curl moved: heads and bodies.
fn row_agrees(proxy: &Proxy, rows: i64, figures: &Figures, (user, dest, port): (&str, &str, u16)) {
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", rows);
    let row = wait_for("the row", || {
        proxy
            .database()
            .query_row(
                "SELECT user, dest_ip, dest_port, bytes_sent, bytes_received FROM sessions \
                 ORDER BY start_time DESC LIMIT 1",
                [],
                |row| {
                    let figures: (u64, u64) = (row.get(3)?, row.get(4)?);
                    Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, figures))
                },
            )
            .ok()
    });
    let sent = figures.size_request + figures.size_upload;
    let received = figures.size_header + figures.size_download;
    assert_eq!(row, (user.to_owned(), dest.to_owned(), port, (sent, received)));
}

fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").stdin(File::open(file).unwrap()).output().unwrap();
    first_word(&output.stdout)
}

fn first_word(text: &[u8]) -> String {
    let word: Vec<u8> = text.iter().copied().take_while(u8::is_ascii_hexdigit).collect();
    assert_eq!(word.len(), 64, "sha256sum answers");
    String::from_utf8(word).unwrap()
}

fn mebibytes() -> u64 {
    let Ok(text) = std::env::var("TRANSFER_MIB") else { return 64 };
    text.parse().expect("TRANSFER_MIB is a number")
}
