//! Signals become messages to the daemon.

use std::io;

use crossbeam_channel::{Sender, TrySendError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
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
        Ok(Self { signals: Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?, events, wishes })
    }

    /// What ends it.
    pub(super) fn handle(&self) -> Handle {
        self.signals.handle()
    }

    /// Whether one that stops us has come, while the thread does not run yet.
    pub(super) fn stop_asked(&mut self) -> bool {
        let mut stop = false;
        for signal in self.signals.pending() {
            match signal {
                SIGHUP => drop(wish(&self.wishes)),
                // No log is open as yet.
                SIGUSR1 => {}
                _ => stop = true,
            }
        }
        stop
    }

    /// The thread's body. `reopen` has log files opened anew.
    pub(super) fn run(mut self, reopen: &Sender<()>) {
        for signal in self.signals.forever() {
            let taken = match signal {
                SIGHUP => wish(&self.wishes),
                SIGUSR1 => match reopen.try_send(()) {
                    // One that waits will open what is there by then.
                    Ok(()) | Err(TrySendError::Full(())) => true,
                    Err(TrySendError::Disconnected(())) => {
                        tracing::info!("SIGUSR1: there is no log file to open anew");
                        true
                    }
                },
                _ => self.events.send(Event::Stop).is_ok(),
            };
            if !taken {
                return;
            }
        }
    }
}

/// Wishes for a reload, without ever waiting: a signal that stops us may be behind this one. Whether there
/// is anybody who reloads. Where one waits already, that one will read what is in the files by then.
fn wish(wishes: &Sender<Wish>) -> bool {
    match wishes.try_send(Wish { by: "SIGHUP".to_owned(), answer: None }) {
        Ok(()) | Err(TrySendError::Full(_)) => true,
        Err(TrySendError::Disconnected(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_wishes_one_waits_and_nobody_waits_for_it() {
        let (wishes, wished) = crossbeam_channel::bounded(1);
        assert!(wish(&wishes) && wish(&wishes));
        assert_eq!(wished.try_iter().count(), 1);
        assert!(wish(&wishes));
        assert_eq!(wished.len(), 1);
        drop(wished);
        assert!(!wish(&wishes));
    }
}
