//! The server within: tiny_http on a Unix socket in a private directory, built anew when it dies.
//!
//! Its accept thread ends for good at the first error, such as a lack of descriptors. The listener
//! goes with it (so nobody else may hold it open), the gate is refused when it connects, and asks
//! for another server.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::gate::{GateCounters, bump};

/// The server within, whichever it is now.
pub(super) struct Inner {
    parent: PathBuf,
    current: Mutex<Arc<Server>>,
    handlers: usize,
    busy: AtomicUsize,
    /// Handlers at work on what may take long.
    on_slow: AtomicUsize,
    /// Until when nothing is said of another server: where descriptors lack, many are built.
    quiet_until: Mutex<Option<Instant>>,
    stopping: AtomicBool,
    counters: Arc<GateCounters>,
}

/// One server and where it listens. The server goes first: it ends its accept thread by connecting
/// to itself.
pub(super) struct Server {
    http: tiny_http::Server,
    directory: PrivateDirectory,
}

/// A handler at work; see [`Inner::begin`] and [`Inner::begin_slow`].
pub(super) struct Work<'a>(&'a AtomicUsize);

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Inner {
    /// A server in a new directory below `parent`, for `handlers` threads.
    pub(super) fn new(
        parent: PathBuf,
        handlers: usize,
        counters: Arc<GateCounters>,
    ) -> io::Result<Self> {
        let current = Mutex::new(Arc::new(Server::new(&parent)?));
        let (busy, on_slow) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let stopping = AtomicBool::new(false);
        let quiet_until = Mutex::new(None);
        Ok(Self { parent, current, handlers, busy, on_slow, quiet_until, stopping, counters })
    }

    /// Where the server listens.
    pub(super) fn path(&self) -> PathBuf {
        self.current.lock().directory.socket()
    }

    /// The server to take requests from; `None` when it is time to end.
    pub(super) fn server(&self) -> Option<Arc<Server>> {
        (!self.stopping.load(Ordering::Acquire)).then(|| Arc::clone(&self.current.lock()))
    }

    /// Marks a handler as at work until the mark is dropped.
    pub(super) fn begin(&self) -> Work<'_> {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Work(&self.busy)
    }

    /// The same for what may take long: not for the last handler, so that health, metrics and what lives
    /// never wait for the database, for a reload, or for a page to be taken.
    pub(super) fn begin_slow(&self) -> Option<Work<'_>> {
        let more = |count| (count + 1 < self.handlers.max(2)).then_some(count + 1);
        let begun = self.on_slow.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        begun.is_ok().then(|| Work(&self.on_slow))
    }

    /// Whether a handler is at work.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    /// Puts a new server in the place of one that does not answer.
    pub(super) fn rebuild(&self, now: Instant) -> io::Result<()> {
        let next = Arc::new(Server::new(&self.parent)?);
        bump(&self.counters.rebuilt);
        let mut quiet_until = self.quiet_until.lock();
        if quiet_until.is_none_or(|until| now >= until) {
            *quiet_until = Some(now + BETWEEN_WARNINGS);
            let times = self.counters.rebuilt.load(Ordering::Relaxed);
            tracing::warn!(times, "the API's server within did not answer and was built anew");
        }
        drop(quiet_until);
        let last = std::mem::replace(&mut *self.current.lock(), next);
        last.dismiss(self.handlers);
        Ok(())
    }

    /// Sends the handlers home.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.current.lock().dismiss(self.handlers);
    }
}

impl Server {
    fn new(parent: &Path) -> io::Result<Self> {
        let directory = PrivateDirectory::new(parent)?;
        let listener = UnixListener::bind(directory.socket())?;
        // It panics where the system gives it no thread, and the gate's own must live on.
        let http = catch_unwind(|| tiny_http::Server::from_listener(listener, None))
            .map_err(|_| io::Error::other("no thread for the server within"))?
            .map_err(io::Error::other)?;
        Ok(Self { http, directory })
    }

    /// Waits for a request. An error means that the server has died, or that it is time to look
    /// which server is the current one.
    pub(super) fn receive(&self) -> io::Result<tiny_http::Request> {
        self.http.recv()
    }

    /// Wakes every handler that waits for a request.
    fn dismiss(&self, handlers: usize) {
        for _ in 0..handlers {
            self.http.unblock();
        }
    }
}

/// A directory that only we may enter; it goes with what is in it.
struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    fn new(parent: &Path) -> io::Result<Self> {
        for attempt in 0..ATTEMPTS {
            let chance = RandomState::new().hash_one(attempt);
            let path = parent.join(format!("{PREFIX}{chance:016x}"));
            // Never follows a link and never takes over what is there: that is an error.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a private directory"))
    }

    fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // Not remove_dir_all: that takes a descriptor, and there may be none. A directory that cannot
        // be removed is empty and private; nobody is harmed by it.
        fs::remove_file(self.socket()).ok();
        fs::remove_dir(&self.0).ok();
    }
}

/// How the names of our directories begin.
pub(super) const PREFIX: &str = "rustsocks-api-";
/// The socket in one.
pub(super) const SOCKET: &str = "api.sock";
const ATTEMPTS: u32 = 16;
const BETWEEN_WARNINGS: Duration = Duration::from_secs(5);
