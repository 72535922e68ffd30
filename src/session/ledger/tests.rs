use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::acl::{Decision, Ruling};
use crate::session::{Command, IdSource, Outcome, Status, Traffic};

fn share() -> (Ledger, Share) {
    let ledger = Ledger::new(1);
    let mut share = Share::new();
    share.add(ledger.grow().unwrap());
    (ledger, share)
}

fn ruling(rule: &str) -> Ruling {
    Ruling { decision: Decision::Allow, rule: rule.into(), rule_id: Some(7), shadow: None }
}

fn opening<'a>(ids: &IdSource, user: &'a str, host: &'a str, rule: &'a Ruling) -> Opening<'a> {
    Opening {
        start_ms: 1_769_846_709_123,
        user,
        target: Some((host, 443)),
        command: Some(Command::Connect),
        ruling: Some(rule),
        policy_generation: 3,
        ..Opening::plain(ids.next(1_769_846_709_123))
    }
}

const CLOSED: Ending = Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 1234 };

#[test]
fn a_view_shows_what_was_opened_published_and_settled() {
    let (ledger, mut share) = share();
    let rule = ruling("default policy");
    let opening = opening(&IdSource::new(), "alice", "example.com", &rule);
    let slot = share.open(&opening).unwrap();
    let reference = slot.reference();
    let traffic =
        Traffic { bytes_sent: 5, bytes_received: 1 << 40, packets_sent: 1, packets_received: 9 };
    reference.publish(traffic, 1_769_846_710_000);
    reference.set_resolved([93, 184, 216, 34].into());
    let live = ledger.view(reference).unwrap();
    assert_eq!(live.status(), Status::Active);
    assert_eq!((&*live.user, &*live.target_host, live.target_port), ("alice", "example.com", 443));
    assert_eq!((&*live.rule, live.rule_id), ("default policy", Some(7)));
    assert_eq!(live.traffic, traffic);
    assert_eq!(live.resolved, Some([93, 184, 216, 34].into()));
    assert_eq!(live.client, opening.client);
    let reference = share.settle(slot, &CLOSED, 1_769_846_711_000);
    let ended = ledger.view(reference).unwrap();
    assert_eq!((ended.status(), ended.ending), (Status::Closed, Some(CLOSED)));
    assert_eq!(ended.end_ms(), Some(1_769_846_709_123 + 1234));
}

#[test]
fn the_longest_texts_survive_whole_in_a_continued_slot_which_is_freed_with_the_first() {
    let (ledger, mut share) = share();
    let all = share.free_len();
    let (user, host) = ("u".repeat(255), "h".repeat(255));
    let rule = ruling(&"r".repeat(50));
    let ids = IdSource::new();
    let slot = share.open(&opening(&ids, &user, &host, &rule)).unwrap();
    assert_eq!(share.free_len(), all - 2);
    let view = ledger.view(slot.reference()).unwrap();
    assert_eq!((&*view.user, &*view.target_host, &*view.rule), (&*user, &*host, &*rule.rule));
    let reference = share.settle(slot, &CLOSED, 0);
    ledger.free(reference);
    let again = share.open(&opening(&ids, "a", "b", &rule)).unwrap();
    assert_eq!(share.free_len(), all - 1);
    assert!(ledger.view(again.reference()).is_some());
}

#[test]
fn a_ruling_that_comes_late_takes_the_place_of_the_first_one() {
    let (ledger, mut share) = share();
    let (ids, long) = (IdSource::new(), "h".repeat(250));
    for (host, rule, late) in [
        ("example.com", "first".to_owned(), "second".to_owned()),
        ("example.com", String::new(), "l".repeat(56)),
        // Whatever else there is to say: the rule's number, and enough of its text.
        (&*long, "r".repeat(250), "ü".repeat(28)),
    ] {
        let rule = ruling(&rule);
        let late = Ruling { decision: Decision::Block, rule_id: None, ..ruling(&late) };
        let slot = share.open(&opening(&ids, &"u".repeat(60), host, &rule)).unwrap();
        let before = ledger.view(slot.reference()).unwrap();
        assert_eq!((&*before.rule, before.rule_id), (&*rule.rule, Some(7)));
        slot.set_ruling(&late, 9);
        let reference = share.settle(slot, &CLOSED, 0);
        let view = ledger.view(reference).unwrap();
        assert_eq!(&*view.target_host, host);
        assert_eq!((&*view.rule, view.rule_id), (&*late.rule, None));
        assert_eq!((view.decision, view.policy_generation), (Some(Decision::Block), 9));
    }
}

#[test]
fn a_session_that_has_ended_is_found_by_its_id_until_its_slot_is_freed() {
    let (ledger, mut share) = share();
    let (ids, rule) = (IdSource::new(), ruling("default policy"));
    let slots: Vec<_> = (0..3)
        .map(|_| share.open(&opening(&ids, "alice", "example.com", &rule)).unwrap())
        .collect();
    let sought: Vec<_> = slots.iter().map(|slot| slot.reference().id().unwrap()).collect();
    assert!(ledger.find_ended(sought[1]).is_none(), "it lives: the table has it");
    assert_eq!(ledger.held(), 3);
    let settled: Vec<_> = slots.into_iter().map(|slot| share.settle(slot, &CLOSED, 0)).collect();
    let found = ledger.find_ended(sought[1]).unwrap();
    assert_eq!((found.id, found.ending), (sought[1], Some(CLOSED)));
    ledger.free(settled[1]);
    assert!(ledger.find_ended(sought[1]).is_none());
    assert_eq!(ledger.held(), 2);
}

