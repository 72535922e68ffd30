//! `GET /api/sessions/stats`: sums over a window.

use super::api::Api;
use super::reply::ApiReply;
use super::route::StatsQuery;
use crate::clock;
use crate::stats::Report;

impl Api {
    pub(super) fn statistics(&self, query: &StatsQuery) -> ApiReply {
        let now = clock::now();
        let answer = self.windows.answer(now, query.window_hours);
        let top = query.top as usize;
        ApiReply::json(&Report {
            window_hours: query.window_hours,
            active_sessions: self.workers.iter().map(|counters| counters.active()).sum(),
            total_sessions: answer.sums.sessions,
            total_bytes_sent: answer.sums.bytes_sent,
            total_bytes_received: answer.sums.bytes_received,
            top_users: answer.top_users.iter().take(top).cloned().collect(),
            top_destinations: answer.top_destinations.iter().take(top).cloned().collect(),
            generated_at: clock::rfc3339(now.utc_ms),
            window_start: clock::rfc3339(answer.window_start_ms),
            as_of: answer.as_of_ms.map(clock::rfc3339),
            complete: answer.complete,
            closed_sessions: answer.sums.closed,
            failed_sessions: answer.sums.failed,
            rejected_sessions: answer.sums.rejected,
            approximate: answer.shortfall.is_some(),
            error_bound: answer.shortfall,
        })
    }
}
