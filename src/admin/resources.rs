//! `GET /api/system/resources`: what this process uses, and how its workers are loaded.

use std::sync::Arc;

use serde::Serialize;

use super::api::Api;
use super::reply::ApiReply;
use crate::clock;
use crate::linux::usage::Usage;
use crate::stats::Counters;

#[derive(Serialize)]
struct Resources {
    uptime_seconds: f64,
    cpu_seconds: f64,
    resident_bytes: u64,
    open_descriptors: u64,
    threads: u64,
    connections: u32,
    connections_max: u32,
    workers: Vec<Load>,
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
            threads: usage.threads,
            connections: self.admission.taken(),
            connections_max: self.admission.seats_max(),
            workers: self.workers.iter().enumerate().map(load).collect(),
        })
    }
}