#[test]
fn what_is_listed_as_ended_is_what_waits_to_be_stored_and_no_more() {
    let (ledger, mut share) = share();
    let (ids, rule) = (IdSource::new(), ruling(""));
    let long = "u".repeat(255);
    for round in 0..200 {
        // Every other one has its text in two slots, and every third was never let in.
        let user = if round % 2 == 0 { "alice" } else { &long };
        let opening = opening(&ids, user, &long, &rule);
        let opening = Opening { accepted: round % 3 != 0, ..opening };
        let slot = share.open(&opening).unwrap();
        let settled = share.settle(slot, &CLOSED, 0);
        assert_eq!(ledger.find_ended(opening.id).map(|view| view.id), Some(opening.id));
        ledger.free(settled);
        assert!(ledger.ended.len() <= TAKEN_BACK_PER_CLAIM, "{}", ledger.ended.len());
    }
    share.take_back(usize::MAX);
    assert_eq!(ledger.ended.len(), 0);
}

#[test]
fn texts_are_cut_between_characters() {
    let (ledger, mut share) = share();
    let user = "ü".repeat(200);
    let rule = ruling("");
    let slot = share.open(&opening(&IdSource::new(), &user, "h", &rule)).unwrap();
    assert_eq!(&*ledger.view(slot.reference()).unwrap().user, "ü".repeat(127));
}

#[test]
fn a_stale_reference_shows_nothing_and_frees_nothing() {
    let (ledger, mut share) = share();
    let ids = IdSource::new();
    let rule = ruling("");
    let slot = share.open(&opening(&ids, "first", "h", &rule)).unwrap();
    let old = share.settle(slot, &CLOSED, 0);
    ledger.free(old);
    assert!(ledger.view(old).is_none());
    // The freed slot is taken back by a later claim, and claimed by one after that.
    let mut held = Vec::new();
    while share.free_len() > 0 {
        held.push(share.open(&opening(&ids, "later", "h", &rule)).unwrap());
    }
    assert!(share.open(&opening(&ids, "one too many", "h", &rule)).is_none());
    assert!(ledger.view(old).is_none());
    ledger.free(old);
    assert!(held.iter().all(|slot| ledger.view(slot.reference()).is_some()));
}

#[test]
fn slots_come_back_only_after_the_writer_has_freed_them() {
    let (ledger, mut share) = share();
    let ids = IdSource::new();
    let rule = ruling("");
    let mut settled = Vec::new();
    while let Some(slot) = share.open(&opening(&ids, "u", "h", &rule)) {
        settled.push(share.settle(slot, &CLOSED, 0));
    }
    assert_eq!(settled.len(), SLOTS_PER_CHUNK as usize);
    ledger.free(settled[0]);
    assert!(share.open(&opening(&ids, "u", "h", &rule)).is_some());
    assert!(share.open(&opening(&ids, "u", "h", &rule)).is_none());
}

#[test]
fn the_bound_on_slots_holds() {
    let ledger = Ledger::new(SLOTS_PER_CHUNK + 1);
    assert_eq!(ledger.capacity(), (0, 2 * SLOTS_PER_CHUNK));
    assert!(ledger.grow().is_ok());
    assert!(ledger.grow().is_ok());
    assert_eq!(ledger.grow().unwrap_err(), Full);
}

/// A reader beside a busy owner and writer never sees half of one session and half of another.
#[test]
fn readers_never_see_a_mixture() {
    let (ledger, mut share) = share();
    let done = AtomicBool::new(false);
    let (send, receive) = crossbeam_channel::bounded(64);
    std::thread::scope(|scope| {
        let (ledger, done) = (&ledger, &done);
        let reader = scope.spawn(move || {
            let mut seen = 0u32;
            while !done.load(Ordering::Relaxed) {
                let Ok(reference) = receive.recv() else { break };
                if let Some(view) = ledger.view(reference) {
                    assert_eq!(*view.user, *view.target_host);
                    assert_eq!(view.traffic.bytes_sent.to_string(), *view.user);
                    seen += 1;
                }
            }
            seen
        });
        let ids = IdSource::new();
        let rule = ruling("");
        for number in 0..50_000u64 {
            let name = number.to_string();
            let slot = share.open(&opening(&ids, &name, &name, &rule)).unwrap();
            let traffic = Traffic { bytes_sent: number, ..Traffic::default() };
            slot.reference().publish(traffic, 0);
            let reference = share.settle(slot, &CLOSED, 0);
            if number % 3 == 0 && send.send(reference).is_err() {
                break;
            }
            ledger.free(reference);
        }
        drop(send);
        assert!(reader.join().is_ok());
    });
}

#[test]
fn refused_attempts_leave_room_for_sessions() {
    let ledger = Ledger::new(1);
    let mut share = Share::new().with_attempts_max(2);
    share.add(ledger.grow().unwrap());
    let (ids, rule) = (IdSource::new(), ruling("r"));
    let session = opening(&ids, "u", "h", &rule);
    let attempt = Opening { accepted: false, ..session };
    let [first, _second] = [(); 2].map(|()| share.open(&attempt).unwrap());
    assert!(share.open(&attempt).is_none());
    assert!(share.open(&session).is_some());
    let ended = share.settle(first, &CLOSED, 0);
    assert!(share.open(&attempt).is_none(), "it is not stored yet");
    ledger.free(ended);
    assert!(share.open(&attempt).is_some());
}
