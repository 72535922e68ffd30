//! `GET /openapi.json`: what every path takes and answers, as OpenAPI 3.1.
//!
//! The schemas are those of the very types that are written as answers and read as bodies. What cannot
//! be had from a type stands in two tables: the paths in `operations.rs`, what a query may say in
//! `parameters.rs`. Tests hold both to the route table, and every answer to its schema.

mod operations;
mod parameters;
mod schemas;

use serde_json::{Map, Value, json};

use self::operations::{Answer, Operation, operations};
pub(super) use self::schemas::Address;
use self::schemas::Schemas;
use super::access::Need;
use super::api::Api;
use super::reply::{ApiReply, PROBLEM_TYPE, Problem, reason};
use super::route::Bounds;

impl Api {
    /// `GET /openapi.json`
    pub(super) fn openapi(&self) -> ApiReply {
        ApiReply::json(&document(&self.bounds, self.access.reading_wants_token()))
    }
}

/// The document. `locked`: reading wants the token, too.
fn document(bounds: &Bounds, locked: bool) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for operation in operations(bounds, &mut schemas) {
        let described = describe(&operation, locked);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(operation.method.to_ascii_lowercase(), described);
        }
    }
    let problem = schemas.of::<Problem<'_>>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "rustsocks",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A SOCKS proxy and what it knows of its sessions",
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This proxy" }],
        "tags": operations::TAGS.map(|(name, about)| json!({ "name": name, "description": about })),
        "paths": paths,
        "components": {
            "schemas": schemas.into_value(),
            "responses": problems(&problem),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "What is in the file that `server.api_token_file` names.",
                },
            },
        },
    })
}

fn describe(operation: &Operation, locked: bool) -> Value {
    let wanted = match operation.need {
        Need::Probing => false,
        Need::Reading => locked,
        Need::Changing => true,
    };
    let mut responses = Map::new();
    responses.insert(operation.status.to_string(), answer(operation));
    let everywhere = EVERYWHERE.iter().filter(|status| wanted || **status != 401);
    for status in operation.errors.iter().chain(everywhere) {
        let reference = json!({ "$ref": format!("#/components/responses/{status}") });
        // A path may say more of a status than all do.
        responses.entry(status.to_string()).or_insert(reference);
    }
    if let Some((status, described)) = &operation.further {
        responses.insert(status.to_string(), described.clone());
    }
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": operation.parameters,
        "responses": responses,
        "security": if wanted { json!([{ "token": [] }]) } else { json!([]) },
    });
    if !operation.more.is_empty() {
        described["description"] = operation.more.into();
    }
    if let Some(body) = &operation.body {
        described["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": body } } });
    }
    described
}

fn answer(operation: &Operation) -> Value {
    let content = match &operation.answer {
        Answer::Json(schema) => json!({ "application/json": { "schema": schema } }),
        // What a stream holds is no JSON itself, so its schemas stand beside.
        Answer::Stream(schemas) => json!({
            "text/event-stream": { "schema": { "type": "string" }, "x-event-data": schemas },
        }),
        Answer::Text(kind) => json!({ *kind: { "schema": { "type": "string" } } }),
    };
    let mut answer = json!({ "description": reason(operation.status), "content": content });
    if operation.paged {
        answer["headers"] = json!({
            "Link": {
                "description": "The next page (RFC 8288); not on the last one.",
                "schema": { "type": "string" },
            },
        });
    }
    answer
}

/// The errors, by status.
fn problems(problem: &Value) -> Value {
    let text = json!({ "type": "string" });
    let header =
        |name: &str, about: &str| json!({ name: { "description": about, "schema": text } });
    let mut problems = Map::new();
    for status in EVERYWHERE.into_iter().chain(SOMEWHERE) {
        let mut described = json!({
            "description": reason(status),
            "content": { PROBLEM_TYPE: { "schema": problem } },
        });
        match status {
            401 => described["headers"] = header("WWW-Authenticate", "What is wanted (RFC 6750)."),
            405 => described["headers"] = header("Allow", "The methods of this path."),
            _ => {}
        }
        problems.insert(status.to_string(), described);
    }
    problems.into()
}

const ABOUT: &str = "Names of a session's fields are the columns of the table `sessions`. Times are RFC \
    3339, UTC. Errors are problem details (RFC 9457). A list comes in pages, told \
    on by the header `Link` and by `next_cursor` (of minutes, `next_since`): whoever follows meets each row \
    once, whatever comes and goes meanwhile. Live sessions that are sorted by octets are the exception: they \
    grow between two pages, and one that passes the cursor is left out or comes twice. HEAD \
    is answered wherever GET is. What changes something wants the token; reading wants it only where \
    `server.api_require_token` says so.";
/// What the gate and the route table may say to any request.
const EVERYWHERE: [u16; 14] =
    [400, 401, 403, 405, 408, 411, 413, 421, 431, 500, 502, 503, 504, 505];
/// What only some paths say.
const SOMEWHERE: [u16; 3] = [404, 409, 429];

#[cfg(test)]
mod tests;
