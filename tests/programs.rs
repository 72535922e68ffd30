//! Programs that people use through a proxy, the real ones: ssh, git, a browser, proxychains. curl has a
//! file of its own.
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
    let commands = [
        format!("nc -X 5 -x {} %h %p", proxy.socks),
        format!("nc -X connect -x {} %h %p", proxy.socks),
        format!("ncat --proxy-type socks5 --proxy {} %h %p", proxy.socks),
        format!("ncat --proxy-type socks4 --proxy {} %h %p", proxy.socks),
        format!("ncat --proxy-type http --proxy {} %h %p", proxy.socks),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let sshd = sshd(path);
    // Payload that does not fit any buffer on its way.
    let payload: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(7919) >> 5) as u8).collect();
    fs::write(path.join("payload"), &payload).unwrap();
    let host_key = fs::read_to_string(path.join("host_key.pub")).unwrap();
    let port = sshd.address.port();
    fs::write(path.join("known_hosts"), format!("[localhost]:{port} {host_key}")).unwrap();
    for command in &commands {
        let output = Command::new("ssh")
            .args(["-F", "none", "-p", &port.to_string()])
            .arg("-i")
            .arg(path.join("user_key"))
            .args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", path.join("known_hosts").display()))
            .arg("-o")
            .arg(format!("ProxyCommand={command}"))
            .args(["localhost", "cat"])
            .stdin(File::open(path.join("payload")).unwrap())
            .output()
            .expect("ssh is installed (sh .ci/setup test)");
        let said = String::from_utf8_lossy(&output.stderr);
        let log = fs::read_to_string(path.join("sshd.log")).unwrap_or_default();
        assert!(output.status.success(), "{command}: {said}\n{log}");
        assert!(output.stdout == payload, "{command}: what came back is not what was sent");
    }
    proxy.wait_count(
        &format!(
            "SELECT count(*) FROM sessions WHERE status = 'closed' AND dest_ip = 'localhost' \
             AND dest_port = {port} AND min(bytes_sent, bytes_received) > {}",
            payload.len()
        ),
        commands.len() as i64,
    );
}

#[test]
fn git_clones_through_its_socks_port() {
    let (proxy, nginx) = (Proxy::start(), Nginx::start());
    git_clones(&proxy, &nginx, "http", "socks5h");
}

/// By HTTPS, for which clients ask a proxy for a tunnel.
#[test]
fn git_clones_through_its_http_port() {
    let (proxy, nginx) = (Proxy::start(), Nginx::start_with_tls());
    git_clones(&proxy, &nginx, "https", "http");
}

#[track_caller]
fn git_clones(proxy: &Proxy, nginx: &Nginx, scheme: &str, proxy_scheme: &str) {
    let directory = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let output = run(Command::new("git")
            .args(["-c", "user.name=Alice", "-c", "user.email=alice@example.com"])
            .args(["-c", "init.defaultBranch=main"])
            .args(arguments)
            .current_dir(directory.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_SSL_NO_VERIFY", "1")
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

    let http_proxy = format!("http.proxy={proxy_scheme}://{}", proxy.socks);
    let url = format!("{scheme}://localhost:{}/project.git", nginx.port);
    git(&["-c", &http_proxy, "clone", "-q", &url, "cloned"]);
    let head = |project: &str| git(&["-C", project, "rev-parse", "HEAD"]);
    assert_eq!(head("cloned"), head("project"));
    assert!(fs::read(directory.path().join("cloned/file")).unwrap() == content);
    received_more_than(proxy, nginx.port, content.len());
}

#[test]
fn chromium_loads_a_page_through_its_socks_port() {
    let (proxy, nginx) = (Proxy::start(), Nginx::start());
    chromium_loads_a_page(&proxy, &nginx, "http", "socks5");
}

/// By HTTPS, for which clients ask a proxy for a tunnel.
#[test]
fn chromium_loads_a_page_through_its_http_port() {
    let (proxy, nginx) = (Proxy::start(), Nginx::start_with_tls());
    chromium_loads_a_page(&proxy, &nginx, "https", "http");
}

#[track_caller]
fn chromium_loads_a_page(proxy: &Proxy, nginx: &Nginx, scheme: &str, proxy_scheme: &str) {
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
        .arg("--ignore-certificate-errors")
        .arg(format!("--proxy-server={proxy_scheme}://{}", proxy.socks))
        .arg(format!("{scheme}://localhost:{}/page.html", nginx.port))
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
    received_more_than(proxy, nginx.port, page.len() + script.len());
}

/// A program that knows nothing of proxies.
#[test]
fn proxychains_leads_a_program_through_it() {
    let (proxy, nginx) = (Proxy::start(), Nginx::start());
    let directory = tempfile::tempdir().unwrap();
    let page = "through the chain";
    fs::write(nginx.root().join("page.html"), page).unwrap();
    let kinds = ["socks4", "socks5", "http"];
    for kind in kinds {
        let config = directory.path().join(kind);
        let (ip, port) = (proxy.socks.ip(), proxy.socks.port());
        let text = format!("strict_chain\nproxy_dns\n[ProxyList]\n{kind} {ip} {port}\n");
        fs::write(&config, text).unwrap();
        let output = run(Command::new("proxychains4")
            .arg("-q")
            .arg("-f")
            .arg(&config)
            .args(["curl", "--silent", "--show-error", "--fail", "--noproxy", "*"])
            .arg(format!("http://127.0.0.1:{}/page.html", nginx.port)));
        assert_eq!(output.stdout, page.as_bytes(), "{kind}");
    }
    proxy.wait_count(
        &format!(
            "SELECT count(*) FROM sessions WHERE status = 'closed' AND dest_ip = '127.0.0.1' \
             AND dest_port = {} AND bytes_received > {}",
            nginx.port,
            page.len()
        ),
        kinds.len() as i64,
    );
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
