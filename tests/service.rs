//! The proxy as a service manager sees it: what it is told over NOTIFY_SOCKET, sockets that it passes by
//! LISTEN_FDS, and the files of the service themselves.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use harness::api;
use harness::client::Client;
use harness::origin::Origin;
use harness::{PATIENCE, wait_for};
use rustsocks::access_log::Place;
use tempfile::TempDir;

/// A service manager with one service.
struct Manager {
    socket: UnixDatagram,
    directory: TempDir,
    child: Option<Child>,
    told: Vec<String>,
}

impl Manager {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("rustsocks.toml"), config).unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, directory, child: None, told: Vec::new() }
    }

    /// Starts the proxy with these sockets as its descriptors from 3 on.
    fn start(&mut self, sockets: &[&TcpListener], variables: &[(&str, &str)]) {
        // Only a shell knows the process id that it will have after exec. What it is to inherit must not
        // be closed by exec; other children of this test may inherit it, too, and close it with their end.
        let mut script = String::new();
        for (index, socket) in sockets.iter().enumerate() {
            rustix::io::fcntl_setfd(socket.as_fd(), rustix::io::FdFlags::empty()).unwrap();
            script += &format!("exec {}<&{}; ", index + 3 + FREE_OF, socket.as_raw_fd());
        }
        for index in 0..sockets.len() {
            script += &format!("exec {}<&{}; ", index + 3, index + 3 + FREE_OF);
        }
        script += "export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$@\"";
        let mut command = Command::new("bash");
        command
            .args(["-c", &script, "bash", env!("CARGO_BIN_EXE_rustsocks")])
            .args(["run", "--config", "rustsocks.toml"])
            .current_dir(self.directory.path())
            .env("NOTIFY_SOCKET", self.directory.path().join("notify"))
            .env_remove("RUST_LOG")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if !sockets.is_empty() {
            command.env("LISTEN_FDS", sockets.len().to_string());
        }
        self.child = Some(command.spawn().unwrap());
    }

    /// The next message in which this stands; those before it are kept.
    #[track_caller]
    fn wait_told(&mut self, what: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| {
                panic!("waited in vain for {what} ({error}):\n{}", self.told.join("\n"))
            });
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            self.told.push(message.clone());
            if message.lines().any(|line| line.starts_with(what)) {
                return message;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([format!("-{name}"), pid]).status().unwrap().success());
    }

    /// How it ends, and what it has said.
    fn ended(&mut self) -> (ExitStatus, String) {
        let mut child = self.child.take().unwrap();
        let status = wait_for("its end", || child.try_wait().unwrap());
        let mut log = String::new();
        child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status, log)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// A configuration for these addresses.
fn config(socks: SocketAddr, api: SocketAddr) -> String {
    format!(
        "[server]\nbind_address = \"{}\"\nbind_port = {}\nworkers = 2\n\
         [sessions]\nstats_api_bind_address = \"{}\"\nstats_api_port = {}\nledger_path = \"ledger\"\n",
        socks.ip(),
        socks.port(),
        api.ip(),
        api.port()
    )
}

fn on_any_port(host: &str) -> TcpListener {
    TcpListener::bind((host, 0)).unwrap()
}

fn value(message: &str, name: &str) -> Option<u64> {
    let line = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    line.parse().ok()
}

/// Microseconds since the boot, as the service manager counts them.
fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000 + u64::try_from(now.tv_nsec).unwrap() / 1000
}

#[test]
fn the_service_manager_is_told_of_each_step() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut manager = Manager::new(&config(any, any));
    manager.start(&[], &[("WATCHDOG_USEC", "2000000")]);
    let ready = manager.wait_told("READY=1");
    assert!(ready.contains("STATUS=0 sessions live"), "{ready}");
    for _ in 0..3 {
        manager.wait_told("WATCHDOG=1");
    }

    let before = monotonic_us();
    manager.signal("HUP");
    let reloading = manager.wait_told("RELOADING=1");
    let told = value(&reloading, "MONOTONIC_USEC").expect(&reloading);
    assert!((before..=monotonic_us()).contains(&told), "{before} {told}");
    manager.wait_told("READY=1");
    // A reload that is refused leaves it ready all the same.
    std::fs::write(manager.directory.path().join("rustsocks.toml"), "nonsense").unwrap();
    manager.signal("HUP");
    manager.wait_told("RELOADING=1");
    manager.wait_told("READY=1");

    manager.signal("TERM");
    let stopping = manager.wait_told("STOPPING=1");
    // The drain's ten seconds, and what comes after them.
    let patience = value(&stopping, "EXTEND_TIMEOUT_USEC").expect(&stopping);
    assert!((10_000_000..60_000_000).contains(&patience), "{stopping}");
    let (status, log) = manager.ended();
    assert!(status.success(), "{status}: {log}");
}

