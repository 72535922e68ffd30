//! What the gate let through and what it turned away.

use std::sync::atomic::{AtomicU64, Ordering};

use super::refusal::Refusal;

/// Counters of the gate and of the handlers behind it. All only grow; a reader loads them with
/// [`Ordering::Relaxed`].
#[derive(Debug, Default)]
pub struct GateCounters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Requests handed to the server within.
    pub passed: AtomicU64,
    /// Answers, errors of the gate included, written to their last octet.
    pub answered: AtomicU64,
    /// 400: no lawful request.
    pub bad_requests: AtomicU64,
    /// 403: asked by a page from elsewhere.
    pub foreign_origins: AtomicU64,
    /// 408: not whole at the deadline.
    pub late_requests: AtomicU64,
    /// 411: any `Transfer-Encoding`.
    pub transfer_encodings: AtomicU64,
    /// 413: a body over the limit.
    pub bodies_too_large: AtomicU64,
    /// 421: a `Host` that is not ours.
    pub foreign_hosts: AtomicU64,
    /// 429: as many listen to events as may.
    pub listeners_refused: AtomicU64,
    /// Listeners that were given up because they took nothing, or never enough.
    pub listeners_dropped: AtomicU64,
    /// Events that a listener had no room for; it is told how many.
    pub events_missed: AtomicU64,
    /// 431: a head over a limit.
    pub heads_too_large: AtomicU64,
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    pub versions: AtomicU64,
    /// 500: an answer over the limit.
    pub answers_too_large: AtomicU64,
    /// 502: an answer that was no whole answer.
    pub answers_cut: AtomicU64,
    /// 503: the server within could not be asked.
    pub unavailable: AtomicU64,
    /// 504: no whole answer at the deadline.
    pub answers_late: AtomicU64,
    /// Closed at the deadline without an answer, because not one octet had come.
    pub silent: AtomicU64,
    /// Closed because the client took its answer too slowly.
    pub slow_readers: AtomicU64,
    /// Closed to make room, the gate being full.
    pub displaced: AtomicU64,
    /// Closed at once, its address having too many connections already.
    pub address_full: AtomicU64,
    /// Accepts that failed for want of descriptors or memory.
    pub accept_failures: AtomicU64,
    /// Times the server within was built anew.
    pub rebuilt: AtomicU64,
    /// 503: as many requests as may be at once waited for the history or a reload.
    pub history_busy: AtomicU64,
    /// Pages of the history that were cut, and totals that were given up, by their time limit.
    pub history_cut: AtomicU64,
    /// Sessions that were not told to end, because their worker took no more orders.
    pub kills_refused: AtomicU64,
    /// 401: what was asked for wants the token, and no or another one was shown.
    pub denied: AtomicU64,
    /// Handlers that panicked; each was answered with 500.
    pub handler_panics: AtomicU64,
}

impl GateCounters {
    pub(super) fn count(&self, refusal: Refusal) {
        bump(match refusal {
            Refusal::Malformed(_) => &self.bad_requests,
            Refusal::ForeignOrigin => &self.foreign_origins,
            Refusal::Late => &self.late_requests,
            Refusal::TransferEncoding => &self.transfer_encodings,
            Refusal::BodyTooLarge => &self.bodies_too_large,
            Refusal::ForeignHost => &self.foreign_hosts,
            Refusal::TooManyListeners => &self.listeners_refused,
            Refusal::HeadTooLarge => &self.heads_too_large,
            Refusal::Version => &self.versions,
            Refusal::AnswerTooLarge => &self.answers_too_large,
            Refusal::AnswerCut => &self.answers_cut,
            Refusal::Unavailable => &self.unavailable,
            Refusal::AnswerLate => &self.answers_late,
        });
    }
}

pub(in crate::admin) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
