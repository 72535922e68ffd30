use std::collections::BTreeSet;

use super::*;
use crate::admin::request::Method;
use crate::admin::route::{Miss, Route};

fn all() -> Vec<Operation> {
    operations(&Bounds::default(), &mut Schemas::default())
}

/// A path that the template stands for.
fn path_of(operation: &Operation) -> String {
    operation
        .path
        .replace("{id}", "0197c1d2-0000-7000-8000-000000000000")
        .replace("{user}", "alice")
        .replace("{address}", "192.0.2.1")
}

fn route(operation: &Operation, query: &str) -> Result<Route, Miss> {
    let method = Method::of(operation.method);
    Route::of(method, &path_of(operation), Some(query), &Bounds::default())
}

/// The template of a route's path. A route that is new is to be described, too.
fn template(route: &Route) -> &'static str {
    match route {
        Route::Dashboard(_) => "/",
        Route::OpenApi => "/openapi.json",
        Route::Health => "/health",
        Route::Metrics => "/metrics",
        Route::Resources => "/api/system/resources",
        Route::ActiveSessions(_) => "/api/sessions/active",
        Route::History(_) => "/api/sessions/history",
        Route::Session(_) => "/api/sessions/{id}",
        Route::Terminate(_) => "/api/sessions/{id}/terminate",
        Route::TerminateAll(_) => "/api/sessions/terminate",
        Route::Stats(_) => "/api/sessions/stats",
        Route::Minutes(_) => "/api/metrics/history",
        Route::Rules(_) => "/api/acl/rules",
        Route::Explain => "/api/acl/explain",
        Route::Reload => "/api/admin/reload",
        Route::Events(_) => "/api/events",
        Route::Quotas(_) => "/api/quotas",
        Route::Bans(_) => "/api/bans",
        Route::LiftBan(_) => "/api/bans/{address}",
    }
}

#[test]
fn every_operation_is_a_route_with_the_same_need() {
    for operation in all() {
        let query = if operation.id == "terminateAll" { "user=a" } else { "" };
        let route = route(&operation, query).unwrap_or_else(|miss| panic!("{miss:?}"));
        assert_eq!(route.need(), operation.need, "{}", operation.path);
        let other = ["/docs", "/api/users/{user}/sessions"].contains(&operation.path);
        assert!(other || template(&route) == operation.path, "{}", operation.path);
        assert!(!operation.summary.is_empty());
    }
    let ids: BTreeSet<_> = all().iter().map(|operation| operation.id).collect();
    assert_eq!(ids.len(), all().len(), "each has a name of its own");
}

#[test]
fn every_parameter_is_known_to_its_route() {
    for operation in all() {
        for parameter in &operation.parameters {
            let name = parameter["name"].as_str().unwrap();
            if parameter["in"] == "path" {
                assert!(operation.path.contains(&format!("{{{name}}}")));
                continue;
            }
            // Known is what is complained of by its meaning, or not at all.
            if let Err(Miss::Bad(why)) = route(&operation, &format!("{name}=%20")) {
                assert!(why.contains(name) && !why.contains("not known"), "{why}");
            }
            let words = parameter["schema"]["enum"].as_array();
            for word in words.into_iter().flatten().filter_map(Value::as_str) {
                let found = route(&operation, &format!("{name}={word}"));
                assert!(found.is_ok(), "{} {name}={word}: {found:?}", operation.path);
            }
        }
    }
}

#[test]
fn whatever_is_referred_to_is_there() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                members.values().for_each(|value| walk(value, document));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, document)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for locked in [false, true] {
        let document = document(&Bounds::default(), locked);
        walk(&document, &document);
        let wanted = &document["paths"]["/api/bans"]["get"]["security"];
        assert_eq!(wanted.as_array().unwrap().is_empty(), !locked);
    }
}
