//! The API against its own description: every path of `/openapi.json` is called, and each answer is held
//! to the schema that the document gives for its status.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::collections::BTreeSet;

use harness::api::{Answer, exchange};
use harness::client::{self, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;
use serde_json::{Value, json};

/// A call, and the status that it is to have.
struct Call {
    /// `METHOD /path`, as the document has it.
    of: &'static str,
    /// The path as it is asked for.
    path: String,
    body: Option<Value>,
    status: u16,
}

fn call(of: &'static str, path: impl Into<String>, status: u16) -> Call {
    Call { of, path: path.into(), body: None, status }
}

/// Calls of every operation: one that is to go well first, then some of what may go wrong.
fn calls(live: &str, ended: &str) -> Vec<Call> {
    let nobody = "00000000-0000-7000-8000-000000000000";
    let explain = |body: Value, status| Call {
        of: "POST /api/acl/explain",
        path: "/api/acl/explain".to_owned(),
        body: Some(body),
        status,
    };
    vec![
        call("GET /", "/", 200),
        call("GET /docs", "/docs", 200),
        call("GET /openapi.json", "/openapi.json", 200),
        call("GET /health", "/health", 200),
        call("GET /health", "/health?verbose=1", 400),
        call("GET /metrics", "/metrics", 200),
        call("GET /api/system/resources", "/api/system/resources", 200),
        call("GET /api/sessions/active", "/api/sessions/active?sort=bytes&limit=1", 200),
        call("GET /api/sessions/active", "/api/sessions/active?sort=colour", 400),
        call("GET /api/sessions/history", "/api/sessions/history?limit=1&total=true", 200),
        call("GET /api/sessions/history", "/api/sessions/history?since=2020-01-01", 200),
        call("GET /api/sessions/history", "/api/sessions/history?limit=0", 400),
        call("GET /api/users/{user}/sessions", "/api/users/anonymous/sessions", 200),
        call("GET /api/users/{user}/sessions", "/api/users/%00/sessions", 400),
        call("GET /api/sessions/{id}", format!("/api/sessions/{live}"), 200),
        call("GET /api/sessions/{id}", format!("/api/sessions/{ended}"), 200),
        call("GET /api/sessions/{id}", format!("/api/sessions/{nobody}"), 404),
        call("GET /api/sessions/stats", "/api/sessions/stats?window_hours=1", 200),
        call("GET /api/sessions/stats", "/api/sessions/stats?window_hours=9999", 400),
        call("GET /api/metrics/history", "/api/metrics/history", 200),
        call("GET /api/events", "/api/events?for_secs=1", 200),
        call("GET /api/events", "/api/events?event=nothing", 400),
        call("GET /api/acl/rules", "/api/acl/rules?limit=1", 200),
        explain(json!({ "target": "example.com:443", "addresses": ["192.0.2.1"] }), 200),
        explain(json!({ "target": "example.com" }), 400),
        explain(json!({}), 400),
        call("GET /api/bans", "/api/bans", 200),
        call("GET /api/quotas", "/api/quotas", 200),
        call("DELETE /api/bans/{address}", "/api/bans/127.0.0.1", 200),
        call("DELETE /api/bans/{address}", "/api/bans/127.0.0.1", 404),
        call("POST /api/admin/reload", "/api/admin/reload", 200),
        call("POST /api/sessions/terminate", "/api/sessions/terminate", 400),
        call("POST /api/sessions/{id}/terminate", format!("/api/sessions/{live}/terminate"), 202),
        call("POST /api/sessions/{id}/terminate", format!("/api/sessions/{ended}/terminate"), 409),
        call("POST /api/sessions/terminate", "/api/sessions/terminate?user=nobody", 202),
    ]
}

/// A proxy with rules, a ban, a session that lives and one that has ended.
struct Scene {
    proxy: Proxy,
    _living: Client,
    live: String,
    ended: String,
}

fn scene() -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let rules = "[global]\ndefault_policy = \"allow\"\n\
                 [[rules]]\naction = \"block\"\nports = [25]\n\
                 [[rules]]\naction = \"allow\"\ndestinations = [\"127.0.0.0/8\"]\n";
    std::fs::write(directory.path().join("acl.toml"), rules).unwrap();
    let further = "[acl]\nenabled = true\nconfig_file = \"{dir}/acl.toml\"\n\
                   [auth]\nmax_failures = 1\nfailure_delay_ms = 0\nsocks_method = \"userpass\"\n\
                   [[auth.users]]\nusername = \"anonymous\"\npassword = \"secret\"\n";
    let proxy = Proxy::start_in(directory, "", "", further);
    let origin = Origin::echo();
    let connect = || {
        let mut client = Client::to(proxy.socks);
        assert!(client.login("anonymous", "secret"));
        client.send(&client::connect(origin.address));
        assert_eq!(client.reply().0, 0);
        client
    };
    drop(connect());
    let living = connect();
    assert!(!Client::to(proxy.socks).login("anonymous", "guess"));
    let api = proxy.api.unwrap();
    let first = |path: &str| {
        wait_for(path, || {
            let page = harness::api::get(api, path).json();
            page["data"][0]["session_id"].as_str().map(str::to_owned)
        })
    };
    let live = first("/api/sessions/active");
    let ended = first("/api/sessions/history?status=closed");
    wait_for("the ban", || {
        (harness::api::get(api, "/api/bans").json()["total"] == 1).then_some(())
    });
    Scene { proxy, _living: living, live, ended }
}

