//! What one worker's resolver has counted, for whoever reads it from another thread.

use super::counters::Count;
use crate::resolve::{Finding, Origin, Tally};

/// The numbers of a [`Tally`].
#[derive(Debug, Default)]
pub struct LookupCounts {
    /// Look-ups by where their answer came from, in the order of [`Origin::ALL`].
    pub origins: [Count; Origin::ALL.len()],
    /// Look-ups by what the answer said, in the order of [`Finding::ALL`].
    pub findings: [Count; Finding::ALL.len()],
    /// Sessions that went on with one family while the other was still being asked for.
    pub unawaited: Count,
    /// Names that had to leave the cache before their time.
    pub evicted: Count,
    /// Names in the cache (a gauge).
    pub cached: Count,
    /// Look-ups that have no answer yet, or half of one (a gauge).
    pub in_flight: Count,
}

impl LookupCounts {
    /// Shows what the resolver has counted by now. Only the owning thread may call it.
    pub fn show(&self, tally: &Tally) {
        let Tally { origins, findings, unawaited, evicted, cached, in_flight } = tally;
        for (count, number) in self.origins.iter().zip(origins) {
            count.set(*number);
        }
        for (count, number) in self.findings.iter().zip(findings) {
            count.set(*number);
        }
        self.unawaited.set(*unawaited);
        self.evicted.set(*evicted);
        self.cached.set(*cached);
        self.in_flight.set(*in_flight);
    }
}
