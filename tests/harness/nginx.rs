//! A real web server on 127.0.0.1 and `[::1]`, over files in a directory of its own, by HTTP or by HTTPS.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{PATIENCE, wait_for};

/// An nginx that serves files and takes them by PUT below `/up/`.
pub(crate) struct Nginx {
    child: Child,
    /// Its port, the same in both families.
    pub(crate) port: u16,
    directory: TempDir,
}

impl Nginx {
    /// One with an empty root.
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary directory"), false)
    }

    /// One that speaks HTTPS, with a certificate that nobody has signed but itself.
    pub(crate) fn start_with_tls() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout"])
            .arg(path.join("key.pem"))
            .arg("-out")
            .arg(path.join("certificate.pem"))
            .output()
            .expect("openssl is installed (sh .ci/setup test)");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::start_in(directory, true)
    }

    fn start_in(directory: TempDir, tls: bool) -> Self {
        fs::create_dir_all(directory.path().join("root/up")).expect("a directory");
        let mark = directory.path().display().to_string();
        fs::write(directory.path().join("root/mark"), &mark).expect("a file");
        for _ in 0..PORTS_TRIED {
            let port = free_port();
            let mut child = spawn(&directory, port, tls);
            // Somebody may have taken the port meanwhile: then nginx ends, or another one answers.
            let ours = wait_for("nginx", || {
                if child.try_wait().expect("the child can be waited for").is_some() {
                    return Some(false);
                }
                // It writes this file when it listens.
                let pid = fs::read_to_string(directory.path().join("pid")).ok()?;
                if tls {
                    return (pid.trim() == child.id().to_string()).then_some(true);
                }
                Some(answer(port)?.ends_with(&mark))
            });
            if ours {
                return Self { child, port, directory };
            }
            drop(child.kill());
            drop(child.wait());
        }
        let log = fs::read_to_string(directory.path().join("error.log")).unwrap_or_default();
        panic!("nginx does not start:\n{log}");
    }

    /// What it serves.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(directory: &TempDir, port: u16, tls: bool) -> Child {
    let path = directory.path();
    let (ssl, certificate) = if tls {
        let path = path.display();
        (
            " ssl",
            format!("ssl_certificate {path}/certificate.pem; ssl_certificate_key {path}/key.pem;"),
        )
    } else {
        ("", String::new())
    };
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", path.display()))
        .concat();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log {dir}/error.log;\n\
         events {{}}\n\
         http {{\n  access_log off;\n{temp}  default_type application/octet-stream;\n  \
           types {{ text/html html; text/javascript js; }}\n  sendfile on;\n  \
           server {{\n    listen 127.0.0.1:{port}{ssl};\n    listen [::1]:{port}{ssl};\n    \
             {certificate}\n    \
             root {dir}/root;\n    \
             location /up/ {{ dav_methods PUT; client_max_body_size 0; }}\n  }}\n}}\n",
        dir = path.display(),
    );
    let file = path.join("nginx.conf");
    fs::write(&file, config).expect("the configuration is written");
    Command::new("/usr/sbin/nginx")
        .arg("-p")
        .arg(path)
        .arg("-c")
        .arg(&file)
        .arg("-e")
        .arg(path.join("error.log"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx is installed (sh .ci/setup test)")
}

/// A port that was free in both families a moment ago.
fn free_port() -> u16 {
    wait_for("a free port", || {
        let four = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let port = four.local_addr().ok()?.port();
        TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok()?;
        Some(port)
    })
}

fn answer(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET /mark HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

const PORTS_TRIED: usize = 10;
