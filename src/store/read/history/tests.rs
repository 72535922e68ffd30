use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::session::{Ending, IdSource, Outcome, SessionView};
use crate::stats::{Change, Dest, History, Record, Ring};
use crate::store::read::{Patience, Reader};
use crate::store::rows::Store;
use crate::store::{Location, StoreOptions};
use crate::writer::Keep;

/// A database, the ring of the memory mode, and what was put into both.
struct Twins {
    store: Store,
    reader: Reader,
    ring: Ring,
    ids: IdSource,
    put: Vec<SessionView>,
    _directory: tempfile::TempDir,
}

impl Twins {
    /// With no time for any page: each is cut after the first few rows.
    fn hurried() -> Self {
        let mut twins = Self::new();
        twins.reader.patience = Patience { page: Duration::ZERO, total: Duration::ZERO };
        twins
    }

    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.db");
        let location = Location::parse(&format!("sqlite://{}", path.display())).unwrap();
        let options =
            StoreOptions { full_sync: false, node: "here".to_owned(), ..StoreOptions::default() };
        let store = Store::open(&location, options).unwrap();
        let reader = Reader::new(&location);
        let ring = Ring::new(1_000_000, "here");
        Self { store, reader, ring, ids: IdSource::new(), put: Vec::new(), _directory: directory }
    }

    /// Records sessions that have ended, as the writer does.
    fn put(&mut self, facts: &[Facts]) {
        let views: Vec<SessionView> = facts.iter().map(|facts| facts.view(&self.ids)).collect();
        self.commit(&views);
        for view in &views {
            self.ring.push(view.clone());
        }
        self.put.extend(views);
    }

    fn commit(&mut self, views: &[SessionView]) {
        let change = |view: &SessionView| Change { session: view.clone(), before: None };
        self.store.commit(&views.iter().map(change).collect::<Vec<_>>()).unwrap();
    }

    /// What a walk through a history gives, page by page.
    fn walk(&self, history: &dyn History, mut query: HistoryQuery) -> Vec<Record> {
        let mut records = Vec::new();
        for _ in 0..=self.put.len() {
            let page = history.page(&query).unwrap();
            assert!(page.records.len() <= query.limit);
            if page.next.is_some() && !page.cut {
                assert_eq!(page.records.len(), query.limit, "a page that goes on is full");
            }
            records.extend(page.records);
            query.after = page.next;
            if page.next.is_none() {
                return records;
            }
        }
        panic!("the walk has no end");
    }

    /// The same, by the definition.
    fn expected(&self, query: &HistoryQuery) -> Vec<Record> {
        let mut passing: Vec<&SessionView> =
            self.put.iter().filter(|view| query.filter.passes(view)).collect();
        if query.filter.is_by_time() {
            passing.sort_by_key(|view| view.start_ms);
        }
        if query.order == Order::Descending {
            passing.reverse();
        }
        passing.into_iter().map(|view| Record::of(view, "here")).collect()
    }
}

/// What a filter may ask of a session.
#[derive(Clone, Debug)]
struct Facts {
    user: u8,
    host: u8,
    port: u16,
    source: u8,
    outcome: Outcome,
    start: u8,
}

impl Facts {
    fn plain() -> Self {
        let outcome = Outcome::ClientClosed;
        Self { user: 1, host: 1, port: 80, source: 1, outcome, start: 3 }
    }

    fn view(&self, ids: &IdSource) -> SessionView {
        let start_ms = start_ms(self.start);
        SessionView {
            client: SocketAddr::new(address(self.source), 1000),
            user: user(self.user).into(),
            target_host: host(self.host).into(),
            target_port: self.port,
            ending: Some(Ending {
                outcome: self.outcome,
                relayed: self.port == 80,
                duration_ms: 5,
            }),
            ..SessionView::plain(ids.next(start_ms), start_ms)
        }
    }
}

fn start_ms(start: u8) -> i64 {
    1_769_846_709_000 + i64::from(start)
}

fn user(number: u8) -> String {
    format!("user{number}")
}

fn host(number: u8) -> String {
    if number == 0 { "2001:db8::1".to_owned() } else { format!("host{number}.example") }
}

fn address(number: u8) -> IpAddr {
    if number == 0 { "2001:db8::2".parse().unwrap() } else { [192, 0, 2, number].into() }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![
        Outcome::ClientClosed,
        Outcome::IdleTimeout,
        Outcome::AclDenied,
        Outcome::Crash,
    ])
}

fn facts() -> impl Strategy<Value = Facts> {
    let ports = prop::sample::select(vec![80_u16, 443]);
    (0..4_u8, 0..4_u8, ports, 0..3_u8, outcomes(), 0..20_u8).prop_map(
        |(user, host, port, source, outcome, start)| Facts {
            user,
            host,
            port,
            source,
            outcome,
            start,
        },
    )
}

