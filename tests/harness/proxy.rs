//! The real binary, on free ports, in a directory of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use super::{PATIENCE, wait_for};

/// A proxy that runs.
pub(crate) struct Proxy {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    /// Where it listens for SOCKS.
    pub(crate) socks: SocketAddr,
    /// Where its API is; `None` when it is off.
    pub(crate) api: Option<SocketAddr>,
    directory: TempDir,
}

impl Proxy {
    /// One with the defaults, but for its ports.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// One with these further lines of configuration. `{dir}` stands for its directory; a key of
    /// `[server]` or `[sessions]` is to be given by [`Proxy::with_sections`].
    pub(crate) fn with(further: &str) -> Self {
        Self::with_sections("", "", further)
    }

    /// One with further keys in `[server]` and `[sessions]`, and further sections.
    pub(crate) fn with_sections(server: &str, sessions: &str, further: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(directory, server, sessions, further)
    }

    /// One in a directory that may hold the database of a predecessor.
    pub(crate) fn start_in(
        directory: TempDir,
        server: &str,
        sessions: &str,
        further: &str,
    ) -> Self {
        Self::start_with(&[], directory, server, sessions, further)
    }

    /// One that may have no more than so many descriptors.
    pub(crate) fn with_descriptors(most: usize, server: &str, further: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &most.to_string()]);
        command.arg(env!("CARGO_BIN_EXE_rustsocks")).env_remove("RUST_LOG");
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::launch(command, directory, server, "", further)
    }

    /// The same with more in its environment.
    pub(crate) fn start_with(
        environment: &[(&str, &std::ffi::OsStr)],
        directory: TempDir,
        server: &str,
        sessions: &str,
        further: &str,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rustsocks"));
        command.env_remove("RUST_LOG").envs(environment.iter().copied());
        Self::launch(command, directory, server, sessions, further)
    }

    /// One that this command starts, which is given the arguments of the binary.
    pub(crate) fn launch(
        mut command: Command,
        directory: TempDir,
        server: &str,
        sessions: &str,
        further: &str,
    ) -> Self {
        let workers = if server.contains("workers") { "" } else { "workers = 2\n" };
        let config = format!(
            "[server]\nbind_port = 0\n{workers}{server}\n\
             [sessions]\nstats_api_port = 0\nbatch_interval_ms = 50\nledger_path = \"{{dir}}/ledger\"\n\
             {sessions}\n{further}\n"
        )
        .replace("{dir}", directory.path().to_str().expect("a path of text"));
        let file = directory.path().join("rustsocks.toml");
        fs::write(&file, config).expect("the configuration is written");
        let mut child = command
            .args(["run", "--config"])
            .arg(&file)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("stderr is a pipe");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut proxy = Self {
            child,
            lines,
            log: Vec::new(),
            socks: ([127, 0, 0, 1], 0).into(),
            api: None,
            directory,
        };
        proxy.wait_until_ready();
        proxy
    }

    fn wait_until_ready(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("the proxy did not become ready:\n{}", self.log.join("\n"));
            };
            if let Some(address) = after(&line, "SOCKS on ") {
                self.socks = address.parse().expect("the address of the log");
            }
            if let Some(address) = after(&line, "API on http://") {
                self.api = Some(address.parse().expect("the address of the log"));
            }
            let ready = line.contains("ready");
            self.log.push(line);
            if ready {
                return;
            }
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its database.
    pub(crate) fn database_path(&self) -> PathBuf {
        self.directory.path().join("data/sessions.db")
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Reads its database beside it.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = rusqlite::Connection::open_with_flags(self.database_path(), flags)
            .expect("the database opens");
        database.busy_timeout(PATIENCE).expect("a timeout");
        database
    }

    /// The token of its API.
    pub(crate) fn token(&self) -> String {
        let text = fs::read_to_string(self.directory.path().join("data/api-token"));
        text.expect("the token's file").trim().to_owned()
    }

    /// Takes its database's write lock, and holds it until it is dropped.
    pub(crate) fn lock_database(&self) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.database_path()).expect("it opens");
        database.busy_timeout(PATIENCE).expect("a timeout");
        database.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        database
    }

    /// One number from its database.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.database().query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    /// Waits until a query of one number gives the expected one.
    #[track_caller]
    pub(crate) fn wait_count(&self, sql: &str, expected: i64) {
        wait_for(&format!("{sql} = {expected}"), || (self.count(sql) == expected).then_some(()));
    }

    /// Sends it a signal, by name (`TERM`).
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status()
            .expect("kill runs");
        assert!(sent.success(), "kill -{name}");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the proxy's end", || {
            status = self.child.try_wait().expect("the child can be waited for");
            status
        })
    }

    /// SIGTERM, its end with status 0, and its directory.
    pub(crate) fn stop(mut self) -> TempDir {
        self.signal("TERM");
        let status = self.wait();
        let log = self.log();
        assert!(status.success(), "{status}:\n{log}");
        self.into_directory()
    }

    /// SIGKILL, which it cannot notice, and its directory.
    pub(crate) fn kill(mut self) -> TempDir {
        self.child.kill().expect("the proxy lives");
        self.child.wait().expect("the child can be waited for");
        self.into_directory()
    }

    /// The directory of one that has ended.
    pub(crate) fn into_directory(mut self) -> TempDir {
        let empty = tempfile::tempdir().expect("a temporary directory");
        std::mem::replace(&mut self.directory, empty)
    }

    /// What it has logged so far.
    pub(crate) fn log(&mut self) -> String {
        while let Ok(line) = self.lines.try_recv() {
            self.log.push(line);
        }
        self.log.join("\n")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("--- the proxy's log\n{}", self.log());
        }
    }
}

fn after<'a>(line: &'a str, what: &str) -> Option<&'a str> {
    let rest = line.split_once(what)?.1;
    rest.split(|c: char| c.is_whitespace() || matches!(c, ',' | '"')).next()
}
