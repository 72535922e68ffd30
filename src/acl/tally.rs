//! How often each rule decided. Each worker counts in cells of its own, with a load and a store.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::ruling::{Decision, Ruling};

/// The counts of one worker: two for each rule, and those of what is no rule.
#[derive(Debug)]
pub(super) struct Tally {
    rules: Box<[Hits]>,
}

#[derive(Debug, Default)]
struct Hits {
    decided: AtomicU64,
    shadowed: AtomicU64,
}

/// How often something decided, and how often it would have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleHits {
    /// Decisions.
    pub hits: u64,
    /// Decisions that a shadow rule would have made.
    pub shadow_hits: u64,
}

impl Tally {
    /// For rules with numbers up to `last`. 0 is what is no rule and allowed; `last` + 1 what is no
    /// rule and blocked.
    pub(super) fn new(last: u32) -> Self {
        Self { rules: (0..=last.saturating_add(1)).map(|_| Hits::default()).collect() }
    }

    /// Counts a decision. Only the owning worker may call it.
    pub(super) fn count(&self, ruling: &Ruling) {
        let none = match ruling.decision {
            Decision::Allow => 0,
            Decision::Block => self.rules.len() - 1,
        };
        let at = ruling.rule_id.map_or(none, |id| id as usize);
        if let Some(hits) = self.rules.get(at) {
            add_one(&hits.decided);
        }
        if let Some(hits) = ruling.shadow.and_then(|id| self.rules.get(id as usize)) {
            add_one(&hits.shadowed);
        }
    }

    /// The counts of one rule.
    pub(super) fn of(&self, id: u32) -> RuleHits {
        self.rules.get(id as usize).map_or(RuleHits::default(), |hits| RuleHits {
            hits: hits.decided.load(Relaxed),
            shadow_hits: hits.shadowed.load(Relaxed),
        })
    }
}

fn add_one(cell: &AtomicU64) {
    cell.store(cell.load(Relaxed).wrapping_add(1), Relaxed);
}
