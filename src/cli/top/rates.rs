//! How fast octets move, from two looks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::sample::{Sample, Session};

/// Octets a second, client to target and back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) up: f64,
    pub(super) down: f64,
}

impl Rate {
    pub(super) fn both(self) -> f64 {
        self.up + self.down
    }

    pub(super) fn add(&mut self, other: Self) {
        self.up += other.up;
        self.down += other.down;
    }
}

/// What the last look said.
#[derive(Debug, Default)]
pub(super) struct Rates {
    at: Option<Instant>,
    sessions: HashMap<String, (u64, u64)>,
    totals: (u64, u64),
}

impl Rates {
    /// The rates since the last look: of each session of this one, in its order, and of everything, what
    /// has ended meanwhile included. 0 everywhere after the first look, and after a restart of the proxy.
    pub(super) fn since_last(&mut self, sample: &Sample, now_ms: i64) -> (Vec<Rate>, Rate) {
        let passed = sample.at.zip(self.at).map(|(now, then)| now.saturating_duration_since(then));
        let rates =
            sample.sessions.iter().map(|session| self.of(session, passed, now_ms)).collect();
        let moved = (sample.totals.sent, sample.totals.received);
        let total = passed.map_or(Rate::default(), |passed| rate(self.totals, moved, passed));
        self.at = sample.at;
        self.totals = moved;
        self.sessions = sample
            .sessions
            .iter()
            .map(|session| (session.id.clone(), (session.sent, session.received)))
            .collect();
        (rates, total)
    }

    fn of(&self, session: &Session, passed: Option<Duration>, now_ms: i64) -> Rate {
        let Some(passed) = passed else { return Rate::default() };
        let moved = (session.sent, session.received);
        match self.sessions.get(&session.id) {
            Some(before) => rate(*before, moved, passed),
            // It has begun since, so all of it has moved since; or it was not among those looked at.
            None if is_younger(session, passed, now_ms) => rate((0, 0), moved, passed),
            None => Rate::default(),
        }
    }
}

fn is_younger(session: &Session, passed: Duration, now_ms: i64) -> bool {
    let age_ms = u64::try_from(now_ms.saturating_sub(session.started_ms)).unwrap_or(0);
    Duration::from_millis(age_ms) <= passed + CLOCKS_APART
}

fn rate(before: (u64, u64), now: (u64, u64), passed: Duration) -> Rate {
    let secs = passed.as_secs_f64().max(SECS_MIN);
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let per_sec = |before: u64, now: u64| now.saturating_sub(before) as f64 / secs;
    Rate { up: per_sec(before.0, now.0), down: per_sec(before.1, now.1) }
}

/// How long before the last look a session may seem to have begun that was not in it.
const CLOCKS_APART: Duration = Duration::from_secs(1);
/// Two looks are never nearer.
const SECS_MIN: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn sample(at: Instant, sessions: &[(&str, u64, i64)], received: u64) -> Sample {
        let session = |(id, sent, started_ms): &(&str, u64, i64)| Session {
            id: (*id).to_owned(),
            sent: *sent,
            started_ms: *started_ms,
            ..Session::default()
        };
        let mut sample = Sample { at: Some(at), ..Sample::default() };
        sample.sessions = sessions.iter().map(session).collect();
        sample.totals.received = received;
        sample
    }

    #[test]
    fn rates_are_what_moved_between_two_looks() {
        let (mut rates, start) = (Rates::default(), clock::mono());
        let (first, total) = rates.since_last(&sample(start, &[("a", 1000, 0)], 500), 60_000);
        assert_eq!((first, total), (vec![Rate::default()], Rate::default()));
        let later = start + Duration::from_secs(2);
        // `b` has begun since, `c` is old and was only not looked at.
        let sessions = [("a", 3000, 0), ("b", 4000, 61_000), ("c", 9000, 0)];
        let (second, total) = rates.since_last(&sample(later, &sessions, 2500), 62_000);
        let up: Vec<f64> = second.iter().map(|rate| rate.up).collect();
        assert_eq!(up, [1000.0, 2000.0, 0.0]);
        assert_eq!(total, Rate { up: 0.0, down: 1000.0 });
    }

    #[test]
    fn a_proxy_that_began_anew_has_no_negative_rate() {
        let (mut rates, start) = (Rates::default(), clock::mono());
        rates.since_last(&sample(start, &[], 5000), 0);
        let (_, total) = rates.since_last(&sample(start + Duration::from_secs(1), &[], 10), 0);
        assert_eq!(total, Rate::default());
    }
}
