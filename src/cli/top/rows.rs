//! Rows: live sessions, or their sums by user, target or client.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::inquirer::Which;
use super::rates::Rate;
use super::sample::Session;

/// What there is a row for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    #[default]
    Users,
    Targets,
    Clients,
    Sessions,
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// Octets a second, both ways.
    #[default]
    Rate,
    Up,
    Down,
    /// Octets so far, both ways.
    Moved,
    /// How many sessions; of single ones the age.
    Sessions,
    Name,
}

/// One line of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// What tells it from all others of its view.
    pub(super) key: String,
    /// Of a session: its user, client and target; of a sum one of them alone.
    pub(super) names: Vec<String>,
    pub(super) sessions: u64,
    /// When the oldest of them began.
    pub(super) since_ms: i64,
    pub(super) rate: Rate,
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl View {
    pub(super) const ALL: [Self; 4] = [Self::Users, Self::Targets, Self::Clients, Self::Sessions];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Targets => "targets",
            Self::Clients => "clients",
            Self::Sessions => "sessions",
        }
    }

    /// What a row of it is.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Users => "user",
            Self::Targets => "target",
            Self::Clients => "client",
            Self::Sessions => "session",
        }
    }

    /// How many of these a row of it stands for, whatever is filtered.
    pub(super) fn count(self, key: &str, sessions: &[Session]) -> u64 {
        sessions.iter().filter(|session| self.key(session) == key).count() as u64
    }

    /// Which sessions a row of it stands for.
    pub(super) fn which(self, key: &str) -> Which {
        let key = key.to_owned();
        match self {
            Self::Users => Which::User(key),
            Self::Targets => Which::Target(key),
            Self::Clients => Which::Source(key),
            Self::Sessions => Which::Session(key),
        }
    }

    fn key(self, session: &Session) -> &str {
        match self {
            Self::Users => &session.user,
            Self::Targets => &session.target,
            Self::Clients => &session.source,
            Self::Sessions => &session.id,
        }
    }

    fn names(self, session: &Session) -> Vec<String> {
        match self {
            Self::Users | Self::Targets | Self::Clients => vec![self.key(session).to_owned()],
            Self::Sessions => {
                vec![session.user.clone(), session.source.clone(), session.target.clone()]
            }
        }
    }
}

impl Sort {
    pub(super) const ALL: [Self; 6] =
        [Self::Rate, Self::Up, Self::Down, Self::Moved, Self::Sessions, Self::Name];

    pub(super) const fn word(self, view: View) -> &'static str {
        match (self, view) {
            (Self::Rate, _) => "rate",
            (Self::Up, _) => "up",
            (Self::Down, _) => "down",
            (Self::Moved, _) => "moved",
            (Self::Sessions, View::Sessions) => "age",
            (Self::Sessions, _) => "sessions",
            (Self::Name, _) => "name",
        }
    }
}

/// Which sessions are looked at: those behind a row that was opened, and of these the ones in which
/// `text` (lower case) occurs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filter<'a> {
    pub(super) opened: Option<(View, &'a str)>,
    pub(super) text: &'a str,
}

/// The rows of a view, of the sessions that pass the filter, in order. The first is the greatest, of
/// names the first of the alphabet; `reversed` turns that round.
pub(super) fn rows(
    view: View,
    sessions: &[Session],
    rates: &[Rate],
    filter: Filter<'_>,
    (sort, reversed): (Sort, bool),
) -> Vec<Row> {
    let mut by_key: HashMap<&str, Row> = HashMap::new();
    for (session, rate) in sessions.iter().zip(rates).filter(|(it, _)| filter.passes(it)) {
        let row = by_key.entry(view.key(session)).or_insert_with(|| Row {
            key: view.key(session).to_owned(),
            names: view.names(session),
            since_ms: session.started_ms,
            ..Row::default()
        });
        row.sessions += 1;
        row.since_ms = row.since_ms.min(session.started_ms);
        row.rate.add(*rate);
        row.sent += session.sent;
        row.received += session.received;
    }
    let mut rows: Vec<Row> = by_key.into_values().collect();
    rows.sort_by(|a, b| {
        let order = order(view, sort, a, b);
        // Equals stay where they are, whichever way: the eye rests on them.
        (if reversed { order.reverse() } else { order }).then_with(|| a.key.cmp(&b.key))
    });
    rows
}

