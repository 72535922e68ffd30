//! `GET /api/sessions/history` and `GET /api/users/{user}/sessions`: ended sessions in pages.

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::gate::bump;
use super::page::HistoryCursor;
use super::reply::ApiReply;
use super::request::ApiRequest;
use super::route::HistoryRequest;
use crate::stats::{HistoryPage, Record, Unavailable};

/// A page of ended sessions.
#[derive(Serialize, ToSchema)]
pub(super) struct EndedSessions {
    data: Vec<Record>,
    /// Where to go on; `null` when nothing is left.
    #[schema(required)]
    next_cursor: Option<String>,
    /// All that pass; `null` if nobody asked, or counting took too long.
    #[schema(required)]
    total: Option<u64>,
    /// There if the time limit ended the search before the page was full: nothing behind has been
    /// looked at. It is `next_cursor` too, so that whoever follows that one misses nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    scanned_until: Option<String>,
}

impl Api {
    pub(super) fn history(&self, request: &ApiRequest, asked: &HistoryRequest) -> ApiReply {
        let Some(history) = &self.history else {
            return ApiReply::problem(404, "sessions are not recorded: sessions.enabled is false");
        };
        let page = match history.page(&asked.query) {
            Ok(page) => page,
            Err(unavailable) => return self.unavailable(&unavailable),
        };
        let total = match asked.total.then(|| history.total(&asked.query.filter)) {
            None => None,
            Some(Ok(total)) => {
                if total.is_none() {
                    bump(&self.gate.history_cut);
                }
                total
            }
            Some(Err(unavailable)) => return self.unavailable(&unavailable),
        };
        let HistoryPage { records, next, cut } = page;
        if cut {
            bump(&self.gate.history_cut);
        }
        let next = next.map(|place| HistoryCursor { order: asked.query.order, place }.encode());
        ApiReply::json(&EndedSessions {
            data: records,
            next_cursor: next.clone(),
            total,
            scanned_until: next.clone().filter(|_| cut),
        })
        .with_next(request, "cursor", next.as_deref())
    }

    /// The answer when a history does not answer.
    pub(super) fn unavailable(&self, why: &Unavailable) -> ApiReply {
        match why {
            Unavailable::Busy => {
                bump(&self.gate.history_busy);
                busy()
            }
            Unavailable::TooLong | Unavailable::Failed(_) => {
                ApiReply::problem(503, &why.to_string())
            }
        }
    }
}

/// The answer to who asks the history when enough do.
fn busy() -> ApiReply {
    ApiReply::problem(503, &Unavailable::Busy.to_string()).with_header("Retry-After", "1")
}
