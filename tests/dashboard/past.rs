//! A past for a proxy: minutes and sessions, put into its database while it does not run.

use rusqlite::{Connection, Transaction};

/// Who has been here; the first the most.
pub(crate) const USERS: [&str; 7] =
    ["alice", "build-farm", "bob", "carol", "backup", "dave", "erin"];
/// Where to; the first the most.
pub(crate) const HOSTS: [&str; 8] = [
    "registry.example.org",
    "cdn.example.net",
    "api.example.com",
    "mirror.example.org",
    "files.example.com",
    "mail.example.net",
    "packages.example.org",
    "docs.example.com",
];
const ENDINGS: [(&str, &str, &str); 8] = [
    ("closed", "client_closed", "the client closed first"),
    ("closed", "target_closed", "the target closed first"),
    ("closed", "client_closed", "the client closed first"),
    ("closed", "target_closed", "the target closed first"),
    ("closed", "client_reset", "the client reset the connection"),
    ("failed", "name_not_found", "the name has no address"),
    ("failed", "connection_refused", "the target refused the connection"),
    ("rejected_by_acl", "acl_denied", "a rule forbids this target"),
];

/// Writes a week of minutes and a day of sessions that end before now.
pub(crate) fn write(database: &mut Connection) {
    let now = rustsocks::clock::utc_ms();
    let change = database.transaction().expect("a transaction");
    let first = now / 60_000 - MINUTES;
    for minute in first..=now / 60_000 {
        write_minute(&change, minute);
    }
    for number in 0..SESSIONS {
        write_session(&change, number, now);
    }
    change.commit().expect("it is committed");
}

/// Busy by day, quiet by night, and never smooth.
fn write_minute(change: &Transaction<'_>, minute: i64) {
    let noise = |salt: i64| (spread(minute * 31 + salt) % 1000) as f64 / 1000.0;
    let day = (minute % 1440) as f64 / 1440.0 * std::f64::consts::TAU;
    let swell = (minute as f64 / 23.0).sin() * 0.15 + (minute as f64 / 7.0).sin() * 0.08;
    let load = 0.62 - 0.38 * (day - 0.6).cos() + swell;
    let burst = if noise(1) > 0.985 { 1.7 } else { 1.0 };
    let whole = |value: f64| value.max(0.0) as i64;
    let row = "INSERT OR REPLACE INTO traffic_minutes VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    change
        .execute(
            row,
            (
                rustsocks::clock::rfc3339(minute * 60_000),
                whole(60.0 * load + 6.0 * noise(2)),
                whole(700.0 * load * (0.9 + 0.2 * noise(3))),
                whole(44.0 * noise(4) * noise(5)),
                whole(1.1e8 * load * (0.6 + 0.8 * noise(6))),
                whole(6.2e8 * load * burst * (0.75 + 0.5 * noise(7))),
            ),
        )
        .expect("a minute");
}

fn write_session(change: &Transaction<'_>, number: i64, now: i64) {
    let pick = |salt: i64, count: usize| {
        let part = (spread(number * 17 + salt) % 10_000) as f64 / 10_000.0;
        (part.powf(1.7) * count as f64) as usize
    };
    let (user, host) = (USERS[pick(1, USERS.len())], HOSTS[pick(2, HOSTS.len())]);
    let (status, code, reason) = ENDINGS[pick(3, ENDINGS.len())];
    let (relayed, refused) = (status == "closed", status == "rejected_by_acl");
    let start = now - 86_000_000 + number * (85_000_000 / SESSIONS);
    let lasted = 40 + spread(number) % 90_000;
    let moved =
        if relayed { (spread(number * 3) % 3_000_000) * (1 + spread(number) % 9) } else { 0 };
    let row = "INSERT INTO sessions (session_id, user, start_time, end_time, duration_secs, source_ip, \
               source_port, dest_ip, dest_port, protocol, bytes_sent, bytes_received, packets_sent, \
               packets_received, status, close_reason, acl_rule_matched, acl_decision, duration_ms, \
               command, close_code, policy_generation, auth_us, resolve_us, connect_us, first_byte_us, \
               client_rtt_us, upstream_rtt_us, client_retransmits, upstream_retransmits) VALUES \
               (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 443, 'tcp', ?9, ?10, ?11, ?11, ?12, ?13, \
               'default policy', ?14, ?15, 'connect', ?16, 1, 210, ?17, ?18, ?19, ?20, ?21, ?22, 0)";
    let some = |there: bool, value: i64| there.then_some(value);
    change
        .execute(
            row,
            rusqlite::params![
                format!("{:08x}-{:04x}-7000-8000-{number:012x}", start >> 16, start & 0xffff),
                user,
                rustsocks::clock::rfc3339(start),
                rustsocks::clock::rfc3339(start + lasted),
                lasted / 1000,
                format!("192.0.2.{}", 10 + spread(number * 5) % 40),
                40_000 + number % 20_000,
                host,
                moved / 8,
                moved,
                moved / 9000,
                status,
                reason,
                if refused { "block" } else { "allow" },
                lasted,
                code,
                some(!refused, 300 + spread(number * 7) % 9000),
                some(relayed, 4000 + spread(number * 11) % 60_000),
                some(relayed, 9000 + spread(number * 13) % 90_000),
                some(relayed, 700 + spread(number * 19) % 4000),
                some(relayed, 4000 + spread(number * 23) % 40_000),
                some(relayed, spread(number * 29) % 3),
            ],
        )
        .expect("a session");
}

/// Numbers that look like chance and are the same each time.
fn spread(number: i64) -> i64 {
    let mixed = (number as u64).wrapping_add(0x9e37).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 34) as i64
}

const MINUTES: i64 = 7 * 1440;
const SESSIONS: i64 = 4000;
