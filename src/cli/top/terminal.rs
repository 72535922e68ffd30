//! The terminal: taken over on entering, given back however the program ends.
//!
//! A panic gives it back before its message is printed, SIGTERM, SIGHUP and SIGINT end the loop (the
//! keys Ctrl-C and Ctrl-D do the same: in raw mode they are keys). Only SIGKILL leaves it as it is;
//! `reset` mends that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::{DefaultTerminal, Frame};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::cli::failure::Failure;

/// A terminal in raw mode, on its alternate screen.
pub(super) struct Terminal {
    drawn_on: DefaultTerminal,
    told_to_leave: Arc<AtomicBool>,
    left: bool,
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
