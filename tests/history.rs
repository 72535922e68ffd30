//! The history over HTTP: thousands of real sessions, walked in pages while more are recorded, from
//! the database and from memory.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use harness::api::{Answer, get};
use harness::client::{self, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;
use serde_json::Value;

const USERS: [&str; 3] = ["alice", "bob", "carol/ü"];

/// A proxy, and what its clients want to reach.
struct World {
    proxy: Proxy,
    targets: Targets,
    _origins: [Origin; 2],
}

/// Where clients go: targets that answer, answer too, refuse, and are forbidden.
#[derive(Clone, Copy)]
struct Targets {
    proxy: SocketAddr,
    origins: [SocketAddr; 2],
    refusing: SocketAddr,
    seed: u64,
}

impl World {
    fn start(sessions: &str) -> Self {
        let users = USERS
            .map(|user| format!("[[auth.users]]\nusername = \"{user}\"\npassword = \"secret\"\n"));
        let auth = format!("[auth]\nsocks_method = \"userpass\"\n{}", users.concat());
        let proxy = Proxy::with_sections("", sessions, &auth);
        let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let seed = std::env::var("HISTORY_SEED").map_or(1, |text| text.parse().unwrap());
        let origins = [Origin::echo(), Origin::echo()];
        let targets = Targets {
            proxy: proxy.socks,
            origins: [origins[0].address, origins[1].address],
            refusing,
            seed,
        };
        Self { proxy, targets, _origins: origins }
    }

    fn api(&self) -> SocketAddr {
        self.proxy.api.unwrap()
    }

    /// Walks through all pages of a query; the ids, in order.
    fn walk(&self, query: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let mut path = format!("/api/sessions/history?{query}");
        for _ in 0..10_000 {
            let answer = get(self.api(), &path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            let page = answer.json();
            ids.extend(page["data"].as_array().unwrap().iter().map(id));
            assert_eq!(page["total"], Value::Null);
            match (page["next_cursor"].as_str(), link(&answer)) {
                (None, None) => return ids,
                (Some(cursor), Some(link)) => {
                    assert!(link.ends_with(&format!("cursor={cursor}")), "{link}");
                    path = link;
                }
                other => panic!("{path}: the cursor and the link disagree: {other:?}"),
            }
        }
        panic!("{query}: the walk has no end");
    }

    /// The ids that `sqlite3` would give.
    fn select(&self, rest: &str) -> Vec<String> {
        let database = self.proxy.database();
        let sql = format!("SELECT session_id FROM sessions WHERE status <> 'active' AND {rest}");
        let mut statement = database.prepare(&sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn wait_for_total(&self, total: usize) {
        wait_for(&format!("{total} sessions in the history"), || {
            let answer = get(self.api(), "/api/sessions/history?limit=1&total=true").json();
            (answer["total"] == total).then_some(())
        });
    }
}

impl Targets {
    /// `count` sessions, one after the other, of users and to targets by chance.
    fn traffic(self, count: usize, chance: &mut Chance) {
        for _ in 0..count {
            let mut client = Client::to(self.proxy);
            assert!(client.login(USERS[chance.below(USERS.len())], "secret"));
            let (target, reply) = match chance.below(20) {
                0 => (self.refusing, 5),
                1 => (SocketAddr::from(([169, 254, 1, 1], 80)), 2),
                number => (self.origins[number % 2], 0),
            };
            client.send(&client::connect(target));
            assert_eq!(client.reply().0, reply, "seed {}", self.seed);
            if reply == 0 {
                client.send(b"x");
                client.receive(1);
            }
        }
    }

    /// `count` sessions by several clients at once.
    fn crowd(self, count: usize) {
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let mut chance = Chance(self.seed.wrapping_mul(1000) + client as u64);
                scope.spawn(move || self.traffic(count / CLIENTS, &mut chance));
            }
        });
    }
}

/// Numbers by chance, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's multiplier; the upper bits are the better ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % bound
    }
}

/// Ends the traffic when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn id(record: &Value) -> String {
    record["session_id"].as_str().unwrap().to_owned()
}

/// The target of the header `Link` whose relation is `next`.
fn link(answer: &Answer) -> Option<String> {
    let line = answer.head.lines().find(|line| line.to_ascii_lowercase().starts_with("link:"))?;
    let target = line.split_once('<').unwrap().1.strip_suffix(">; rel=\"next\"").unwrap();
    Some(target.to_owned())
}

fn distinct(ids: &[String]) -> BTreeSet<&String> {
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "a session is met twice");
    distinct
}

