//! Which ended sessions are asked for, in which order, and where to go on. Pure.
//!
//! Without bounds of time a history is read in the order in which its sessions were recorded: in a
//! database by rowid, in memory by ending. Both only grow, so whoever walks it meets each session
//! that had ended when the walk began exactly once, however many are recorded meanwhile. With
//! `since` or `until` it is read by start, and by the order of recording where starts are equal: a
//! long session is recorded late, so the order of recording says nothing certain about a range of
//! time.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::str::FromStr;

use super::record::Record;
use crate::session::{Glance, Outcome, SessionView, Status};
use crate::target::Host;

/// Which sessions. One that is `None` lets all pass; the rest must all be met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this user.
    pub user: Option<String>,
    /// To this target.
    pub dest: Option<Dest>,
    /// From this address.
    pub source: Option<IpAddr>,
    /// Which ended so.
    pub status: Option<Status>,
    /// Which ended for this reason.
    pub outcome: Option<Outcome>,
    /// Which started at this time or later, milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// Which started before this time, milliseconds since the epoch.
    pub until_ms: Option<i64>,
}

/// A target as one asks for it: with a port or at any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dest {
    /// The host as records have it.
    pub host: String,
    /// The port; `None` is any.
    pub port: Option<u16>,
}

/// Which way a list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `asc`: least first.
    Ascending,
    /// `desc`: greatest first.
    Descending,
}

/// One page of ended sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Which.
    pub filter: Filter,
    /// Which way.
    pub order: Order,
    /// At most so many; at least 1.
    pub limit: usize,
    /// Behind this place.
    pub after: Option<Place>,
}

/// The place of one session in a history, by both orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it started, milliseconds since the epoch.
    pub start_ms: i64,
    /// Its number in the order of recording; greater than 0.
    pub row: i64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The sessions, in order.
    pub records: Vec<Record>,
    /// Where to go on; `None` when nothing is left.
    pub next: Option<Place>,
    /// Whether the time limit ended the search before the page was full: behind `next` nothing has
    /// been looked at.
    pub cut: bool,
}

impl Filter {
    /// Whether the history is read by start and not by recording.
    #[must_use]
    pub const fn is_by_time(&self) -> bool {
        self.since_ms.is_some() || self.until_ms.is_some()
    }

    /// The status that all sessions have that pass: the one asked for, or the only one that the
    /// reason asked for can have.
    #[must_use]
    pub fn only_status(&self) -> Option<Status> {
        let implied = || self.outcome.filter(|it| it.status(true) == it.status(false));
        self.status.or_else(|| implied().map(|outcome| outcome.status(true)))
    }

    /// What places are sorted by under it.
    #[must_use]
    pub const fn rank(&self, place: Place) -> (i64, i64) {
        (if self.is_by_time() { place.start_ms } else { 0 }, place.row)
    }

    /// Whether a session passes.
    #[must_use]
    pub fn passes(&self, view: &SessionView) -> bool {
        self.passes_at_a_glance(&view.glance())
    }

    /// Whether a session passes of which no more is known than this.
    #[must_use]
    pub fn passes_at_a_glance(&self, session: &Glance<'_>) -> bool {
        let outcome = session.ending.map(|ending| ending.outcome);
        let (host, port) = (&*session.target_host, session.target_port);
        self.user.as_ref().is_none_or(|user| **user == *session.user)
            && self.dest.as_ref().is_none_or(|dest| dest.is(host, port))
            && self.source.is_none_or(|source| source == session.client.ip())
            && self.status.is_none_or(|status| status == session.status())
            && self.outcome.is_none_or(|wanted| outcome == Some(wanted))
            && self.since_ms.is_none_or(|since| session.start_ms >= since)
            && self.until_ms.is_none_or(|until| session.start_ms < until)
    }
}

impl Order {
    /// How this order puts two things of which the lesser is known.
    #[must_use]
    pub const fn of(self, ordering: Ordering) -> Ordering {
        match self {
            Self::Ascending => ordering,
            Self::Descending => ordering.reverse(),
        }
    }
}

impl Dest {
    /// Whether this is what a record has as host and port.
    #[must_use]
    pub fn is(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port.is_none_or(|wanted| wanted == port)
    }
}

impl FromStr for Dest {
    type Err = BadDest;

    /// Reads `example.com`, `example.com:443`, `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]:443`; as
    /// in records, a name loses its upper case and an IPv4-mapped address its wrapping.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let host = |text: &str| Host::from_name(text.as_bytes()).map_err(|_| BadDest);
        let (host, port) = match host(text) {
            Ok(host) => (host, None),
            Err(_) => match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
                Some(Some((inner, ""))) => (host(inner)?, None),
                Some(Some((inner, rest))) => (host(inner)?, Some(rest.strip_prefix(':'))),
                Some(None) => return Err(BadDest),
                None => {
                    let (name, port) = text.rsplit_once(':').ok_or(BadDest)?;
                    (host(name)?, Some(Some(port)))
                }
            },
        };
        let port = match port {
            None => None,
            Some(digits) => {
                let digits = digits.filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()));
                Some(digits.and_then(|text| text.parse().ok()).ok_or(BadDest)?)
            }
        };
        Ok(Self { host: host.canonical().to_string(), port })
    }
}

/// A text is no [`Dest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a host or host:port, IPv6 with a port in brackets")]
pub struct BadDest;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_as_records_have_it() {
        for (text, host, port) in [
            ("Example.COM", "example.com", None),
            ("example.com.:443", "example.com", Some(443)),
            ("192.0.2.1", "192.0.2.1", None),
            ("192.0.2.1:0", "192.0.2.1", Some(0)),
            ("2001:DB8::1", "2001:db8::1", None),
            ("[2001:db8:0::1]:443", "2001:db8::1", Some(443)),
            ("[::1]", "::1", None),
            ("::ffff:192.0.2.1", "192.0.2.1", None),
        ] {
            assert_eq!(text.parse(), Ok(Dest { host: host.to_owned(), port }), "{text}");
        }
        for bad in ["", ":", ":1", "a b", "a:", "a:x", "a:+1", "a:65536", "[::1", "[::1]x", "a:b:1"]
        {
            assert_eq!(bad.parse::<Dest>(), Err(BadDest), "{bad}");
        }
    }

    #[test]
    fn a_reason_with_one_status_implies_it() {
        let of = |outcome| Filter { outcome: Some(outcome), ..Filter::default() }.only_status();
        assert_eq!(of(Outcome::AclDenied), Some(Status::RejectedByAcl));
        assert_eq!(of(Outcome::Crash), Some(Status::Failed));
        assert_eq!(of(Outcome::IdleTimeout), None);
        let both = Filter {
            outcome: Some(Outcome::AclDenied),
            status: Some(Status::Closed),
            ..Filter::default()
        };
        assert_eq!(both.only_status(), Some(Status::Closed));
    }
}
