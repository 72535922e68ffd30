//! The metrics in Prometheus' text format.
//!
//! Nothing is counted here: a scrape adds up what the workers and the writer count for themselves.
//! Each struct of counters is taken apart without `..`, so a counter that is not exported does not
//! compile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{Registry, TextEncoder};

use super::gate::GateCounters;
use super::reply::ApiReply;
use crate::limit::Admission;
use crate::session::{Ledger, Outcome};
use crate::stats::{Count, Counters, DURATION_BOUNDS_MS, UserSums, WriterGauges};

/// The metrics of this process.
pub struct Exposition {
    registry: Registry,
}

/// Where the numbers come from.
pub struct Sources {
    /// What each worker counts.
    pub workers: Arc<[Arc<Counters>]>,
    /// Sums per user.
    pub users: Arc<UserSums>,
    /// How the writer is doing.
    pub gauges: Arc<WriterGauges>,
    /// Connections in all.
    pub admission: Arc<Admission>,
    /// How many slots there are.
    pub ledger: Arc<Ledger>,
    /// What the API's gate counts.
    pub gate: Arc<GateCounters>,
}

impl Exposition {
    /// The metrics of these sources and of the process itself.
    ///
    /// # Errors
    /// When two families have one name, which a test would have found.
    pub fn new(sources: Sources) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(sources))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self { registry })
    }

    pub(super) fn reply(&self) -> ApiReply {
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(text) => {
                ApiReply::text(text).with_content_type("text/plain; version=0.0.4; charset=utf-8")
            }
            Err(error) => ApiReply::problem(500, &error.to_string()),
        }
    }
}

impl Collector for Sources {
    fn desc(&self) -> Vec<&Desc> {
        // Unchecked: the families below have their names once, and a test reads them all.
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Vec::new();
        self.sessions(&mut families);
        self.per_user(&mut families);
        self.workers(&mut families);
        self.writer(&mut families);
        self.gate(&mut families);
        families
    }
}

impl Sources {
    fn sum(&self, count: impl Fn(&Counters) -> &Count) -> u64 {
        self.workers.iter().map(|worker| count(worker).get()).sum()
    }

    /// The families of the reference, and the endings by code.
    fn sessions(&self, families: &mut Vec<MetricFamily>) {
        let active: u64 = self.workers.iter().map(|worker| worker.active()).sum();
        families.extend([
            gauge("rustsocks_active_sessions", "Sessions that are alive now.", active as f64),
            counter(
                "rustsocks_sessions_total",
                "Accepted sessions, counted when they are given their first permit.",
                self.sum(|worker| &worker.sessions_opened),
            ),
            counter(
                "rustsocks_sessions_rejected_total",
                "Attempts that a rule or the guard refused.",
                self.sum(|worker| &worker.sessions_rejected),
            ),
            self.durations(),
            counter(
                "rustsocks_bytes_sent_total",
                "Payload octets, client to target.",
                self.sum(|worker| &worker.bytes_sent),
            ),
            counter(
                "rustsocks_bytes_received_total",
                "Payload octets, target to client.",
                self.sum(|worker| &worker.bytes_received),
            ),
        ]);
        let codes = Outcome::ALL.map(|outcome| {
            let count = self.sum(|worker| &worker.outcomes[outcome.index()]);
            sample(&[("close_code", outcome.close_code())], Number::Counter(count as f64))
        });
        families.push(family(
            "rustsocks_sessions_ended_total",
            "Attempts that ended, by close_code.",
            MetricType::COUNTER,
            codes.into(),
        ));
    }

    fn durations(&self) -> MetricFamily {
        let mut histogram = Histogram::default();
        let mut below = 0;
        let mut buckets = Vec::with_capacity(DURATION_BOUNDS_MS.len());
        for (index, bound_ms) in DURATION_BOUNDS_MS.into_iter().enumerate() {
            below += self.sum(|worker| &worker.durations.buckets[index]);
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(below);
            bucket.set_upper_bound(bound_ms as f64 / 1000.0);
            buckets.push(bucket);
        }
        let above = self.sum(|worker| &worker.durations.buckets[DURATION_BOUNDS_MS.len()]);
        histogram.set_bucket(buckets);
        histogram.set_sample_count(below + above);
        histogram.set_sample_sum(self.sum(|worker| &worker.durations.sum_ms) as f64 / 1000.0);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        family(
            "rustsocks_session_duration_seconds",
            "How long accepted sessions that ended had lived.",
            MetricType::HISTOGRAM,
            vec![metric],
        )
    }

