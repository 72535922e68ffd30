use std::fs::{self, OpenOptions};

use tempfile::TempDir;

use super::*;
use crate::acl::{Decision, Ruling};
use crate::session::{
    IdSource, Ledger, LedgerFile, Opening, SLOTS_PER_CHUNK, SessionId, Share, Status, Traffic,
};

struct World {
    directory: TempDir,
    database: DatabaseIdentity,
    ids: IdSource,
    rule: Ruling,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = DatabaseIdentity::of(&directory.path().join("s.db"));
        let rule = Ruling {
            decision: Decision::Allow,
            rule: "r".repeat(200).into(),
            rule_id: Some(7),
            shadow: None,
        };
        Self { directory, database, ids: IdSource::new(), rule }
    }

    fn ledgers(&self) -> std::path::PathBuf {
        self.directory.path().join("ledgers")
    }

    fn process(&self) -> (Ledger, Share) {
        let file = LedgerFile::create(&self.ledgers(), &self.database).unwrap();
        let ledger = Ledger::new(1).in_file(file);
        let mut share = Share::new();
        share.add(ledger.grow().unwrap());
        assert_eq!(ledger.trouble(), None);
        (ledger, share)
    }

    fn opening<'a>(&'a self, user: &'a str) -> Opening<'a> {
        Opening {
            start_ms: 1_769_846_709_000,
            user,
            ruling: Some(&self.rule),
            policy_generation: 3,
            ..Opening::plain(self.ids.next(1_769_846_709_000))
        }
    }

    fn find(&self) -> Found {
        Wreck::find(&self.ledgers(), &self.database).unwrap()
    }

    fn only_file(&self) -> std::path::PathBuf {
        let mut files = fs::read_dir(self.ledgers()).unwrap();
        let file = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none());
        file
    }
}

const CLOSED: Ending = Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 77 };

#[test]
fn a_killed_process_leaves_settled_sessions_as_they_are_and_open_ones_cut_at_their_last_activity() {
    let world = World::new();
    let traffic =
        Traffic { bytes_sent: 10, bytes_received: 1 << 40, packets_sent: 1, packets_received: 9 };
    let long = "u".repeat(255);
    let [open, settled, freed]: [SessionId; 3] = {
        let (ledger, mut share) = world.process();
        // Two slots: its text is longer than one holds.
        let open = share.open(&world.opening(&long)).unwrap();
        open.reference().publish(traffic, 1_769_846_711_500);
        let settled = share.open(&world.opening("bob")).unwrap();
        let settled = share.settle(settled, &CLOSED, 1_769_846_709_077);
        let freed = share.open(&world.opening("carol")).unwrap();
        let freed = share.settle(freed, &CLOSED, 0);
        let ids = [open.reference(), settled, freed].map(|session| session.id().unwrap());
        ledger.free(freed);
        assert!(world.find().wrecks.is_empty(), "its process lives");
        ledger.abandon();
        ids
    };
    let mut found = world.find();
    assert!(found.set_aside.is_empty());
    let wreck = found.wrecks.pop().unwrap();
    assert!(found.wrecks.is_empty());
    assert_eq!(wreck.sessions().len(), 2);
    let of = |id| wreck.sessions().iter().find(|session| session.id == id);
    let cut = of(open).unwrap();
    assert_eq!((&*cut.user, &*cut.rule, cut.traffic), (&*long, &*world.rule.rule, traffic));
    let crash = Ending { outcome: Outcome::Crash, relayed: false, duration_ms: 2500 };
    assert_eq!((cut.status(), cut.ending), (Status::Failed, Some(crash)));
    assert_eq!(of(settled).unwrap().ending, Some(CLOSED));
    assert!(of(freed).is_none());
    assert!(world.find().wrecks.is_empty(), "it is being recovered");
    wreck.remove().unwrap();
    assert!(fs::read_dir(world.ledgers()).unwrap().next().is_none());
}

#[test]
fn several_predecessors_are_found_and_those_of_other_databases_are_not() {
    let world = World::new();
    for _ in 0..3 {
        let (ledger, mut share) = world.process();
        share.open(&world.opening("alice")).unwrap();
        ledger.abandon();
    }
    let other = DatabaseIdentity::of(&world.directory.path().join("other.db"));
    drop(LedgerFile::create(&world.ledgers(), &other).unwrap());
    let found = world.find();
    assert_eq!(found.wrecks.len(), 3);
    assert!(found.wrecks.iter().all(|wreck| wreck.sessions().len() == 1));
    assert!(found.set_aside.is_empty());
}

