//! How many questions are answered at a time. They run on the threads of whoever asks, which are few
//! and have other things to do: a question that would take one of them too many is turned away.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::clock;

/// The turns that are taken and waited for.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: Mutex<Taken>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    asking: usize,
    waiting: usize,
}

/// The right to ask, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Takes a turn, if need be after waiting for one. `None` if too many wait already, or it took
    /// too long.
    pub(super) fn take(&self) -> Option<Turn<'_>> {
        let mut taken = self.taken.lock();
        if taken.asking >= ASKING_MAX {
            if taken.waiting >= WAITING_MAX {
                return None;
            }
            taken.waiting += 1;
            let until = clock::mono() + WAIT_MAX;
            while taken.asking >= ASKING_MAX && !self.free.wait_until(&mut taken, until).timed_out()
            {
            }
            taken.waiting -= 1;
            if taken.asking >= ASKING_MAX {
                return None;
            }
        }
        taken.asking += 1;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.lock().asking -= 1;
        self.0.free.notify_one();
    }
}

/// Questions that are being answered. With those that wait they are fewer than the threads of the
/// API, so that one is always left for health, metrics and what lives.
const ASKING_MAX: usize = 2;
/// Questions that wait for their turn.
const WAITING_MAX: usize = 1;
/// How long one waits.
const WAIT_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ask_one_waits_and_the_next_is_turned_away() {
        let turns = Turns::new();
        let (first, second) = (turns.take().unwrap(), turns.take().unwrap());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| turns.take().is_some());
            while turns.taken.lock().waiting == 0 {
                std::thread::yield_now();
            }
            assert!(turns.take().is_none());
            drop(first);
            assert!(waits.join().unwrap());
        });
        assert!(turns.take().is_some(), "the one that waited has given its turn back");
        drop(second);
        assert_eq!(turns.taken.lock().asking, 0);
    }
}
