use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::admin::tests::{Scene, request};
use crate::limit::{Counted, LimitTerms, Period, QuotaTerms, Whom};

/// Two quotas, which each of so many users has for himself, and one that all have together.
fn scene(users: usize) -> Scene {
    let scene = Scene::alices(0);
    let users: Vec<Box<str>> = (0..users).map(|number| format!("u{number:03}").into()).collect();
    let terms = |name: &str, per_user| QuotaTerms {
        name: name.into(),
        whom: Whom { everybody: true, users: users.clone(), ..Whom::default() },
        per_user,
        period: Period::Month,
        counted: Counted::Both,
        octets: 1000,
        warn_octets: 800,
        brake: None,
    };
    let quota = |name: &str, per_user| Arc::new(terms(name, per_user));
    let quotas = vec![quota("b", true), quota("all", false), quota("a", true)];
    let terms = Arc::new(LimitTerms { quotas, ..LimitTerms::default() });
    scene.api.admission.limits().adopt(&terms, clock::utc_ms());
    scene
}

/// All pages one behind the other: whose, of which, and the total that each says.
fn walk(scene: &Scene, user: Option<&str>, limit: u32) -> (Vec<(String, Option<String>)>, Value) {
    let mut query = QuotasQuery { user: user.map(str::to_owned), limit, cursor: None };
    let mut seen = Vec::new();
    loop {
        let reply = scene.api.quotas(&request(), &query);
        let page: Value = serde_json::from_slice(&reply.body).unwrap();
        let rows = page["data"].as_array().unwrap();
        assert!(rows.len() <= limit as usize);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        seen.extend(rows.iter().map(|row| (text(&row["quota"]).unwrap(), text(&row["user"]))));
        let next = page["next_cursor"].as_str();
        assert_eq!(reply.headers.iter().any(|(name, _)| *name == "Link"), next.is_some());
        let Some(next) = next else { return (seen, page["total"].clone()) };
        query.cursor = Some(QuotaCursor::decode(next).unwrap());
    }
}

#[test]
fn pages_meet_each_quota_once_by_name_and_user() {
    let scene = scene(250);
    let (seen, total) = walk(&scene, None, 1000);
    assert_eq!((seen.len(), total), (501, 501.into()));
    assert!(seen.is_sorted());
    for limit in [7, 250, 500, 501] {
        assert_eq!(walk(&scene, None, limit).0, seen);
    }
}

#[test]
fn a_user_asked_about_is_found_however_many_there_are() {
    let scene = scene(250);
    let of = |quota: &str| (quota.to_owned(), Some("u249".to_owned()));
    assert_eq!(walk(&scene, Some("u249"), 1), (vec![of("a"), of("b")], 2.into()));
    assert_eq!(walk(&scene, Some("nobody"), 1), (Vec::new(), 0.into()));
}
