//! What the daemon waits for.

use std::io;

use crossbeam_channel::Sender;

/// Something that concerns the process as a whole.
#[derive(Debug)]
pub(super) enum Event {
    /// SIGTERM or SIGINT.
    Stop,
    /// A worker's loop has ended.
    WorkerEnded(usize, io::Result<()>),
    /// The writer has ended.
    WriterEnded(io::Result<()>),
}

/// Says how a thread has ended, even if it ends by a panic.
pub(super) struct Ending {
    events: Sender<Event>,
    event: Option<Event>,
}

impl Ending {
    /// An ending that says `panicked` unless [`Ending::say`] is called.
    pub(super) const fn new(events: Sender<Event>, panicked: Event) -> Self {
        Self { events, event: Some(panicked) }
    }

    /// The thread ends like this.
    pub(super) fn say(mut self, event: Event) {
        self.event = Some(event);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            // Nobody listens any more only when the daemon itself has ended.
            drop(self.events.send(event));
        }
    }
}
