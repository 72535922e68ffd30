//! Families of sessions: the reference's that are not by user, endings by code, stages by name.

use std::sync::Arc;

use prometheus::proto::MetricFamily;

use super::family::{Kind, Unit, counter, gauge, histograms, labelled, sample, seconds};
use super::sum;
use crate::session::Outcome;
use crate::stats::{Count, Counters, Distribution};

pub(super) fn families(workers: &[Arc<Counters>]) -> [MetricFamily; 16] {
    let active: u64 = workers.iter().map(|worker| worker.active()).sum();
    let durations = Distribution::of(workers.iter().map(|worker| &worker.durations));
    let sum = |count: fn(&Counters) -> &Count| sum(workers, count);
    [
        gauge("rustsocks_active_sessions", "Sessions that are alive now.", active as f64),
        counter(
            "rustsocks_sessions_total",
            "Accepted sessions, counted when they are given their first permit.",
            sum(|worker| &worker.sessions_opened),
        ),
        counter(
            "rustsocks_sessions_rejected_total",
            "Attempts that a rule or the guard refused.",
            sum(|worker| &worker.sessions_rejected),
        ),
        counter(
            "rustsocks_acl_shadow_blocks_total",
            "Attempts and targets of datagrams that a shadow-block rule would have refused.",
            sum(|worker| &worker.shadow_blocks),
        ),
        histograms(
            "rustsocks_session_duration_seconds",
            "How long accepted sessions that ended had lived.",
            vec![seconds(&[], &durations, Unit::Milliseconds)],
        ),
        counter(
            "rustsocks_bytes_sent_total",
            "Payload octets, client to target.",
            sum(|worker| &worker.bytes_sent),
        ),
        counter(
            "rustsocks_bytes_received_total",
            "Payload octets, target to client.",
            sum(|worker| &worker.bytes_received),
        ),
        ended(workers),
        stages(workers),
        counter(
            "rustsocks_auth_failures_total",
            "Logins that failed.",
            sum(|worker| &worker.auth_failures),
        ),
        counter(
            "rustsocks_over_limit_total",
            "Clients turned away because there was no room for them.",
            sum(|worker| &worker.over_limit),
        ),
        counter(
            "rustsocks_banned_clients_total",
            "Clients turned away because their address is banned.",
            sum(|worker| &worker.banned),
        ),
        counter(
            "rustsocks_silent_clients_total",
            "Clients that came and went without a word: no attempts, and in no record.",
            sum(|worker| &worker.silent),
        ),
        counter(
            "rustsocks_sockets_refused_total",
            "Sockets that connections wanted and the limit of descriptors had no room for.",
            sum(|worker| &worker.sockets_refused),
        ),
        counter(
            "rustsocks_packets_sent_total",
            "Relay transfers, client to target.",
            sum(|worker| &worker.packets_sent),
        ),
        counter(
            "rustsocks_packets_received_total",
            "Relay transfers, target to client.",
            sum(|worker| &worker.packets_received),
        ),
    ]
}

fn ended(workers: &[Arc<Counters>]) -> MetricFamily {
    let codes = Outcome::ALL.map(|outcome| {
        let count = sum(workers, |worker| &worker.outcomes[outcome.index()]);
        sample(Kind::Counter, &[("close_code", outcome.close_code())], count as f64)
    });
    labelled(
        "rustsocks_sessions_ended_total",
        "Attempts that ended, by close_code.",
        Kind::Counter,
        codes.into(),
    )
}

fn stages(workers: &[Arc<Counters>]) -> MetricFamily {
    let names = workers.first().map(|worker| worker.stages.named().map(|(name, _)| name));
    let series = names.into_iter().flatten().enumerate().map(|(index, name)| {
        let histograms = workers.iter().map(|worker| worker.stages.named()[index].1);
        seconds(&[("stage", name)], &Distribution::of(histograms), Unit::Microseconds)
    });
    histograms(
        "rustsocks_stage_duration_seconds",
        "How long the stages of sessions took that came to their end.",
        series.collect(),
    )
}
