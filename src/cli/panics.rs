//! What a panic says: one line of the log, like everything else, and few of them.
//!
//! Rust's own report is several lines of text on stderr, whatever `logging.format` says, and one for each
//! panic. The HTTP library of the API panics for each of its clients where no descriptor is left.

use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock;

/// Has panics logged from here on. `RUST_BACKTRACE` asks for Rust's own report beside that.
pub(super) fn log() {
    let usual = panic::take_hook();
    let at_length = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let restraint = Mutex::new(Restraint::default());
    panic::set_hook(Box::new(move |panic| {
        // Unlocked before anything is said.
        let speaks = restraint.lock().speaks(clock::mono());
        if let Some(unsaid) = speaks {
            say(panic, unsaid);
            if at_length {
                usual(panic);
            }
        }
    }));
}

/// The text of a panic may hold anything, so it is escaped.
fn say(panic: &PanicHookInfo<'_>, unsaid: u64) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let what = panic.payload_as_str().unwrap_or_default();
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(what, at, unsaid, "the thread {thread} panicked");
}

/// Lets a line through once in a while.
#[derive(Default)]
struct Restraint {
    quiet_until: Option<Instant>,
    unsaid: u64,
}

impl Restraint {
    /// Whether a line may be said now; then how many were not since the last one.
    fn speaks(&mut self, now: Instant) -> Option<u64> {
        if self.quiet_until.is_some_and(|until| now < until) {
            self.unsaid += 1;
            return None;
        }
        self.quiet_until = Some(now + BETWEEN_LINES);
        Some(std::mem::take(&mut self.unsaid))
    }
}

const BETWEEN_LINES: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_the_first_is_said_and_the_next_tells_of_those_between() {
        let mut restraint = Restraint::default();
        let now = clock::mono();
        assert_eq!(restraint.speaks(now), Some(0));
        for _ in 0..3 {
            assert_eq!(restraint.speaks(now + BETWEEN_LINES / 2), None);
        }
        assert_eq!(restraint.speaks(now + BETWEEN_LINES), Some(3));
        assert_eq!(restraint.speaks(now + BETWEEN_LINES), None);
        assert_eq!(restraint.speaks(now + BETWEEN_LINES * 3), Some(1));
    }
}
