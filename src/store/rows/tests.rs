use std::net::{IpAddr, SocketAddr};

use rusqlite::OpenFlags;
use tempfile::TempDir;

use super::*;
use crate::session::{Command, Decision, Detail, Ending, IdSource, SessionId, Stages, Traffic};
use crate::stats::{History, Record};
use crate::store::Reader;

struct World {
    directory: TempDir,
    store: Store,
    ids: IdSource,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&location(&directory), options()).unwrap();
        Self { directory, store, ids: IdSource::new() }
    }

    fn commit(&mut self, changes: &[Change]) {
        self.store.commit(changes).unwrap();
    }

    fn one(&self, id: SessionId) -> Option<Record> {
        Reader::new(&location(&self.directory)).one(id).unwrap()
    }

    #[track_caller]
    fn assert_row(&self, view: &SessionView) {
        assert_eq!(self.one(view.id), Some(Record::of(view, "node-1")));
    }

    fn count(&self, sql: &str) -> i64 {
        let path = location(&self.directory);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = Connection::open_with_flags(path.path(), flags).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn full(&self, start_ms: i64) -> SessionView {
        full(&self.ids, start_ms)
    }
}

/// A session with something in every column that may hold something.
pub(in crate::store) fn full(ids: &IdSource, start_ms: i64) -> SessionView {
    SessionView {
        id: ids.next(start_ms),
        start_ms,
        client: SocketAddr::new(IpAddr::from([192, 0, 2, 1]), 40_000),
        user: "alice".into(),
        claimed_user: "".into(),
        target_host: "example.com".into(),
        target_port: 443,
        resolved: Some("2001:db8::ffff:ffff:ffff:ffff".parse().unwrap()),
        command: Some(Command::Connect),
        decision: Some(Decision::Allow),
        rule: "default policy".into(),
        rule_id: Some(3),
        shadow: None,
        policy_generation: 7,
        accepted: true,
        traffic: Traffic { bytes_sent: 1, bytes_received: 2, packets_sent: 3, packets_received: 4 },
        last_activity_ms: start_ms,
        stages: Stages {
            auth_us: Some(5),
            resolve_us: Some(6),
            connect_us: Some(7),
            first_byte_us: Some(8),
        },
        client_tcp: Some((9, 10)),
        upstream_tcp: Some((11, 12)),
        detail: None,
        ending: Some(ending(Outcome::ClientClosed)),
    }
}

impl Store {
    /// One that puts a lost file back at the second look.
    pub(in crate::store) fn in_a_hurry(self) -> Self {
        Self { grace: Duration::ZERO, ..self }
    }
}

fn location(directory: &TempDir) -> Location {
    let path = directory.path().join("s.db");
    Location::parse(&format!("sqlite://{}", path.display())).unwrap()
}

fn options() -> StoreOptions {
    StoreOptions {
        full_sync: false,
        retention_days: 1,
        node: "node-1".to_owned(),
        ..StoreOptions::default()
    }
}

fn ending(outcome: Outcome) -> Ending {
    Ending { outcome, relayed: true, duration_ms: 61_001 }
}

fn first(session: &SessionView) -> Change {
    Change { session: session.clone(), before: None }
}

fn later(session: &SessionView) -> Change {
    Change { session: session.clone(), before: Some(Traffic::default()) }
}

const NOW_MS: i64 = 1_769_846_709_123;

