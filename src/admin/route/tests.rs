use proptest::prelude::*;

use super::*;
use crate::admin::dashboard::Asset;
use crate::admin::page::{HistoryCursor, SortKey};
use crate::session::{Outcome, Status};
use crate::stats::{Dest, HistoryQuery, Place as Spot};

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn get(target: &str) -> Result<Route, Miss> {
    ask(Method::Get, target)
}

fn ask(method: Method, target: &str) -> Result<Route, Miss> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    Route::of(method, path, query, &Bounds::default())
}

fn active(query: &str) -> ActiveQuery {
    let route = get(&format!("/api/sessions/active?{query}")).unwrap();
    let Route::ActiveSessions(query) = route else { panic!("{route:?}") };
    query
}

/// What the 400 says.
fn complaint(target: &str) -> String {
    match get(target) {
        Err(Miss::Bad(what)) => what,
        other => panic!("{target}: {other:?}"),
    }
}

#[test]
fn each_path_leads_to_its_route() {
    assert_eq!(get("/health"), Ok(Route::Health));
    assert_eq!(get("/%68ealth"), Ok(Route::Health));
    assert_eq!(get("/health?"), Ok(Route::Health));
    assert_eq!(get("/api/system/resources"), Ok(Route::Resources));
    assert_eq!(get("/"), Ok(Route::Dashboard(Asset::PAGE)));
    let asset = Asset::at("pages/node.js").unwrap();
    assert_eq!(get("/dashboard/pages/node.js"), Ok(Route::Dashboard(asset)));
    assert_eq!(get(&format!("/api/sessions/{ID}")), Ok(Route::Session(ID.parse().unwrap())));
    assert_eq!(
        get("/api/sessions/stats"),
        Ok(Route::Stats(StatsQuery { window_hours: 24, top: 10 }))
    );
    assert_eq!(
        get("/api/sessions/stats?top=100&window_hours=168"),
        Ok(Route::Stats(StatsQuery { window_hours: 168, top: 100 }))
    );
}

#[test]
#[cfg(feature = "metrics")]
fn metrics_are_there_where_they_are_built_in() {
    assert_eq!(get("/metrics"), Ok(Route::Metrics));
}

#[test]
fn an_unknown_path_is_a_404_whatever_the_method() {
    for path in [
        "",
        "/x",
        "/index.html",
        "/dashboard",
        "/dashboard/",
        "/dashboard/x.js",
        "/dashboard/pages",
        "/dashboard/../main.js",
        "//",
        "health",
        "//health",
        "/health/",
        "/health/x",
        "/Health",
        "/api",
        "/api/sessions",
        "/api/sessions/",
        "/api/sessions/x",
        "/api/sessions/01890a5dac96774bbcceb302099a8057",
        "/api/sessions/%7b01890a5d-ac96-774b-bcce-b302099a8057%7d",
        "/api%2Fsessions/stats",
        "/api/../health",
        "/api/users",
        "/api/users/alice",
        "/api/users//sessions",
        "/api/users/a/b/sessions",
        "/api/sessions/history/",
        "/health#x",
    ] {
        assert_eq!(get(path), Err(Miss::NotFound), "{path}");
        assert_eq!(ask(Method::Other, path), Err(Miss::NotFound), "{path}");
    }
}

#[test]
fn a_known_path_with_another_method_is_a_405_that_names_what_is_allowed() {
    for method in [Method::Post, Method::Delete, Method::Other] {
        let miss = ask(method, "/health?nonsense").unwrap_err();
        assert_eq!(miss, Miss::WrongMethod("GET, HEAD"));
        let reply = miss.reply();
        assert_eq!(reply.status, 405);
        assert_eq!(reply.headers, [("Allow", "GET, HEAD".to_owned())]);
    }
    assert_eq!(ask(Method::Head, "/health"), Ok(Route::Health));
}

