//! Live sessions in pages, and one session by its id.

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::page::{Cursor, Sort, SortKey};
use super::reply::ApiReply;
use super::request::ApiRequest;
use super::route::ActiveQuery;
use crate::session::{Copied, Glance, SessionId, SessionRef, SessionView};
use crate::stats::{Best, Record};

/// A page of live sessions.
#[derive(Serialize, ToSchema)]
pub(super) struct LiveSessions {
    data: Vec<Record>,
    /// Where to go on; `null` when nothing is left.
    #[schema(required)]
    next_cursor: Option<String>,
    /// All that pass.
    total: u64,
}

impl Api {
    /// `GET /api/sessions/active`
    pub(super) fn active(&self, request: &ApiRequest, query: &ActiveQuery) -> ApiReply {
        let (sort, order, limit) = (query.sort, query.order, query.limit as usize);
        let after = query.cursor.as_ref().map(|cursor| (cursor.key.clone(), cursor.id));
        // One more than the page has, to know whether it is the last.
        let mut best = Best::new(order, after, limit + 1);
        let mut total = 0;
        self.each_live(|copied| {
            let session = copied.glance();
            if !query.filter.passes_at_a_glance(&session) {
                return;
            }
            total += 1;
            let key = (key(sort, &session), session.id);
            if best.admits(&key) {
                best.push(key, SessionView::from_copied(copied));
            }
        });
        let mut page = best.into_sorted();
        let more = page.len() > limit;
        page.truncate(limit);
        let next_cursor = page.last().filter(|_| more).map(|((key, id), _)| {
            let (key, id) = (key.clone(), *id);
            Cursor { sort, order, key, id }.encode()
        });
        let data = page.iter().map(|(_, view)| Record::of(view, &self.node)).collect();
        let next = next_cursor.clone();
        ApiReply::json(&LiveSessions { data, next_cursor, total }).with_next(
            request,
            "cursor",
            next.as_deref(),
        )
    }

    /// `GET /api/sessions/{id}`
    pub(super) fn one(&self, id: SessionId) -> ApiReply {
        if !self.records {
            return ApiReply::problem(404, "sessions.enabled is false: there are only sums");
        }
        let live = self.table.find(id).and_then(|listed| self.ledger.view(listed.session));
        // Off the table and not stored yet: its slot has it. Stored by now: the history has it. In
        // this order, because that is the way that a session takes.
        if let Some(view) = live.filter(|view| view.id == id).or_else(|| self.ledger.find_ended(id))
        {
            return ApiReply::json(&Record::of(&view, &self.node));
        }
        match self.history.as_ref().map(|history| history.one(id)) {
            Some(Ok(Some(record))) => ApiReply::json(&record),
            Some(Ok(None)) | None => ApiReply::problem(404, "there is no session of this id"),
            Some(Err(unavailable)) => self.unavailable(&unavailable),
        }
    }

    /// Shows every live session, one at a time, so that it costs no memory how many there are. Each shard
    /// is locked for a page at a time. Where single sessions are not to be shown there is none.
    fn each_live(&self, mut show: impl FnMut(&Copied)) {
        if !self.records {
            return;
        }
        let mut page: Vec<SessionRef> = Vec::new();
        for worker in 0..self.table.workers() {
            let mut after = None;
            loop {
                page.clear();
                after = self.table.page(worker, after, &mut page);
                let copies = page.iter().filter_map(|session| self.ledger.copied(*session));
                // One that has ended since is no longer live.
                copies.filter(|copied| copied.ending.is_none()).for_each(|copied| show(&copied));
                if after.is_none() {
                    break;
                }
            }
        }
    }
}

fn key(sort: Sort, session: &Glance<'_>) -> SortKey {
    let traffic = session.traffic;
    match sort {
        Sort::StartTime => SortKey::Number(u64::try_from(session.start_ms).unwrap_or(0)),
        Sort::User => SortKey::Text(session.user.to_string()),
        Sort::SourceIp => SortKey::Address(session.client.ip()),
        Sort::DestIp => SortKey::Text(session.target_host.to_string()),
        Sort::BytesSent => SortKey::Number(traffic.bytes_sent),
        Sort::BytesReceived => SortKey::Number(traffic.bytes_received),
        Sort::Bytes => SortKey::Number(traffic.bytes_sent + traffic.bytes_received),
    }
}

#[cfg(test)]
mod tests;
