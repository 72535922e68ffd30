//! Families by user.

use prometheus::proto::MetricFamily;

use super::family::{Kind, labelled, sample};
use crate::stats::UserSums;

pub(super) fn families(users: &UserSums) -> [MetricFamily; 2] {
    let users = users.snapshot();
    let sessions = users
        .iter()
        .map(|(user, sum)| sample(Kind::Counter, &[("user", user)], sum.sessions as f64));
    let bandwidth = users.iter().flat_map(|(user, sum)| {
        [("sent", sum.bytes_sent), ("received", sum.bytes_received)].map(|(direction, bytes)| {
            sample(Kind::Counter, &[("direction", direction), ("user", user)], bytes as f64)
        })
    });
    [
        labelled(
            "rustsocks_user_sessions_total",
            "Accepted sessions by user; `_other` has those of users without a series of their own, \
             `_gone` what stood in series that are there no more.",
            Kind::Counter,
            sessions.collect(),
        ),
        labelled(
            "rustsocks_user_bandwidth_bytes_total",
            "Payload octets by user and direction; `_other` and `_gone` as with the sessions.",
            Kind::Counter,
            bandwidth.collect(),
        ),
    ]
}
