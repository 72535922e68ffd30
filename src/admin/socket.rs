//! The server within: tiny_http on a Unix socket in a private directory, built anew when it dies.
//!
//! Its accept thread ends for good at the first error, such as a lack of descriptors. The listener
//! goes with it, so that the gate is refused when it connects, and asks for another server.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::gate::{GateCounters, bump};

/// The server within, whichever it is now.
pub(super) struct Inner {
    directory: PrivateDirectory,
    current: Mutex<Current>,
    handlers: usize,
    busy: AtomicUsize,
    stopping: AtomicBool,
    counters: Arc<GateCounters>,
}

struct Current {
    serial: u32,
    path: PathBuf,
    server: Arc<tiny_http::Server>,
    /// The same socket as the server's own, to end its accept thread with.
    listener: UnixListener,
}

/// A handler at work; see [`Inner::begin`].
pub(super) struct Work<'a>(&'a AtomicUsize);

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Inner {
    /// A server in a new directory below `parent`, for `handlers` threads.
    pub(super) fn new(
        parent: &Path,
        handlers: usize,
        counters: Arc<GateCounters>,
    ) -> io::Result<Self> {
        let directory = PrivateDirectory::new(parent)?;
        let current = Mutex::new(Current::new(&directory, 0)?);
        Ok(Self {
            directory,
            current,
            handlers,
            busy: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            counters,
        })
    }

    /// Where the server listens.
    pub(super) fn path(&self) -> PathBuf {
        self.current.lock().path.clone()
    }

    /// The server to take requests from; `None` when it is time to end.
    pub(super) fn server(&self) -> Option<Arc<tiny_http::Server>> {
        if self.stopping.load(Ordering::Acquire) {
            return None;
        }
        Some(Arc::clone(&self.current.lock().server))
    }

    /// Marks a handler as at work until the mark is dropped.
    pub(super) fn begin(&self) -> Work<'_> {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Work(&self.busy)
    }

    /// Whether a handler is at work.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    /// Puts a new server in the place of one that does not answer.
    pub(super) fn rebuild(&self) -> io::Result<()> {
        let mut current = self.current.lock();
        let next = Current::new(&self.directory, current.serial.wrapping_add(1))?;
        tracing::warn!("the API's server within does not answer and was built anew");
        bump(&self.counters.rebuilt);
        let last = std::mem::replace(&mut *current, next);
        drop(current);
        last.end(self.handlers);
        Ok(())
    }

    /// Sends the handlers home.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.current.lock().dismiss(self.handlers);
    }

    /// Kills the server within as a lack of descriptors would.
    #[cfg(test)]
    pub(super) fn sabotage(&self) {
        let current = self.current.lock();
        socket2::SockRef::from(&current.listener).shutdown(Shutdown::Both).unwrap();
    }
}

impl Current {
    fn new(directory: &PrivateDirectory, serial: u32) -> io::Result<Self> {
        let path = directory.0.join(format!("{serial}.sock"));
        let listener = UnixListener::bind(&path)?;
        let lever = listener.try_clone()?;
        // It panics where the system gives it no thread, and the gate's own must live on.
        let server = catch_unwind(|| tiny_http::Server::from_listener(listener, None))
            .map_err(|_| io::Error::other("no thread for the server within"))?
            .map_err(io::Error::other)?;
        Ok(Self { serial, path, server: Arc::new(server), listener: lever })
    }

    /// Ends the accept thread and wakes every handler that waits for a request. tiny_http itself
    /// ends its thread by connecting to it, which takes a descriptor and could block.
    fn dismiss(&self, handlers: usize) {
        socket2::SockRef::from(&self.listener).shutdown(Shutdown::Both).ok();
        for _ in 0..handlers {
            self.server.unblock();
        }
    }

    fn end(self, handlers: usize) {
        self.dismiss(handlers);
    }
}

/// A directory that only we may enter; it goes with what is in it.
struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    fn new(parent: &Path) -> io::Result<Self> {
        for attempt in 0..ATTEMPTS {
            let chance = RandomState::new().hash_one(attempt);
            let path = parent.join(format!("rustsocks-api-{chance:016x}"));
            // Never follows a link and never takes over what is there: that is an error.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a private directory"))
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // A directory that cannot be removed is empty and private; nobody is harmed by it.
        fs::remove_dir_all(&self.0).ok();
    }
}

const ATTEMPTS: u32 = 16;