#[test]
fn every_filter_pages_through_what_sql_selects_in_order() {
    let world = World::start("");
    world.targets.crowd(SESSIONS);
    world.wait_for_total(SESSIONS);
    let port = world.targets.origins[0].port();
    let middle: String = world
        .proxy
        .database()
        .query_row(
            "SELECT start_time FROM sessions ORDER BY start_time LIMIT 1 OFFSET 2000",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let by_row = "ORDER BY rowid";
    let by_time = "ORDER BY start_time DESC, rowid";
    for (query, sql, order) in [
        ("limit=1000".to_owned(), "true".to_owned(), by_row),
        ("user=alice".to_owned(), "user = 'alice'".to_owned(), by_row),
        ("user=nobody".to_owned(), "false".to_owned(), by_row),
        ("status=failed".to_owned(), "status = 'failed'".to_owned(), by_row),
        (
            "close_code=acl_denied_address".to_owned(),
            "close_code = 'acl_denied_address'".to_owned(),
            by_row,
        ),
        (
            "close_code=connection_refused&user=bob".to_owned(),
            "close_code = 'connection_refused' AND user = 'bob'".to_owned(),
            by_row,
        ),
        (
            format!("dest=127.0.0.1:{port}&limit=499"),
            format!("dest_ip = '127.0.0.1' AND dest_port = {port}"),
            by_row,
        ),
        (
            "dest=169.254.1.1&source=127.0.0.1".to_owned(),
            "dest_ip = '169.254.1.1'".to_owned(),
            by_row,
        ),
        ("source=192.0.2.1".to_owned(), "false".to_owned(), by_row),
        (format!("since={middle}"), format!("start_time >= '{middle}'"), by_time),
        (format!("until={middle}"), format!("start_time < '{middle}'"), by_time),
        ("since=2020-01-01&until=2020-01-02".to_owned(), "false".to_owned(), by_time),
        (
            format!("since={middle}&user=bob&status=rejected_by_acl"),
            format!("start_time >= '{middle}' AND user = 'bob' AND status = 'rejected_by_acl'"),
            by_time,
        ),
    ] {
        let mut expected = world.select(&format!("{sql} {order} DESC"));
        assert_eq!(world.walk(&query), expected, "{query}");
        expected.reverse();
        assert_eq!(world.walk(&format!("{query}&order=asc")), expected, "{query}, ascending");
        let total = get(world.api(), &format!("/api/sessions/history?{query}&total=true")).json();
        assert_eq!(total["total"], expected.len(), "{query}");
    }
    let forbidden = world.select("status = 'rejected_by_acl'").len();
    assert!(forbidden > SESSIONS / 100, "{forbidden}: the traffic holds something of everything");
}

#[test]
fn a_walk_meets_each_session_once_while_more_are_recorded() {
    let world = World::start("");
    world.targets.crowd(SESSIONS);
    world.wait_for_total(SESSIONS);
    let stop = AtomicBool::new(false);
    let queries = [
        ("limit=100", "true"),
        ("limit=100&order=asc", "true"),
        ("limit=77&user=alice", "user = 'alice'"),
        ("limit=50&since=2020-01-01", "true"),
        ("limit=50&since=2020-01-01&order=asc&user=bob", "user = 'bob'"),
        ("limit=9&status=failed", "status = 'failed'"),
    ];
    let targets = world.targets;
    thread::scope(|scope| {
        // A walk that fails must not leave the traffic running.
        let _stop = Stop(&stop);
        for client in 0..2 {
            let stop = &stop;
            let mut chance = Chance(targets.seed.wrapping_mul(77) + client);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    targets.traffic(20, &mut chance);
                }
            });
        }
        for (query, filter) in queries {
            let before = world.select(filter);
            let met = world.walk(query);
            let met = distinct(&met);
            let missed = before.iter().filter(|id| !met.contains(id)).count();
            assert_eq!(missed, 0, "{query}, seed {}", targets.seed);
        }
    });
}

#[test]
fn memory_answers_as_the_database_does() {
    let world = World::start("storage = \"memory\"");
    world.targets.crowd(SESSIONS);
    world.wait_for_total(SESSIONS);
    let all = world.walk("limit=333");
    assert_eq!(distinct(&all).len(), SESSIONS);
    let mut ascending = world.walk("limit=1000&order=asc");
    ascending.reverse();
    assert_eq!(ascending, all);
    let by_user: Vec<String> = ["alice", "bob", "carol%2F%C3%BC"]
        .iter()
        .flat_map(|user| world.walk(&format!("user={user}")))
        .collect();
    assert_eq!(distinct(&by_user), distinct(&all));
    let by_status: Vec<String> = ["closed", "failed", "rejected_by_acl"]
        .iter()
        .flat_map(|status| world.walk(&format!("status={status}&since=2020-01-01")))
        .collect();
    assert_eq!(distinct(&by_status), distinct(&all));
}

#[test]
fn a_page_has_the_columns_and_the_path_of_a_user_is_that_users() {
    let world = World::start("");
    world.targets.traffic(60, &mut Chance(3));
    world.wait_for_total(60);
    let page = get(world.api(), "/api/users/carol%2F%C3%BC/sessions?limit=2");
    let next = link(&page).unwrap();
    assert!(next.starts_with("/api/users/carol%2F%C3%BC/sessions?limit=2&cursor="), "{next}");
    let page = page.json();
    let record = page["data"][0].as_object().unwrap();
    assert_eq!(record["user"], "carol/ü");
    let one = get(world.api(), &format!("/api/sessions/{}", id(&page["data"][0])));
    assert_eq!(one.json().as_object(), Some(record));
    assert_eq!(get(world.api(), &next).json()["data"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_wrong_is_a_problem_that_names_the_parameter() {
    let proxy = Proxy::start();
    for (query, named) in [
        ("since=yesterday", "`since` must be a date"),
        ("since=2026-02-01&until=2026-01-01", "`until` must be later"),
        ("limit=1001", "`limit` must be a number from 1 to 1000"),
        ("status=active", "`status` must be one of closed, failed, rejected_by_acl"),
        ("cursor=abc", "`cursor` must be one that we gave"),
        ("offset=5", "`offset` is not known"),
        ("user=x'--%00", "`user`"),
    ] {
        let answer = get(proxy.api.unwrap(), &format!("/api/sessions/history?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(named), "{query}: {detail}");
    }
    let quoted = get(proxy.api.unwrap(), "/api/sessions/history?user=x'%20OR%20'1'='1").json();
    assert_eq!(quoted["data"], Value::Array(Vec::new()));
}

#[test]
fn where_sessions_are_not_recorded_there_is_no_history() {
    let proxy = Proxy::with_sections("", "enabled = false", "");
    let answer = get(proxy.api.unwrap(), "/api/sessions/history");
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("sessions.enabled"), "{}", answer.body);
}

/// The sessions of a world, a multiple of [`CLIENTS`].
const SESSIONS: usize = 5200;
const CLIENTS: usize = 4;
