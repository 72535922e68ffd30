//! The terminal: taken over on entering, given back however the program ends.
//!
//! A panic gives it back before its message is printed, SIGTERM, SIGHUP and SIGINT end the loop (the
//! keys Ctrl-C and Ctrl-D do the same: in raw mode they are keys). Only SIGKILL leaves it as it is;
//! `reset` mends that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::{DefaultTerminal, Frame};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::cli::failure::Failure;

/// A terminal in raw mode, on its alternate screen.
pub(super) struct Terminal {
    drawn_on: DefaultTerminal,
    told_to_leave: Arc<AtomicBool>,
    left: bool,
}

/// What waiting for a key has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// There may be something to read, or the time is over.
    Look,
    /// There is no terminal any more.
    Gone,
}

impl Terminal {
    pub(super) fn enter() -> Result<Self, Failure> {
        let told_to_leave = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            flag::register(signal, Arc::clone(&told_to_leave))
                .map_err(|error| Failure::Other(format!("cannot take over a signal: {error}")))?;
        }
        // With a hook that gives the terminal back before a panic's message.
        let drawn_on = ratatui::try_init().map_err(failure)?;
        Ok(Self { drawn_on, told_to_leave, left: false })
    }

    /// Whether a signal has said so.
    pub(super) fn is_told_to_leave(&self) -> bool {
        self.told_to_leave.load(Ordering::Relaxed)
    }

    /// Waits for a key, for so long at most. A terminal that has hung up is told from here: whoever
    /// reads keys from it (crossterm) would get no octets for ever, and ask again at once.
    pub(super) fn wait(&self, most: Duration) -> io::Result<Waited> {
        let stdin = io::stdin();
        let mut asked = [PollFd::new(&stdin, PollFlags::IN)];
        let most = Timespec::try_from(most).map_err(io::Error::other)?;
        match poll(&mut asked, Some(&most)) {
            // A signal: of a new size, or to leave.
            Err(Errno::INTR) => return Ok(Waited::Look),
            other => other?,
        };
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        Ok(if asked[0].revents().intersects(gone) { Waited::Gone } else { Waited::Look })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.drawn_on.draw(draw).map(drop)
    }

    /// Gives the terminal back.
    pub(super) fn leave(mut self) -> Result<(), Failure> {
        self.left = true;
        ratatui::try_restore().map_err(failure)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !self.left {
            // Whatever ended us is what is told; that the terminal has gone, too, is part of it.
            ratatui::try_restore().ok();
        }
    }
}

fn failure(error: io::Error) -> Failure {
    Failure::Other(format!("the terminal: {error}"))
}
