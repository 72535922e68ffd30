//! The family of the API's gate.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus::proto::MetricFamily;

use super::family::{Kind, labelled, sample};
use crate::admin::gate::GateCounters;

pub(super) fn family(counters: &GateCounters) -> MetricFamily {
    let GateCounters {
        accepted,
        passed,
        answered,
        bad_requests,
        foreign_origins,
        late_requests,
        transfer_encodings,
        bodies_too_large,
        foreign_hosts,
        listeners_refused,
        listeners_dropped,
        events_missed,
        heads_too_large,
        versions,
        answers_too_large,
        answers_cut,
        unavailable,
        answers_late,
        silent,
        slow_readers,
        displaced,
        address_full,
        accept_failures,
        rebuilt,
        history_busy,
        history_cut,
        kills_refused,
        denied,
        handler_panics,
    } = counters;
    let events: [(&str, &AtomicU64); 29] = [
        ("accepted", accepted),
        ("passed", passed),
        ("answered", answered),
        ("bad_request", bad_requests),
        ("foreign_origin", foreign_origins),
        ("late_request", late_requests),
        ("transfer_encoding", transfer_encodings),
        ("body_too_large", bodies_too_large),
        ("foreign_host", foreign_hosts),
        ("listener_refused", listeners_refused),
        ("listener_dropped", listeners_dropped),
        ("event_missed", events_missed),
        ("head_too_large", heads_too_large),
        ("version", versions),
        ("answer_too_large", answers_too_large),
        ("answer_cut", answers_cut),
        ("unavailable", unavailable),
        ("answer_late", answers_late),
        ("silent", silent),
        ("slow_reader", slow_readers),
        ("displaced", displaced),
        ("address_full", address_full),
        ("accept_failure", accept_failures),
        ("rebuilt", rebuilt),
        ("history_busy", history_busy),
        ("history_cut", history_cut),
        ("kill_refused", kills_refused),
        ("denied", denied),
        ("handler_panic", handler_panics),
    ];
    let metrics = events.map(|(event, count)| {
        sample(Kind::Counter, &[("event", event)], count.load(Relaxed) as f64)
    });
    labelled(
        "rustsocks_api_events_total",
        "What the API's gate let through and what it turned away.",
        Kind::Counter,
        metrics.into(),
    )
}
