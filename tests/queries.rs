//! The reference's SQL, as it stands there, by the real `sqlite3` while the proxy runs: its answers
//! agree with what was sent, to the octet, and those with a WHERE are index searches.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use harness::client::{self, Asked, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;
use serde_json::{Value, json};

const ACTIVE_SESSIONS: &str = "\
SELECT user, dest_ip, dest_port, bytes_sent, bytes_received
FROM sessions WHERE status = 'active';";

const REJECTED_BY_ACL: &str = "\
SELECT user, dest_ip, dest_port, acl_rule_matched
FROM sessions WHERE status = 'rejected_by_acl';";

const TOP_USERS_BY_TRAFFIC: &str = "\
SELECT user,
       SUM(bytes_sent + bytes_received) as total_bytes,
       COUNT(*) as sessions
FROM sessions
GROUP BY user
ORDER BY total_bytes DESC
LIMIT 10;";

const SESSIONS_IN_LAST_HOUR: &str = "\
SELECT * FROM sessions
WHERE datetime(start_time) >= datetime('now', '-1 hour');";

const TRAFFIC_OVER_TIME: &str = "\
SELECT
    strftime('%Y-%m-%d %H:00', start_time) as hour,
    COUNT(*) as sessions,
    SUM(bytes_sent + bytes_received) as total_bytes
FROM sessions
WHERE datetime(start_time) >= datetime('now', '-24 hours')
GROUP BY hour
ORDER BY hour;";

/// Rows of a predecessor: one of ninety minutes ago, one of two days ago.
const OLD_ROWS: &str = "\
INSERT INTO sessions (session_id, user, start_time, end_time, duration_secs, source_ip, source_port,
    dest_ip, dest_port, protocol, bytes_sent, bytes_received, packets_sent, packets_received, status)
SELECT 'old-' || age, 'carol', strftime('%Y-%m-%dT%H:%M:%fZ', 'now', age),
    strftime('%Y-%m-%dT%H:%M:%fZ', 'now', age), 0, '127.0.0.1', 1, 'old.example', 80, 'tcp', 20, 30,
    1, 1, 'closed'
FROM (SELECT '-90 minutes' AS age UNION SELECT '-2 days');";

/// What a session must be found as.
struct Expected {
    user: &'static str,
    dest: String,
    port: u16,
    status: &'static str,
    close_code: Option<&'static str>,
    sent: u64,
    received: u64,
}

/// The proxy, what it reaches, and what was done so far.
struct Traffic {
    proxy: Proxy,
    done: Vec<Expected>,
}

impl Traffic {
    fn start() -> Self {
        let users: String = ["alice", "bob"]
            .map(|name| {
                let hash = rustsocks::auth::hash(name.as_bytes()).unwrap();
                format!("[[auth.users]]\nusername = \"{name}\"\npassword_hash = \"{hash}\"\n")
            })
            .concat();
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("data/sessions.db");
        let migrated = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
            .args(["migrate", "--database-url"])
            .arg(format!("sqlite://{}", database.display()))
            .output()
            .unwrap();
        assert!(migrated.status.success(), "{migrated:?}");
        sqlite3(&database, OLD_ROWS);
        // Without the other family, where nobody listens, the guard alone judges `localhost`.
        let further =
            format!("[resolver]\nfamily = \"ipv4\"\n[auth]\nsocks_method = \"userpass\"\n{users}");
        let proxy = Proxy::start_in(directory, "", "checkpoint_interval_secs = 1", &further);
        Self { proxy, done: Vec::new() }
    }

