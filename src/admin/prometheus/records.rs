//! Families of the way from a session's end to its record: the ledger, the writer, what was dropped.

use std::time::Instant;

use prometheus::proto::MetricFamily;

use super::family::{Kind, Unit, counter, gauge, histograms, labelled, sample, seconds};
use super::{Sources, sum};
use crate::stats::{Distribution, WriterGauges};

pub(super) fn families(sources: &Sources, now: Instant) -> [MetricFamily; 18] {
    let Sources { workers, gauges, ledger, minutes, .. } = sources;
    let WriterGauges {
        rows,
        commits,
        commit_us,
        retries,
        queue,
        deleted,
        freed_pages,
        cleaning,
        slice_us,
        checkpoints_skipped,
        openings_left_out,
        lost,
        wal_bytes,
        began: _,
        turn_ms: _,
        last_commit_ms: _,
        unsaved_since_ms: _,
        oldest_row_ms: _,
        trouble: _,
        wal_trouble: _,
    } = &**gauges;
    let free = sum(workers, |worker| &worker.ledger_free);
    let openings_unsent = sum(workers, |worker| &worker.openings_left_out);
    let (slots, slots_max) = ledger.capacity();
    [
        gauge("rustsocks_ledger_slots", "Ledger slots that exist.", f64::from(slots)),
        gauge("rustsocks_ledger_slots_max", "Ledger slots that may exist.", f64::from(slots_max)),
        gauge(
            "rustsocks_ledger_slots_used",
            "Ledger slots with a session that lives, is not stored yet, or was just stored.",
            u64::from(slots).saturating_sub(free) as f64,
        ),
        gauge(
            "rustsocks_ledger_durable",
            "0 when a crash would lose sessions that ought to outlive it; /health says why.",
            f64::from(u8::from(ledger.trouble().is_none())),
        ),
        dropped([
            ("checkpoint", checkpoints_skipped.get()),
            ("opening", openings_unsent + openings_left_out.get()),
            ("session", sum(workers, |worker| &worker.unrecorded)),
            ("attempt", sum(workers, |worker| &worker.attempts_unrecorded)),
            ("over_limit", sum(workers, |worker| &worker.over_limit_unlisted)),
            ("ending", lost.get()),
            ("minute", minutes.lost()),
        ]),
        counter("rustsocks_writer_rows_total", "Rows written to the store.", rows.get()),
        counter("rustsocks_writer_commits_total", "Transactions committed.", commits.get()),
        histograms(
            "rustsocks_writer_commit_seconds",
            "What transactions took that were committed.",
            vec![seconds(&[], &Distribution::of([commit_us]), Unit::Microseconds)],
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
            "rustsocks_writer_freed_pages_total",
            "Pages of the database that deleted rows left and the file system got back.",
            freed_pages.get(),
        ),
        gauge(
            "rustsocks_writer_cleaning",
            "1 while old rows are being deleted.",
            cleaning.get() as f64,
        ),
        histograms(
            "rustsocks_writer_cleaning_slice_seconds",
            "How long slices of deleting old rows have kept the writer from storing new ones.",
            vec![seconds(&[], &Distribution::of([slice_us]), Unit::Microseconds)],
        ),
        gauge(
            "rustsocks_oldest_row_timestamp_seconds",
            "When the oldest row began, looked for each minute; 0 without rows.",
            gauges.oldest_row_ms().unwrap_or(0) as f64 / 1e3,
        ),
        gauge(
            "rustsocks_writer_queue_entries",
            "Entries that wait for the writer.",
            queue.get() as f64,
        ),
        gauge(
            "rustsocks_writer_oldest_unsaved_seconds",
            "How long the oldest entry has been waiting.",
            gauges.oldest_unsaved(now).as_secs_f64(),
        ),
        gauge(
            "rustsocks_writer_degraded",
            "1 while rows cannot be stored.",
            f64::from(u8::from(gauges.trouble().is_some())),
        ),
        gauge(
            "rustsocks_writer_wal_bytes",
            "Octets of the database's write-ahead log.",
            wal_bytes.get() as f64,
        ),
    ]
}

/// Whatever was left out under pressure.
fn dropped<const KINDS: usize>(kinds: [(&str, u64); KINDS]) -> MetricFamily {
    let kinds = kinds.map(|(kind, count)| sample(Kind::Counter, &[("kind", kind)], count as f64));
    labelled(
        "rustsocks_records_dropped_total",
        "What was not recorded, by kind: a checkpoint or an opening is made good by what follows, a \
         session found no ledger slot, a refused attempt none in the part that such may hold, a client \
         over the limit came from one address too many, an ending was not stored when the process had \
         to end.",
        Kind::Counter,
        kinds.into(),
    )
}
