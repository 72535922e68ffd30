//! `GET /api/system/resources`: what this process uses, how its workers are loaded, what has passed
//! since its start, and how the writer is doing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::api::Api;
use super::reply::ApiReply;
use crate::clock;
use crate::linux::usage::Usage;
use crate::session::Outcome;
use crate::stats::{Count, Counters};

#[derive(Serialize)]
struct Resources {
    uptime_seconds: f64,
    cpu_seconds: f64,
    resident_bytes: u64,
    open_descriptors: u64,
    /// `null` where there is no limit.
    open_descriptors_max: Option<u64>,
    threads: u64,
    connections: u32,
    connections_max: u32,
    since_start: SinceStart,
    writer: Writer,
    workers: Vec<Load>,
}

/// Counts that only grow, of all workers together: who asks twice has what passed between.
#[derive(Serialize)]
struct SinceStart {
    /// Sessions that were given their permit.
    sessions_started: u64,
    /// Attempts that a rule or the guard refused.
    sessions_rejected: u64,
    auth_failures: u64,
    bytes_sent: u64,
    bytes_received: u64,
    /// Attempts that ended, by `close_code`; those that never happened are left out.
    endings: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Writer {
    /// Entries that wait.
    queue_entries: u64,
    oldest_unsaved_seconds: f64,
    /// RFC 3339; `null` before the first.
    last_commit: Option<String>,
    rows: u64,
    commits: u64,
    retries: u64,
    wal_bytes: u64,
    /// Sessions and refused attempts that are in no record.
    unrecorded: u64,
}

#[derive(Serialize)]
struct Load {
    worker: usize,
    active_sessions: u64,
    accepted: u64,
    turns: u64,
    busy_seconds: f64,
    longest_turn_seconds: f64,
    /// The longest turn of this minute and the one before.
    loop_lag_seconds: f64,
}

impl Api {
    pub(super) fn resources(&self) -> ApiReply {
        let usage = match Usage::now() {
            Ok(usage) => usage,
            Err(error) => return ApiReply::problem(503, &error.to_string()),
        };
        let minute = clock::minute(clock::utc_ms());
        let seconds = |us: u64| us as f64 / 1e6;
        let load = |(worker, counters): (usize, &Arc<Counters>)| Load {
            worker,
            active_sessions: counters.active(),
            accepted: counters.accepted.get(),
            turns: counters.turns.get(),
            busy_seconds: seconds(counters.busy_us.get()),
            longest_turn_seconds: seconds(counters.turn_us_max.get()),
            loop_lag_seconds: seconds(counters.turn_us_peak.greatest(minute)),
        };
        let uptime = clock::mono().saturating_duration_since(self.started);
        ApiReply::json(&Resources {
            uptime_seconds: uptime.as_secs_f64(),
            cpu_seconds: usage.cpu.as_secs_f64(),
            resident_bytes: usage.resident_bytes,
            open_descriptors: usage.descriptors,
            open_descriptors_max: usage.descriptors_max,
            threads: usage.threads,
            connections: self.admission.taken(),
            connections_max: self.admission.seats_max(),
            since_start: self.since_start(),
            writer: self.writer(),
            workers: self.workers.iter().enumerate().map(load).collect(),
        })
    }

    fn since_start(&self) -> SinceStart {
        let endings = Outcome::ALL.into_iter().filter_map(|outcome| {
            let count = self.sum(|worker| &worker.outcomes[outcome.index()]);
            (count > 0).then(|| (outcome.close_code(), count))
        });
        SinceStart {
            sessions_started: self.sum(|worker| &worker.sessions_opened),
            sessions_rejected: self.sum(|worker| &worker.sessions_rejected),
            auth_failures: self.sum(|worker| &worker.auth_failures),
            bytes_sent: self.sum(|worker| &worker.bytes_sent),
            bytes_received: self.sum(|worker| &worker.bytes_received),
            endings: endings.collect(),
        }
    }

    fn writer(&self) -> Writer {
        let gauges = &self.gauges;
        Writer {
            queue_entries: gauges.queue.get(),
            oldest_unsaved_seconds: gauges.oldest_unsaved(clock::mono()).as_secs_f64(),
            last_commit: gauges.last_commit_ms().map(clock::rfc3339),
            rows: gauges.rows.get(),
            commits: gauges.commits.get(),
            retries: gauges.retries.get(),
            wal_bytes: gauges.wal_bytes.get(),
            unrecorded: self.sum(|worker| &worker.unrecorded),
        }
    }

    /// The sum of one counter over the workers.
    fn sum(&self, count: impl Fn(&Counters) -> &Count) -> u64 {
        self.workers.iter().map(|worker| count(worker).get()).sum()
    }
}
