//! The family of the access log.

use std::sync::atomic::Ordering::Relaxed;

use prometheus::proto::MetricFamily;

use super::family::{Kind, labelled, sample};
use crate::access_log::AccessTally;

pub(super) fn family(tally: &AccessTally) -> MetricFamily {
    let AccessTally { written, dropped, failed } = tally;
    let metrics =
        [("written", written), ("dropped", dropped), ("failed", failed)].map(|(result, count)| {
            sample(Kind::Counter, &[("result", result)], count.load(Relaxed) as f64)
        });
    labelled(
        "rustsocks_access_log_lines_total",
        "Lines of the access log that were written, that too many were waiting for, or that the place did \
         not take.",
        Kind::Counter,
        metrics.into(),
    )
}
