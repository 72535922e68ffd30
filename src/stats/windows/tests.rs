//! Random streams of sessions against a naive table: every answer equals a scan of its rows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::weight::Weight;
use super::*;
use crate::clock::{self, Now};
use crate::session::{Ending, IdSource, Outcome, SessionView, Status, Traffic};
use crate::stats::{TopDestination, TopUser, destination};

const HOUR_MS: i64 = 3_600_000;
const BEGAN_MS: i64 = 1_769_846_709_123;
const HOURS: u32 = 24;
const HOURS_MAX: u32 = 60;

/// Whether a window can have been cut short: the clock was once so far ahead.
const AHEAD_MAX_MS: i64 = 24 * HOUR_MS;
/// Memory that may not be enough for what a test does.
const LITTLE: usize = 40_000;

#[derive(Clone, Debug)]
enum Event {
    /// A session starts, so long ago; user and target by number, 0 is none.
    Open { ago_ms: i64, user: u8, target: u8 },
    /// One that lives has moved so many octets.
    Move { which: usize, sent: u64, received: u64 },
    /// One that lives ends, having moved so many more.
    End { which: usize, sent: u64, outcome: Outcome, relayed: bool },
    /// What has happened is committed.
    Commit,
    /// Time passes, on both clocks.
    Pass(i64),
    /// The wall clock steps.
    Step(i64),
    /// The process is killed and starts again; the past is loaded in slices of so many rows, each
    /// after one of the next events.
    Restart { slice: usize },
    /// Memory is measured, as after many additions.
    Measure,
    /// Somebody asks.
    Ask(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let outcome = prop_oneof![
        Just((Outcome::ClientClosed, true)),
        Just((Outcome::ConnectionRefused, false)),
        Just((Outcome::AclDenied, false)),
    ];
    let bytes = prop_oneof![Just(0), 1..2000_u64, 1..u64::from(u32::MAX)];
    let event = prop_oneof![
        8 => (prop_oneof![Just(0), 0..30_000_i64, 0..70 * HOUR_MS], 0..12_u8, 0..25_u8)
            .prop_map(|(ago_ms, user, target)| Event::Open { ago_ms, user, target }),
        5 => (any::<usize>(), bytes.clone(), bytes.clone())
            .prop_map(|(which, sent, received)| Event::Move { which, sent, received }),
        4 => (any::<usize>(), bytes, outcome).prop_map(|(which, sent, (outcome, relayed))| {
            Event::End { which, sent, outcome, relayed }
        }),
        4 => Just(Event::Commit),
        3 => prop_oneof![0..90_000_i64, 0..20 * HOUR_MS].prop_map(Event::Pass),
        1 => (-72 * HOUR_MS..72 * HOUR_MS).prop_map(Event::Step),
        1 => (1..9_usize).prop_map(|slice| Event::Restart { slice }),
        1 => Just(Event::Measure),
        4 => prop_oneof![Just(HOURS), 1..=HOURS_MAX].prop_map(Event::Ask),
    ];
    prop::collection::vec(event, 1..120)
}

/// The table, the writer, and the clock.
struct World {
    limits: Limits,
    windows: Windows,
    ids: IdSource,
    /// Rows as they are committed.
    table: Vec<SessionView>,
    /// Sessions that live or ended since the last commit.
    live: Vec<SessionView>,
    /// What the table says of them, if anything.
    before: Vec<Option<Traffic>>,
    now_ms: i64,
    mono: Instant,
    as_of_ms: Option<i64>,
    /// Rows of the snapshot that are not loaded yet.
    past: Vec<SessionView>,
    slice: usize,
    /// How far the clock has been ahead of where it is.
    latest_ms: i64,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            windows: Windows::with(HOURS, HOURS_MAX, limits),
            ids: IdSource::new(),
            table: Vec::new(),
            live: Vec::new(),
            before: Vec::new(),
            now_ms: BEGAN_MS,
            mono: clock::mono(),
            as_of_ms: None,
            past: Vec::new(),
            slice: 0,
            latest_ms: BEGAN_MS,
        }
    }

    fn happen(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match *event {
            Event::Open { ago_ms, user, target } => {
                let id = self.ids.next(self.now_ms);
                let session = view(id, self.now_ms - ago_ms, user, target);
                self.live.push(session);
                self.before.push(None);
            }
            Event::Move { which, sent, received } => {
                if let Some(session) = self.living(which) {
                    session.traffic.bytes_sent += sent;
                    session.traffic.bytes_received += received;
                }
            }
            Event::End { which, sent, outcome, relayed } => {
                if let Some(session) = self.living(which) {
                    session.traffic.bytes_sent += sent;
                    session.ending = Some(Ending { outcome, relayed, duration_ms: 1 });
                }
            }
            Event::Commit => self.commit(),
            Event::Pass(ms) => {
                self.now_ms += ms;
                self.mono += Duration::from_millis(ms.unsigned_abs());
            }
            Event::Step(ms) => self.now_ms += ms,
            Event::Restart { slice } => self.restart(slice),
            Event::Measure => {
                let mut book = self.windows.book.lock();
                book.timeline.measure();
                let now = book.timeline.now;
                while book.timeline.keep_up(now) {}
                let within = book.timeline.memory() <= self.limits.memory;
                prop_assert!(within || book.timeline.minutes.len() <= 1);
            }
            Event::Ask(hours) => self.ask(hours)?,
        }
        self.latest_ms = self.latest_ms.max(self.now_ms);
        self.load();
        Ok(())
    }

    fn living(&mut self, which: usize) -> Option<&mut SessionView> {
        let living = self.live.iter_mut().filter(|session| session.ending.is_none());
        let mut living: Vec<_> = living.collect();
        let count = living.len().max(1);
        (!living.is_empty()).then(|| living.swap_remove(which % count))
    }

    fn commit(&mut self) {
        let changes: Vec<_> = self
            .live
            .iter()
            .zip(&self.before)
            .map(|(session, before)| Change { session: session.clone(), before: *before })
            .collect();
        self.windows.commit(self.now_ms, &changes);
        self.as_of_ms = Some(self.now_ms);
        for change in changes {
            self.table.retain(|row| row.id != change.session.id);
            self.table.push(change.session);
        }
        self.live.retain(|session| session.ending.is_none());
        self.before = self.live.iter().map(|session| Some(session.traffic)).collect();
    }

    fn restart(&mut self, slice: usize) {
        // What was not committed is lost here; the ledger is another test's matter.
        self.live.clear();
        self.before.clear();
        for row in self.table.iter_mut().filter(|row| row.ending.is_none()) {
            row.ending = Some(Ending { outcome: Outcome::Crash, relayed: true, duration_ms: 0 });
        }
        self.windows = Windows::with(HOURS, HOURS_MAX, self.limits);
        self.windows.begin_loading();
        self.windows.snapshot_taken(self.now_ms);
        self.as_of_ms = Some(self.now_ms);
        self.past = self.table.clone();
        self.slice = slice;
        self.latest_ms = self.now_ms;
    }

    /// One slice of the past.
    fn load(&mut self) {
        if self.slice == 0 {
            return;
        }
        let mut past = Past::default();
        for row in self.past.drain(..self.slice.min(self.past.len())) {
            past.push(
                row.start_ms.div_euclid(MINUTE_MS),
                row.user.as_bytes(),
                (row.target_host.as_bytes(), row.target_port),
                (row.traffic.bytes_sent, row.traffic.bytes_received),
                row.status(),
            );
        }
        self.windows.load(&past);
        if self.past.is_empty() {
            self.slice = 0;
            self.windows.finish_loading();
        }
    }

    fn ask(&mut self, hours: u32) -> Result<(), TestCaseError> {
        // Nobody has asked within the last second.
        self.mono += Duration::from_secs(1);
        let now = Now { mono: self.mono, utc_ms: self.now_ms };
        let answer = self.windows.answer(now, hours);
        let start_ms = (self.now_ms - i64::from(hours) * HOUR_MS).div_euclid(60_000) * 60_000;
        prop_assert_eq!(answer.window_start_ms, start_ms);
        prop_assert_eq!(answer.as_of_ms, self.as_of_ms);
        let loaded = self.slice == 0;
        if !loaded {
            prop_assert!(!answer.complete);
            return Ok(());
        }
        if !answer.complete {
            let was_ahead = self.latest_ms - self.now_ms > AHEAD_MAX_MS;
            let reason = was_ahead || self.limits.memory < LITTLE;
            prop_assert!(reason, "nothing of this window can have been forgotten");
            return Ok(());
        }
        let rows = self.table.iter().filter(|row| row.start_ms >= start_ms);
        let mut sums = Sums::default();
        let mut users: BTreeMap<String, Weight> = BTreeMap::new();
        let mut targets: BTreeMap<(String, u16), Weight> = BTreeMap::new();
        for row in rows {
            let bytes = row.traffic.bytes_sent + row.traffic.bytes_received;
            sums.sessions += 1;
            sums.bytes_sent += row.traffic.bytes_sent;
            sums.bytes_received += row.traffic.bytes_received;
            match row.status() {
                Status::Active => {}
                Status::Closed => sums.closed += 1,
                Status::Failed => sums.failed += 1,
                Status::RejectedByAcl => sums.rejected += 1,
            }
            let weight = Weight { sessions: 1, bytes };
            users.entry(row.user.to_string()).or_default().add(weight);
            if !row.target_host.is_empty() {
                let target = (row.target_host.to_string(), row.target_port);
                targets.entry(target).or_default().add(weight);
            }
        }
        prop_assert_eq!(answer.sums, sums, "the sums are exact whatever the limits");
        let mut users: Vec<_> = users
            .into_iter()
            .map(|(user, Weight { sessions, bytes })| TopUser { user, sessions, bytes })
            .collect();
        users.sort_by_key(|user| std::cmp::Reverse(user.bytes));
        let mut targets: Vec<_> = targets
            .into_iter()
            .map(|((host, port), Weight { sessions, bytes })| TopDestination {
                dest: destination(&host, port),
                sessions,
                bytes,
            })
            .collect();
        targets.sort_by_key(|target| std::cmp::Reverse(target.sessions));
        let Some(shortfall) = answer.shortfall else {
            prop_assert_eq!(&answer.top_users, &users);
            prop_assert_eq!(&answer.top_destinations, &targets);
            return Ok(());
        };
        for user in users {
            let same = answer.top_users.iter().find(|other| other.user == user.user);
            let known = same.map_or((0, 0), |user| (user.sessions, user.bytes));
            within(known, (user.sessions, user.bytes), shortfall)?;
        }
        for target in targets {
            let same = answer.top_destinations.iter().find(|other| other.dest == target.dest);
            let known = same.map_or((0, 0), |target| (target.sessions, target.bytes));
            within(known, (target.sessions, target.bytes), shortfall)?;
        }
        Ok(())
    }
}

