//! `/api/sessions/stats` equals SQL over the table, to the octet: with sessions of every kind, live
//! ones included, after a stop, after a kill, and while the windows of before are being loaded.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::net::{SocketAddr, TcpListener};

use harness::api;
use harness::client::{self, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

const SUMS: &str = "\
SELECT count(*), coalesce(sum(bytes_sent), 0), coalesce(sum(bytes_received), 0),
    count(*) FILTER (WHERE status = 'closed'), count(*) FILTER (WHERE status = 'failed'),
    count(*) FILTER (WHERE status = 'rejected_by_acl')
FROM sessions WHERE start_time >= ?1";

const TOP_USERS: &str = "\
SELECT user, count(*), sum(bytes_sent + bytes_received) AS bytes
FROM sessions WHERE start_time >= ?1
GROUP BY user ORDER BY bytes DESC, user LIMIT ?2";

/// Attempts that never named a target stay out.
const TOP_DESTINATIONS: &str = "\
SELECT iif(dest_ip LIKE '%:%', '[' || dest_ip || ']', dest_ip) || ':' || dest_port,
    count(*) AS sessions, sum(bytes_sent + bytes_received)
FROM sessions WHERE start_time >= ?1 AND dest_ip <> ''
GROUP BY dest_ip, dest_port ORDER BY sessions DESC, dest_ip, dest_port LIMIT ?2";

/// Rows of a predecessor: 3 000 over ten days, of 37 users and 211 targets, in an order that has
/// little to do with their starts, some of them from a clock that was ahead.
const OLD_ROWS: &str = "\
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2999)
INSERT INTO sessions (session_id, user, start_time, source_ip, source_port, dest_ip, dest_port,
    protocol, bytes_sent, bytes_received, packets_sent, packets_received, status)
SELECT 'old-' || i, 'user-' || (i * i % 37),
    strftime('%Y-%m-%dT%H:%M:%fZ', 'now', (60 - i * 7919 % 14400) || ' minutes'),
    '192.0.2.1', 1,
    CASE i % 9 WHEN 0 THEN '' WHEN 1 THEN '2001:db8::' || (i % 211) ELSE 'host-' || (i % 211) END,
    CASE i % 9 WHEN 0 THEN 0 WHEN 2 THEN 80 ELSE 443 END,
    'tcp', i * 31 % 1000, i * i % 100000, 1, 1,
    CASE i % 10 WHEN 0 THEN 'failed' WHEN 1 THEN 'rejected_by_acl' WHEN 2 THEN 'active'
        ELSE 'closed' END
FROM n";

fn rows(database: &Connection, sql: &str, start: &str, top: u32) -> Vec<(String, i64, i64)> {
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map(rusqlite::params![start, top], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// What SQL makes of the table, as the API would say it.
fn by_sql(database: &Connection, start: &str, top: u32) -> Value {
    let mut statistics = database
        .query_row(SUMS, [start], |row| {
            Ok(json!({
                "total_sessions": row.get::<_, i64>(0)?,
                "total_bytes_sent": row.get::<_, i64>(1)?,
                "total_bytes_received": row.get::<_, i64>(2)?,
                "closed_sessions": row.get::<_, i64>(3)?,
                "failed_sessions": row.get::<_, i64>(4)?,
                "rejected_sessions": row.get::<_, i64>(5)?,
            }))
        })
        .unwrap();
    let list = |sql: &str, name: &str| -> Value {
        let rows = rows(database, sql, start, top).into_iter();
        rows.map(|(key, sessions, bytes)| json!({name: key, "sessions": sessions, "bytes": bytes}))
            .collect()
    };
    statistics["top_users"] = list(TOP_USERS, "user");
    statistics["top_destinations"] = list(TOP_DESTINATIONS, "dest");
    statistics
}

/// Waits until the API and SQL say the same of a window, and returns it.
#[track_caller]
fn agreed(proxy: &Proxy, hours: u32, top: u32) -> Value {
    let database = proxy.database();
    let path = format!("/api/sessions/stats?window_hours={hours}&top={top}");
    wait_for("the API and SQL to agree", || {
        let answer = api::get(proxy.api.unwrap(), &path).json();
        if answer["complete"] == false {
            return None;
        }
        assert_eq!(answer.get("approximate"), None, "{answer}");
        let expected = by_sql(&database, answer["window_start"].as_str().unwrap(), top);
        let agrees = expected.as_object().unwrap().iter().all(|(key, value)| answer[key] == *value);
        agrees.then_some(answer)
    })
}

#[track_caller]
fn all_windows_agree(proxy: &Proxy) {
    for (hours, top) in [(1, 10), (24, 100), (25, 3), (168, 100)] {
        agreed(proxy, hours, top);
    }
}

/// Two users; sessions that are closed, refused by their target, refused by the guard, of a failed
/// login, and one that lives on.
struct Traffic {
    origin: Origin,
    closed_port: SocketAddr,
    /// Octets each way of the sessions that were closed.
    moved: u64,
}

impl Traffic {
    fn new() -> Self {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed_port = closed.local_addr().unwrap();
        Self { origin: Origin::echo(), closed_port, moved: 0 }
    }

    fn login(proxy: &Proxy, user: &str) -> Client {
        let mut client = Client::to(proxy.socks);
        assert!(client.login(user, "secret"));
        client
    }

    /// A session that stays open, having moved so many octets each way.
    fn open(&self, proxy: &Proxy, user: &str, octets: usize) -> Client {
        let mut client = Self::login(proxy, user);
        client.send(&client::connect(self.origin.address));
        assert_eq!(client.reply().0, 0);
        client.send(&vec![7; octets]);
        client.receive(octets);
        client
    }

    fn some_of_each(&mut self, proxy: &Proxy) {
        for (user, octets) in [("alice", 1000), ("bob", 50), ("alice", 3)] {
            let mut client = self.open(proxy, user, octets);
            client.finish();
            client.receive_all();
            self.moved += octets as u64;
        }
        let mut refused = Self::login(proxy, "bob");
        refused.send(&client::connect(self.closed_port));
        assert_eq!(refused.reply().0, 5);
        let mut guarded = Self::login(proxy, "bob");
        let metadata: SocketAddr = ([169, 254, 169, 254], 80).into();
        guarded.send(&client::connect(metadata));
        assert_eq!(guarded.reply().0, 2);
        assert!(!Client::to(proxy.socks).login("mallory", "wrong"));
    }
}

fn start(directory: TempDir) -> Proxy {
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    let user =
        |name| format!("[[auth.users]]\nusername = \"{name}\"\npassword_hash = \"{hash}\"\n");
    let auth = format!("[auth]\nsocks_method = \"userpass\"\n{}{}", user("alice"), user("bob"));
    Proxy::start_in(directory, "", "checkpoint_interval_secs = 1", &auth)
}

#[test]
fn statistics_equal_the_table_before_and_after_restarts() {
    let mut proxy = start(tempfile::tempdir().unwrap());
    let mut traffic = Traffic::new();
    traffic.some_of_each(&proxy);
    let mut live = traffic.open(&proxy, "alice", 77);
    // Five endings, a failed login that counts for nobody's target, and the live one's checkpoint.
    let sums = |statistics: &Value| {
        let names = ["total_sessions", "total_bytes_sent", "closed_sessions", "failed_sessions"];
        names.map(|name| statistics[name].as_u64().unwrap())
    };
    let expected = [7, traffic.moved + 77, 3, 2];
    let statistics = wait_for("all that happened", || {
        let statistics = agreed(&proxy, 24, 10);
        (sums(&statistics) == expected).then_some(statistics)
    });
    assert_eq!(statistics["rejected_sessions"], 1);
    assert_eq!(statistics["active_sessions"], 1);
    let targets = statistics["top_destinations"].as_array().unwrap();
    assert_eq!((targets.len(), &targets[0]["sessions"]), (3, &json!(4)), "{statistics}");
    all_windows_agree(&proxy);

    // A live session counts with its last checkpoint, and then with its next.
    live.send(&[7; 23]);
    live.receive(23);
    wait_for("the next checkpoint", || {
        (agreed(&proxy, 1, 10)["total_bytes_received"] == traffic.moved + 100).then_some(())
    });
    drop(live);
    wait_for("its end", || (agreed(&proxy, 24, 10)["closed_sessions"] == 4).then_some(()));

    // After a stop all is there again, and goes on.
    proxy = start(proxy.stop());
    let statistics = agreed(&proxy, 24, 10);
    assert_eq!(sums(&statistics), [7, traffic.moved + 100, 4, 2]);
    assert!(statistics["as_of"].is_string(), "{statistics}");
    traffic.some_of_each(&proxy);
    wait_for("both halves", || (agreed(&proxy, 24, 10)["total_sessions"] == 13).then_some(()));
    all_windows_agree(&proxy);

    // After a kill, with what the ledger knew of the live one.
    let live = traffic.open(&proxy, "bob", 5);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'active'", 1);
    proxy = start(proxy.kill());
    drop(live);
    let statistics = agreed(&proxy, 24, 10);
    assert_eq!(statistics["total_sessions"], 14);
    assert_eq!(statistics["total_bytes_sent"], traffic.moved + 100 + 5);
    all_windows_agree(&proxy);
}

#[test]
fn the_windows_of_before_are_loaded_while_new_sessions_come_in() {
    let directory = Proxy::start().stop();
    let database = Connection::open(directory.path().join("data/sessions.db")).unwrap();
    assert_eq!(database.execute(OLD_ROWS, []).unwrap(), 3000);
    drop(database);
    let proxy = start(directory);
    let mut traffic = Traffic::new();
    for _ in 0..5 {
        traffic.some_of_each(&proxy);
    }
    let longest = wait_for("all that happened", || {
        let longest = agreed(&proxy, 168, 100);
        let new = proxy.count("SELECT count(*) FROM sessions WHERE session_id NOT LIKE 'old-%'");
        (new == 30).then_some(longest)
    });
    assert!(longest["total_sessions"].as_u64().unwrap() > 2000, "{longest}");
    assert_eq!(longest["top_destinations"].as_array().unwrap().len(), 100);
    all_windows_agree(&proxy);
}

#[test]
fn statistics_need_no_database() {
    for storage in ["storage = \"memory\"\nhistory_max_sessions = 1", "enabled = false"] {
        let proxy = Proxy::with_sections("", storage, "");
        let origin = Origin::echo();
        for _ in 0..3 {
            let mut client = Client::connected(proxy.socks, origin.address);
            client.send(b"hello");
            client.receive(5);
        }
        let statistics = wait_for("three sessions", || {
            let answer = api::get(proxy.api.unwrap(), "/api/sessions/stats").json();
            (answer["closed_sessions"] == 3).then_some(answer)
        });
        let dest = origin.address.to_string();
        assert_eq!(statistics["complete"], true);
        assert_eq!(
            statistics["top_destinations"],
            json!([{"dest": dest, "sessions": 3, "bytes": 30}])
        );
        assert_eq!(
            statistics["top_users"],
            json!([{"user": "anonymous", "sessions": 3, "bytes": 30}])
        );
    }
}

#[test]
fn a_window_that_is_none_is_refused_by_its_range() {
    let proxy = Proxy::with_sections("", "stats_window_max_hours = 48", "");
    for (query, range) in [
        ("window_hours=49", "`window_hours` must be a number from 1 to 48"),
        ("window_hours=0", "`window_hours` must be a number from 1 to 48"),
        ("top=101", "`top` must be a number from 1 to 100"),
        ("top=0", "`top` must be a number from 1 to 100"),
    ] {
        let answer = api::get(proxy.api.unwrap(), &format!("/api/sessions/stats?{query}"));
        assert_eq!(answer.status, 400, "{}", answer.body);
        assert!(answer.body.contains(range), "{}", answer.body);
    }
    let longest = api::get(proxy.api.unwrap(), "/api/sessions/stats?window_hours=48&top=100");
    assert_eq!((longest.status, &longest.json()["window_hours"]), (200, &json!(48)));
}
