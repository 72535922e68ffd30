//! `GET /api/system/resources`: what this process uses, how its workers are loaded, what has passed
//! since its start, and how the writer is doing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::reply::ApiReply;
use crate::clock;
use crate::linux::usage::Usage;
use crate::session::Outcome;
use crate::stats::{Count, Counters};

/// What this process uses and has done.
#[derive(Serialize, ToSchema)]
pub(super) struct Resources {
    /// Since the start.
    uptime_seconds: f64,
    /// Of all threads, in user and kernel mode.
    cpu_seconds: f64,
    /// Memory that is in use.
    resident_bytes: u64,
    /// Files and sockets that are open.
    open_descriptors: u64,
    /// How many may be; `null` where there is no limit.
    #[schema(required)]
    open_descriptors_max: Option<u64>,
    /// Threads of the process.
    threads: u64,
    /// Client connections.
    connections: u32,
    /// How many there may be.
    connections_max: u32,
    since_start: SinceStart,
    writer: Writer,
    workers: Vec<Load>,
}

/// Counts that only grow, of all workers together: who asks twice has what passed between.
#[derive(Serialize, ToSchema)]
struct SinceStart {
    /// Sessions that were given their permit.
    sessions_started: u64,
    /// Attempts that a rule or the guard refused.
    sessions_rejected: u64,
    /// Logins that failed.
    auth_failures: u64,
    /// Octets, client to target.
    bytes_sent: u64,
    /// Octets, target to client.
    bytes_received: u64,
    /// Attempts that ended, by `close_code`; those that never happened are left out.
    endings: BTreeMap<&'static str, u64>,
}

/// How the writer is doing.
#[derive(Serialize, ToSchema)]
#[schema(as = WriterState)]
struct Writer {
    /// Entries that wait.
    queue_entries: u64,
    /// The age of the oldest one; 0 when none waits.
    oldest_unsaved_seconds: f64,
    /// RFC 3339; `null` before the first.
    #[schema(required, format = DateTime)]
    last_commit: Option<String>,
    /// Rows written.
    rows: u64,
    /// Transactions committed.
    commits: u64,
    /// Of those that failed and were tried again.
    retries: u64,
    /// Octets of the write-ahead log; 0 without one.
    wal_bytes: u64,
    /// Sessions and refused attempts that are in no record.
    unrecorded: u64,
}

/// How one worker is loaded.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkerLoad)]
struct Load {
    /// Its number, from 0.
    worker: usize,
    /// Live sessions of it.
    active_sessions: u64,
    /// Connections that it has accepted.
    accepted: u64,
    /// Turns of its loop.
    turns: u64,
    /// What it has worked, and not waited.
    busy_seconds: f64,
    /// The longest turn since the start.
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