/// A parameter is bound again only where it differs: nothing of one row may stand in the next.
#[test]
fn each_row_says_what_its_session_says_whatever_stood_in_the_row_before() {
    let mut world = World::new();
    let full = || world.full(NOW_MS);
    let alterations: [fn(&mut SessionView); 20] = [
        |_| {},
        |view| view.user = "bob".into(),
        |view| view.client = "[2001:db8::1]:1".parse().unwrap(),
        |view| view.target_host = "".into(),
        |view| view.command = Some(Command::UdpAssociate),
        |view| view.command = None,
        |view| view.decision = None,
        |view| view.decision = Some(Decision::Block),
        |view| view.rule = "another".into(),
        |view| view.rule_id = None,
        |view| view.detail = Some(Detail::Clients(99)),
        |view| view.shadow = Some(5),
        |view| view.shadow = Some(6),
        |view| view.policy_generation = 8,
        |view| view.resolved = None,
        |view| view.claimed_user = "mallory".into(),
        |view| view.ending = None,
        |view| view.ending = Some(ending(Outcome::Crash)),
        |view| view.stages = Stages::default(),
        |view| (view.client_tcp, view.upstream_tcp) = (None, None),
    ];
    let mut rows = Vec::new();
    for before in alterations {
        for after in alterations {
            let (mut one, mut other) = (full(), full());
            before(&mut one);
            after(&mut other);
            rows.extend([first(&one), first(&other)]);
        }
    }
    let mut never_relayed = full();
    never_relayed.ending = Some(Ending { relayed: false, ..ending(Outcome::ClientClosed) });
    rows.extend([first(&full()), first(&never_relayed), first(&full())]);
    world.commit(&rows);
    for row in &rows {
        world.assert_row(&row.session);
    }
}

#[test]
fn a_checkpoint_moves_the_figures_and_an_ending_says_the_rest() {
    let mut world = World::new();
    let mut view = SessionView { ending: None, ..world.full(NOW_MS) };
    let late = (view.resolved.take(), std::mem::take(&mut view.stages));
    world.commit(&[first(&view)]);
    world.assert_row(&view);
    (view.resolved, view.stages) = late;
    view.traffic.bytes_received = 1 << 40;
    world.commit(&[later(&view)]);
    world.assert_row(&view);
    view.traffic.packets_sent = 99;
    view.ending = Some(ending(Outcome::TargetReset));
    world.commit(&[later(&view)]);
    world.assert_row(&view);
}

#[test]
fn a_finished_row_never_turns_back() {
    let mut world = World::new();
    let view = world.full(NOW_MS);
    world.commit(&[first(&view)]);
    let mut late = SessionView { ending: None, ..view.clone() };
    late.traffic.bytes_sent = 77;
    for change in [first(&late), later(&late)] {
        world.commit(&[change]);
        world.assert_row(&view);
    }
    // The same row once more, after a commit whose success was not heard of.
    world.commit(&[first(&view)]);
    world.assert_row(&view);
    assert_eq!(world.count("SELECT count(*) FROM sessions"), 1);
}

#[test]
fn a_known_row_that_has_vanished_is_written_anew() {
    let mut world = World::new();
    let (live, ended) = (SessionView { ending: None, ..world.full(0) }, world.full(NOW_MS));
    world.commit(&[later(&live), later(&ended)]);
    world.assert_row(&live);
    world.assert_row(&ended);
}

#[test]
fn a_step_of_the_clock_makes_no_negative_duration() {
    let mut world = World::new();
    // Three days back since the accept: the end is the start and what the monotonic clock says.
    for start_ms in [NOW_MS, NOW_MS - 3 * DAY_MS, NOW_MS + 3 * DAY_MS] {
        let view = world.full(start_ms);
        world.commit(&[first(&view)]);
        let row = world.one(view.id).unwrap();
        assert_eq!(row.end_time.as_deref(), Some(&*rfc3339(start_ms + 61_001)));
        assert_eq!((row.duration_secs, row.duration_ms), (Some(61), Some(61_001)));
    }
    assert_eq!(
        world.count("SELECT count(*) FROM sessions WHERE end_time < start_time OR duration_ms < 0"),
        0
    );
}