fn ask(proxy: &Proxy, method: &str, call: &Call) -> Answer {
    let api = proxy.api.unwrap();
    let body = call.body.as_ref().map_or(String::new(), Value::to_string);
    let Call { path, .. } = call;
    exchange(
        api,
        &format!(
            "{method} {path} HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            proxy.token(),
            body.len()
        ),
    )
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The response that the document gives for this status of this operation.
fn described<'a>(document: &'a Value, operation: &'a Value, status: u16) -> Option<&'a Value> {
    let response = operation["responses"].get(status.to_string())?;
    match response.get("$ref").and_then(Value::as_str) {
        Some(reference) => document.pointer(reference.strip_prefix('#')?),
        None => Some(response),
    }
}

/// Why a value is not of a schema of the document.
fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .build(&whole)
        .unwrap();
    validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn every_path_answers_as_the_document_says() {
    let scene = scene();
    let proxy = &scene.proxy;
    let document = harness::api::get(proxy.api.unwrap(), "/openapi.json").json();
    let mut called = BTreeSet::new();
    for call in calls(&scene.live, &scene.ended) {
        let (method, template) = call.of.split_once(' ').unwrap();
        let operation = &document["paths"][template][method.to_ascii_lowercase()];
        assert!(operation.is_object(), "{} is not described", call.of);
        let answer = ask(proxy, method, &call);
        let what = format!("{method} {}: {}", call.path, answer.body);
        assert_eq!(answer.status, call.status, "{what}");
        let response = described(&document, operation, answer.status).unwrap_or_else(|| {
            panic!("{} does not tell of status {}", call.of, answer.status);
        });
        let kind = header(&answer, "Content-Type").unwrap().split(';').next().unwrap();
        let content = &response["content"][kind];
        assert!(content.is_object(), "{kind} is not described: {what}");
        if kind.ends_with("json") {
            let found = faults(&document, &content["schema"], &answer.json());
            assert!(found.is_empty(), "{found:#?}\n{what}");
        }
        called.insert(call.of.to_owned());
    }
    let all: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_ascii_uppercase()))
        })
        .collect();
    assert_eq!(all, called, "every path that is described is called here");
}

#[test]
fn a_schema_that_is_not_kept_is_found() {
    let proxy = Proxy::start();
    let document = harness::api::get(proxy.api.unwrap(), "/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let schema = json!({ "$ref": "#/components/schemas/Health" });
    let health = harness::api::get(proxy.api.unwrap(), "/health").json();
    assert_eq!(faults(&document, &schema, &health), Vec::<String>::new());
    let mut ill = health.clone();
    ill["status"] = json!("well");
    assert_eq!(faults(&document, &schema, &ill).len(), 1, "a word of no enumeration");
    ill = health;
    ill["checks"].as_object_mut().unwrap().remove("writer");
    assert_eq!(faults(&document, &schema, &ill).len(), 1, "a field that is missing");
}

#[test]
fn what_is_no_path_or_method_is_said_as_a_problem() {
    let proxy = Proxy::start();
    let document = harness::api::get(proxy.api.unwrap(), "/openapi.json").json();
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    let held = |method: &str, path: &str, status: u16| {
        let answer = ask(&proxy, method, &call("", path, status));
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(header(&answer, "Content-Type"), Some("application/problem+json"));
        assert_eq!(faults(&document, &problem, &answer.json()), Vec::<String>::new());
        answer
    };
    for path in ["/nothing", "/api", "/api/", "/api/sessions", "/api/sessions/active/", "/API/bans"]
    {
        held("GET", path, 404);
    }
    // Each path tells all of its methods, and refuses every other.
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{id}", "00000000-0000-7000-8000-000000000000")
            .replace("{user}", "x")
            .replace("{address}", "192.0.2.1");
        let mut allowed: BTreeSet<String> =
            methods.as_object().unwrap().keys().map(|it| it.to_ascii_uppercase()).collect();
        if allowed.contains("GET") {
            allowed.insert("HEAD".to_owned());
        }
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"] {
            if !allowed.contains(method) {
                let answer = held(method, &path, 405);
                let told = header(&answer, "Allow").unwrap();
                let told: BTreeSet<String> = told.split(", ").map(str::to_owned).collect();
                assert_eq!(told, allowed, "{method} {path}");
            }
        }
    }
}

#[test]
fn every_list_says_where_its_next_page_is() {
    let scene = scene();
    let api = scene.proxy.api.unwrap();
    wait_for("a second ending", || {
        let all = harness::api::get(api, "/api/sessions/history").json();
        (all["data"].as_array().unwrap().len() > 1).then_some(())
    });
    for path in ["/api/sessions/history?limit=1", "/api/acl/rules?limit=1"] {
        let first = harness::api::get(api, path);
        let link = header(&first, "Link").unwrap_or_else(|| panic!("{}", first.head));
        let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        let second = harness::api::get(api, next.unwrap());
        assert_eq!(second.status, 200, "{}", second.body);
        assert_ne!(second.json()["data"], first.json()["data"]);
    }
    let all = harness::api::get(api, "/api/acl/rules");
    assert!(header(&all, "Link").is_none(), "the last page says nothing: {}", all.head);
}