fn queries() -> impl Strategy<Value = HistoryQuery> {
    use prop::option::of;
    let dests = (0..5_u8, of(prop::sample::select(vec![80_u16, 443])))
        .prop_map(|(number, port)| Dest { host: host(number), port });
    let statuses =
        prop::sample::select(vec![Status::Closed, Status::Failed, Status::RejectedByAcl]);
    let filters = (
        of((0..5_u8).prop_map(user)),
        of(dests),
        of((0..4_u8).prop_map(address)),
        of(statuses),
        of(outcomes()),
        of((0..21_u8).prop_map(start_ms)),
        of((0..21_u8).prop_map(start_ms)),
    )
        .prop_map(|(user, dest, source, status, outcome, since_ms, until_ms)| Filter {
            user,
            dest,
            source,
            status,
            outcome,
            since_ms,
            until_ms,
        });
    (filters, any::<bool>(), 1..40_usize).prop_map(|(filter, ascending, limit)| HistoryQuery {
        filter,
        order: if ascending { Order::Ascending } else { Order::Descending },
        limit,
        after: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn database_and_ring_give_what_the_filter_says_in_any_pages(
        sessions in prop::collection::vec(facts(), 0..400),
        asked in prop::collection::vec(queries(), 1..20),
        hurried: bool,
    ) {
        let mut twins = if hurried { Twins::hurried() } else { Twins::new() };
        twins.put(&sessions);
        for query in asked {
            let expected = twins.expected(&query);
            prop_assert_eq!(&twins.walk(&twins.reader, query.clone()), &expected, "{:?}", query);
            prop_assert_eq!(&twins.walk(&twins.ring, query.clone()), &expected, "{:?}", query);
            let total = Some(expected.len() as u64);
            prop_assert_eq!(twins.ring.total(&query.filter), Ok(total));
            let counted = twins.reader.total(&query.filter).unwrap();
            prop_assert!(counted == total || hurried && counted.is_none(), "{:?}", counted);
        }
    }

    #[test]
    fn a_walk_meets_each_session_once_however_many_are_recorded_meanwhile(
        batches in prop::collection::vec(prop::collection::vec(facts(), 0..30), 2..12),
        query in queries(),
        hurried: bool,
    ) {
        let mut twins = if hurried { Twins::hurried() } else { Twins::new() };
        twins.put(&batches[0]);
        let from_start = twins.expected(&query);
        let mut met: [Vec<Record>; 2] = Default::default();
        let mut after = [None, None];
        let mut more = [true, true];
        let mut batches = batches[1..].iter();
        while more != [false, false] {
            for twin in 0..2 {
                if !more[twin] {
                    continue;
                }
                let asked = HistoryQuery { after: after[twin], ..query.clone() };
                let history: &dyn History = if twin == 0 { &twins.reader } else { &twins.ring };
                let page = history.page(&asked).unwrap();
                met[twin].extend(page.records);
                after[twin] = page.next;
                more[twin] = page.next.is_some();
            }
            if let Some(batch) = batches.next() {
                twins.put(batch);
            }
        }
        let all = twins.expected(&query);
        for met in met {
            let mut ids: Vec<&str> = met.iter().map(|record| &*record.session_id).collect();
            ids.sort_unstable();
            prop_assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "one is met twice");
            prop_assert!(from_start.iter().all(|record| met.contains(record)), "one is missed");
            prop_assert!(met.iter().all(|record| all.contains(record)));
            // In order, too: what is met is what remains of all when the rest is struck out.
            let in_order: Vec<_> = all.iter().filter(|record| met.contains(record)).collect();
            prop_assert_eq!(met.iter().collect::<Vec<_>>(), in_order);
        }
    }
}

#[test]
fn a_ring_forgets_its_oldest_and_a_walk_goes_on_with_what_is_left() {
    let ids = IdSource::new();
    let ring = Ring::new(100, "here");
    let push = |count: usize| {
        for _ in 0..count {
            ring.push(Facts::plain().view(&ids));
        }
    };
    let query = |order, after| HistoryQuery { filter: Filter::default(), order, limit: 60, after };
    push(150);
    assert_eq!(ring.total(&Filter::default()), Ok(Some(100)));
    let newest = ring.page(&query(Order::Descending, None)).unwrap();
    let oldest = ring.page(&query(Order::Ascending, None)).unwrap();
    assert_eq!((newest.records.len(), oldest.records.len()), (60, 60));
    push(90);
    // What lay behind the newest 60 is gone: 90 came in, and 100 are kept.
    let rest = ring.page(&query(Order::Descending, newest.next)).unwrap();
    assert_eq!((rest.records.len(), rest.next), (0, None));
    // Behind the oldest 60 there were 40, of which 10 are left, and 90 more.
    let page = ring.page(&query(Order::Ascending, oldest.next)).unwrap();
    assert_eq!(page.records.len(), 60);
    let rest = ring.page(&query(Order::Ascending, page.next)).unwrap();
    assert_eq!((rest.records.len(), rest.next), (40, None));
}

#[test]
fn live_sessions_are_no_history() {
    let mut twins = Twins::new();
    let facts = Facts::plain();
    twins.put(&[facts.clone(), facts.clone()]);
    let live = SessionView { ending: None, ..facts.view(&twins.ids) };
    twins.commit(std::slice::from_ref(&live));
    let since = Some(start_ms(0));
    for filter in [
        Filter::default(),
        Filter { user: Some(user(1)), ..Filter::default() },
        Filter { since_ms: since, ..Filter::default() },
        Filter { since_ms: since, user: Some(user(1)), ..Filter::default() },
        Filter { source: Some(address(1)), ..Filter::default() },
    ] {
        let query = HistoryQuery { filter, order: Order::Ascending, limit: 10, after: None };
        assert_eq!(twins.walk(&twins.reader, query.clone()), twins.expected(&query), "{query:?}");
        assert_eq!(twins.reader.total(&query.filter), Ok(Some(2)), "{query:?}");
    }
    // Once it ends it is, where it was first recorded.
    let ended = facts.view(&twins.ids);
    let ended = SessionView { id: live.id, ..ended };
    twins.commit(std::slice::from_ref(&ended));
    assert_eq!(twins.reader.total(&Filter::default()), Ok(Some(3)));
}

#[test]
fn a_page_without_time_still_gets_somewhere_and_says_that_it_was_cut() {
    let mut twins = Twins::hurried();
    let common = Facts::plain();
    let rare = Facts { host: 2, ..common.clone() };
    let mut sessions = vec![common; 1000];
    sessions[0] = rare;
    twins.put(&sessions);
    let filter = Filter { dest: Some(Dest { host: host(2), port: None }), ..Filter::default() };
    let query = HistoryQuery { filter, order: Order::Descending, limit: 10, after: None };
    let page = twins.reader.page(&query).unwrap();
    assert!(page.cut && page.records.is_empty() && page.next.is_some(), "{page:?}");
    assert_eq!(twins.reader.total(&query.filter), Ok(None));
    assert_eq!(twins.walk(&twins.reader, query.clone()), twins.expected(&query));
}

#[test]
fn every_way_with_an_index_searches_it() {
    let twins = Twins::new();
    let connection = twins.reader.location.open_to_read().unwrap();
    let plan = |sql: &str| -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let parameters = statement.parameter_count();
        let lines = statement
            .query_map(rusqlite::params_from_iter(vec!["1"; parameters]), |row| {
                row.get::<_, String>("detail")
            })
            .unwrap();
        lines.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    };
    let user = Filter { user: Some("u".to_owned()), ..Filter::default() };
    let status = Filter { status: Some(Status::Failed), ..Filter::default() };
    let denied = Filter { outcome: Some(Outcome::AclDenied), ..Filter::default() };
    let since = Filter { since_ms: Some(0), ..Filter::default() };
    let until = Filter { until_ms: Some(1), ..Filter::default() };
    let both = Filter { status: Some(Status::Failed), since_ms: Some(0), ..user.clone() };
    let by_row = "INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
    let by_user = "INDEX idx_sessions_user (user=? AND rowid>? AND rowid<?)";
    let by_status = "INDEX idx_sessions_status (status=? AND rowid>? AND rowid<?)";
    let by_time = "INDEX idx_sessions_start_time (start_time>? AND start_time<?)";
    for (filter, expected) in [
        (Filter::default(), vec![by_row]),
        (user, vec![by_user]),
        (status, vec![by_status]),
        (denied, vec![by_status]),
        (since, vec![by_time]),
        (until, vec![by_time]),
        (both, vec![by_time, by_user, by_status]),
    ] {
        for order in [Order::Ascending, Order::Descending] {
            let ways = Way::all(&filter, order, Some(Place { start_ms: 0, row: 1 }));
            let plans: Vec<String> = ways.iter().map(|way| plan(way.sql())).collect();
            let searches: Vec<String> =
                expected.iter().map(|index| format!("SEARCH sessions USING {index}")).collect();
            assert_eq!(plans, searches, "{filter:?}");
        }
    }
    let row = plan(ROW);
    assert_eq!(row, "SEARCH sessions USING INTEGER PRIMARY KEY (rowid=?)");
    for total in [TOTAL_OF_STATUS, TOTAL_OF_USER, TOTAL_BY_TIME] {
        let plan = plan(total);
        assert!(plan.contains("SEARCH") && !plan.contains("SCAN sessions"), "{plan}");
    }
}
