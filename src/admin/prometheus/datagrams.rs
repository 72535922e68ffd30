//! Families of the datagrams of associations.

use std::sync::Arc;

use prometheus::proto::MetricFamily;

use super::family::{Kind, labelled, sample};
use super::sum;
use crate::stats::Counters;
use crate::udp::Dropped;

pub(super) fn families(workers: &[Arc<Counters>]) -> [MetricFamily; 2] {
    let relayed = [
        ("sent", sum(workers, |worker| &worker.datagrams_sent)),
        ("received", sum(workers, |worker| &worker.datagrams_received)),
    ];
    let relayed = relayed
        .map(|(direction, count)| sample(Kind::Counter, &[("direction", direction)], count as f64));
    let dropped = Dropped::ALL.map(|reason| {
        let count = sum(workers, |worker| &worker.datagrams_dropped[reason.index()]);
        sample(Kind::Counter, &[("reason", reason.as_str())], count as f64)
    });
    [
        labelled(
            "rustsocks_udp_datagrams_total",
            "Datagrams relayed for associations; sent is client to target.",
            Kind::Counter,
            relayed.into(),
        ),
        labelled(
            "rustsocks_udp_dropped_total",
            "Datagrams of associations that were dropped, by reason.",
            Kind::Counter,
            dropped.into(),
        ),
    ]
}