    /// Logs in with the user's name as password, and asks; the reply code comes with it.
    fn ask<'a>(&self, user: &str, target: impl Into<Asked<'a>>) -> (Client, u8) {
        let mut client = Client::to(self.proxy.socks);
        assert!(client.login(user, user), "{user}");
        client.send(&client::connect(target));
        let (code, _) = client.reply();
        (client, code)
    }

    /// A whole session: so many octets up, and what the origin makes of them down.
    fn pass<'a>(&mut self, user: &'static str, target: impl Into<Asked<'a>>, octets: usize) {
        let target = target.into();
        let (dest, port) = written(&target);
        let (mut client, code) = self.ask(user, target);
        assert_eq!(code, 0, "{user} {dest}");
        client.send(&vec![b'u'; octets]);
        client.finish();
        let received = client.receive_all().len() as u64;
        assert_eq!(received, answer_to(octets as u64));
        let sent = octets as u64;
        let (status, close_code) = ("closed", Some("client_closed"));
        self.done.push(Expected { user, dest, port, status, close_code, sent, received });
    }

    /// An attempt that comes to nothing.
    fn fail<'a>(
        &mut self,
        user: &'static str,
        target: impl Into<Asked<'a>>,
        (reply, status, close_code): (u8, &'static str, &'static str),
    ) {
        let target = target.into();
        let (dest, port) = written(&target);
        let (_, code) = self.ask(user, target);
        assert_eq!(code, reply, "{user} {dest}");
        let close_code = Some(close_code);
        self.done.push(Expected { user, dest, port, status, close_code, sent: 0, received: 0 });
    }

    fn query(&self, sql: &str) -> Vec<Value> {
        sqlite3(&self.proxy.database_path(), sql)
    }

    fn of_status(&self, status: &str) -> impl Iterator<Item = &Expected> {
        self.done.iter().filter(move |session| session.status == status)
    }
}

/// Reads up to the client's FIN, then answers with more octets than it got.
fn origin(address: &str) -> Origin {
    Origin::on(address, |mut stream, count| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        count.received.fetch_add(all.len() as u64, Ordering::Relaxed);
        let answer = answer_to(all.len() as u64);
        stream.write_all(&vec![b'd'; answer as usize]).unwrap();
        count.sent.fetch_add(answer, Ordering::Relaxed);
    })
}

fn answer_to(octets: u64) -> u64 {
    octets * 3 + 1
}

fn written(target: &Asked<'_>) -> (String, u16) {
    match target {
        // A mapped IPv4 address is written as what it is.
        Asked::Address(address) => (address.ip().to_canonical().to_string(), address.port()),
        Asked::Name(name, port) => ((*name).to_owned(), *port),
    }
}

/// Asks as anyone would, from outside.
#[track_caller]
fn sqlite3(database: &Path, sql: &str) -> Vec<Value> {
    let output = Command::new("sqlite3")
        .args(["-bail", "-json", "-cmd", ".timeout 20000"])
        .arg(database)
        .arg(sql)
        .output()
        .expect("sqlite3 is installed (sh .ci/setup test)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{sql}: {said}");
    // It prints nothing when there is no row.
    if output.stdout.is_empty() {
        return Vec::new();
    }
    serde_json::from_slice(&output.stdout).unwrap()
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(Value::to_string);
    rows
}

