//! `rustsocks explain --replay`: what other rules would have decided about recorded sessions.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::api::printable;
use super::failure::{Failure, print};
use super::progress::Progress;
use crate::acl::Ruling;
use crate::clock;
use crate::config::{Settings, Storage};
use crate::policy::Policy;
use crate::socks::{Command, Request};
use crate::store::{Cell, Export, Location, Selection};
use crate::target::{Host, Target};

/// Milliseconds of `7d`, `12h` or `30m`.
pub(super) fn span(text: &str) -> Result<i64, String> {
    let expected = || "expected a span such as 7d, 12h or 30m".to_owned();
    let unit = text.chars().last().ok_or_else(expected)?;
    let minutes = match unit {
        'd' => 24 * 60,
        'h' => 60,
        'm' => 1,
        _ => return Err(expected()),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    if count == 0 || count > SPAN_UNITS_MAX {
        return Err(expected());
    }
    Ok(i64::from(count) * minutes * 60_000)
}

/// Judges what started within the span by this policy, and tells what it would decide otherwise.
pub(super) fn replay(settings: &Settings, policy: &Policy, span_ms: i64) -> Result<(), Failure> {
    let sessions = &settings.sessions;
    if !sessions.enabled || sessions.storage == Storage::Memory {
        let text = "the configuration has no database: there is nothing to be replayed";
        return Err(Failure::Other(text.to_owned()));
    }
    let location = Location::parse(&sessions.database_url)?;
    let since_ms = clock::utc_ms() - span_ms;
    let selection = Selection { since_ms: Some(since_ms), ..Selection::default() };
    let columns = COLUMNS.map(str::to_owned);
    let mut export = Export::open(&location, selection, Some(&columns))?;
    let (mut tally, mut progress) = (Tally::default(), Progress::new(false));
    while export.advance(|cells| tally.judge(cells, policy))? > 0 {
        progress.show(export.share_done(), format_args!("{} sessions", tally.sessions));
    }
    drop(progress);
    print(&tally.told(since_ms, policy))
}

/// What was found.
#[derive(Debug, Default)]
struct Tally {
    sessions: u64,
    alike: u64,
    undecided: u64,
    /// Names that were refused before they were looked up, and now might not be; and what depends on who
    /// comes, or on what is sent.
    unknown: u64,
    changes: BTreeMap<Kind, Change>,
    /// Changes that are of so many kinds that they are only counted.
    further: u64,
}

/// What was decided, what would be, and by what.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    before: String,
    after: &'static str,
    by: String,
    /// The rule on trial that would have blocked.
    shadow: Option<u32>,
}

#[derive(Debug, Default)]
struct Change {
    sessions: u64,
    examples: Vec<String>,
}

