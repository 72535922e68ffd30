//! A database with millions of sessions, for benches by hand.
//!
//! `RUSTSOCKS_BENCH_DATABASE` names its file, which is made if it is missing, with
//! `RUSTSOCKS_BENCH_ROWS` rows (10 million unless said otherwise) that started in the 24 hours
//! before it was made. A bench that wants such a database does nothing without the first variable.
#![allow(
    dead_code,
    clippy::cast_possible_truncation,
    reason = "each bench uses its part, and its numbers are small"
)]

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use rustsocks::clock::{rfc3339, utc_ms};
use rustsocks::session::IdSource;

/// A row of the table `sessions`, as far as statistics see it.
pub(crate) struct Row {
    pub(crate) start_ms: i64,
    pub(crate) user: u64,
    pub(crate) target: Option<u64>,
    pub(crate) bytes: (u64, u64),
    pub(crate) outcome: (&'static str, &'static str),
}

/// Sessions of a day, evenly spread: some thousand users and some ten thousand targets of which
/// few are asked for often, as things are.
pub(crate) fn rows(count: u64, end_ms: i64) -> impl Iterator<Item = Row> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    (0..count).map(move |number| {
        // Rows are written when sessions end, so their starts are not quite in order.
        let ago = DAY_MS - DAY_MS * i64::try_from(number).unwrap() / i64::try_from(count).unwrap();
        let lasted = i64::try_from(random.below(3000)).unwrap();
        let outcome = match random.below(100) {
            0..2 => ("failed", "auth_failed"),
            2..5 => ("failed", "connection_refused"),
            5..7 => ("rejected_by_acl", "acl_denied"),
            7..60 => ("closed", "client_closed"),
            _ => ("closed", "target_closed"),
        };
        Row {
            start_ms: end_ms - ago - lasted,
            user: random.skewed(USERS),
            target: (outcome.1 != "auth_failed").then(|| random.skewed(TARGETS)),
            bytes: if outcome.0 == "closed" {
                (random.below(4000), random.skewed(4_000_000))
            } else {
                (0, 0)
            },
            outcome,
        }
    })
}

/// The name of a user.
pub(crate) fn user(number: u64) -> String {
    format!("user-{number:04}")
}

/// The host of a target: names and addresses.
pub(crate) fn host(number: u64) -> String {
    match number % 5 {
        0 => format!("203.0.{}.{}", number / 256 % 256, number % 256),
        1 => format!("2001:db8::{number:x}"),
        _ => format!("www{number}.example.com"),
    }
}

/// The database that the environment asks for, and how many rows it has.
pub(crate) fn database() -> Option<(PathBuf, u64)> {
    let path = PathBuf::from(std::env::var_os("RUSTSOCKS_BENCH_DATABASE")?);
    if !path.exists() {
        let rows =
            std::env::var("RUSTSOCKS_BENCH_ROWS").map(|rows| rows.parse().expect("a number"));
        fill(&path, rows.unwrap_or(10_000_000));
    }
    let database = Connection::open(&path).expect("the database opens");
    let count = "SELECT count(*) FROM sessions";
    let rows = database.query_row(count, [], |row| row.get(0)).expect("rows");
    Some((path, rows))
}

/// Makes it: one transaction that is not synchronised, indexes afterwards.
fn fill(path: &Path, count: u64) {
    let began = std::time::Instant::now();
    let url = format!("sqlite://{}", path.display());
    rustsocks::store::migrate(&url).expect("an empty database");
    let mut database = Connection::open(path).expect("the database opens");
    database
        .execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000;",
        )
        .expect("pragmas");
    let indexes: Vec<(String, String)> = database
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
        .expect("the schema")
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("the schema")
        .collect::<Result<_, _>>()
        .expect("the schema");
    let transaction = database.transaction().expect("a transaction");
    for (name, _) in &indexes {
        transaction.execute_batch(&format!("DROP INDEX {name}")).expect("an index");
    }
    let ids = IdSource::new();
    let mut insert = transaction.prepare(INSERT).expect("a statement");
    for row in rows(count, utc_ms()) {
        let closed = row.outcome.0 == "closed";
        insert
            .execute(params![
                ids.next(row.start_ms).to_string(),
                user(row.user),
                rfc3339(row.start_ms),
                rfc3339(row.start_ms + 1234),
                1,
                "192.0.2.17",
                40_000 + row.user,
                row.target.map(host).unwrap_or_default(),
                row.target.map_or(0, |target| if target % 7 == 0 { 80 } else { 443 }),
                row.bytes.0,
                row.bytes.1,
                row.outcome.0,
                "the client closed first",
                (!closed).then_some("default policy"),
                row.outcome.1,
                1234,
                "203.0.113.9",
            ])
            .expect("a row");
    }
    drop(insert);
    for (_, sql) in &indexes {
        transaction.execute_batch(sql).expect("an index");
    }
    transaction.commit().expect("a commit");
    database.execute_batch("PRAGMA journal_mode = WAL").expect("pragmas");
    eprintln!("{count} rows written to {} in {:.0?}", path.display(), began.elapsed());
}

/// xorshift64*: benches need no better.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Small numbers are more likely.
    pub(crate) fn skewed(&mut self, end: u64) -> u64 {
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (share.powi(3) * end as f64) as u64
    }
}

const INSERT: &str = "
INSERT INTO sessions (
    session_id, user, start_time, end_time, duration_secs, source_ip, source_port, dest_ip,
    dest_port, protocol, bytes_sent, bytes_received, packets_sent, packets_received, status,
    close_reason, acl_rule_matched, close_code, duration_ms, resolved_ip, acl_decision, command,
    policy_generation, node, connect_us, first_byte_us
) VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'tcp', ?10, ?11, 3, 5, ?12, ?13, ?14, ?15, ?16, ?17,
    'allow', 'connect', 1, 'bench', 812, 1900
)";

const DAY_MS: i64 = 24 * 3_600_000;
const USERS: u64 = 1000;
const TARGETS: u64 = 20_000;
