//! Sums over a window, as `/api/sessions/stats` answers them, and where they come from.

use serde::Serialize;
use utoipa::ToSchema;

use super::history::{Filter, HistoryPage, HistoryQuery};
use super::minutes::MinuteRecord;
use super::record::Record;
use super::windows::Shortfall;
use crate::session::SessionId;

/// The sums of a window: the reference's names first, then ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Report {
    /// The window's length that was asked for.
    pub window_hours: u32,
    /// Sessions alive now.
    pub active_sessions: u64,
    /// Rows that started in the window.
    pub total_sessions: u64,
    /// Octets, client to target.
    pub total_bytes_sent: u64,
    /// Octets, target to client.
    pub total_bytes_received: u64,
    /// The heaviest users by octets both ways.
    pub top_users: Vec<TopUser>,
    /// The most wanted targets by sessions.
    pub top_destinations: Vec<TopDestination>,
    /// When the answer was made, RFC 3339.
    #[schema(format = DateTime)]
    pub generated_at: String,
    /// The minute's edge at which the window begins, RFC 3339.
    #[schema(format = DateTime)]
    pub window_start: String,
    /// The last commit that the answer contains, RFC 3339; `null` before the first one.
    #[schema(required, format = DateTime)]
    pub as_of: Option<String>,
    /// Whether the whole window is covered; not yet after a start, while the rows of the past come
    /// in.
    pub complete: bool,
    /// Of `total_sessions`, those that relayed and ended.
    pub closed_sessions: u64,
    /// Those that never relayed, or were cut by a crash.
    pub failed_sessions: u64,
    /// Those that a rule or the guard refused.
    pub rejected_sessions: u64,
    /// Whether the lists are not exact, because a bound was reached. The sums always are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub approximate: bool,
    /// By how much any entry of the lists may be short then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_bound: Option<Shortfall>,
}

/// One user's share of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TopUser {
    /// The name.
    pub user: String,
    /// Sessions.
    pub sessions: u64,
    /// Octets both ways.
    pub bytes: u64,
}

/// One target's share of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TopDestination {
    /// `host:port`, IPv6 in brackets.
    pub dest: String,
    /// Sessions.
    pub sessions: u64,
    /// Octets both ways.
    pub bytes: u64,
}

/// Why a history does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It took too long.
    #[error("the question took longer than its time limit")]
    TooLong,
    /// As many questions as may be asked at once are being answered.
    #[error("too many questions about the history at once")]
    Busy,
    /// The database says no.
    #[error("the database cannot be read: {0}")]
    Failed(String),
}

/// Where ended sessions are asked for: the database, or the ring of the memory mode.
pub trait History: Send + Sync {
    /// One session that is or was in the table.
    ///
    /// # Errors
    /// [`Unavailable`].
    fn one(&self, id: SessionId) -> Result<Option<Record>, Unavailable>;

    /// One page of the sessions that have ended.
    ///
    /// # Errors
    /// [`Unavailable`].
    fn page(&self, query: &HistoryQuery) -> Result<HistoryPage, Unavailable>;

    /// How many sessions that have ended pass; `None` when counting them would take longer than
    /// the time limit.
    ///
    /// # Errors
    /// [`Unavailable`].
    fn total(&self, filter: &Filter) -> Result<Option<u64>, Unavailable>;

    /// The minutes that began at `since_ms` or later and before `until_ms` (milliseconds since the
    /// epoch), `limit` at most, oldest first.
    ///
    /// # Errors
    /// [`Unavailable`].
    fn minutes(
        &self,
        since_ms: i64,
        until_ms: i64,
        limit: usize,
    ) -> Result<Vec<MinuteRecord>, Unavailable>;
}

/// The minute's edge at or before `hours` before `now_ms`, milliseconds since the epoch.
#[must_use]
pub fn window_start(now_ms: i64, hours: u32) -> i64 {
    (now_ms - i64::from(hours) * 3_600_000).div_euclid(60_000) * 60_000
}

/// `host:port`, IPv6 in brackets.
#[must_use]
pub fn destination(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_at_the_minutes_edge() {
        assert_eq!(window_start(3_600_000 + 119_999, 1), 60_000);
        assert_eq!(window_start(3_600_000 + 120_000, 1), 120_000);
    }

    #[test]
    fn ipv6_destinations_are_bracketed() {
        assert_eq!(destination("::1", 443), "[::1]:443");
        assert_eq!(destination("example.com", 443), "example.com:443");
    }
}