impl Tally {
    fn judge(&mut self, cells: &[Cell<'_>], policy: &Policy) {
        self.sessions += 1;
        let text = |at: usize| match cells.get(at) {
            Some(Cell::Text(text)) => Some(&**text),
            Some(Cell::Null | Cell::Integer(_) | Cell::Real(_)) | None => None,
        };
        let Some((asked, before)) = asked(cells, text).zip(text(DECISION)) else {
            self.undecided += 1;
            return;
        };
        let (client, request, at_ms, address) = asked;
        let identity = policy.users.supposed(text(USER).unwrap_or_default(), &[]);
        let ruling = policy.acl.decide_at((&identity, client), &request, at_ms, address);
        let Some(ruling) = ruling else {
            self.unknown += 1;
            return;
        };
        let after = ruling.decision.as_str();
        if after == before && ruling.shadow.is_none() {
            self.alike += 1;
            return;
        }
        let (before, by) = (before.to_owned(), by(&ruling));
        let kind = Kind { before, after, by, shadow: ruling.shadow };
        if self.changes.len() >= KINDS_MAX && !self.changes.contains_key(&kind) {
            self.further += 1;
            return;
        }
        let change = self.changes.entry(kind).or_default();
        change.sessions += 1;
        if change.examples.len() < EXAMPLES_MAX {
            let address = address.map_or(String::new(), |address| format!(" ({address})"));
            let (start, user) = (text(START).unwrap_or_default(), identity.user());
            let rule = text(RULE).unwrap_or_default();
            change.examples.push(format!(
                "{start} {user} {client} -> {}{address}, then by {rule}",
                request.target
            ));
        }
    }

    fn told(self, since_ms: i64, policy: &Policy) -> String {
        let changed: u64 = self.changes.values().map(|change| change.sessions).sum();
        let mut text = format!(
            "{} sessions since {}: {} decided alike, {} otherwise, {} that depend on an address \
             which is not known, {} without a decision\n{APPROXIMATE}",
            self.sessions,
            clock::rfc3339(since_ms),
            self.alike,
            changed + self.further,
            self.unknown,
            self.undecided
        );
        let mut changes: Vec<_> = self.changes.into_iter().collect();
        changes.sort_by_key(|(_, change)| std::cmp::Reverse(change.sessions));
        for (Kind { before, after, by, shadow }, change) in changes {
            let trial = shadow.map_or(String::new(), |id| on_trial(id, policy));
            let line = format!("{before} -> {after}{by}{trial}: {} sessions", change.sessions);
            text += &format!("\n{}\n", printable(&line));
            for example in change.examples {
                text += &format!("  {}\n", printable(&example));
            }
        }
        if self.further > 0 {
            text += &format!("\nand {} more of further kinds\n", self.further);
        }
        text
    }
}

/// Who asked for what, when, and the address that was dialled; as far as it is recorded.
fn asked<'a>(
    cells: &[Cell<'_>],
    text: impl Fn(usize) -> Option<&'a str>,
) -> Option<(IpAddr, Request, i64, Option<IpAddr>)> {
    let command = match text(COMMAND)? {
        "connect" => Command::Connect,
        "bind" => Command::Bind,
        "udp_associate" => Command::UdpAssociate,
        _ => return None,
    };
    let host = text(HOST).unwrap_or_default();
    let target = if host.is_empty() && command == Command::UdpAssociate {
        // It was refused before a datagram said what it is for.
        Target::new(IpAddr::from([0; 4]).into(), 0)
    } else {
        let port = match cells.get(PORT)? {
            Cell::Integer(port) => u16::try_from(*port).ok()?,
            Cell::Null | Cell::Real(_) | Cell::Text(_) => return None,
        };
        Target::new(Host::from_name(host.as_bytes()).ok()?, port)
    };
    let address = text(RESOLVED).and_then(|text| text.parse().ok());
    let request = Request { command, target };
    Some((text(SOURCE)?.parse().ok()?, request, clock::moment(text(START)?)?, address))
}

/// What a rule on trial would have done.
fn on_trial(id: u32, policy: &Policy) -> String {
    let mut rules = policy.acl.rules().into_iter().flat_map(|rules| rules.ordered());
    let text = rules.find(|rule| rule.id == id).map_or("", |rule| &rule.text);
    format!(", but rule {id}, on trial ({text}), would block")
}

fn by(ruling: &Ruling) -> String {
    match ruling.rule_id {
        Some(id) => format!(" by rule {id} ({})", ruling.rule),
        None => format!(" by {}", ruling.rule),
    }
}

/// What the figures are made of, where that is less than the proxy has known.
const APPROXIMATE: &str = "\
approximate: users are in the groups that they have today; of an association only the first target is
recorded; of a name only the address that was reached
";
const COLUMNS: [&str; 9] = [
    "start_time",
    "user",
    "source_ip",
    "dest_ip",
    "dest_port",
    "command",
    "resolved_ip",
    "acl_decision",
    "acl_rule_matched",
];
const START: usize = 0;
const USER: usize = 1;
const SOURCE: usize = 2;
const HOST: usize = 3;
const PORT: usize = 4;
const COMMAND: usize = 5;
const RESOLVED: usize = 6;
const DECISION: usize = 7;
const RULE: usize = 8;
/// Kinds of changes that are told apart.
const KINDS_MAX: usize = 1000;
/// Examples of each.
const EXAMPLES_MAX: usize = 3;
/// Days, hours or minutes of a span.
const SPAN_UNITS_MAX: u32 = 100_000;
