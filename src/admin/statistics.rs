//! `GET /api/sessions/stats`: sums over a window.

use super::api::Api;
use super::reply::ApiReply;
use super::route::StatsQuery;
use crate::clock;
use crate::stats::{Report, WindowSums, window_start};

impl Api {
    pub(super) fn statistics(&self, query: &StatsQuery) -> ApiReply {
        let now = clock::utc_ms();
        let start = window_start(now, query.window_hours);
        let sums = match &self.history {
            Some(history) => history.sums(start, query.top),
            // Nothing about single sessions is kept: there are only the sums of the metrics.
            None => Ok(WindowSums::default()),
        };
        let sums = match sums {
            Ok(sums) => sums,
            Err(unavailable) => return self.unavailable(&unavailable),
        };
        ApiReply::json(&Report {
            window_hours: query.window_hours,
            active_sessions: self.workers.iter().map(|counters| counters.active()).sum(),
            total_sessions: sums.sessions,
            total_bytes_sent: sums.bytes_sent,
            total_bytes_received: sums.bytes_received,
            top_users: sums.top_users,
            top_destinations: sums.top_destinations,
            generated_at: clock::rfc3339(now),
            window_start: clock::rfc3339(start),
            as_of: self.gauges.last_commit_ms().map(clock::rfc3339),
            complete: sums.complete,
            closed_sessions: sums.closed,
            failed_sessions: sums.failed,
            rejected_sessions: sums.rejected,
        })
    }
}
