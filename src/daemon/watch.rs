//! What the daemon waits for.

use std::io;

/// Something that concerns the process as a whole.
#[derive(Debug)]
pub(super) enum Event {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// A worker's loop has ended.
    WorkerEnded(usize, io::Result<()>),
}

/// Says that a worker has ended, even if it ends by a panic.
pub(super) struct Ending {
    pub(super) worker: usize,
    pub(super) events: crossbeam_channel::Sender<Event>,
    pub(super) result: Option<io::Result<()>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let panicked = || Err(io::Error::other("the worker panicked"));
        let result = self.result.take().unwrap_or_else(panicked);
        // Nobody listens any more only when the daemon itself has ended.
        drop(self.events.send(Event::WorkerEnded(self.worker, result)));
    }
}
