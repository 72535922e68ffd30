//! Families with one series per worker.

use std::sync::Arc;

use prometheus::proto::MetricFamily;

use super::family::{Kind, labelled, sample};
use crate::clock;
use crate::stats::Counters;

pub(super) fn families(workers: &[Arc<Counters>], now_ms: i64) -> Vec<MetricFamily> {
    let minute = clock::minute(now_ms);
    let names: Vec<String> = (0..workers.len()).map(|index| index.to_string()).collect();
    let of_each = |kind: Kind, number: &dyn Fn(&Counters) -> f64| {
        let each = workers.iter().zip(&names);
        each.map(|(worker, name)| sample(kind, &[("worker", name)], number(worker))).collect()
    };
    let mut families: Vec<_> = FAMILIES
        .iter()
        .map(|&(name, help, kind, number)| labelled(name, help, kind, of_each(kind, &number)))
        .collect();
    families.push(labelled(
        "rustsocks_worker_loop_lag_seconds",
        "The longest turn of this minute and the one before: what an event may have had to wait.",
        Kind::Gauge,
        of_each(Kind::Gauge, &|worker| worker.turn_us_peak.greatest(minute) as f64 / 1e6),
    ));
    families
}

type Family = (&'static str, &'static str, Kind, fn(&Counters) -> f64);

/// Name, meaning, kind and number.
const FAMILIES: [Family; 20] = [
    ("rustsocks_worker_accepted_total", "Client connections accepted.", Kind::Counter, |worker| {
        worker.accepted.get() as f64
    }),
    (
        "rustsocks_worker_released_total",
        "Client connections that are gone.",
        Kind::Counter,
        |worker| worker.released.get() as f64,
    ),
    (
        "rustsocks_worker_taken_over_total",
        "Client connections taken over from a worker that has more.",
        Kind::Counter,
        |worker| worker.taken_over.get() as f64,
    ),
    ("rustsocks_worker_active_sessions", "Sessions alive.", Kind::Gauge, |worker| {
        worker.active() as f64
    }),
    (
        "rustsocks_accept_pauses_total",
        "Pauses of accepting, from clients or a BIND's peers, because descriptors had run out.",
        Kind::Counter,
        |worker| worker.accept_pauses.get() as f64,
    ),
    (
        "rustsocks_egress_sources_lost_total",
        "Sockets towards targets whose source address was gone or had no port left.",
        Kind::Counter,
        |worker| worker.sources_lost.get() as f64,
    ),
    (
        "rustsocks_worker_stale_events_total",
        "Events and answers that came for a connection that was gone.",
        Kind::Counter,
        |worker| worker.stale.get() as f64,
    ),
    (
        "rustsocks_worker_budget_spent_total",
        "Portions of a relay that used up their budget.",
        Kind::Counter,
        |worker| worker.budget_spent.get() as f64,
    ),
    (
        "rustsocks_worker_spliced_bytes_total",
        "Octets relayed inside the kernel, both ways.",
        Kind::Counter,
        |worker| worker.spliced_bytes.get() as f64,
    ),
    ("rustsocks_worker_pipes", "Pipes for relaying inside the kernel.", Kind::Gauge, |worker| {
        worker.pipes_open.get() as f64
    }),
    (
        "rustsocks_worker_pipes_missed_total",
        "Transfers that were copied because there was no pipe for them.",
        Kind::Counter,
        |worker| worker.pipes_missed.get() as f64,
    ),
    (
        "rustsocks_worker_pipe_failures_total",
        "Pipes that the kernel did not give.",
        Kind::Counter,
        |worker| worker.pipe_failures.get() as f64,
    ),
    (
        "rustsocks_worker_journal_backlog_entries",
        "Endings that wait for room in the writer's queue.",
        Kind::Gauge,
        |worker| worker.journal_backlog.get() as f64,
    ),
    (
        "rustsocks_worker_connection_panics_total",
        "Connections whose handling panicked; must be 0.",
        Kind::Counter,
        |worker| worker.panics.get() as f64,
    ),
    ("rustsocks_worker_turns_total", "Turns of the event loop.", Kind::Counter, |worker| {
        worker.turns.get() as f64
    }),
    (
        "rustsocks_worker_busy_seconds_total",
        "Time spent in turns, waiting left out.",
        Kind::Counter,
        |worker| worker.busy_us.get() as f64 / 1e6,
    ),
    (
        "rustsocks_worker_longest_turn_seconds",
        "The longest turn since the start.",
        Kind::Gauge,
        |worker| worker.turn_us_max.get() as f64 / 1e6,
    ),
    ("rustsocks_worker_policy_generation", "The policy in use.", Kind::Gauge, |worker| {
        worker.policy_generation.get() as f64
    }),
    (
        "rustsocks_worker_ledger_free_slots",
        "Ledger slots that can be claimed.",
        Kind::Gauge,
        |worker| worker.ledger_free.get() as f64,
    ),
    (
        "rustsocks_worker_ended_sessions_total",
        "Accepted sessions that ended.",
        Kind::Counter,
        |worker| worker.sessions_closed.get() as f64,
    ),
];

/// Never called: it does not compile when a counter is added that nobody exports, here or in
/// `sessions.rs`, `records.rs`, `datagrams.rs` or `lookups.rs`.
#[expect(dead_code, reason = "it is there for the compiler")]
fn every_counter_is_exported(counters: &Counters) {
    let Counters {
        accepted: _,
        released: _,
        taken_over: _,
        accept_pauses: _,
        over_limit: _,
        banned: _,
        over_limit_unlisted: _,
        silent: _,
        sockets_refused: _,
        sessions_opened: _,
        sessions_closed: _,
        sessions_rejected: _,
        shadow_blocks: _,
        auth_failures: _,
        bytes_sent: _,
        bytes_received: _,
        packets_sent: _,
        packets_received: _,
        durations: _,
        stages: _,
        outcomes: _,
        datagrams_sent: _,
        datagrams_received: _,
        datagrams_dropped: _,
        sources_lost: _,
        lookups: _,
        stale: _,
        budget_spent: _,
        spliced_bytes: _,
        pipes_open: _,
        pipes_missed: _,
        pipe_failures: _,
        unrecorded: _,
        attempts_unrecorded: _,
        openings_left_out: _,
        journal_backlog: _,
        panics: _,
        turns: _,
        busy_us: _,
        turn_us_max: _,
        turn_us_peak: _,
        policy_generation: _,
        ledger_free: _,
    } = counters;
}
