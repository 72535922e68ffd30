//! Every path and method, with what it takes and answers.

use serde_json::{Value, json};

use super::parameters as take;
use super::schemas::Schemas;
use crate::admin::access::Need;
use crate::admin::bans::{Bans, Lifted};
use crate::admin::events::MissedEvents;
use crate::admin::health::Health;
use crate::admin::history::EndedSessions;
use crate::admin::minutes::MinutesPage;
use crate::admin::policy::{Answer as Explanation, Question, Reloaded, Rules};
use crate::admin::quotas::Quotas;
use crate::admin::resources::Resources;
use crate::admin::route::Bounds;
use crate::admin::sessions::LiveSessions;
use crate::admin::terminate::Told;
use crate::stats::{Record, Report};

/// One method of one path.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) more: &'static str,
    pub(super) need: Need,
    pub(super) parameters: Vec<Value>,
    /// The schema of the body.
    pub(super) body: Option<Value>,
    /// Of the answer when all goes well.
    pub(super) status: u16,
    pub(super) answer: Answer,
    /// Whether it has a header `Link`.
    pub(super) paged: bool,
    /// Statuses that not every path has.
    pub(super) errors: &'static [u16],
    /// Another answer that is no problem, by its status.
    pub(super) further: Option<(u16, Value)>,
}

/// What comes back.
pub(super) enum Answer {
    /// JSON of this schema.
    Json(Value),
    /// Text of this media type.
    Text(&'static str),
    /// Server-Sent Events whose data is JSON of one of these schemas.
    Stream(Vec<Value>),
}

impl Operation {
    fn get(path: &'static str, id: &'static str, tag: &'static str, answer: Answer) -> Self {
        Self {
            method: "GET",
            path,
            id,
            tag,
            summary: "",
            more: "",
            need: Need::Reading,
            parameters: Vec::new(),
            body: None,
            status: 200,
            answer,
            paged: false,
            errors: &[],
            further: None,
        }
    }

