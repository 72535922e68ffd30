//! Live sessions in pages, and one session by its id.

use std::cmp::Ordering;

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::page::{Cursor, Sort, SortKey};
use super::reply::ApiReply;
use super::request::ApiRequest;
use super::route::ActiveQuery;
use crate::session::{SessionId, SessionRef, SessionView};
use crate::stats::{Order, Record};

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
        let mut rows: Vec<(SortKey, SessionView)> = self
            .live()
            .into_iter()
            .filter(|view| query.filter.passes(view))
            .map(|view| (key(query.sort, &view), view))
            .collect();
        let total = rows.len() as u64;
        rows.sort_unstable_by(|a, b| order(query.order, (&a.0, a.1.id), (&b.0, b.1.id)));
        let from = query.cursor.as_ref().map_or(0, |cursor| {
            rows.partition_point(|(key, view)| {
                order(query.order, (key, view.id), (&cursor.key, cursor.id)) != Ordering::Greater
            })
        });
        let limit = query.limit as usize;
        let more = rows.len() > from + limit;
        let page = rows.get(from..rows.len().min(from + limit)).unwrap_or_default();
        let next_cursor = page.last().filter(|_| more).map(|(key, view)| {
            let (sort, order) = (query.sort, query.order);
            Cursor { sort, order, key: key.clone(), id: view.id }.encode()
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
        if let Some(view) = live.filter(|view| view.id == id).or_else(|| self.ledger.find(id)) {
            return ApiReply::json(&Record::of(&view, &self.node));
        }
        match self.history.as_ref().map(|history| history.one(id)) {
            Some(Ok(Some(record))) => ApiReply::json(&record),
            Some(Ok(None)) | None => ApiReply::problem(404, "there is no session of this id"),
            Some(Err(unavailable)) => self.unavailable(&unavailable),
        }
    }

    /// A copy of every live session. Each shard is locked for a page at a time. Where single sessions
    /// are not to be shown there is none.
    fn live(&self) -> Vec<SessionView> {
        let mut views = Vec::new();
        if !self.records {
            return views;
        }
        let mut page: Vec<SessionRef> = Vec::new();
        for worker in 0..self.table.workers() {
            let mut after = None;
            loop {
                page.clear();
                after = self.table.page(worker, after, &mut page);
                // One that has ended since is no longer live.
                let copies = page.iter().filter_map(|session| self.ledger.view(*session));
                views.extend(copies.filter(|view| view.ending.is_none()));
                if after.is_none() {
                    break;
                }
            }
        }
        views
    }
}

fn key(sort: Sort, view: &SessionView) -> SortKey {
    let traffic = view.traffic;
    match sort {
        Sort::StartTime => SortKey::Number(u64::try_from(view.start_ms).unwrap_or(0)),
        Sort::User => SortKey::Text(view.user.to_string()),
        Sort::SourceIp => SortKey::Text(view.client.ip().to_string()),
        Sort::DestIp => SortKey::Text(view.target_host.to_string()),
        Sort::BytesSent => SortKey::Number(traffic.bytes_sent),
        Sort::BytesReceived => SortKey::Number(traffic.bytes_received),
        Sort::Bytes => SortKey::Number(traffic.bytes_sent + traffic.bytes_received),
    }
}

fn order(order: Order, a: (&SortKey, SessionId), b: (&SortKey, SessionId)) -> Ordering {
    order.of(a.cmp(&b))
}