#[test]
fn a_bad_parameter_is_a_400_that_names_it() {
    for (target, name) in [
        ("/health?x=1", "x"),
        ("/api/sessions/stats?window_hours=0", "window_hours"),
        ("/api/sessions/stats?window_hours=169", "window_hours"),
        ("/api/sessions/stats?window_hours=+1", "window_hours"),
        ("/api/sessions/stats?window_hours=%2B1", "window_hours"),
        ("/api/sessions/stats?window_hours=1.5", "window_hours"),
        ("/api/sessions/stats?window_hours=99999999999999999999", "window_hours"),
        ("/api/sessions/stats?window_hours", "window_hours"),
        ("/api/sessions/stats?top=101", "top"),
        ("/api/sessions/stats?top=1&top=1", "top"),
        ("/api/sessions/stats?top=1&t%6Fp=2", "top"),
        ("/api/sessions/active?limit=0", "limit"),
        ("/api/sessions/active?limit=1001", "limit"),
        ("/api/sessions/active?sort=password", "sort"),
        ("/api/sessions/active?order=up", "order"),
        ("/api/sessions/active?user=", "user"),
        ("/api/sessions/active?user=%", "user"),
        ("/api/sessions/active?user=%4", "user"),
        ("/api/sessions/active?user=%zz", "user"),
        ("/api/sessions/active?user=%ff", "user"),
        ("/api/sessions/active?user=a%00b", "user"),
        ("/api/sessions/active?cursor=00", "cursor"),
        ("/api/sessions/active?window_hours=1", "window_hours"),
        ("/api/sessions/active?dest=a%20b", "dest"),
        ("/api/sessions/active?source=example.com", "source"),
        ("/api/sessions/history?status=active", "status"),
        ("/api/sessions/history?close_code=bored", "close_code"),
        ("/api/sessions/history?since=yesterday", "since"),
        ("/api/sessions/history?until=1769846709", "until"),
        ("/api/sessions/history?since=2026-02-01&until=2026-02-01", "until"),
        ("/api/sessions/history?since=2026-01-31T08:00:00+01:00", "since"),
        ("/api/sessions/history?dest=host:http", "dest"),
        ("/api/sessions/history?source=10.0.0.0/8", "source"),
        ("/api/sessions/history?limit=1001", "limit"),
        ("/api/sessions/history?order=newest", "order"),
        ("/api/sessions/history?total=1", "total"),
        ("/api/sessions/history?cursor=02", "cursor"),
        ("/api/sessions/history?sort=user", "sort"),
        ("/api/sessions/history?offset=10", "offset"),
        ("/api/users/alice/sessions?user=bob", "user"),
        ("/api/users/%zz/sessions", "the path"),
    ] {
        assert!(complaint(target).contains(&format!("`{name}`")), "{target}");
    }
    assert!(complaint("/api/sessions/stats?window_hours=169").contains("from 1 to 168"));
    assert!(complaint("/%zz").contains("path"));
}

#[test]
fn filters_are_decoded_as_a_form_writes_them() {
    let query = active("user=a+b%2Bc%26d&dest=%5B2001%3Adb8%3A%3A1%5D%3A443&source=192.0.2.1");
    assert_eq!(query.filter.user.as_deref(), Some("a b+c&d"));
    let dest = Dest { host: "2001:db8::1".to_owned(), port: Some(443) };
    assert_eq!(query.filter.dest, Some(dest));
    assert_eq!(query.filter.source, Some([192, 0, 2, 1].into()));
    assert_eq!((query.sort, query.order, query.limit), (Sort::StartTime, Order::Descending, 100));
    let query = active("sort=bytes&order=asc&limit=1000");
    assert_eq!((query.sort, query.order, query.limit), (Sort::Bytes, Order::Ascending, 1000));
}

#[test]
fn the_history_takes_every_filter() {
    let Ok(Route::History(asked)) = get(
        "/api/sessions/history?user=alice&dest=Example.com:443&source=::ffff:192.0.2.1&status=closed\
         &close_code=client_closed&since=2026-01-31&until=2026-01-31T09:00:00%2B01:00&order=asc\
         &limit=7&total=true",
    ) else {
        panic!("no history");
    };
    let filter = Filter {
        user: Some("alice".to_owned()),
        dest: Some(Dest { host: "example.com".to_owned(), port: Some(443) }),
        source: Some([192, 0, 2, 1].into()),
        status: Some(Status::Closed),
        outcome: Some(Outcome::ClientClosed),
        since_ms: Some(1_769_817_600_000),
        until_ms: Some(1_769_846_400_000),
    };
    let query = HistoryQuery { filter, order: Order::Ascending, limit: 7, after: None };
    assert_eq!(asked, HistoryRequest { query, total: true });
}

