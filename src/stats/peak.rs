//! The greatest value of late, without a reader having to take part.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The greatest value of the running minute and of the one before. One thread notes, any may read.
///
/// Each cell is a minute (upper half) and the greatest value of it (lower half) in one word, so a
/// reader never sees the value of one minute under the number of another. A step of the wall clock
/// makes it forget early, and no more.
#[derive(Debug, Default)]
pub struct Peak {
    running: AtomicU64,
    before: AtomicU64,
}

impl Peak {
    /// Notes a value in a minute since the Unix epoch. Values above 2³² − 1 count as that. Only the
    /// owning thread may call it.
    pub fn note(&self, minute: u32, value: u64) {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        let running = self.running.load(Relaxed);
        let greatest = if minute_of(running) == minute {
            if value <= value_of(running) {
                return;
            }
            value
        } else {
            self.before.store(running, Relaxed);
            value
        };
        self.running.store((u64::from(minute) << 32) | u64::from(greatest), Relaxed);
    }

    /// The greatest value of this minute and the one before it; 0 if nothing was noted.
    #[must_use]
    pub fn greatest(&self, minute: u32) -> u64 {
        let recent = |cell: &AtomicU64| {
            let cell = cell.load(Relaxed);
            let of_late = minute.wrapping_sub(minute_of(cell)) <= 1;
            if of_late { u64::from(value_of(cell)) } else { 0 }
        };
        recent(&self.running).max(recent(&self.before))
    }
}

const fn minute_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

const fn value_of(cell: u64) -> u32 {
    (cell & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_forgotten_after_the_minute_that_follows_it() {
        let peak = Peak::default();
        assert_eq!(peak.greatest(5), 0);
        for value in [3, 90, 4] {
            peak.note(5, value);
        }
        assert_eq!((peak.greatest(5), peak.greatest(6), peak.greatest(7)), (90, 90, 0));
        peak.note(6, 1);
        assert_eq!((peak.greatest(6), peak.greatest(7), peak.greatest(8)), (90, 1, 0));
        peak.note(9, u64::MAX);
        assert_eq!(peak.greatest(9), u64::from(u32::MAX));
    }
}