/// Both workers take clients from the one socket, the API answers on the other, and who comes while
/// there is no process waits for the next one.
#[test]
fn sockets_that_are_passed_are_listened_on_and_outlive_the_process() {
    let (socks, http) = (on_any_port("127.0.0.1"), on_any_port("127.0.0.1"));
    let (address, api) = (socks.local_addr().unwrap(), http.local_addr().unwrap());
    let origin = Origin::echo();
    let mut manager = Manager::new(&config(address, api));
    // Not in the order of the configuration.
    manager.start(&[&http, &socks], &[]);
    manager.wait_told("READY=1");
    let mut clients: Vec<_> = (0..40).map(|_| Client::connected(address, origin.address)).collect();
    for client in &mut clients {
        client.send(b"x");
        assert_eq!(client.receive(1), b"x");
    }
    wait_for("all in the list", || {
        let page = api::get(api, "/api/sessions/active?limit=1").json();
        (page["total"] == 40).then_some(())
    });
    let accepted = |worker: &serde_json::Value| worker["accepted"].as_u64().unwrap();
    let resources = api::get(api, "/api/system/resources").json();
    let sum: u64 = resources["workers"].as_array().unwrap().iter().map(accepted).sum();
    assert_eq!(sum, 40);
    drop(clients);
    manager.signal("TERM");
    let (status, log) = manager.ended();
    assert!(status.success(), "{status}: {log}");

    let mut early = Client::to(address);
    early.send(&[5, 1, 0]);
    manager.start(&[&http, &socks], &[]);
    manager.wait_told("READY=1");
    assert_eq!(early.receive(2), [5, 0], "it was accepted by the next process");
    early.send(&harness::client::connect(origin.address));
    assert_eq!(early.reply().0, 0);
    manager.signal("TERM");
    drop(early);
    assert!(manager.ended().0.success());
}

#[test]
fn a_socket_that_is_not_configured_is_refused() {
    let stray = on_any_port("127.0.0.1");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut manager = Manager::new(&config(any, any));
    manager.start(&[&stray], &[]);
    let (status, log) = manager.ended();
    assert_eq!(status.code(), Some(78), "{log}");
    let address = stray.local_addr().unwrap().to_string();
    assert!(log.contains(&address) && log.contains("server.listen"), "{log}");
}

/// Those of another process are not ours to take.
#[test]
fn sockets_that_are_meant_for_another_process_are_left_alone() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut manager = Manager::new(&config(any, any));
    let mut command = Command::new(env!("CARGO_BIN_EXE_rustsocks"));
    command
        .args(["run", "--config", "rustsocks.toml"])
        .current_dir(manager.directory.path())
        .env("NOTIFY_SOCKET", manager.directory.path().join("notify"))
        .env("LISTEN_FDS", "2")
        .env("LISTEN_PID", "1")
        .stderr(Stdio::piped());
    manager.child = Some(command.spawn().unwrap());
    manager.wait_told("READY=1");
    manager.signal("TERM");
    assert!(manager.ended().0.success());
}

fn conf(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the unit promises about exit statuses and directories is what the program does.
#[test]
fn the_unit_fits_the_program() {
    let unit = conf("systemd/rustsocks.service");
    let has = |line: &str| unit.lines().any(|it| it == line);
    for line in [
        "Type=notify-reload",
        "ExecStart=/usr/bin/rustsocks run --config /etc/rustsocks/rustsocks.toml",
        // Wrong usage, permission, configuration: the next start would end the same way.
        "RestartPreventExitStatus=2 77 78",
        "StateDirectory=rustsocks",
        "RuntimeDirectory=rustsocks",
        // The ledger lies there, and a crash must not take it.
        "RuntimeDirectoryPreserve=yes",
        "User=rustsocks",
    ] {
        assert!(has(line), "{line}\n{unit}");
    }
    assert!(conf("systemd/rustsocks.sysusers").contains("u rustsocks "));
    let (shipped, warnings) = rustsocks::config::Settings::load(Some(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/debian/rustsocks.toml"),
    ))
    .unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(shipped.sessions.database_url.starts_with("sqlite:///var/lib/rustsocks/"));
    assert!(shipped.server.api_token_file.starts_with("/var/lib/rustsocks"));
    // The unit makes the directory of the access log, and the rotation knows where it is.
    assert!(has("LogsDirectory=rustsocks"), "{unit}");
    let log = shipped.logging.access_log.unwrap().place;
    assert_eq!(log, Place::File("/var/log/rustsocks/access.log".into()));
    assert!(conf("logrotate/rustsocks").starts_with("/var/log/rustsocks/*.log {"));
}

/// `systemd-analyze verify`: it knows each setting and each file that the unit names.
#[test]
fn the_units_are_understood_by_systemd() {
    let version = Command::new("systemd-analyze").arg("--version").output();
    let version = version.expect("`sh .ci/setup test` installs it");
    let version = String::from_utf8(version.stdout).unwrap();
    let version: u32 = version.split_whitespace().nth(1).unwrap().parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    for name in ["rustsocks.service", "rustsocks.socket"] {
        // The binary of this build, where the unit has the installed one.
        let text = conf(&format!("systemd/{name}"))
            .replace("/usr/bin/rustsocks", env!("CARGO_BIN_EXE_rustsocks"));
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "rustsocks.service", "rustsocks.socket"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    // What systemd 252 does not know yet, and says so; the package's drop-in is for it.
    let old = |line: &&str| version < 253 && line.contains("Failed to parse service type");
    let ours = said.lines().filter(|line| line.contains("rustsocks")).filter(|line| !old(line));
    let complaints: Vec<_> = ours.collect();
    assert!(complaints.is_empty(), "{said}");
}

/// Descriptors up to here are the shell's own, and those that are passed.
const FREE_OF: usize = 7;