fn order(view: View, sort: Sort, a: &Row, b: &Row) -> Ordering {
    match sort {
        Sort::Rate => b.rate.both().total_cmp(&a.rate.both()),
        Sort::Up => b.rate.up.total_cmp(&a.rate.up),
        Sort::Down => b.rate.down.total_cmp(&a.rate.down),
        Sort::Moved => (b.sent + b.received).cmp(&(a.sent + a.received)),
        Sort::Sessions if view == View::Sessions => a.since_ms.cmp(&b.since_ms),
        Sort::Sessions => b.sessions.cmp(&a.sessions),
        Sort::Name => a.names.cmp(&b.names),
    }
}

impl Filter<'_> {
    fn passes(&self, session: &Session) -> bool {
        // To the letter: bob's row does not stand for bobby's sessions.
        self.opened.is_none_or(|(view, key)| view.key(session) == key)
            && (self.text.is_empty()
                || [&session.user, &session.source, &session.target, &session.id]
                    .iter()
                    .any(|text| text.to_lowercase().contains(self.text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, user: &str, target: &str, sent: u64, started_ms: i64) -> Session {
        let text = |text: &str| text.to_owned();
        Session {
            id: text(id),
            user: text(user),
            source: text("192.0.2.1"),
            target: text(target),
            started_ms,
            sent,
            received: 1,
        }
    }

    fn all() -> (Vec<Session>, Vec<Rate>) {
        let sessions = vec![
            session("1", "bob", "a.test:80", 5, 30),
            session("2", "alice", "b.test:443", 7, 20),
            session("3", "bob", "b.test:443", 9, 10),
        ];
        let rate = |up| Rate { up, down: 0.0 };
        (sessions, vec![rate(1.0), rate(5.0), rate(2.0)])
    }

    fn keys(view: View, filter: &str, sort: Sort, reversed: bool) -> Vec<String> {
        let (sessions, rates) = all();
        let filter = Filter { opened: None, text: filter };
        let rows = rows(view, &sessions, &rates, filter, (sort, reversed));
        rows.into_iter().map(|row| row.key).collect()
    }

    #[test]
    fn sums_are_of_all_sessions_of_a_name() {
        let (sessions, rates) = all();
        let rows = rows(View::Users, &sessions, &rates, Filter::default(), (Sort::Sessions, false));
        assert_eq!((rows[0].key.as_str(), rows[0].sessions, rows[0].sent), ("bob", 2, 14));
        assert_eq!((rows[0].since_ms, rows[0].rate.up), (10, 3.0));
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn each_view_sorts_by_each_word() {
        assert_eq!(keys(View::Users, "", Sort::Rate, false), ["alice", "bob"]);
        assert_eq!(keys(View::Users, "", Sort::Rate, true), ["bob", "alice"]);
        assert_eq!(keys(View::Targets, "", Sort::Moved, false), ["b.test:443", "a.test:80"]);
        assert_eq!(keys(View::Targets, "", Sort::Name, false), ["a.test:80", "b.test:443"]);
        assert_eq!(
            keys(View::Sessions, "", Sort::Sessions, false),
            ["3", "2", "1"],
            "oldest first"
        );
        assert_eq!(keys(View::Sessions, "", Sort::Name, false), ["2", "1", "3"]);
        assert_eq!(keys(View::Clients, "", Sort::Down, false), ["192.0.2.1"]);
    }

    #[test]
    fn a_filter_looks_at_all_that_is_known_of_a_session() {
        assert_eq!(keys(View::Users, "b.test", Sort::Name, false), ["alice", "bob"]);
        assert_eq!(keys(View::Sessions, "ali", Sort::Name, false), ["2"]);
        assert_eq!(keys(View::Sessions, "nobody", Sort::Name, false), Vec::<String>::new());
    }
}
