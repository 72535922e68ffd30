use super::*;
use crate::admin::Method;
use crate::admin::tests::{Scene, request};
use crate::session::{Ending, Outcome};

fn is_slow(scene: &Scene, method: Method, path: &str, token: Option<&str>) -> bool {
    let authorization = token.map(|token| format!("Bearer {token}"));
    let path = path.to_owned();
    scene.api.is_slow(&ApiRequest { method, path, authorization, ..request() })
}

#[test]
fn only_a_session_that_the_database_is_asked_for_is_slow() {
    let mut scene = Scene::alices(2);
    let slow = |scene: &Scene, id: &str| {
        is_slow(scene, Method::Get, &format!("/api/sessions/{id}"), None)
            || is_slow(
                scene,
                Method::Post,
                &format!("/api/sessions/{id}/terminate"),
                Some("secret"),
            )
    };
    let (lives, ends) = (scene.id(0), scene.id(1));
    let ending = Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 1 };
    scene.api.table.remove(0, ends);
    let ended = scene.share.settle(scene.slots.remove(1), &ending, 1);
    assert!(!slow(&scene, &lives.to_string()) && !slow(&scene, &ends.to_string()));
    scene.api.ledger.free(ended);
    assert!(slow(&scene, &ends.to_string()));
}

#[test]
fn a_reload_is_slow_unless_it_is_denied() {
    let scene = Scene::alices(0);
    let reload = |token| is_slow(&scene, Method::Post, "/api/admin/reload", token);
    assert!(reload(Some("secret")));
    assert!(!reload(Some("guess")) && !reload(None));
    assert!(!is_slow(&scene, Method::Get, "/api/sessions/active", None));
    assert!(is_slow(&scene, Method::Get, "/api/metrics/%68istory", None));
}
