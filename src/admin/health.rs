//! `GET /health`: whether clients are taken, and what is not as it should be.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::access::Need;
use super::api::Api;
use super::reply::ApiReply;
use super::request::ApiRequest;
use crate::clock;
use crate::stats::{Counters, Stage};

/// How the process is.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    status: HealthStatus,
    /// The version of the binary.
    version: &'static str,
    checks: Checks,
}

/// Whether all is as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum HealthStatus {
    Ok,
    Degraded,
}

/// How far the process is.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum HealthStage {
    Starting,
    Ready,
    Draining,
}

/// What was looked at: `ok`, or what is wrong.
#[derive(Serialize, ToSchema)]
struct Checks {
    stage: HealthStage,
    /// `ok`, or why rows are not being stored.
    writer: String,
    /// `ok`, or why the write-ahead log is too large.
    wal: String,
    /// `ok`, or how many sessions ran without a record, or why a crash would lose some.
    ledger: String,
    /// `ok`, or why the next client would be turned away.
    connections: String,
    /// `ok`, or which watched file (users, rules, configuration) is not in force as it is, and why.
    policy: String,
}

impl Checks {
    /// Leaves that which names files to those who may read.
    fn leave_out_why(&mut self) {
        for check in [&mut self.writer, &mut self.wal, &mut self.ledger, &mut self.policy] {
            if check != "ok" {
                *check = "something is wrong; whoever shows the token is told what".to_owned();
            }
        }
    }
}

impl Api {
    /// `GET /health`
    pub(super) fn health(&self, request: &ApiRequest) -> ApiReply {
        let stage = self.readiness.stage();
        let status = if stage == Stage::Ready { 200 } else { 503 };
        let mut health = self.look(stage);
        // Whoever may not read hears that something is wrong, and not at which path.
        if self.access.check(Need::Reading, request.authorization.as_deref()).is_err() {
            health.checks.leave_out_why();
        }
        ApiReply::json(&health).with_status(status)
    }

    /// What `/health` would answer now.
    pub(super) fn health_json(&self) -> String {
        // Health holds nothing that JSON cannot.
        serde_json::to_string(&self.look(self.readiness.stage())).unwrap_or_default()
    }

    fn look(&self, stage: Stage) -> Health {
        let trouble = self.gauges.trouble().or_else(|| self.held());
        let unrecorded: u64 = self.workers.iter().map(|counters| counters.unrecorded.get()).sum();
        // Before its first turn a worker has not said what it has.
        let used_up = |it: &Counters| it.turns.get() > 0 && it.ledger_free.get() == 0;
        let ledger_used_up = self.workers.iter().any(|worker| used_up(worker)) && self.records;
        let full = self.full();
        let volatile = self.ledger.trouble();
        let wal_trouble = self.gauges.wal_trouble();
        let behind = self.in_force.behind();
        let degraded = trouble.is_some()
            || wal_trouble.is_some()
            || volatile.is_some()
            || ledger_used_up
            || full.is_some()
            || behind.is_some();
        Health {
            status: if degraded { HealthStatus::Degraded } else { HealthStatus::Ok },
            version: env!("CARGO_PKG_VERSION"),
            checks: Checks {
                stage: match stage {
                    Stage::Starting => HealthStage::Starting,
                    Stage::Ready => HealthStage::Ready,
                    Stage::Draining => HealthStage::Draining,
                },
                writer: trouble.unwrap_or_else(|| "ok".to_owned()),
                wal: wal_trouble.unwrap_or_else(|| "ok".to_owned()),
                ledger: match volatile {
                    _ if ledger_used_up => {
                        format!("no slot is left; {unrecorded} sessions ran unrecorded")
                    }
                    Some(why) => format!("a crash would lose sessions: {why}"),
                    None => "ok".to_owned(),
                },
                connections: full.unwrap_or_else(|| "ok".to_owned()),
                policy: behind.unwrap_or_else(|| "ok".to_owned()),
            },
        }
    }

    /// Why the next client would be turned away.
    fn full(&self) -> Option<String> {
        let (taken, seats) = (self.admission.taken(), self.admission.seats_max());
        if taken >= seats {
            return Some(format!("all {seats} are taken"));
        }
        self.admission.is_full().then(|| {
            let (sockets, max) = (self.admission.sockets(), self.admission.sockets_max());
            format!("{taken} have {sockets} of the {max} sockets that the descriptors allow")
        })
    }

    /// What a writer that is held cannot say itself.
    fn held(&self) -> Option<String> {
        let held = self.gauges.held_for(clock::mono());
        (held >= HELD_MAX).then(|| {
            format!("the writer has been waiting for the database for {} s", held.as_secs())
        })
    }
}

/// How long the writer may be held by one commit before that is spoken of.
const HELD_MAX: Duration = Duration::from_secs(5);
