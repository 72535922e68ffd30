//! The lazy deadline queue.
//!
//! A relay's deadline moves with every octet, so nothing is moved in the queue: an entry that comes
//! due makes the worker ask the connection, and one whose true deadline is later is armed anew. Each
//! connection keeps an [`Alarm`], the earliest entry it has in the queue; only an earlier deadline
//! pushes another. What it supersedes stays, and is the connection's alarm again when the earlier one
//! has rung; one that is superseded beside it is recognised when it comes due. So a relay that often
//! waits for milliseconds, and may be silent for minutes, pushes one entry for each wait and no more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::key::Key;

/// Who is to be asked when.
#[derive(Default)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, Key)>>,
}

impl Deadlines {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `key` asked at `at`.
    pub fn push(&mut self, at: Instant, key: Key) {
        self.heap.push(Reverse((at, key)));
    }

    /// When the next entry comes due: until then the loop may sleep.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest entry out if its time is not after `now`: that time and whom to ask. If the
    /// connection lives, and its alarm [rings](Alarm::rings) for this time, it is to be asked, and
    /// armed again if its true deadline is later.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, Key)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Entries in the queue, superseded ones and those of ended connections among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Nobody is to be asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Drops entries of ended connections when they have come to outnumber `live` connections by far.
    /// To be called once per turn; most calls compare two numbers.
    pub fn thin_out(&mut self, live: usize, is_live: impl Fn(Key) -> bool) {
        if self.heap.len() > ENTRIES_PER_CONNECTION * live + ENTRIES_FREE {
            self.heap.retain(|Reverse((_, key))| is_live(*key));
        }
    }
}

/// A connection's hold on the queue: the times of the earliest entry that still counts, and of one
/// behind it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alarm {
    next: Option<Instant>,
    later: Option<Instant>,
}

impl Alarm {
    /// Makes sure that `key` is asked at `at` or before.
    pub fn arm(&mut self, at: Instant, key: Key, deadlines: &mut Deadlines) {
        if self.next.is_none_or(|armed| at < armed) {
            deadlines.push(at, key);
            self.later = self.later.or(self.next);
            self.next = Some(at);
        }
    }

    /// Whether the entry of time `at` is the one that counts. It is then disarmed, and the one behind it
    /// counts; otherwise the entry was superseded and means nothing.
    #[must_use]
    pub fn rings(&mut self, at: Instant) -> bool {
        let rings = self.next == Some(at);
        if rings {
            self.next = self.later.take();
        }
        rings
    }
}

/// Entries per live connection, on average, above which the queue is searched for dead ones.
const ENTRIES_PER_CONNECTION: usize = 3;
/// Entries that are never too many: below this a search saves nothing.
const ENTRIES_FREE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[expect(clippy::disallowed_methods, reason = "tests need one instant to count from")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn key(slot: u32) -> Key {
        Key { slot, generation: 0 }
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let at = origin();
        let mut deadlines = Deadlines::new();
        assert_eq!(deadlines.pop_due(at), None);
        deadlines.push(at + Duration::from_millis(1), key(1));
        assert_eq!(deadlines.pop_due(at), None);
        assert_eq!(deadlines.next(), Some(at + Duration::from_millis(1)));
        assert!(deadlines.pop_due(at + Duration::from_millis(1)).is_some());
        assert!(deadlines.is_empty());
    }

    #[test]
    fn a_later_deadline_pushes_nothing_and_an_earlier_one_supersedes() {
        let at = origin();
        let [soon, late] = [1, 9].map(|secs| at + Duration::from_secs(secs));
        let (mut deadlines, mut alarm) = (Deadlines::new(), Alarm::default());
        alarm.arm(late, key(1), &mut deadlines);
        alarm.arm(late, key(1), &mut deadlines);
        assert_eq!(deadlines.len(), 1);
        alarm.arm(soon, key(1), &mut deadlines);
        assert_eq!(deadlines.len(), 2);
        assert_eq!(deadlines.pop_due(late), Some((soon, key(1))));
        assert!(alarm.rings(soon));
        assert_eq!(deadlines.pop_due(late), Some((late, key(1))));
        assert!(alarm.rings(late) && !alarm.rings(late));
    }

    #[test]
    fn many_short_waits_beside_a_long_one_leave_nothing_behind() {
        let mut now = origin();
        let patience = Duration::from_secs(600);
        let (mut deadlines, mut alarm) = (Deadlines::new(), Alarm::default());
        for _ in 0..1000 {
            alarm.arm(now + patience, key(1), &mut deadlines);
            let soon = now + Duration::from_millis(10);
            alarm.arm(soon, key(1), &mut deadlines);
            now = soon;
            assert_eq!(deadlines.pop_due(now), Some((soon, key(1))));
            assert!(alarm.rings(soon));
            assert_eq!(deadlines.len(), 1);
        }
    }

    #[test]
    fn entries_of_the_dead_do_not_pile_up() {
        let at = origin();
        let mut deadlines = Deadlines::new();
        for slot in 0..100_000 {
            deadlines.push(at, key(slot));
            deadlines.thin_out(10, |key| key.slot < 10);
        }
        assert!(deadlines.len() <= ENTRIES_FREE + 30, "{}", deadlines.len());
        assert!((0..10).all(|_| deadlines.pop_due(at).is_some_and(|(_, key)| key.slot < 10)));
    }

    proptest! {
        /// The model: each connection's true deadline, and all of them searched each time. A step
        /// moves some deadlines, either way, and then time passes.
        #[test]
        fn every_connection_is_asked_in_the_turn_in_which_its_deadline_passes(
            steps in prop::collection::vec(
                (prop::collection::vec((0..5_u32, 0..200_u64), 0..6), 0..40_u64),
                1..60,
            ),
        ) {
            let start = origin();
            let mut now = start;
            let mut deadlines = Deadlines::new();
            let mut alarms = [Alarm::default(); 5];
            let mut model: [Option<Instant>; 5] = [None; 5];
            for (moves, pass) in steps {
                for (slot, ahead) in moves {
                    let at = now + Duration::from_millis(ahead);
                    model[slot as usize] = Some(at);
                    alarms[slot as usize].arm(at, key(slot), &mut deadlines);
                }
                now += Duration::from_millis(pass);
                let mut expired = Vec::new();
                while let Some((at, key)) = deadlines.pop_due(now) {
                    let slot = key.slot as usize;
                    if !alarms[slot].rings(at) {
                        continue;
                    }
                    match model[slot] {
                        Some(truth) if truth <= now => {
                            model[slot] = None;
                            expired.push(slot);
                        }
                        Some(truth) => alarms[slot].arm(truth, key, &mut deadlines),
                        None => {}
                    }
                }
                expired.sort_unstable();
                expired.dedup();
                prop_assert!(model.iter().flatten().all(|at| *at > now));
                prop_assert!(expired.len() <= 5);
                // Whoever has a deadline left is asked no later than then.
                if let Some(earliest) = model.iter().flatten().min() {
                    prop_assert!(deadlines.next().is_some_and(|next| next <= *earliest));
                }
            }
        }
    }
}
