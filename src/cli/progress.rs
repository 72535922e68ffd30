//! How far a command is, on one line of stderr, where that is a terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::clock;

/// A bar that is drawn anew a few times a second; nothing where nobody looks.
#[derive(Debug)]
pub(super) struct Progress {
    next: Option<Instant>,
    drawn: bool,
}

impl Progress {
    /// One that is shown where stderr is a terminal and `quiet` is false.
    pub(super) fn new(quiet: bool) -> Self {
        let shown = !quiet && io::stderr().is_terminal();
        Self { next: shown.then(clock::mono), drawn: false }
    }

    /// Shows the share that is done, from 0 to 1, and what that is.
    pub(super) fn show(&mut self, share: f64, what: impl Display) {
        let now = clock::mono();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + PAUSE);
        self.drawn = true;
        draw(&format!("\r{} {what}\u{1b}[K", bar(share)));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            draw("\r\u{1b}[K");
        }
    }
}

fn draw(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody is harmed by a bar that is not seen.
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).ok();
}

fn bar(share: f64) -> String {
    let share = share.clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
    let (full, percent) = ((share * WIDTH as f64) as usize, (share * 100.0) as u32);
    format!("[{}{}] {percent:3} %", "#".repeat(full), " ".repeat(WIDTH - full))
}

const WIDTH: usize = 30;
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_its_share() {
        assert_eq!(bar(0.0), format!("[{}]   0 %", " ".repeat(30)));
        assert_eq!(bar(0.5), format!("[{}{}]  50 %", "#".repeat(15), " ".repeat(15)));
        assert_eq!(bar(7.0), format!("[{}] 100 %", "#".repeat(30)));
        assert_eq!(bar(f64::NAN), bar(0.0));
    }
}
