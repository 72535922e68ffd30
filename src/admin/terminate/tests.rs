use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::admin::Method;
use crate::admin::tests::{Scene, request};
use crate::key::Key;
use crate::session::{Ending, Outcome};

fn order() -> ApiRequest {
    ApiRequest { method: Method::Post, ..request() }
}

fn alice() -> Filter {
    Filter { user: Some("alice".to_owned()), ..Filter::default() }
}

fn fill(scene: &Scene) {
    let post = &scene.api.posts.get().unwrap()[0];
    while post.kill(Vec::new(), [127, 0, 0, 1].into()).is_ok() {}
}

#[test]
fn many_sessions_are_told_in_portions_and_each_once() {
    let scene = Scene::alices(300);
    let reply = scene.api.terminate_all(&order(), &alice());
    assert_eq!((reply.status, reply.body), (202, br#"{"told":300}"#.to_vec()));
    let letters = scene.letters();
    assert!(letters.iter().all(|victims| (1..=VICTIMS_MAX).contains(&victims.len())));
    let mut slots: Vec<_> = letters.concat().iter().map(|victim| victim.key.slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, (0..300).collect::<Vec<_>>());
}

#[test]
fn a_worker_that_takes_no_more_is_a_503_which_is_counted_and_may_be_asked_again() {
    let scene = Scene::alices(3);
    fill(&scene);
    assert_eq!(scene.api.terminate(&order(), scene.id(0)).status, 503);
    let reply = scene.api.terminate_all(&order(), &alice());
    assert_eq!(reply.status, 503);
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.contains("0 sessions were told to end; 3 were not"), "{text}");
    assert_eq!(scene.api.gate.kills_refused.load(Relaxed), 4);
    scene.letters();
    assert_eq!(scene.api.terminate(&order(), scene.id(0)).status, 202);
    let victim = Victim { key: Key { slot: 0, generation: 1 }, id: scene.id(0) };
    assert_eq!(scene.letters(), [[victim]]);
}

#[test]
fn a_session_that_has_ended_and_is_still_listed_is_a_409_and_passes_no_filter() {
    let mut scene = Scene::alices(1);
    let id = scene.id(0);
    let ending = Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 1 };
    scene.share.settle(scene.slots.remove(0), &ending, 1);
    assert_eq!(scene.api.terminate(&order(), id).status, 409);
    let reply = scene.api.terminate_all(&order(), &alice());
    assert_eq!((reply.status, reply.body), (202, br#"{"told":0}"#.to_vec()));
    assert!(scene.letters().is_empty());
}
