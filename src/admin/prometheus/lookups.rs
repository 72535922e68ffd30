//! Families of the names that were looked up.

use std::sync::Arc;

use prometheus::proto::MetricFamily;

use super::family::{Kind, counter, gauge, labelled, sample};
use super::sum;
use crate::resolve::{Finding, Origin};
use crate::stats::{Counters, LookupCounts};

pub(super) fn families(workers: &[Arc<Counters>]) -> [MetricFamily; 6] {
    let origins = Origin::ALL.map(|origin| {
        let count = sum(workers, |worker| &worker.lookups.origins[origin as usize]);
        sample(Kind::Counter, &[("origin", origin.as_str())], count as f64)
    });
    let findings = Finding::ALL.map(|finding| {
        let count = sum(workers, |worker| &worker.lookups.findings[finding as usize]);
        sample(Kind::Counter, &[("answer", finding.as_str())], count as f64)
    });
    [
        labelled(
            "rustsocks_lookups_total",
            "Names that sessions asked for, by where the answer came from.",
            Kind::Counter,
            origins.into(),
        ),
        labelled(
            "rustsocks_lookup_answers_total",
            "Names that sessions asked for, by what the first answer said.",
            Kind::Counter,
            findings.into(),
        ),
        counter(
            "rustsocks_lookups_unawaited_total",
            "Sessions that went on with one family while the other was still being asked for.",
            sum(workers, |worker| &worker.lookups.unawaited),
        ),
        counter(
            "rustsocks_lookup_cache_evictions_total",
            "Names that had to leave the cache before their time.",
            sum(workers, |worker| &worker.lookups.evicted),
        ),
        gauge(
            "rustsocks_lookup_cache_names",
            "Names in the workers' caches.",
            sum(workers, |worker| &worker.lookups.cached) as f64,
        ),
        gauge(
            "rustsocks_lookups_in_flight",
            "Names that are being asked for, once for each session that waits.",
            sum(workers, |worker| &worker.lookups.in_flight) as f64,
        ),
    ]
}

/// Never called: it does not compile when a number is added that nobody exports.
#[expect(dead_code, reason = "it is there for the compiler")]
fn every_number_is_exported(counts: &LookupCounts) {
    let LookupCounts { origins: _, findings: _, unawaited: _, evicted: _, cached: _, in_flight: _ } =
        counts;
}
