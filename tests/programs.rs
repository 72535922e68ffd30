//! Programs that people use through a SOCKS proxy, the real ones: ssh, git and a browser.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::nginx::Nginx;
use harness::origin::Origin;
use harness::proxy::Proxy;

/// Runs to its end and must succeed.
#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error} (sh .ci/setup test installs it)"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    output
}

/// A server of OpenSSH for one key, with a host key of its own; one process for each connection,
/// as inetd starts it.
fn sshd(directory: &Path) -> Origin {
    for (name, comment) in [("host_key", "host"), ("user_key", "user")] {
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
            .arg(directory.join(name)));
    }
    let path = directory.display();
    let config = directory.join("sshd_config");
    let text = format!(
        "HostKey {path}/host_key\nAuthorizedKeysFile {path}/user_key.pub\nPidFile none\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\n"
    );
    fs::write(&config, text).unwrap();
    // Where Debian's start script makes it, which nobody has called: sshd as root insists on it.
    if rustix::process::geteuid().is_root() {
        fs::create_dir_all("/run/sshd").unwrap();
    }
    let log = directory.join("sshd.log");
    Origin::on("127.0.0.1:0", move |stream: TcpStream, _| {
        let socket = OwnedFd::from(stream);
        let served = Command::new("/usr/sbin/sshd")
            .arg("-i")
            .arg("-f")
            .arg(&config)
            .arg("-E")
            .arg(&log)
            .stdin(socket.try_clone().unwrap())
            .stdout(socket)
            .status();
        assert!(served.is_ok(), "sshd is installed (sh .ci/setup test)");
    })
}

#[test]
fn ssh_goes_through_it_as_its_proxy_command() {
    let proxy = Proxy::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let sshd = sshd(path);
    // Payload that does not fit any buffer on its way.
    let payload: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(7919) >> 5) as u8).collect();
    fs::write(path.join("payload"), &payload).unwrap();
    let host_key = fs::read_to_string(path.join("host_key.pub")).unwrap();
    let port = sshd.address.port();
    fs::write(path.join("known_hosts"), format!("[localhost]:{port} {host_key}")).unwrap();
    let output = Command::new("ssh")
        .args(["-F", "none", "-p", &port.to_string()])
        .arg("-i")
        .arg(path.join("user_key"))
        .args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", path.join("known_hosts").display()))
        .arg("-o")
        .arg(format!("ProxyCommand=nc -X 5 -x {} %h %p", proxy.socks))
        .args(["localhost", "cat"])
        .stdin(File::open(path.join("payload")).unwrap())
        .output()
        .expect("ssh is installed (sh .ci/setup test)");
    let said = String::from_utf8_lossy(&output.stderr);
    let log = fs::read_to_string(path.join("sshd.log")).unwrap_or_default();
    assert!(output.status.success(), "{said}\n{log}");
    assert!(output.stdout == payload, "what came back is not what was sent");
    proxy.wait_count(
        &format!(
            "SELECT count(*) FROM sessions WHERE status = 'closed' AND dest_ip = 'localhost' \
             AND dest_port = {port} AND min(bytes_sent, bytes_received) > {}",
            payload.len()
        ),
        1,
    );
}

#[test]
fn git_clones_over_http_through_it() {
    let (proxy, nginx) = (Proxy::start(), Nginx::start());
    let directory = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let output = run(Command::new("git")
            .args(["-c", "user.name=Alice", "-c", "user.email=alice@example.com"])
            .args(["-c", "init.defaultBranch=main"])
            .args(arguments)
            .current_dir(directory.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("no_proxy")
            .env_remove("NO_PROXY"));
        String::from_utf8(output.stdout).unwrap()
    };
    let bare = nginx.root().join("project.git");
    git(&["init", "-q", "project"]);
    // Such that no compression makes less of it.
    let mut content = vec![0; 200_000];
    File::open("/dev/urandom").unwrap().read_exact(&mut content).unwrap();
    fs::write(directory.path().join("project/file"), &content).unwrap();
    git(&["-C", "project", "add", "file"]);
    git(&["-C", "project", "commit", "-q", "-m", "First"]);
    git(&["clone", "-q", "--bare", "project", bare.to_str().unwrap()]);
    git(&["-C", bare.to_str().unwrap(), "update-server-info"]);

    let http_proxy = format!("http.proxy=socks5h://{}", proxy.socks);
    let url = format!("http://localhost:{}/project.git", nginx.port);
    git(&["-c", &http_proxy, "clone", "-q", &url, "cloned"]);
    let head = |project: &str| git(&["-C", project, "rev-parse", "HEAD"]);
    assert_eq!(head("cloned"), head("project"));
    assert!(fs::read(directory.path().join("cloned/file")).unwrap() == content);
    received_more_than(&proxy, nginx.port, content.len());
}

#[test]
fn chromium_loads_a_page_through_it() {
    let (proxy, nginx) = (Proxy::start(), Nginx::start());
    let page =
        "<!doctype html><title>page</title><p id=\"p\">static</p><script src=\"say.js\"></script>";
    fs::write(nginx.root().join("page.html"), page).unwrap();
    // The second request, whose effect is seen in the page.
    let script = "document.getElementById('p').textContent = 'said by ' + 'the script';";
    fs::write(nginx.root().join("say.js"), script).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let mut chromium = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--proxy-bypass-list=<-loopback>", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--proxy-server=socks5://{}", proxy.socks))
        .arg(format!("http://localhost:{}/page.html", nginx.port))
        .env("HOME", profile.path())
        .stdin(Stdio::null())
        .stdout(File::create(profile.path().join("dom")).unwrap())
        .stderr(File::create(profile.path().join("log")).unwrap())
        .spawn()
        .expect("chromium is installed (sh .ci/setup test)");
    let text = |name: &str| fs::read_to_string(profile.path().join(name)).unwrap();
    let mut tries = 0;
    let ended = loop {
        match chromium.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if tries == BROWSER_PATIENCE_SECS * 10 => break None,
            None => std::thread::park_timeout(std::time::Duration::from_millis(100)),
        }
        tries += 1;
    };
    if ended.is_none() {
        chromium.kill().unwrap();
        chromium.wait().unwrap();
    }
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}:\n{}", text("log"));
    assert!(text("dom").contains("<p id=\"p\">said by the script</p>"), "{}", text("dom"));
    received_more_than(&proxy, nginx.port, page.len() + script.len());
}

/// Waits until the closed sessions to this port of localhost have received more than so much.
#[track_caller]
fn received_more_than(proxy: &Proxy, port: u16, octets: usize) {
    proxy.wait_count(
        &format!(
            "SELECT coalesce(sum(bytes_received), 0) > {octets} FROM sessions \
             WHERE status = 'closed' AND dest_ip = 'localhost' AND dest_port = {port}"
        ),
        1,
    );
}

/// Starting a browser takes long on a busy machine.
const BROWSER_PATIENCE_SECS: u32 = 120;