#[test]
fn the_references_queries_agree_with_what_was_sent() {
    let mut traffic = Traffic::start();
    let (four, six) = (origin("127.0.0.1:0"), origin("[::1]:0"));
    let echo = Origin::echo();
    let began = traffic.query("SELECT strftime('%Y-%m-%d %H:00', 'now') AS hour");

    // A session that goes on while the queries are asked.
    let (mut live, code) = traffic.ask("bob", ("localhost", echo.address.port()));
    assert_eq!(code, 0);
    live.send(&[b'l'; 4321]);
    assert_eq!(live.receive(4321), [b'l'; 4321]);
    traffic.done.push(Expected {
        user: "bob",
        dest: "localhost".into(),
        port: echo.address.port(),
        status: "active",
        close_code: None,
        sent: 4321,
        received: 4321,
    });

    traffic.pass("alice", four.address, 1);
    traffic.pass("alice", four.address, 700_001);
    traffic.pass("alice", ("localhost", four.address.port()), 30);
    traffic.pass("bob", six.address, 12_345);
    traffic.pass("bob", four.address, 0);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    traffic.fail("alice", closed, (5, "failed", "connection_refused"));
    traffic.fail("bob", ("no-such-host.invalid", 80), (4, "failed", "name_not_found"));
    let blocked = (2, "rejected_by_acl", "acl_denied");
    for metadata in ["169.254.169.254:80", "[::ffff:169.254.169.254]:80"] {
        traffic.fail("bob", metadata.parse::<SocketAddr>().unwrap(), blocked);
    }
    let own = traffic.proxy.socks;
    traffic.fail("alice", own, blocked);
    // By name it is judged when the name is looked up.
    traffic.fail("alice", ("localhost", own.port()), (2, "rejected_by_acl", "acl_denied_address"));
    assert!(!Client::to(own).login("alice", "wrong"));
    traffic.done.push(Expected {
        user: "anonymous",
        dest: String::new(),
        port: 0,
        status: "failed",
        close_code: Some("auth_failed"),
        sent: 0,
        received: 0,
    });

    wait_for("every session in the table", || {
        let rows = traffic.query("SELECT count(*) AS n FROM sessions WHERE user <> 'carol'");
        let open = traffic.query(ACTIVE_SESSIONS);
        let whole = open.len() == 1 && open[0]["bytes_received"] == 4321;
        (whole && rows[0]["n"] == traffic.done.len()).then_some(())
    });

    active_and_rejected(&traffic);
    top_users(&traffic);
    last_hour(&traffic);
    over_time(&traffic, began[0]["hour"].as_str().unwrap());

    // The origins counted the same.
    let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let sums = traffic.query(
        "SELECT sum(bytes_sent) AS up, sum(bytes_received) AS down FROM sessions \
         WHERE user <> 'carol'",
    );
    let up: u64 = [&four, &six, &echo].map(|origin| count(&origin.count.received)).iter().sum();
    let down: u64 = [&four, &six, &echo].map(|origin| count(&origin.count.sent)).iter().sum();
    assert_eq!(sums, [json!({"up": up, "down": down})]);

    // What was alive is so no more once it has ended.
    live.finish();
    assert_eq!(live.receive_all(), b"");
    wait_for("the live session's end", || traffic.query(ACTIVE_SESSIONS).is_empty().then_some(()));
    let ended = "SELECT bytes_sent, close_code FROM sessions WHERE bytes_received = 4321";
    let row = json!({"bytes_sent": 4321, "close_code": "client_closed"});
    assert_eq!(traffic.query(ended), [row]);
}

fn active_and_rejected(traffic: &Traffic) {
    let expected: Vec<Value> = traffic
        .of_status("active")
        .map(|session| {
            json!({
                "user": session.user, "dest_ip": session.dest, "dest_port": session.port,
                "bytes_sent": session.sent, "bytes_received": session.received,
            })
        })
        .collect();
    assert_eq!(traffic.query(ACTIVE_SESSIONS), expected);

    let expected: Vec<Value> = traffic
        .of_status("rejected_by_acl")
        .map(|session| {
            let rule = if session.port == 80 {
                "guard: link-local and metadata addresses are for nobody"
            } else {
                "guard: the proxy's own listeners are for nobody"
            };
            json!({
                "user": session.user, "dest_ip": session.dest, "dest_port": session.port,
                "acl_rule_matched": rule,
            })
        })
        .collect();
    assert_eq!(expected.len(), 4);
    assert_eq!(sorted(traffic.query(REJECTED_BY_ACL)), sorted(expected));
}

fn top_users(traffic: &Traffic) {
    let sum = |user: &str| {
        let of_user = || traffic.done.iter().filter(|session| session.user == user);
        let bytes: u64 = of_user().map(|session| session.sent + session.received).sum();
        json!({"user": user, "total_bytes": bytes, "sessions": of_user().count()})
    };
    let expected = [
        sum("alice"),
        sum("bob"),
        json!({"user": "carol", "total_bytes": 100, "sessions": 2}),
        sum("anonymous"),
    ];
    assert_eq!(traffic.query(TOP_USERS_BY_TRAFFIC), expected);
}

fn last_hour(traffic: &Traffic) {
    let rows = traffic.query(SESSIONS_IN_LAST_HOUR);
    // All columns, of which the reader takes those that he knows.
    let found = rows
        .iter()
        .map(|row| {
            assert_eq!(row["source_ip"], "127.0.0.1");
            assert_eq!(row["protocol"], "tcp");
            json!([
                row["user"],
                row["dest_ip"],
                row["dest_port"],
                row["status"],
                row["close_code"],
                row["bytes_sent"],
                row["bytes_received"],
            ])
        })
        .collect();
    let expected = traffic
        .done
        .iter()
        .map(|session| {
            json!([
                session.user,
                session.dest,
                session.port,
                session.status,
                session.close_code,
                session.sent,
                session.received,
            ])
        })
        .collect();
    assert_eq!(sorted(found), sorted(expected));
}

