//! A process under load: started, pinned, and what the kernel says it has used.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A proxy that runs, or nothing at all.
pub(crate) struct Process {
    child: Option<Child>,
    /// Where clients connect to.
    pub(crate) address: SocketAddr,
    /// Where it was told to have its API.
    #[allow(dead_code, reason = "for the bench of load")]
    pub(crate) api: SocketAddr,
    _directory: TempDir,
}

/// What a process has used since it began.
#[derive(Clone, Copy, Default)]
pub(crate) struct Used {
    /// CPU seconds of all its threads but the writer.
    pub(crate) cpu: f64,
    /// CPU seconds of its thread named `writer`.
    pub(crate) writer: f64,
}

impl std::ops::Sub for Used {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self { cpu: self.cpu - before.cpu, writer: self.writer - before.writer }
    }
}

impl Process {
    /// No process: clients connect to the origin itself.
    pub(crate) fn none(origin: SocketAddr) -> io::Result<Self> {
        let _directory = tempfile::tempdir()?;
        Ok(Self { child: None, address: origin, api: origin, _directory })
    }

    /// Starts a shell command on the second core, in a directory of its own. `{port}` stands for its
    /// port, `{api}` for another, `{origin}` for the origin's, `{dir}` for the directory.
    pub(crate) fn start(command: &str, config: &str, origin: SocketAddr) -> io::Result<Self> {
        // Asked of the host: whoever starts it is pinned to the first core by now.
        let core = if Path::new("/sys/devices/system/cpu/cpu1").exists() { "1" } else { "0" };
        Self::start_on(core, command, config, origin)
    }

    /// The same on cores of the caller's choice, as taskset(1) writes them.
    pub(crate) fn start_on(
        cores: &str,
        command: &str,
        config: &str,
        origin: SocketAddr,
    ) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let (port, api) = (free_port()?, free_port()?);
        let fill = |text: &str| {
            text.replace("{port}", &port.to_string())
                .replace("{api}", &api.to_string())
                .replace("{origin}", &origin.port().to_string())
                .replace("{dir}", &directory.path().display().to_string())
        };
        fs::write(directory.path().join("config"), fill(config))?;
        let log = fs::File::create(directory.path().join("log"))?;
        let child = Command::new("taskset")
            .args(["-c", cores, "sh", "-c", &format!("exec {}", fill(command))])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let api = SocketAddr::from(([127, 0, 0, 1], api));
        let process = Self { child: Some(child), address, api, _directory: directory };
        let until = Instant::now() + START_PATIENCE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > until {
                let log = fs::read_to_string(process._directory.path().join("log"))?;
                return Err(io::Error::other(format!("`{command}` does not listen: {log}")));
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        Ok(process)
    }

    fn pids(&self) -> Vec<u32> {
        // Some peers fork: the children belong to the account.
        let Some(child) = &self.child else { return Vec::new() };
        let mut pids = vec![child.id()];
        let mut at = 0;
        while let Some(pid) = pids.get(at).copied() {
            at += 1;
            let path = format!("/proc/{pid}/task/{pid}/children");
            let children = fs::read_to_string(path).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        pids
    }

    /// Its directory.
    #[allow(dead_code, reason = "for the bench of the storage")]
    pub(crate) fn directory(&self) -> &Path {
        self._directory.path()
    }

    /// The thread of this name.
    #[allow(dead_code, reason = "for the bench of the storage")]
    pub(crate) fn task(&self, thread: &str) -> Option<u32> {
        let pid = self.child.as_ref()?.id();
        let mut tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
        let task = tasks.find(|task| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == thread)
        })?;
        task.file_name().to_str()?.parse().ok()
    }

    /// Time that the thread of this name has been on a core, seconds.
    #[allow(dead_code, reason = "for the bench of the storage")]
    pub(crate) fn thread_seconds(&self, thread: &str) -> f64 {
        let pid = self.child.as_ref().map_or(0, Child::id);
        let task = self.task(thread).map(|task| format!("/proc/{pid}/task/{task}"));
        task.and_then(|task| running_seconds(Path::new(&task))).unwrap_or(0.0)
    }

    /// What it has used so far.
    pub(crate) fn used(&self) -> Used {
        let mut used = Used::default();
        for pid in self.pids() {
            used.cpu += cpu_seconds(pid).unwrap_or(0.0);
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for task in tasks.flatten() {
                let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
                if name.trim() == "writer" {
                    used.writer += running_seconds(&task.path()).unwrap_or(0.0);
                }
            }
        }
        used.cpu -= used.writer;
        used
    }

    /// Resident memory in KiB: private, and shared (the ledger's file is).
    pub(crate) fn resident_kib(&self) -> (u64, u64) {
        let mut sums = (0, 0);
        for pid in self.pids() {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let of = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                line.split_whitespace().next()?.parse::<u64>().ok()
            };
            sums.0 += of("RssAnon:").unwrap_or(0);
            sums.1 += of("RssShmem:").unwrap_or(0) + of("RssFile:").unwrap_or(0);
        }
        sums
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        let count = |pid| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        self.pids().into_iter().map(count).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already; then there is nothing to end.
            drop(Command::new("kill").arg(child.id().to_string()).status());
            let until = Instant::now() + Duration::from_secs(15);
            while child.try_wait().is_ok_and(|status| status.is_none()) {
                if Instant::now() > until {
                    drop(child.kill());
                }
                thread::park_timeout(Duration::from_millis(20));
            }
        }
    }
}

/// A port that nobody has, below those that the kernel deals to outgoing connections
/// (ip_local_port_range, from 32768): of these a bench leaves most in TIME_WAIT, and a listener on
/// port 0 then finds none.
fn free_port() -> io::Result<u16> {
    let mut ports = 20_000..32_000;
    let first = ports.start + u16::try_from(std::process::id() % 1_000).unwrap_or(0);
    ports.start = first + NEXT_PORT.fetch_add(1, Ordering::Relaxed) % 8_000;
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| io::Error::other("no free port from 20000 to 32000"))
}

/// Under valgrind on a busy machine a start takes its time.
const START_PATIENCE: Duration = Duration::from_secs(30);
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// User and system time of a process, its threads and children that have ended included: fields 14
/// to 17 of stat, in ticks of 10 ms (proc(5)).
fn cpu_seconds(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(4);
    Some(ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0)
}

/// Time of a thread on a core: the first word of schedstat, in nanoseconds (proc(5)).
fn running_seconds(task: &Path) -> Option<f64> {
    let text = fs::read_to_string(task.join("schedstat")).ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}

/// Keeps this thread on one core, where there are several.
pub(crate) fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        eprintln!("not pinned to core {core}: {error}");
    }
}
