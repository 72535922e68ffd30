//! Who gets through, with which reply and which record: every dialect and command, with every kind of
//! login, to every kind of target, where logins are wanted and where they are not.
//!
//! What is expected is said twice, independently of the proxy: by a few lines that know the contract
//! ([`expected`]), for all rows, and by hand ([`golden`]), for some.
#![cfg(feature = "database")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

#[path = "access_table/asking.rs"]
mod asking;
#[path = "access_table/expected.rs"]
mod expected;
#[path = "access_table/golden.rs"]
mod golden;
mod harness;
#[path = "access_table/place.rs"]
mod place;
#[path = "access_table/row.rs"]
mod row;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use asking::Asking;
use expected::expected;
use harness::proxy::Proxy;
use place::Place;
use row::{Came, Dialect, Login, Row, Target};

/// All rows of one policy.
fn rows(wanted: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for dialect in Dialect::ALL {
        for login in Login::ALL {
            for target in Target::ALL {
                rows.push(Row { wanted, dialect, login, target });
            }
        }
    }
    rows
}

/// Asks as each row says, of one proxy, and compares what came of it.
fn hold(wanted: bool) {
    let place = Place::new();
    let proxy = place.proxy(wanted);
    let rows = rows(wanted);
    let mut asking = Asking::new(&place, &proxy);
    let replies: Vec<(SocketAddr, bool, String)> = rows.iter().map(|row| asking.ask(row)).collect();
    let total = i64::try_from(rows.len()).unwrap();
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status <> 'active'", total);
    let mut records = records(&proxy);
    let mut wrong = Vec::new();
    let mut through = 0;
    for (row, (client, passed, reply)) in rows.iter().zip(replies) {
        through += usize::from(passed);
        let record = records.get_mut(&client).and_then(VecDeque::pop_front).unwrap_or_default();
        let came = Came { through: passed, reply, record };
        let expected = expected(row);
        if came != expected {
            wrong.push(format!("{row:?}\n  came     {came:?}\n  expected {expected:?}"));
        }
        if let Some(golden) = golden::of(row)
            && golden != expected
        {
            wrong.push(format!("{row:?}\n  by hand  {golden:?}\n  expected {expected:?}"));
        }
    }
    let count = wrong.len();
    assert!(wrong.is_empty(), "{count} of {total} rows:\n{}", wrong.join("\n"));
    // What got through got to an origin, and nothing else did.
    assert_eq!(place.reached(), through as u64);
    assert!(through > 0 && through < rows.len());
}

/// What the records say, by the client's address; of those that had the same one, oldest first.
fn records(proxy: &Proxy) -> HashMap<SocketAddr, VecDeque<String>> {
    let sql = "SELECT source_ip || ':' || source_port, concat_ws(' | ', status, close_code, \
               ifnull(acl_decision, '-'), ifnull(acl_rule_matched, '-'), user, \
               ifnull(claimed_user, '-')) FROM sessions ORDER BY start_time, session_id";
    let database = proxy.database();
    let mut statement = database.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let mut by_client: HashMap<SocketAddr, VecDeque<String>> = HashMap::new();
    for record in statement.query_map([], row).unwrap() {
        let (client, record) = record.unwrap();
        by_client.entry(client.parse().unwrap()).or_default().push_back(record);
    }
    by_client
}

#[test]
fn where_logins_are_wanted_nothing_comes_past_them() {
    hold(true);
}

#[test]
fn where_no_logins_are_wanted_the_rules_alone_decide() {
    hold(false);
}

#[test]
fn the_rows_are_several_hundred_and_some_are_written_by_hand() {
    let all: Vec<_> = [true, false].into_iter().flat_map(rows).collect();
    assert!(all.len() > 1000, "{}", all.len());
    let by_hand = all.iter().filter(|row| golden::of(row).is_some()).count();
    assert_eq!(by_hand, golden::count(), "each row by hand is one of all");
    assert!(by_hand >= 36, "{by_hand}");
}
