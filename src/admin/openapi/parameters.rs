//! What a query or a path may say.

use serde_json::{Value, json};

use crate::admin::events::Topic;
use crate::admin::page::Sort;
use crate::admin::route::{
    Bounds, LIMIT, LIMIT_MAX, LISTENING_SECS_MAX, MINUTES_MAX, ORDERS, STATUSES, TOP,
};
use crate::session::Outcome;
use crate::stats::TOP_MAX;

pub(super) fn query(name: &str, about: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": about, "schema": schema })
}

pub(super) fn path(name: &str, about: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
}

/// The filter of live sessions.
pub(super) fn live_filter() -> Vec<Value> {
    vec![query("user", "Of this user.", name()), dest(), source()]
}

/// The parameters of a history but for its user.
pub(super) fn history() -> Vec<Value> {
    let codes = Outcome::ALL.map(Outcome::close_code);
    vec![
        dest(),
        source(),
        query("status", "Which ended so.", json!({ "enum": STATUSES.map(|(_, word)| word) })),
        query("close_code", "Which ended for this reason.", json!({ "enum": codes.as_slice() })),
        query("since", "Which started then or later.", time()),
        query("until", "Which started before; later than `since`.", later()),
        query("total", "Whether all that pass are to be counted.", json!({ "type": "boolean" })),
        order(),
        limit(LIMIT, LIMIT_MAX),
        cursor(HISTORY_CURSOR, "A `next_cursor` of the same `order`."),
    ]
}

pub(super) fn live() -> Vec<Value> {
    let mut all = live_filter();
    let sorts = Sort::ALL.map(|(_, word)| word);
    all.push(query(
        "sort",
        "By which field; equal ones by `session_id`. `bytes` is both ways together. What is sorted by \
         octets moves under the pages: whoever wants to meet each session once sorts by another field.",
        json!({ "enum": sorts, "default": sorts[0] }),
    ));
    all.extend([
        order(),
        limit(LIMIT, LIMIT_MAX),
        cursor(LIVE_CURSOR, "A `next_cursor` of the same `sort` and `order`."),
    ]);
    all
}

pub(super) fn minutes() -> Vec<Value> {
    vec![
        query("since", "Which began then or later; without it, a day before `until`.", time()),
        query("until", "Which began before; later than `since`. Without it, now.", later()),
        limit(MINUTES_MAX, MINUTES_MAX),
    ]
}

pub(super) fn rules() -> Vec<Value> {
    let place = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    vec![limit(LIMIT, LIMIT_MAX), query("cursor", "A `next_cursor`.", place)]
}

pub(super) fn quotas() -> Vec<Value> {
    vec![
        query("user", "Only what this user has for himself.", name()),
        limit(LIMIT, LIMIT_MAX),
        cursor(QUOTA_CURSOR, "A `next_cursor`."),
    ]
}

pub(super) fn bans() -> Vec<Value> {
    vec![limit(LIMIT, LIMIT_MAX), cursor(BAN_CURSOR, "A `next_cursor`.")]
}

pub(super) fn stats(bounds: &Bounds) -> Vec<Value> {
    let Bounds { window_hours, window_hours_max } = *bounds;
    vec![
        query("window_hours", "How far back.", whole(window_hours_max, window_hours)),
        query("top", "Entries of each list.", whole(TOP_MAX, TOP)),
    ]
}

pub(super) fn id() -> Value {
    path("id", "The id of a session.", json!({ "type": "string", "format": "uuid" }))
}

/// A number from 1.
fn whole(most: u32, otherwise: u32) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": most, "default": otherwise })
}

/// A name: of a user, say.
pub(super) fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "pattern": NAME })
}

pub(super) fn address() -> Value {
    json!({
        "type": "string",
        "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }],
        "examples": ["192.0.2.7"],
    })
}

pub(super) fn events() -> Vec<Value> {
    let mut all = live_filter();
    let secs = json!({ "type": "integer", "minimum": 1, "maximum": LISTENING_SECS_MAX });
    all.extend([
        query("event", "Only these.", json!({ "enum": Topic::ALL.map(|(_, word)| word) })),
        query("for_secs", "End the stream after so many seconds; without it, never.", secs),
    ]);
    all
}

fn dest() -> Value {
    let schema = json!({ "type": "string", "pattern": DEST, "examples": ["example.com:443"] });
    query("dest", "To this target: `host`, or `host:port` with IPv6 in brackets.", schema)
}

fn source() -> Value {
    query("source", "Of this client.", address())
}

fn order() -> Value {
    let words = ORDERS.map(|(_, word)| word);
    query("order", "Which way.", json!({ "enum": words, "default": "desc" }))
}

fn limit(otherwise: u32, most: u32) -> Value {
    query(
        "limit",
        "Rows of the page at most.",
        json!({ "type": "integer", "minimum": 1, "maximum": most, "default": otherwise }),
    )
}

fn cursor(pattern: &str, about: &str) -> Value {
    query("cursor", about, json!({ "type": "string", "pattern": pattern }))
}

fn time() -> Value {
    json!({
        "type": "string",
        "anyOf": [{ "format": "date-time" }, { "format": "date" }],
        "examples": ["2026-01-31T08:00:00Z", "2026-01-31"],
    })
}

fn later() -> Value {
    let mut schema = time();
    schema["examples"] = json!(["2026-02-28T08:00:00Z", "2026-02-28"]);
    schema
}

/// Version, sort, order, id, and a number, a text or an address.
const LIVE_CURSOR: &str = "^010[0-6]0[01][0-9a-f]{32}\
    (00[0-9a-f]{16}|01([2-6][0-9a-f]|7[0-9a-e])+|02([0-9a-f]{8}|[0-9a-f]{32}))$";
/// Version, order, start and row.
const HISTORY_CURSOR: &str = "^020[01][0-9a-f]{32}$";
/// Version, the name of a quota, and a user where it has one.
const QUOTA_CURSOR: &str = "^03([2-6][0-9a-f]|7[0-9a-e])*00(00|01([2-6][0-9a-f]|7[0-9a-e])*)$";
/// Version, end, and an address of either kind.
const BAN_CURSOR: &str = "^04[0-9a-f]{16}(04[0-9a-f]{8}|06[0-9a-f]{32})$";
/// Any text without control characters.
const NAME: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";
/// A name or an IPv4 address with a port or without, IPv6 in brackets with one, or plainly without.
const DEST: &str = "^(?:[A-Za-z0-9_-]+(?:\\.[A-Za-z0-9_-]+)*\\.?(?::[0-9]{1,5})?\
    |\\[[0-9A-Fa-f:.]+\\](?::[0-9]{1,5})?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$";