    fn per_user(&self, families: &mut Vec<MetricFamily>) {
        let users = self.users.snapshot();
        let sessions = users
            .iter()
            .map(|(user, sum)| sample(&[("user", user)], Number::Counter(sum.sessions as f64)));
        families.push(family(
            "rustsocks_user_sessions_total",
            "Accepted sessions by user; `_other` has those without a series of their own.",
            MetricType::COUNTER,
            sessions.collect(),
        ));
        let bandwidth = users.iter().flat_map(|(user, sum)| {
            [("sent", sum.bytes_sent), ("received", sum.bytes_received)].map(
                |(direction, bytes)| {
                    sample(
                        &[("direction", direction), ("user", user)],
                        Number::Counter(bytes as f64),
                    )
                },
            )
        });
        families.push(family(
            "rustsocks_user_bandwidth_bytes_total",
            "Payload octets by user and direction.",
            MetricType::COUNTER,
            bandwidth.collect(),
        ));
    }

    fn workers(&self, families: &mut Vec<MetricFamily>) {
        for (name, help, kind, number) in WORKER_FAMILIES {
            let metrics = self.workers.iter().enumerate().map(|(index, worker)| {
                let value = number(worker);
                let value = match kind {
                    Kind::Counter => Number::Counter(value),
                    Kind::Gauge => Number::Gauge(value),
                };
                sample(&[("worker", &index.to_string())], value)
            });
            let kind = match kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge => MetricType::GAUGE,
            };
            families.push(family(name, help, kind, metrics.collect()));
        }
        families.extend([
            gauge(
                "rustsocks_connections",
                "Client connections open now.",
                f64::from(self.admission.taken()),
            ),
            gauge(
                "rustsocks_connections_limit",
                "Client connections that may be open at once.",
                f64::from(self.admission.seats_max()),
            ),
            gauge(
                "rustsocks_ledger_slots",
                "Ledger slots that exist.",
                f64::from(self.ledger.capacity().0),
            ),
            family(
                "rustsocks_build_info",
                "Always 1; the version is in the label.",
                MetricType::GAUGE,
                vec![sample(&[("version", env!("CARGO_PKG_VERSION"))], Number::Gauge(1.0))],
            ),
        ]);
    }

    fn writer(&self, families: &mut Vec<MetricFamily>) {
        let gauges = &*self.gauges;
        let WriterGauges {
            rows,
            commits,
            commit_us,
            retries,
            queue,
            deleted,
            checkpoints_skipped,
            openings_left_out,
            lost,
            ..
        } = gauges;
        families.extend([
            counter("rustsocks_writer_rows_total", "Rows written to the store.", rows.get()),
            counter("rustsocks_writer_commits_total", "Transactions committed.", commits.get()),
            counter_of(
                "rustsocks_writer_commit_seconds_total",
                "Time spent in transactions.",
                commit_us.get() as f64 / 1e6,
            ),
            counter(
                "rustsocks_writer_retries_total",
                "Transactions that failed and were tried again.",
                retries.get(),
            ),
            counter(
                "rustsocks_writer_deleted_rows_total",
                "Rows deleted because their time was over.",
                deleted.get(),
            ),
            counter(
                "rustsocks_writer_checkpoints_skipped_total",
                "Checkpoints of long sessions that were skipped or broken off.",
                checkpoints_skipped.get(),
            ),
            counter(
                "rustsocks_writer_openings_left_out_total",
                "Openings that were not written, too many being on their way.",
                openings_left_out.get(),
            ),
            counter(
                "rustsocks_writer_lost_total",
                "Endings that were not stored when the process had to end.",
                lost.get(),
            ),
            gauge(
                "rustsocks_writer_queue_entries",
                "Entries that wait for the writer.",
                queue.get() as f64,
            ),
            gauge(
                "rustsocks_writer_oldest_unsaved_seconds",
                "How long the oldest entry has been waiting.",
                gauges.oldest_unsaved_ms() as f64 / 1000.0,
            ),
            gauge(
                "rustsocks_writer_degraded",
                "1 while rows cannot be stored.",
                f64::from(u8::from(gauges.trouble().is_some())),
            ),
        ]);
    }

    fn gate(&self, families: &mut Vec<MetricFamily>) {
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
            handler_panics,
        } = &*self.gate;
        let events: [(&str, &AtomicU64); 22] = [
            ("accepted", accepted),
            ("passed", passed),
            ("answered", answered),
            ("bad_request", bad_requests),
            ("foreign_origin", foreign_origins),
            ("late_request", late_requests),
            ("transfer_encoding", transfer_encodings),
            ("body_too_large", bodies_too_large),
            ("foreign_host", foreign_hosts),
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
            ("handler_panic", handler_panics),
        ];
        let metrics = events.map(|(event, count)| {
            sample(&[("event", event)], Number::Counter(count.load(Relaxed) as f64))
        });
        families.push(family(
            "rustsocks_api_events_total",
            "What the API's gate let through and what it turned away.",
            MetricType::COUNTER,
            metrics.into(),
        ));
    }
}

