//! The order of a ledger slot's head under the interleavings and stale values that the memory model
//! allows. What runs is `src/session/head.rs` itself, with loom's atomics in the place of std's; and
//! once more without its fences, where loom must find a copy of two sessions.
//!
//! Executions are bounded by preemptions. Without a bound loom (0.7) prunes schedules that it takes
//! for equal and misses the broken ones, as the tests without fences showed.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;

#[path = "../src/session"]
mod fenced {
    use loom::sync::atomic;
    pub(crate) mod head;
}

#[path = "../src/session"]
mod fenceless {
    mod atomic {
        pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
        pub(super) fn fence(_: Ordering) {}
    }
    #[allow(dead_code, reason = "not every model uses all of it")]
    #[expect(clippy::duplicate_mod, reason = "the same file with other fences is the point")]
    pub(crate) mod head;
}

/// A slot as small as it can be: two words that each session fills alike, and its ending.
#[derive(Default)]
struct Slot {
    head: AtomicU64,
    words: [AtomicU64; 2],
    ending: AtomicU64,
}

impl Slot {
    fn fill(&self, value: u64) {
        for word in &self.words {
            word.store(value, Relaxed);
        }
    }

    fn words(&self) -> (u64, u64) {
        (self.words[0].load(Relaxed), self.words[1].load(Relaxed))
    }
}

/// Runs every execution of at most [`PREEMPTIONS_MAX`] preemptions.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(model);
}

/// Starts a thread of the model that has the slots.
fn start<S, T>(slots: &Arc<S>, work: impl FnOnce(&S) -> T + 'static) -> thread::JoinHandle<T>
where
    S: 'static,
    T: 'static,
{
    let slots = Arc::clone(slots);
    thread::spawn(move || work(&slots))
}

/// The models, on the `Head` of one of the two modules.
macro_rules! models {
    ($order:ident) => {
        use crate::$order::head::{Head, State};

        /// A slot is freed by the writer and used again by its owner under a reader's copy.
        fn reuse_under_a_copy() {
            explore(|| {
                let slot = Arc::new(Slot::default());
                let first = Head(&slot.head).fill(State::Open, || slot.fill(1));
                Head(&slot.head).settle(first);
                let reader =
                    start(&slot, move |slot| Head(&slot.head).read(first, |_| slot.words()));
                let writer = start(&slot, |slot| Head(&slot.head).free(None));
                let owner = start(&slot, |slot| {
                    if Head(&slot.head).is_free() {
                        Head(&slot.head).fill(State::Open, || slot.fill(2));
                    }
                });
                let copied = reader.join().expect("the reader");
                assert!(matches!(copied, None | Some((1, 1))), "{copied:?}");
                writer.join().expect("the writer");
                owner.join().expect("the owner");
            });
        }

        /// The same where the text goes on in a second slot, which the owner takes back first and
        /// uses for another session.
        fn reuse_of_a_continuation_under_a_copy() {
            explore(|| {
                let slots = Arc::new([Slot::default(), Slot::default()]);
                let [slot, rest] = &*slots;
                let first = Head(&slot.head).fill(State::Open, || {
                    slot.fill(1);
                    Head(&rest.head).fill(State::Continued, || rest.fill(1));
                });
                Head(&slot.head).settle(first);
                let reader = start(&slots, move |[slot, rest]| {
                    let copy = |_| (slot.words[0].load(Relaxed), rest.words[0].load(Relaxed));
                    Head(&slot.head).read(first, copy)
                });
                let writer = start(&slots, |[slot, rest]| {
                    Head(&slot.head).free(Some(Head(&rest.head)));
                });
                let owner = start(&slots, |[_, rest]| {
                    if Head(&rest.head).is_free() {
                        Head(&rest.head).fill(State::Open, || rest.fill(2));
                    }
                });
                let copied = reader.join().expect("the reader");
                assert!(matches!(copied, None | Some((1, 1))), "{copied:?}");
                writer.join().expect("the writer");
                owner.join().expect("the owner");
            });
        }
    };
}

mod with_fences {
    use super::*;
    models!(fenced);

    #[test]
    fn a_copy_is_of_one_session() {
        reuse_under_a_copy();
    }

    #[test]
    fn a_copy_of_a_continued_session_is_of_one_session() {
        reuse_of_a_continuation_under_a_copy();
    }

    #[test]
    fn a_copy_is_whole_and_that_of_an_ended_session_has_its_ending() {
        explore(|| {
            let slot = Arc::new(Slot::default());
            let reader = start(&slot, |slot| {
                let copy = |ended| (slot.words(), ended, slot.ending.load(Relaxed));
                let copied = Head(&slot.head).read(FIRST, copy);
                let still = Head(&slot.head).is_still(FIRST);
                assert!(copied.is_none() || still, "nobody has freed it");
                copied
            });
            let generation = Head(&slot.head).fill(State::Open, || slot.fill(1));
            assert_eq!(generation, FIRST);
            slot.ending.store(7, Relaxed);
            Head(&slot.head).settle(generation);
            let copied = reader.join().expect("the reader");
            assert!(
                matches!(copied, None | Some(((1, 1), false, _) | ((1, 1), true, 7))),
                "{copied:?}"
            );
        });
    }

    /// The generation of a slot's first use.
    const FIRST: u32 = 1;
}

mod without_fences {
    use super::*;
    models!(fenceless);

    #[test]
    #[should_panic(expected = "Some((")]
    fn a_copy_may_be_of_two_sessions() {
        reuse_under_a_copy();
    }

    #[test]
    #[should_panic(expected = "Some((")]
    fn a_copy_of_a_continued_session_may_be_of_two() {
        reuse_of_a_continuation_under_a_copy();
    }
}

/// More find nothing more, and take ten times as long each.
const PREEMPTIONS_MAX: usize = 3;
