use std::cmp::Ordering;

use serde_json::Value;

use super::*;
use crate::admin::tests::{Scene, request};
use crate::session::{Opening, Traffic};
use crate::stats::{Filter, Order};

/// Sessions whose users, addresses and octets come in no order and are shared by several.
fn scene(sessions: u32) -> Scene {
    const USERS: [&str; 4] = ["dave", "alice", "carol", "bob"];
    let scene = Scene::new(sessions, |number, id| Opening {
        user: USERS[number as usize % USERS.len()],
        start_ms: i64::from(number / 3),
        client: ([10, 0, 0, (number * 7 % 23).to_le_bytes()[0]], 40_000).into(),
        ..Opening::plain(id)
    });
    for (number, slot) in (0_u64..).zip(&scene.slots) {
        let (bytes_sent, bytes_received) = (number * 31 % 101, number * 17 % 103);
        slot.reference().publish(Traffic { bytes_sent, bytes_received, ..Traffic::default() }, 1);
    }
    scene
}

fn query(sort: Sort, order: Order, limit: u32) -> ActiveQuery {
    ActiveQuery { filter: Filter::default(), sort, order, limit, cursor: None }
}

fn answer(scene: &Scene, query: &ActiveQuery) -> Value {
    serde_json::from_slice(&scene.api.active(&request(), query).body).unwrap()
}

fn ids(page: &Value) -> Vec<SessionId> {
    let rows = page["data"].as_array().unwrap();
    rows.iter().map(|row| row["session_id"].as_str().unwrap().parse().unwrap()).collect()
}

/// All pages one behind the other.
fn walk(scene: &Scene, mut query: ActiveQuery, total: u64) -> Vec<SessionId> {
    let mut seen = Vec::new();
    loop {
        let page = answer(scene, &query);
        assert_eq!(page["total"], total);
        let rows = ids(&page);
        assert!(rows.len() <= query.limit as usize);
        seen.extend(rows);
        let Some(next) = page["next_cursor"].as_str() else { return seen };
        query.cursor = Some(Cursor::decode(next).unwrap());
    }
}

#[test]
fn pages_of_any_size_are_what_sorting_all_of_them_would_give() {
    let scene = scene(613);
    let mut all = Vec::new();
    scene.api.each_live(|copied| all.push(SessionView::from_copied(copied)));
    assert_eq!(all.len(), 613);
    for (sort, _) in Sort::ALL {
        for order in [Order::Ascending, Order::Descending] {
            let by = |a: &SessionView, b: &SessionView| -> Ordering {
                let of = |view: &SessionView| (key(sort, &view.glance()), view.id);
                order.of(of(a).cmp(&of(b)))
            };
            all.sort_unstable_by(by);
            let expected: Vec<_> = all.iter().map(|view| view.id).collect();
            for limit in [1, 50, 612, 613, 1000] {
                // One row at a time is asked of one sort: it looks at all of them for each.
                if limit > 1 || (sort, order) == (Sort::Bytes, Order::Descending) {
                    assert!(walk(&scene, query(sort, order, limit), 613) == expected, "{sort:?}");
                }
            }
        }
    }
}

#[test]
fn addresses_are_sorted_as_such_and_not_as_text() {
    const CLIENTS: [&str; 5] =
        ["2001:db8::10", "10.0.0.10", "10.0.0.2", "9.255.0.1", "2001:db8::9"];
    let scene = Scene::new(5, |number, id| Opening {
        client: (CLIENTS[number as usize].parse::<std::net::IpAddr>().unwrap(), 1).into(),
        ..Opening::plain(id)
    });
    let mut query = query(Sort::SourceIp, Order::Ascending, 2);
    let mut seen = Vec::new();
    loop {
        let page = answer(&scene, &query);
        let rows = page["data"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["source_ip"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        query.cursor = Some(Cursor::decode(next).unwrap());
    }
    assert_eq!(seen, ["9.255.0.1", "10.0.0.2", "10.0.0.10", "2001:db8::9", "2001:db8::10"]);
}

#[test]
fn a_filter_counts_all_that_pass_whatever_the_page_holds() {
    let scene = scene(613);
    let mut query = query(Sort::BytesSent, Order::Descending, 10);
    query.filter.user = Some("alice".to_owned());
    let seen = walk(&scene, query, 153);
    assert_eq!(seen.len(), 153);
}
