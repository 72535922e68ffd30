//! Families of limits and quotas. The names of quotas are the operator's; users are summed.

use prometheus::proto::MetricFamily;

use super::family::{Kind, counter, labelled, sample};
use crate::limit::{Limits, Refusal};

pub(super) fn families(limits: &Limits, now_ms: i64) -> [MetricFamily; 5] {
    let refused = Refusal::ALL.into_iter().zip(limits.refused());
    let refused = refused.map(|(refusal, count)| {
        sample(Kind::Counter, &[("limit", refusal.as_str())], count as f64)
    });
    let (warned, exhausted) = limits.marks();
    let marks = [("warned", warned), ("exhausted", exhausted)]
        .map(|(mark, count)| sample(Kind::Counter, &[("mark", mark)], count as f64));
    let quotas = limits.quotas(now_ms);
    // Sorted by name, so those of a name lie together.
    let names: Vec<_> = quotas.chunk_by(|a, b| a.terms.name == b.terms.name).collect();
    let used = names.iter().map(|of_one| {
        let sum = of_one.iter().map(|quota| quota.used).fold(0, u64::saturating_add);
        sample(Kind::Gauge, &[("quota", &of_one[0].terms.name)], sum as f64)
    });
    let full = names.iter().map(|of_one| {
        let count = of_one.iter().filter(|quota| quota.is_exhausted()).count();
        sample(Kind::Gauge, &[("quota", &of_one[0].terms.name)], count as f64)
    });
    [
        labelled(
            "rustsocks_limit_refusals_total",
            "Connections and sessions that were refused because of a limit of their address or user, or \
             because a quota was used up.",
            Kind::Counter,
            refused.collect(),
        ),
        counter(
            "rustsocks_limit_rates_pushed_out_total",
            "Addresses whose rate was forgotten before its time, because too many had come of late.",
            limits.rates_pushed_out(),
        ),
        labelled(
            "rustsocks_quota_marks_total",
            "Quotas that came to their warning, or were used up: once per user and period.",
            Kind::Counter,
            marks.into(),
        ),
        labelled(
            "rustsocks_quota_used_bytes",
            "Octets used of a quota in the running period, over all users who have it.",
            Kind::Gauge,
            used.collect(),
        ),
        labelled(
            "rustsocks_quota_exhausted",
            "Users whose quota is used up in the running period; 1 where all have it together.",
            Kind::Gauge,
            full.collect(),
        ),
    ]
}