#[test]
fn a_users_history_is_the_history_of_that_user() {
    assert_eq!(
        get("/api/users/a%2Fb%20c/sessions?limit=5"),
        get("/api/sessions/history?user=a/b+c&limit=5")
    );
    let Ok(Route::History(asked)) = get("/api/users/alice/sessions") else { panic!("no history") };
    let query = asked.query;
    assert_eq!((query.order, query.limit, query.after), (Order::Descending, 100, None));
    assert!(!asked.total);
}

#[test]
fn a_place_in_the_history_goes_on_in_its_own_order() {
    let place = Spot { start_ms: 7, row: 8 };
    let text = HistoryCursor { order: Order::Descending, place }.encode();
    let Ok(Route::History(asked)) = get(&format!("/api/sessions/history?cursor={text}")) else {
        panic!("no history");
    };
    assert_eq!(asked.query.after, Some(place));
    let other = complaint(&format!("/api/sessions/history?order=asc&cursor={text}"));
    assert!(other.contains("`cursor`") && other.contains("order"), "{other}");
}

#[test]
fn a_cursor_goes_on_only_with_the_page_it_came_from() {
    let cursor = Cursor {
        sort: Sort::Bytes,
        order: Order::Descending,
        key: SortKey::Number(7),
        id: ID.parse().unwrap(),
    };
    let text = cursor.encode();
    assert_eq!(active(&format!("sort=bytes&cursor={text}")).cursor, Some(cursor));
    let other = complaint(&format!("/api/sessions/active?cursor={text}"));
    assert!(other.contains("`cursor`"), "{other}");
}

proptest! {
    #[test]
    fn no_target_makes_it_panic(path in ".{0,80}", query in ".{0,80}") {
        let bounds = Bounds::default();
        Route::of(Method::Get, &path, Some(&query), &bounds).ok();
        Route::of(Method::Get, "/api/sessions/active", Some(&query), &bounds).ok();
        Route::of(Method::Get, "/api/sessions/history", Some(&query), &bounds).ok();
    }
}

#[test]
fn what_changes_something_wants_the_token_and_a_post() {
    let id = "01900000-0000-7000-8000-000000000000";
    let one = format!("/api/sessions/{id}/terminate");
    let route = ask(Method::Post, &one).unwrap();
    assert_eq!(route, Route::Terminate(id.parse().unwrap()));
    assert_eq!(route.need(), Need::Changing);
    let all = ask(Method::Post, "/api/sessions/terminate?user=alice&source=192.0.2.7").unwrap();
    let Route::TerminateAll(filter) = &all else { panic!("{all:?}") };
    assert_eq!(filter.user.as_deref(), Some("alice"));
    assert_eq!(filter.source, Some([192, 0, 2, 7].into()));
    assert_eq!(all.need(), Need::Changing);
    for path in [&*one, "/api/sessions/terminate"] {
        assert_eq!(get(path), Err(Miss::WrongMethod("POST")), "{path}");
    }
    for path in ["/api/sessions/x/terminate", "/api/sessions//terminate"] {
        assert_eq!(ask(Method::Post, path), Err(Miss::NotFound), "{path}");
    }
}

#[test]
fn nobody_ends_all_sessions_by_leaving_the_filter_out() {
    for query in ["", "?user=", "?limit=1", "?user=a&sort=user", "?status=active"] {
        let path = format!("/api/sessions/terminate{query}");
        assert!(matches!(ask(Method::Post, &path), Err(Miss::Bad(_))), "{path}");
    }
}

#[test]
fn reading_and_probing_are_told_apart() {
    let need = |path| get(path).unwrap().need();
    assert_eq!((need("/health"), need("/api/sessions/stats")), (Need::Probing, Need::Reading));
    assert_eq!(need("/api/sessions/active"), Need::Reading);
}