enum Number {
    Counter(f64),
    Gauge(f64),
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

type WorkerFamily = (&'static str, &'static str, Kind, fn(&Counters) -> f64);

/// One series per worker each.
const WORKER_FAMILIES: [WorkerFamily; 19] = [
    ("rustsocks_accepted_total", "Client connections accepted.", Kind::Counter, |w| {
        w.accepted.get() as f64
    }),
    ("rustsocks_released_total", "Client connections that are gone.", Kind::Counter, |w| {
        w.released.get() as f64
    }),
    ("rustsocks_worker_active_sessions", "Sessions alive.", Kind::Gauge, |w| w.active() as f64),
    (
        "rustsocks_accept_pauses_total",
        "Pauses of accepting because descriptors had run out.",
        Kind::Counter,
        |w| w.accept_pauses.get() as f64,
    ),
    (
        "rustsocks_over_limit_total",
        "Clients turned away because every connection was taken.",
        Kind::Counter,
        |w| w.over_limit.get() as f64,
    ),
    ("rustsocks_auth_failures_total", "Logins that failed.", Kind::Counter, |w| {
        w.auth_failures.get() as f64
    }),
    ("rustsocks_packets_sent_total", "Relay transfers, client to target.", Kind::Counter, |w| {
        w.packets_sent.get() as f64
    }),
    (
        "rustsocks_packets_received_total",
        "Relay transfers, target to client.",
        Kind::Counter,
        |w| w.packets_received.get() as f64,
    ),
    (
        "rustsocks_stale_events_total",
        "Events and answers that came for a connection that was gone.",
        Kind::Counter,
        |w| w.stale.get() as f64,
    ),
    (
        "rustsocks_budget_spent_total",
        "Portions of a relay that used up their budget.",
        Kind::Counter,
        |w| w.budget_spent.get() as f64,
    ),
    (
        "rustsocks_unrecorded_total",
        "Sessions without a record, for want of a ledger slot.",
        Kind::Counter,
        |w| w.unrecorded.get() as f64,
    ),
    (
        "rustsocks_openings_left_out_total",
        "Openings not announced to the writer, its queue being nearly full.",
        Kind::Counter,
        |w| w.openings_left_out.get() as f64,
    ),
    (
        "rustsocks_journal_backlog_entries",
        "Endings that wait for room in the writer's queue.",
        Kind::Gauge,
        |w| w.journal_backlog.get() as f64,
    ),
    (
        "rustsocks_connection_panics_total",
        "Connections whose handling panicked; must be 0.",
        Kind::Counter,
        |w| w.panics.get() as f64,
    ),
    ("rustsocks_worker_turns_total", "Turns of the event loop.", Kind::Counter, |w| {
        w.turns.get() as f64
    }),
    (
        "rustsocks_worker_busy_seconds_total",
        "Time spent in turns, waiting left out.",
        Kind::Counter,
        |w| w.busy_us.get() as f64 / 1e6,
    ),
    ("rustsocks_worker_longest_turn_seconds", "The longest turn so far.", Kind::Gauge, |w| {
        w.turn_us_max.get() as f64 / 1e6
    }),
    ("rustsocks_policy_generation", "The policy in use.", Kind::Gauge, |w| {
        w.policy_generation.get() as f64
    }),
    ("rustsocks_ledger_free_slots", "Ledger slots that can be claimed.", Kind::Gauge, |w| {
        w.ledger_free.get() as f64
    }),
];

/// Never called: it does not compile when a counter is added that nobody exports.
#[expect(dead_code, reason = "it is there for the compiler")]
fn every_counter_is_exported(counters: &Counters) {
    let Counters {
        accepted: _,
        released: _,
        accept_pauses: _,
        over_limit: _,
        sessions_opened: _,
        sessions_closed: _,
        sessions_rejected: _,
        auth_failures: _,
        bytes_sent: _,
        bytes_received: _,
        packets_sent: _,
        packets_received: _,
        durations: _,
        outcomes: _,
        stale: _,
        budget_spent: _,
        unrecorded: _,
        openings_left_out: _,
        journal_backlog: _,
        panics: _,
        turns: _,
        busy_us: _,
        turn_us_max: _,
        policy_generation: _,
        ledger_free: _,
    } = counters;
}

fn counter(name: &str, help: &str, value: u64) -> MetricFamily {
    counter_of(name, help, value as f64)
}

fn counter_of(name: &str, help: &str, value: f64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, vec![sample(&[], Number::Counter(value))])
}

fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    family(name, help, MetricType::GAUGE, vec![sample(&[], Number::Gauge(value))])
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn sample(labels: &[(&str, &str)], number: Number) -> Metric {
    let labels = labels.iter().map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    });
    let mut metric = Metric::from_label(labels.collect());
    match number {
        Number::Counter(value) => {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        Number::Gauge(value) => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }
    metric
}
