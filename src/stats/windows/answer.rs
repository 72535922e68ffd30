//! Answers, and those of a moment ago.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::leaders::leaders;
use super::past::take_target;
use super::tally::Rank;
use super::total::{Shared, Total};
use super::weight::{Sums, Weight};
use super::{Book, MINUTE_MS, Windows};
use crate::clock::Now;
use crate::stats::{TopDestination, TopUser, destination, window_start};

/// The sums of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The minute's edge at which the window begins, milliseconds since the Unix epoch.
    pub window_start_ms: i64,
    /// The last commit that the answer contains, milliseconds since the Unix epoch; `None` before
    /// the first one.
    pub as_of_ms: Option<i64>,
    /// Whether all rows of the window are in it.
    pub complete: bool,
    /// The sums, always exact for what is in it.
    pub sums: Sums,
    /// The heaviest users by octets both ways, up to [`TOP_MAX`].
    pub top_users: Vec<TopUser>,
    /// The most wanted targets by sessions, up to [`TOP_MAX`].
    pub top_destinations: Vec<TopDestination>,
    /// By how much any entry of the lists may be short, if a bound was reached.
    pub shortfall: Option<Shortfall>,
}

/// By how much any entry of a list may be short, at most. Whoever is not in the list has no more
/// than its last entry and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Shortfall {
    /// Sessions.
    pub sessions: u64,
    /// Octets both ways.
    pub bytes: u64,
}

impl Windows {
    /// The window of the last `hours` hours before `now`.
    ///
    /// The default window is at hand; another one is added up from a few hundred spans, and that
    /// answer serves for a second. In neither case does it matter how many sessions there were.
    #[must_use]
    pub fn answer(&self, now: Now, hours: u32) -> Arc<Answer> {
        let from = window_start(now.utc_ms, hours).div_euclid(MINUTE_MS);
        let version = self.book.lock().version;
        let at_hand = hours == self.hours;
        let youth = if at_hand { Duration::ZERO } else { YOUTH };
        if let Some(answer) = self.recent.lock().find((hours, from), version, (now.mono, youth)) {
            return answer;
        }
        let (answer, version) = if at_hand { self.at_hand(from) } else { self.added_up(from) };
        let answer = Arc::new(answer);
        let made = Made { hours, from, version, at: now.mono, answer: Arc::clone(&answer) };
        self.recent.lock().keep(made);
        answer
    }

    fn at_hand(&self, from: i64) -> (Answer, u64) {
        let mut book = self.book.lock();
        book.timeline.move_front(from);
        (book.answer(from, &book.timeline.front), book.version)
    }

    /// The adding up is done without the lock, so that the writer does not wait for it.
    fn added_up(&self, from: i64) -> (Answer, u64) {
        let book = self.book.lock();
        let (generation, version) = (book.timeline.generation, book.version);
        let (as_of_ms, complete) = (book.as_of_ms, book.is_complete(from));
        let mut spans = Vec::new();
        book.timeline.cover(from..i64::MAX, |span| spans.push(Shared::of(span)));
        drop(book);
        let mut total = Total::default();
        spans.iter().for_each(|span| total.add_shared(span));
        drop(spans);
        let book = self.book.lock();
        if book.timeline.generation == generation {
            let answer = Answer { as_of_ms, complete, ..book.answer(from, &total) };
            return (answer, version);
        }
        // Numbers may have changed hands meanwhile: once more, and this time nothing changes.
        let mut total = Total::default();
        book.timeline.cover(from..i64::MAX, |span| total.add(span));
        (book.answer(from, &total), book.version)
    }
}

impl Book {
    fn is_complete(&self, from: i64) -> bool {
        !self.loading && from >= self.timeline.forgotten
    }

    fn answer(&self, from: i64, total: &Total) -> Answer {
        let timeline = &self.timeline;
        let users = leaders(&total.users, &timeline.users, Rank::Bytes, TOP_MAX as usize);
        let targets = leaders(&total.targets, &timeline.targets, Rank::Sessions, TOP_MAX as usize);
        let text = |octets| String::from_utf8_lossy(octets).into_owned();
        let lost = total.lost.users.or_more(total.lost.targets);
        Answer {
            window_start_ms: from * MINUTE_MS,
            as_of_ms: self.as_of_ms,
            complete: self.is_complete(from),
            sums: total.sums,
            top_users: users
                .into_iter()
                .map(|(name, Weight { sessions, bytes })| TopUser {
                    user: text(name),
                    sessions,
                    bytes,
                })
                .collect(),
            top_destinations: targets
                .into_iter()
                .filter_map(|(name, Weight { sessions, bytes })| {
                    let (host, port) = take_target(name)?;
                    Some(TopDestination { dest: destination(&text(host), port), sessions, bytes })
                })
                .collect(),
            shortfall: (lost != Weight::default())
                .then_some(Shortfall { sessions: lost.sessions, bytes: lost.bytes }),
        }
    }
}

/// Answers of a moment ago.
#[derive(Debug, Default)]
pub(super) struct Recent(Vec<Made>);

#[derive(Debug)]
struct Made {
    hours: u32,
    from: i64,
    version: u64,
    at: Instant,
    answer: Arc<Answer>,
}

impl Recent {
    /// An answer that still holds: nothing has changed since, or it is young.
    fn find(
        &self,
        window: (u32, i64),
        version: u64,
        (now, youth): (Instant, Duration),
    ) -> Option<Arc<Answer>> {
        let made = self.0.iter().find(|made| (made.hours, made.from) == window)?;
        let young = now.saturating_duration_since(made.at) < youth;
        (made.version == version || young).then(|| Arc::clone(&made.answer))
    }

    fn keep(&mut self, made: Made) {
        self.0.retain(|other| other.hours != made.hours);
        if self.0.len() >= ANSWERS_MAX {
            self.0.remove(0);
        }
        self.0.push(made);
    }
}

/// Entries that a list of an answer has at most.
pub const TOP_MAX: u32 = 100;
/// How long an answer that had to be added up serves although something has changed.
const YOUTH: Duration = Duration::from_secs(1);
/// Answers that are kept.
const ANSWERS_MAX: usize = 32;