fn over_time(traffic: &Traffic, began: &str) {
    let rows = traffic.query(TRAFFIC_OVER_TIME);
    let hours: Vec<&str> = rows.iter().map(|row| row["hour"].as_str().unwrap()).collect();
    assert!(hours.is_sorted(), "{hours:?}");
    // The predecessor's row of ninety minutes ago and what was done now, over an hour's edge perhaps.
    let now = traffic.query("SELECT strftime('%Y-%m-%d %H:00', 'now') AS hour");
    let old = traffic.query(
        "SELECT strftime('%Y-%m-%d %H:00', start_time) AS hour FROM sessions \
         WHERE session_id = 'old--90 minutes'",
    );
    let possible =
        BTreeSet::from([began, now[0]["hour"].as_str().unwrap(), old[0]["hour"].as_str().unwrap()]);
    assert!(hours.iter().all(|hour| possible.contains(hour)), "{hours:?} {possible:?}");
    assert!(hours.contains(&old[0]["hour"].as_str().unwrap()), "{hours:?}");
    let sum = |key: &str| rows.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
    let bytes: u64 = traffic.done.iter().map(|session| session.sent + session.received).sum();
    assert_eq!(sum("sessions"), traffic.done.len() as u64 + 1);
    assert_eq!(sum("total_bytes"), bytes + 50);
}

#[test]
fn the_references_queries_with_a_condition_are_index_searches() {
    let proxy = Proxy::start();
    for (query, index) in [
        (ACTIVE_SESSIONS, "idx_sessions_status"),
        (REJECTED_BY_ACL, "idx_sessions_status"),
        (SESSIONS_IN_LAST_HOUR, "idx_sessions_start_datetime"),
        (TRAFFIC_OVER_TIME, "idx_sessions_start_datetime"),
    ] {
        let output = Command::new("sqlite3")
            .arg(proxy.database_path())
            .arg(format!("EXPLAIN QUERY PLAN {query}"))
            .output()
            .unwrap();
        let plan = String::from_utf8(output.stdout).unwrap();
        let search = format!("SEARCH sessions USING INDEX {index} ");
        assert!(plan.contains(&search) && !plan.contains("SCAN"), "{query}\n{plan}");
    }
}

#[test]
fn the_references_backup_and_export_work_beside_the_proxy() {
    let (proxy, origin) = (Proxy::start(), origin("127.0.0.1:0"));
    for octets in [5, 50] {
        let mut client = Client::connected(proxy.socks, origin.address);
        client.send(&vec![0; octets]);
        client.finish();
        client.receive_all();
    }
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 2);
    let shell = |arguments: &[&str]| {
        let output = Command::new("sqlite3")
            .arg(proxy.database_path())
            .args(arguments)
            .current_dir(proxy.directory())
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    shell(&[".backup sessions_backup.db"]);
    let backup = proxy.directory().join("sessions_backup.db");
    let all = "SELECT * FROM sessions ORDER BY session_id";
    assert_eq!(sqlite3(&backup, all), sqlite3(&proxy.database_path(), all));
    assert_eq!(sqlite3(&backup, all).len(), 2);

    let csv = shell(&["-csv", "-header", "SELECT * FROM sessions"]);
    assert!(csv.starts_with("session_id,user,start_time,end_time,duration_secs,"), "{csv}");
    assert_eq!(csv.lines().count(), 3);
    let report = "SELECT user, dest_ip, dest_port, bytes_sent, bytes_received FROM sessions";
    let port = origin.address.port();
    assert_eq!(
        shell(&["-csv", "-header", report]).replace('\r', ""),
        format!(
            "user,dest_ip,dest_port,bytes_sent,bytes_received\n\
             anonymous,127.0.0.1,{port},5,16\nanonymous,127.0.0.1,{port},50,151\n"
        )
    );
}
