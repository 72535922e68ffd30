//! What the API answers from, and who answers what.

use std::sync::Arc;
use std::time::Instant;

use super::access::{Access, Need};
use super::events::EventSource;
use super::gate::{GateCounters, bump};
use super::policy::Reload;
#[cfg(feature = "metrics")]
use super::prometheus::Exposition;
use super::reply::ApiReply;
use super::request::ApiRequest;
use super::route::{Bounds, Pace, Route};
use super::server::{Handler, Service, Slow};
use super::terminate::Posts;
use crate::limit::Admission;
use crate::policy::InForce;
use crate::session::{Ledger, Table};
use crate::stats::{Counters, History, Minutes, News, Readiness, Windows, WriterGauges};

/// Everything that the API reads, and the ways to those who change something.
pub struct Api {
    /// Live sessions.
    pub table: Arc<Table>,
    /// What they are made of.
    pub ledger: Arc<Ledger>,
    /// What each worker counts.
    pub workers: Arc<[Arc<Counters>]>,
    /// Connections in all.
    pub admission: Arc<Admission>,
    /// Ended sessions; `None` when single sessions are not kept.
    pub history: Option<Arc<dyn History>>,
    /// Sums of what started of late.
    pub windows: Arc<Windows>,
    /// What passed in each minute that has ended.
    pub minutes: Arc<Minutes>,
    /// How the writer is doing.
    pub gauges: Arc<WriterGauges>,
    /// What happens to sessions, for whoever listens.
    pub news: Arc<News>,
    /// The policy in force.
    pub in_force: Arc<InForce>,
    /// Reloads configuration and rules, for whom it is told, and says what came of it.
    pub reload: Reload,
    /// Whether clients are taken.
    pub readiness: Arc<Readiness>,
    /// The name of this node; empty for none.
    pub node: String,
    /// Whether single sessions are kept and shown. The table has them in any case, for the sums.
    pub records: bool,
    /// When the process started.
    pub started: Instant,
    /// The ways to the workers.
    pub posts: Arc<Posts>,
    /// Who may do what.
    pub access: Access,
    /// What the gate and the handlers count.
    pub gate: Arc<GateCounters>,
    /// What the numbers of a query may be.
    pub bounds: Bounds,
    /// The metrics; `None` when they are switched off.
    #[cfg(feature = "metrics")]
    pub metrics: Option<Exposition>,
}

impl Api {
    /// As what the server serves.
    #[must_use]
    pub fn into_service(self) -> Service {
        let api = Arc::new(self);
        let source = EventSource {
            news: Arc::clone(&api.news),
            node: api.node.clone(),
            health: {
                let api = Arc::clone(&api);
                Box::new(move || api.health_json())
            },
        };
        let slow: Slow = {
            let api = Arc::clone(&api);
            Arc::new(move |request| api.is_slow(request))
        };
        let handler: Handler = Arc::new(move |request| api.answer(request));
        Service { handler, slow, events: Some(source) }
    }

    /// Whether the answer may take long. Who is turned away is so at once.
    fn is_slow(&self, request: &ApiRequest) -> bool {
        let query = request.query.as_deref();
        let Ok(route) = Route::of(request.method, &request.path, query, &self.bounds) else {
            return false;
        };
        let wait = match route.pace() {
            Pace::Quick => false,
            Pace::Slow => true,
            Pace::SlowUnlessAtHand(id) => {
                self.table.find(id).is_none() && self.ledger.find_ended(id).is_none()
            }
        };
        wait && self.access.check(route.need(), request.authorization.as_deref()).is_ok()
    }

    fn answer(&self, request: &ApiRequest) -> ApiReply {
        let query = request.query.as_deref();
        let route = Route::of(request.method, &request.path, query, &self.bounds);
        // Who may not read is not told either what there is to be read.
        let need = route.as_ref().map_or(Need::Reading, Route::need);
        if let Err(denied) = self.access.check(need, request.authorization.as_deref()) {
            bump(&self.gate.denied);
            return denied.reply();
        }
        match route {
            Ok(route) => self.perform(request, &route),
            Err(miss) => miss.reply(),
        }
    }

    fn perform(&self, request: &ApiRequest, route: &Route) -> ApiReply {
        match route {
            Route::Dashboard(asset) => asset.reply(request.if_none_match.as_deref()),
            Route::OpenApi => self.openapi(),
            Route::Health => self.health(request),
            Route::Metrics => self.metrics(),
            Route::Resources => self.resources(),
            Route::ActiveSessions(query) => self.active(request, query),
            Route::History(asked) => self.history(request, asked),
            Route::Session(id) => self.one(*id),
            Route::Terminate(id) => self.terminate(request, *id),
            Route::TerminateAll(filter) => self.terminate_all(request, filter),
            Route::Stats(query) => self.statistics(query),
            Route::Minutes(query) => self.minutes(request, query),
            Route::Rules(query) => self.rules(request, query),
            Route::Explain => self.explain(request),
            Route::Reload => self.reload(request),
            Route::Events(_) => self.events(request),
            Route::Quotas(query) => self.quotas(request, query),
            Route::Bans(query) => self.bans(request, query),
            Route::LiftBan(address) => self.lift_ban(request, *address),
        }
    }

    #[cfg(feature = "metrics")]
    fn metrics(&self) -> ApiReply {
        match &self.metrics {
            Some(metrics) => metrics.reply(),
            None => ApiReply::problem(404, "metrics.enabled is false"),
        }
    }

    #[cfg(not(feature = "metrics"))]
    #[expect(clippy::unused_self, reason = "the other build needs it")]
    fn metrics(&self) -> ApiReply {
        ApiReply::problem(404, "this binary was built without metrics")
    }
}

#[cfg(test)]
mod tests;
