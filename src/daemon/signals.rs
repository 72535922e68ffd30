//! Signals become messages to the daemon.

use std::io;

use crossbeam_channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use super::reload::Wish;
use super::watch::Event;

/// Forwards signals until its handle is closed.
pub(super) struct Forwarder {
    signals: Signals,
    events: Sender<Event>,
    wishes: Sender<Wish>,
}

impl Forwarder {
    /// Takes the signals over from here on; to be done before other threads are started.
    pub(super) fn new(events: Sender<Event>, wishes: Sender<Wish>) -> io::Result<Self> {
        Ok(Self { signals: Signals::new([SIGTERM, SIGINT, SIGHUP])?, events, wishes })
    }

    /// What ends it.
    pub(super) fn handle(&self) -> Handle {
        self.signals.handle()
    }

    /// The thread's body.
    pub(super) fn run(mut self) {
        for signal in self.signals.forever() {
            let taken = match signal {
                SIGHUP => self.wishes.send(Wish { by: "SIGHUP".to_owned(), answer: None }).is_ok(),
                _ => self.events.send(Event::Stop).is_ok(),
            };
            if !taken {
                return;
            }
        }
    }
}