    fn post(path: &'static str, id: &'static str, tag: &'static str, answer: Answer) -> Self {
        Self { method: "POST", ..Self::get(path, id, tag, answer) }
    }
}

/// All of them.
pub(super) fn operations(bounds: &Bounds, schemas: &mut Schemas) -> Vec<Operation> {
    let mut all = process(schemas);
    all.extend(sessions(bounds, schemas));
    all.extend(policy(schemas));
    all
}

/// The process itself.
fn process(schemas: &mut Schemas) -> Vec<Operation> {
    let health = schemas.of::<Health>();
    let not_ready = json!({
        "description": "Starting or draining; or, as a problem, the API cannot be asked now.",
        "content": {
            "application/json": { "schema": health },
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        },
    });
    let mut all = vec![
        Operation {
            summary: "Whether clients are taken, and what is not as it should be",
            need: Need::Probing,
            further: Some((503, not_ready)),
            ..Operation::get("/health", "health", PROCESS, Answer::Json(health))
        },
        Operation {
            summary: "What the process uses, how its workers are loaded, what has passed since its start",
            ..Operation::get(
                "/api/system/resources",
                "resources",
                PROCESS,
                Answer::Json(schemas.of::<Resources>()),
            )
        },
        Operation {
            summary: "This document",
            ..Operation::get(
                "/openapi.json",
                "openapi",
                PROCESS,
                Answer::Json(json!({ "type": "object" })),
            )
        },
        Operation {
            summary: "A page that shows this document, and tries what it says",
            need: Need::Probing,
            ..Operation::get("/docs", "docs", PROCESS, Answer::Text(HTML))
        },
        Operation {
            summary: "The dashboard",
            need: Need::Probing,
            ..Operation::get("/", "dashboard", PROCESS, Answer::Text(HTML))
        },
    ];
    if cfg!(feature = "metrics") {
        all.push(Operation {
            summary: "Metrics, for Prometheus",
            need: Need::Probing,
            errors: &[404],
            ..Operation::get("/metrics", "metrics", PROCESS, Answer::Text("text/plain"))
        });
    }
    all
}

fn sessions(bounds: &Bounds, schemas: &mut Schemas) -> Vec<Operation> {
    let user = "user";
    let missed = schemas.of::<MissedEvents>();
    let of_user = |mut parameters: Vec<Value>, first: Value| {
        parameters.insert(0, first);
        parameters
    };
    vec![
        Operation {
            summary: "Live sessions",
            parameters: take::live(),
            paged: true,
            ..Operation::get(
                "/api/sessions/active",
                "liveSessions",
                SESSIONS,
                Answer::Json(schemas.of::<LiveSessions>()),
            )
        },
        Operation {
            summary: "Ended sessions",
            more: "In the order in which they were recorded, or, with `since` or `until`, in which \
                   they started. A search that takes too long is cut: what was found is answered, with \
                   `scanned_until` to go on from.",
            parameters: of_user(take::history(), take::query(user, "Of this user.", take::name())),
            paged: true,
            errors: &[404],
            ..Operation::get(
                "/api/sessions/history",
                "endedSessions",
                SESSIONS,
                Answer::Json(schemas.of::<EndedSessions>()),
            )
        },
        Operation {
            summary: "Ended sessions of one user",
            parameters: of_user(take::history(), take::path(user, "Who.", take::name())),
            paged: true,
            errors: &[404],
            ..Operation::get(
                "/api/users/{user}/sessions",
                "sessionsOfUser",
                SESSIONS,
                Answer::Json(schemas.of::<EndedSessions>()),
            )
        },
        Operation {
            summary: "One session, live or ended",
            parameters: vec![take::id()],
            errors: &[404],
            ..Operation::get(
                "/api/sessions/{id}",
                "session",
                SESSIONS,
                Answer::Json(schemas.of::<Record>()),
            )
        },
        Operation {
            summary: "Sums over a window, its heaviest users and most wanted targets",
            parameters: take::stats(bounds),
            ..Operation::get(
                "/api/sessions/stats",
                "statistics",
                SESSIONS,
                Answer::Json(schemas.of::<Report>()),
            )
        },
        Operation {
            summary: "What passed in each minute, as it moved",
            parameters: take::minutes(),
            paged: true,
            ..Operation::get(
                "/api/metrics/history",
                "minutes",
                SESSIONS,
                Answer::Json(schemas.of::<MinutesPage>()),
            )
        },
        Operation {
            summary: "What happens, as Server-Sent Events",
            more: EVENTS,
            parameters: take::events(),
            errors: &[429],
            ..Operation::get(
                "/api/events",
                "events",
                SESSIONS,
                Answer::Stream(vec![schemas.of::<Record>(), schemas.of::<Health>(), missed]),
            )
        },
        Operation {
            summary: "End a live session",
            more: "Its worker is told to; the session may end by itself before.",
            need: Need::Changing,
            parameters: vec![take::id()],
            status: 202,
            errors: &[404, 409],
            ..Operation::post(
                "/api/sessions/{id}/terminate",
                "terminate",
                SESSIONS,
                Answer::Json(schemas.of::<Told>()),
            )
        },
        Operation {
            summary: "End all live sessions that pass a filter",
            more: "At least one parameter must be given.",
            need: Need::Changing,
            parameters: take::live_filter(),
            status: 202,
            ..Operation::post(
                "/api/sessions/terminate",
                "terminateAll",
                SESSIONS,
                Answer::Json(schemas.of::<Told>()),
            )
        },
    ]
}

/// Who may do what.
fn policy(schemas: &mut Schemas) -> Vec<Operation> {
    vec![
        Operation {
            summary: "The rules in force, in the order in which they are tried",
            parameters: take::rules(),
            paged: true,
            ..Operation::get("/api/acl/rules", "rules", POLICY, Answer::Json(schemas.of::<Rules>()))
        },
        Operation {
            summary: "What would be decided, and why, by the evaluator that judges the traffic",
            body: Some(schemas.of::<Question>()),
            ..Operation::post(
                "/api/acl/explain",
                "explain",
                POLICY,
                Answer::Json(schemas.of::<Explanation>()),
            )
        },
        Operation {
            summary: "Read the configuration and the rules anew",
            more: RELOAD,
            need: Need::Changing,
            errors: &[409],
            ..Operation::post(
                "/api/admin/reload",
                "reload",
                POLICY,
                Answer::Json(schemas.of::<Reloaded>()),
            )
        },
        Operation {
            summary: "What has been used of each quota in its running period",
            parameters: take::quotas(),
            paged: true,
            ..Operation::get("/api/quotas", "quotas", POLICY, Answer::Json(schemas.of::<Quotas>()))
        },
        Operation {
            summary: "Addresses that are banned after too many wrong passwords",
            parameters: take::bans(),
            paged: true,
            ..Operation::get("/api/bans", "bans", POLICY, Answer::Json(schemas.of::<Bans>()))
        },
        Operation {
            method: "DELETE",
            summary: "Lift a ban",
            need: Need::Changing,
            parameters: vec![take::path("address", "The banned address.", take::address())],
            errors: &[404],
            ..Operation::get(
                "/api/bans/{address}",
                "liftBan",
                POLICY,
                Answer::Json(schemas.of::<Lifted>()),
            )
        },
    ]
}

const EVENTS: &str = "`event: opened`, `closed` and `refused` (an attempt that was given no permit) have a \
    session as `data`, `event: health` what `/health` answers: at the beginning and whenever it is \
    another. `event: missed` tells how many events a listener did not take in time; one that takes \
    nothing for 5 seconds is cut. Events have no `id`: who connects anew is not told what passed \
    meanwhile. Eight may listen at once, four of them from one address, and one more gets a 429. Nothing \
    is told of sessions where `sessions.enabled` is false.";
const RELOAD: &str = "If something is wrong with them nothing changes, and the answer says what it is \
    (409). One reload may wait while another is under way; who comes then is told to come again (503, with \
    `Retry-After`), and so is everybody while a worker takes no orders; nothing has changed. 504 is the \
    answer if it takes longer than 25 seconds: it goes on, and the log tells what comes of it.";
const PROCESS: &str = "process";
const SESSIONS: &str = "sessions";
const POLICY: &str = "policy";
pub(super) const TAGS: [(&str, &str); 3] = [
    (SESSIONS, "Who used the proxy for what, now and before"),
    (POLICY, "Who may do what"),
    (PROCESS, "How the proxy is"),
];
const HTML: &str = "text/html";