#[test]
fn old_rows_go_in_slices_and_their_room_is_given_back_while_live_ones_stay() {
    let mut world = World::new();
    let old = NOW_MS - 2 * DAY_MS;
    let mut rows: Vec<_> = (0..30_000).map(|number| first(&world.full(old + number))).collect();
    let live = SessionView { ending: None, ..world.full(old) };
    let young = world.full(NOW_MS - DAY_MS);
    rows.extend([first(&live), first(&young)]);
    world.commit(&rows);
    world.store.close();
    let before = std::fs::metadata(location(&world.directory).path()).unwrap().len();
    let (mut slices, mut deleted, mut pages) = (0, 0, 0);
    loop {
        let cleaned = world.store.clean_up(NOW_MS).unwrap();
        if cleaned.is_done() {
            break;
        }
        slices += 1;
        deleted += cleaned.rows;
        pages += cleaned.pages;
    }
    assert_eq!(deleted, 30_000);
    assert!(slices > 4, "{slices} slices");
    world.assert_row(&live);
    world.assert_row(&young);
    assert_eq!(world.count("SELECT count(*) FROM sessions"), 2);
    world.store.close();
    let after = std::fs::metadata(location(&world.directory).path()).unwrap().len();
    assert!(pages > 100 && after < before / 2, "{before} octets, {after} after {pages} pages");
    let tended = world.store.tend(clock::mono()).unwrap();
    assert_eq!(tended.oldest_row_ms, Some(old));
}

/// A commit of rows is on the disk, also after slices that need not be.
#[test]
fn deleting_leaves_no_row_less_durable() {
    let directory = tempfile::tempdir().unwrap();
    let mut store =
        Store::open(&location(&directory), StoreOptions { full_sync: true, ..options() }).unwrap();
    let level = |store: &Store| -> i64 {
        store.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap()
    };
    let (full_level, normal_level) = (2, 1);
    assert_eq!(level(&store), full_level);
    store.clean_up(NOW_MS).unwrap();
    assert_eq!(level(&store), normal_level);
    store.commit(&[first(&full(&IdSource::new(), NOW_MS))]).unwrap();
    assert_eq!(level(&store), full_level);
}

#[test]
fn by_hand_the_same_rows_go_beside_the_owner() {
    let mut world = World::new();
    let old = NOW_MS - 2 * DAY_MS;
    let rows: Vec<_> = (0..1000).map(|number| first(&world.full(old + number))).collect();
    let young = world.full(NOW_MS);
    world.commit(&rows);
    world.commit(&[first(&young)]);
    let mut cleanup =
        crate::store::Cleanup::before(&location(&world.directory), NOW_MS - DAY_MS).unwrap();
    assert_eq!(cleanup.count().unwrap(), 1000);
    let mut seen = 0;
    assert_eq!(cleanup.run(|deleted| seen = deleted).unwrap(), 1000);
    assert_eq!((seen, cleanup.count().unwrap()), (1000, 0));
    world.assert_row(&young);
    let late = world.full(NOW_MS);
    world.commit(&[first(&late)]);
    world.assert_row(&late);
}

#[test]
fn a_log_that_a_reader_holds_is_complained_of_until_the_reader_goes() {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions { wal_limit_bytes: 1024 * 1024, ..options() };
    let mut store = Store::open(&location(&directory), options).unwrap();
    let ids = IdSource::new();
    let rows: Vec<_> = (0..6000).map(|_| first(&full(&ids, NOW_MS))).collect();
    let now = clock::mono();
    assert_eq!(store.tend(now).unwrap().wal_trouble, None);
    let reader = Connection::open(location(&directory).path()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM sessions").unwrap();
    store.commit(&rows).unwrap();
    let minute = Duration::from_mins(1);
    let tended = store.tend(now + minute).unwrap();
    assert!(tended.wal_bytes > 1024 * 1024, "{tended:?}");
    let trouble = tended.wal_trouble.unwrap();
    assert!(trouble.contains("s.db-wal") && trouble.contains("wal_limit_mb"), "{trouble}");
    assert!(store.tend(now + minute + SECOND).unwrap().wal_trouble.is_some());
    drop(reader);
    let tended = store.tend(now + 2 * minute).unwrap();
    assert_eq!((tended.wal_bytes, tended.wal_trouble), (0, None));
}

const SECOND: Duration = Duration::from_secs(1);
