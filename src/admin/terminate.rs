//! Ending live sessions: one by its id, or all that pass a filter.
//!
//! The worker that owns a session ends it; here it is only told to. So the answer is 202, and the
//! session may have ended by itself before the letter is read.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::reply::ApiReply;
use super::request::ApiRequest;
use crate::mailbox::{Post, VICTIMS_MAX, Victim};
use crate::session::{SessionId, SessionRef};
use crate::stats::Filter;

/// The ways to the workers, once there are any.
pub type Posts = OnceLock<Vec<Post>>;

/// What became of an order to end sessions.
#[derive(Serialize, ToSchema)]
pub(super) struct Told {
    /// Sessions whose worker was told to end them.
    told: usize,
}

impl Api {
    /// `POST /api/sessions/{id}/terminate`
    pub(super) fn terminate(&self, request: &ApiRequest, id: SessionId) -> ApiReply {
        if !self.records {
            return ApiReply::problem(404, "sessions.enabled is false: no session has an id");
        }
        if let Some(refusal) = refuse_body(request) {
            return refusal;
        }
        let Some(listed) = self.table.find(id) else { return self.not_live(id) };
        if self.ledger.view(listed.session).is_none_or(|view| view.ending.is_some()) {
            return ended();
        }
        let victim = Victim { key: listed.key, id };
        if !self.tell(listed.worker, vec![victim], request) {
            return ApiReply::problem(
                503,
                "the session's worker takes no more orders now; ask again",
            );
        }
        tracing::info!("session {id} is to be ended: asked from {}", request.client);
        ApiReply::json(&Told { told: 1 }).with_status(202)
    }

    /// `POST /api/sessions/terminate`
    pub(super) fn terminate_all(&self, request: &ApiRequest, filter: &Filter) -> ApiReply {
        if let Some(refusal) = refuse_body(request) {
            return refusal;
        }
        let (mut told, mut not_told) = (0, 0);
        for worker in 0..self.table.workers() {
            let victims = self.victims(worker, filter);
            for portion in victims.chunks(VICTIMS_MAX) {
                let taken = self.tell(worker, portion.to_vec(), request);
                *(if taken { &mut told } else { &mut not_told }) += portion.len();
            }
        }
        let (which, client) = (described(filter), request.client);
        tracing::info!("{told} sessions{which} are to be ended: asked from {client}");
        if not_told > 0 {
            let text = format!(
                "{told} sessions were told to end; {not_told} were not, because their worker takes no \
                 more orders now; ask again"
            );
            return ApiReply::problem(503, &text);
        }
        ApiReply::json(&Told { told }).with_status(202)
    }

    /// The live sessions of one worker that pass.
    fn victims(&self, worker: usize, filter: &Filter) -> Vec<Victim> {
        let mut victims = Vec::new();
        let mut page: Vec<SessionRef> = Vec::new();
        let mut after = None;
        loop {
            page.clear();
            after = self.table.page(worker, after, &mut page);
            let views = page.iter().filter_map(|session| self.ledger.view(*session));
            let passing = views.filter(|view| view.ending.is_none() && filter.passes(view));
            let listed = passing.filter_map(|view| Some((self.table.find(view.id)?, view.id)));
            victims.extend(listed.map(|(listed, id)| Victim { key: listed.key, id }));
            if after.is_none() {
                return victims;
            }
        }
    }

    /// Whether the worker's mailbox took it.
    fn tell(&self, worker: usize, victims: Vec<Victim>, request: &ApiRequest) -> bool {
        let count = victims.len();
        let post = self.posts.get().and_then(|posts| posts.get(worker));
        let taken = post.is_some_and(|post| post.kill(victims, request.client).is_ok());
        if !taken {
            self.gate.kills_refused.fetch_add(count as u64, Relaxed);
        }
        taken
    }

    /// Why a session that is not in the table cannot be ended.
    fn not_live(&self, id: SessionId) -> ApiReply {
        if self.ledger.find_ended(id).is_some() {
            return ended();
        }
        match self.history.as_ref().map(|history| history.one(id)) {
            Some(Ok(Some(_))) => ended(),
            Some(Ok(None)) | None => ApiReply::problem(404, "there is no session of this id"),
            Some(Err(unavailable)) => self.unavailable(&unavailable),
        }
    }
}

/// What a filter lets pass, in words. What was sent is in quotes, its control characters escaped.
fn described(filter: &Filter) -> String {
    let mut text = String::new();
    if let Some(user) = &filter.user {
        text += &format!(" of user {user:?}");
    }
    if let Some(dest) = &filter.dest {
        text += &match dest.port {
            Some(port) => format!(" to {:?} port {port}", dest.host),
            None => format!(" to {:?}", dest.host),
        };
    }
    if let Some(source) = filter.source {
        text += &format!(" from {source}");
    }
    text
}

fn ended() -> ApiReply {
    ApiReply::problem(409, "the session has ended already")
}

/// A filter that stands in the body would be passed over, and more be ended than was meant.
fn refuse_body(request: &ApiRequest) -> Option<ApiReply> {
    let text = "this takes no body: a filter is given as parameters";
    (!request.body.is_empty()).then(|| ApiReply::problem(400, text))
}

#[cfg(test)]
mod tests;
