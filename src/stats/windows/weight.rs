//! What a name, or a span of time, weighs.

use crate::session::{Status, Traffic};
use crate::stats::Change;

/// Sessions and octets of one name. Differences are taken and added modulo 2⁶⁴, so that what was
/// added and taken away again leaves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) sessions: u64,
    /// Both ways together.
    pub(super) bytes: u64,
}

impl Weight {
    pub(super) const fn add(&mut self, more: Self) {
        self.sessions = self.sessions.wrapping_add(more.sessions);
        self.bytes = self.bytes.wrapping_add(more.bytes);
    }

    pub(super) const fn negated(self) -> Self {
        Self { sessions: self.sessions.wrapping_neg(), bytes: self.bytes.wrapping_neg() }
    }

    /// The greater of both, figure by figure.
    pub(super) fn or_more(self, other: Self) -> Self {
        Self { sessions: self.sessions.max(other.sessions), bytes: self.bytes.max(other.bytes) }
    }
}

/// The sums of all rows of a span of time: always exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Rows.
    pub sessions: u64,
    /// Octets, client to target.
    pub bytes_sent: u64,
    /// Octets, target to client.
    pub bytes_received: u64,
    /// Rows with status `closed`.
    pub closed: u64,
    /// Rows with status `failed`.
    pub failed: u64,
    /// Rows with status `rejected_by_acl`.
    pub rejected: u64,
}

impl Sums {
    /// The difference that a commit makes.
    pub(super) fn of(change: &Change) -> Self {
        let Traffic { bytes_sent, bytes_received, .. } = change.moved();
        let sums = Self {
            sessions: u64::from(change.is_first()),
            bytes_sent,
            bytes_received,
            ..Self::default()
        };
        sums.with(change.session.status())
    }

    /// The same with one row of this status.
    #[must_use]
    pub(super) const fn with(mut self, status: Status) -> Self {
        match status {
            Status::Active => {}
            Status::Closed => self.closed += 1,
            Status::Failed => self.failed += 1,
            Status::RejectedByAcl => self.rejected += 1,
        }
        self
    }

    /// As the weight of one name.
    pub(super) const fn weight(&self) -> Weight {
        Weight { sessions: self.sessions, bytes: self.bytes_sent.wrapping_add(self.bytes_received) }
    }

    pub(super) fn add(&mut self, more: &Self) {
        self.combine(more, u64::wrapping_add);
    }

    pub(super) fn subtract(&mut self, less: &Self) {
        self.combine(less, u64::wrapping_sub);
    }

    fn combine(&mut self, other: &Self, operation: impl Fn(u64, u64) -> u64) {
        // Taken apart without `..`: a new sum does not compile until it is added here.
        let Self { sessions, bytes_sent, bytes_received, closed, failed, rejected } = self;
        *sessions = operation(*sessions, other.sessions);
        *bytes_sent = operation(*bytes_sent, other.bytes_sent);
        *bytes_received = operation(*bytes_received, other.bytes_received);
        *closed = operation(*closed, other.closed);
        *failed = operation(*failed, other.failed);
        *rejected = operation(*rejected, other.rejected);
    }
}