/// What is known of a name is what is true, or less by the shortfall at most.
fn within(known: (u64, u64), truth: (u64, u64), shortfall: Shortfall) -> Result<(), TestCaseError> {
    prop_assert!(known.0 <= truth.0 && truth.0 <= known.0 + shortfall.sessions);
    prop_assert!(known.1 <= truth.1 && truth.1 <= known.1 + shortfall.bytes);
    Ok(())
}

fn limits() -> impl Strategy<Value = Limits> {
    let wide = Limits::new(HOURS_MAX);
    prop_oneof![
        2 => Just(wide),
        1 => (1..6_usize).prop_map(move |names_per_minute| Limits { names_per_minute, ..wide }),
        1 => (5_000..LITTLE).prop_map(move |memory| Limits { memory, ..wide }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_answer_equals_a_scan_of_the_table(limits in limits(), events in events()) {
        let mut world = World::new(limits);
        for event in &events {
            world.happen(event)?;
        }
        // However it went, in the end all is there.
        world.happen(&Event::Commit)?;
        while world.slice > 0 {
            world.load();
        }
        for hours in [1, 2, HOURS - 1, HOURS, HOURS + 1, HOURS_MAX] {
            world.ask(hours)?;
        }
    }
}

fn view(id: crate::session::SessionId, start_ms: i64, user: u8, target: u8) -> SessionView {
    let (host, port) = match target {
        0 => (String::new(), 0),
        1 => ("2001:db8::1".to_owned(), 443),
        number => (format!("host-{}", number / 2), 80 + u16::from(number % 2)),
    };
    SessionView {
        user: format!("user-{user}").into(),
        target_host: host.into(),
        target_port: port,
        accepted: target != 0,
        ..SessionView::plain(id, start_ms)
    }
}

#[test]
fn ten_thousand_targets_in_a_minute_are_exact() {
    let windows = Windows::new(HOURS, HOURS_MAX);
    let ids = IdSource::new();
    let change = |number: u32| {
        let mut session = view(ids.next(BEGAN_MS), BEGAN_MS, 0, 2);
        session.target_host = format!("{number}.example").into();
        Change { session, before: None }
    };
    windows.commit(BEGAN_MS, &(0..30_000).map(change).collect::<Vec<_>>());
    let now = Now { mono: clock::mono(), utc_ms: BEGAN_MS };
    assert_eq!(windows.answer(now, HOURS).shortfall, None);
    windows.commit(BEGAN_MS, &(30_000..40_000).map(change).collect::<Vec<_>>());
    let answer = windows.answer(now, HOURS);
    assert_eq!(answer.shortfall, Some(Shortfall { sessions: 1, bytes: 0 }), "one of each was lost");
    assert_eq!((answer.sums.sessions, answer.top_destinations.len()), (40_000, TOP_MAX as usize));
    assert!(windows.state().dropped > 10_000);
}

#[test]
fn an_answer_that_had_to_be_added_up_serves_for_a_second() {
    let windows = Windows::new(HOURS, HOURS_MAX);
    let ids = IdSource::new();
    let change = || Change { session: view(ids.next(0), BEGAN_MS, 1, 2), before: None };
    let mono = clock::mono();
    let sessions = |hours, ms| {
        let now = Now { mono: mono + Duration::from_millis(ms), utc_ms: BEGAN_MS };
        windows.answer(now, hours).sums.sessions
    };
    windows.commit(BEGAN_MS, &[change()]);
    assert_eq!((sessions(HOURS, 0), sessions(1, 0)), (1, 1));
    windows.commit(BEGAN_MS, &[change()]);
    assert_eq!((sessions(HOURS, 1), sessions(1, 1)), (2, 1), "the default window never waits");
    assert_eq!((sessions(1, 999), sessions(1, 1000)), (1, 2));
}

/// Whoever asks, and the writer too, waits for a portion and not for all minutes.
#[test]
fn memory_is_made_free_a_portion_at_a_time_and_answers_say_what_that_took() {
    let memory = 4 << 20;
    let limits = Limits { names_per_minute: 2000, memory, ..Limits::new(HOURS_MAX) };
    let windows = Windows::with(HOURS, HOURS_MAX, limits);
    let ids = IdSource::new();
    let minutes = 200;
    // The same thousand names in each minute, until there is no room for more.
    let mut sessions = 0;
    let mut add = |minute: i64| {
        let now_ms = BEGAN_MS + minute * 60_000;
        let changes: Vec<_> = (0..1000)
            .map(|number| {
                let mut session = view(ids.next(now_ms), now_ms, 0, 2);
                session.target_host = format!("{number}").into();
                Change { session, before: None }
            })
            .collect();
        windows.commit(now_ms, &changes);
        sessions += 1000;
    };
    let (mut begun, mut portions) = (None, 0);
    for minute in 0..10 * minutes {
        add(minute);
        let book = windows.book.lock();
        if book.timeline.relief.is_some() {
            begun.get_or_insert(minute);
            portions += 1;
        } else if begun.is_some() {
            break;
        }
    }
    assert!(portions > 2, "{portions} portions from minute {begun:?} on");
    let state = windows.state();
    assert!(state.memory <= memory as u64 && state.dropped > 0, "{state:?}");
    let now = Now { mono: clock::mono(), utc_ms: BEGAN_MS + begun.unwrap() * 60_000 };
    let answer = windows.answer(now, HOURS_MAX);
    assert_eq!(answer.sums.sessions, sessions);
    assert!(answer.complete && answer.shortfall.is_some(), "{answer:?}");
}

#[test]
fn a_flood_of_names_stays_within_the_bound_on_memory() {
    let limits = Limits { names_per_minute: 1000, memory: 16 << 20, ..Limits::new(HOURS_MAX) };
    let windows = Windows::with(HOURS, HOURS_MAX, limits);
    let ids = IdSource::new();
    let mut known = 0;
    for minute in 0..100 {
        let now_ms = BEGAN_MS + minute * 60_000;
        let changes: Vec<_> = (0..3000)
            .map(|number| {
                let mut session = view(ids.next(now_ms), now_ms, 0, 2);
                // One in ten goes to the same place.
                if number % 10 > 0 {
                    session.target_host = format!("{minute}-{number:0200}").into();
                }
                known += u64::from(number % 10 == 0);
                Change { session, before: None }
            })
            .collect();
        windows.commit(now_ms, &changes);
        // It is measured after so many additions, not after each.
        assert!(windows.state().memory <= 21 << 20, "{:?}", windows.state());
    }
    let now = Now { mono: clock::mono(), utc_ms: BEGAN_MS + 100 * 60_000 };
    let answer = windows.answer(now, HOURS);
    assert_eq!((answer.sums.sessions, answer.complete), (300_000, true));
    let first = &answer.top_destinations[0];
    assert_eq!((first.dest.as_str(), first.sessions), ("host-1:80", known));
    // The same added up of minutes and the hour that is over.
    let added_up = windows.answer(now, HOURS + 1);
    assert_eq!(*answer, Answer { window_start_ms: answer.window_start_ms, ..(*added_up).clone() });
    let shortfall = answer.shortfall.unwrap();
    assert!((1..=400).contains(&shortfall.sessions), "{shortfall:?}");
}