#[test]
fn what_another_version_another_boot_or_somebody_else_wrote_is_set_aside_and_never_read() {
    // Octets of the header: magic, layout, boot.
    for (at, why) in [(0, "not a ledger"), (8, "another version"), (64, "earlier boot")] {
        let world = World::new();
        world.process().0.abandon();
        let path = world.only_file();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut octet = [0];
        file.read_exact_at(&mut octet, at).unwrap();
        file.write_all_at(&[octet[0] ^ 1], at).unwrap();
        let found = world.find();
        assert!(found.wrecks.is_empty());
        assert!(found.set_aside[0].why.contains(why), "{:?}", found.set_aside);
        assert!(found.set_aside[0].path.ends_with(".ledger.unreadable"));
        assert!(fs::exists(&found.set_aside[0].path).unwrap());
        assert!(world.find().set_aside.is_empty(), "it is said once");
    }
}

#[test]
fn a_file_whose_process_was_killed_before_it_had_a_header_is_removed() {
    let world = World::new();
    world.process().0.abandon();
    let path = world.only_file();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    let found = world.find();
    assert!(found.wrecks.is_empty() && found.set_aside.is_empty());
    assert!(!fs::exists(&path).unwrap());
}

#[test]
fn a_chunk_without_room_lies_in_memory_and_that_is_said() {
    let world = World::new();
    let (ledger, _share) = world.process();
    fs::remove_file(world.only_file()).unwrap();
    assert!(!ledger.inspect());
    assert!(ledger.trouble().unwrap().contains("removed"));
}

#[test]
fn a_file_that_somebody_removed_is_followed_by_a_new_one_that_holds_what_begins_from_then_on() {
    let world = World::new();
    let (ledger, mut share) = world.process();
    let ended = share.open(&world.opening("ended")).unwrap();
    let ended = share.settle(ended, &CLOSED, 0);
    let old = share.open(&world.opening("old")).unwrap();
    // The directory goes too, as when a session manager tidies up behind its user.
    fs::remove_dir_all(world.ledgers()).unwrap();
    assert!(!ledger.inspect());
    let chunks = ledger.renew(1);
    assert_eq!(chunks.len(), 1);
    chunks.into_iter().for_each(|chunk| share.add(chunk));
    assert_eq!(share.free_len(), SLOTS_PER_CHUNK as usize);
    assert_eq!(ledger.capacity().0, SLOTS_PER_CHUNK, "retired slots do not count");
    assert!((0..5).all(|_| ledger.inspect()) && ledger.trouble().is_some(), "one is at risk");
    // Freed slots of before are not claimed again. Text that goes on in a second slot is found there.
    ledger.free(ended);
    let long = "u".repeat(255);
    let news: Vec<_> = (0..9).map(|_| share.open(&world.opening(&long)).unwrap()).collect();
    assert_eq!(share.free_len(), SLOTS_PER_CHUNK as usize - 18);
    let news: Vec<_> = news.iter().map(|slot| slot.reference().id().unwrap()).collect();
    ledger.free(share.settle(old, &CLOSED, 0));
    assert!(ledger.inspect() && ledger.trouble().is_some(), "it is said for a while");
    assert!((0..10).all(|_| ledger.inspect()));
    assert_eq!(ledger.trouble(), None, "all that is left is in the new file");
    ledger.abandon();
    let found = world.find();
    let recovered = found.wrecks[0].sessions();
    assert!(recovered.iter().all(|session| *session.user == *long));
    assert_eq!(recovered.iter().map(|session| session.id).collect::<Vec<_>>(), news);
}

#[test]
fn a_file_that_is_removed_again_and_again_does_not_make_the_ledger_grow_without_bound() {
    let world = World::new();
    let (ledger, mut share) = world.process();
    let mut renewed = 0;
    loop {
        fs::remove_file(world.only_file()).unwrap();
        assert!(!ledger.inspect());
        let Some(chunk) = ledger.renew(1).pop() else { break };
        share.add(chunk);
        assert!(ledger.inspect());
        renewed += 1;
    }
    assert_eq!(renewed, 1, "as many chunks may be retired as may be in use");
    assert!(ledger.trouble().is_some());
    assert!(share.open(&world.opening("late")).is_some(), "it goes on in what it has");
}
