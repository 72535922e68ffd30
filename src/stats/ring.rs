//! The history of the memory mode: the last ended sessions, bounded in number.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::best::Best;
use super::history::{Filter, HistoryPage, HistoryQuery, Order, Place};
use super::minutes::{MinuteRecord, Minutes};
use super::record::Record;
use super::report::{History, Unavailable};
use crate::clock;
use crate::session::{SessionId, SessionView};

/// The last ended sessions.
#[derive(Debug)]
pub struct Ring {
    ended: Mutex<Ended>,
    sessions_max: usize,
    node: String,
    minutes: Arc<Minutes>,
}

#[derive(Debug, Default)]
struct Ended {
    sessions: VecDeque<SessionView>,
    /// The number of the first of them in the order of recording.
    first_row: i64,
}

impl Ring {
    /// A ring for the last `sessions_max` sessions of the node of this name.
    #[must_use]
    pub fn new(sessions_max: usize, node: &str) -> Self {
        // A place that a client has kept from before a restart lies before everything that is here.
        let first_row = clock::utc_ms().saturating_mul(ROWS_PER_MS).max(1);
        let ended = Mutex::new(Ended { first_row, sessions: VecDeque::new() });
        let minutes = Arc::new(Minutes::new(1));
        Self { ended, sessions_max, node: node.to_owned(), minutes }
    }

    /// The same with these minutes.
    #[must_use]
    pub fn with_minutes(self, minutes: Arc<Minutes>) -> Self {
        Self { minutes, ..self }
    }

    /// Remembers a session that has ended.
    pub fn push(&self, session: SessionView) {
        let mut ended = self.ended.lock();
        ended.sessions.push_back(session);
        while ended.sessions.len() > self.sessions_max && ended.sessions.pop_front().is_some() {
            ended.first_row += 1;
        }
    }

    /// Looks at the sessions in the order of recording, behind a row, until told to break. The
    /// writer waits for a slice at most.
    fn walk(
        &self,
        order: Order,
        mut after: Option<i64>,
        mut look: impl FnMut(Place, &SessionView) -> ControlFlow<()>,
    ) {
        loop {
            let ended = self.ended.lock();
            let row = |index: usize| ended.first_row.saturating_add_unsigned(index as u64);
            let index = |row: i64| {
                let behind_first = row.saturating_sub(ended.first_row).max(0);
                usize::try_from(behind_first).unwrap_or(usize::MAX).min(ended.sessions.len())
            };
            let slice = match (order, after) {
                (Order::Ascending, None) => 0..SLICE_SESSIONS,
                (Order::Ascending, Some(after)) => {
                    let from = index(after.saturating_add(1));
                    from..from + SLICE_SESSIONS
                }
                (Order::Descending, after) => {
                    let to = after.map_or(ended.sessions.len(), index);
                    to.saturating_sub(SLICE_SESSIONS)..to
                }
            };
            let slice = slice.start..slice.end.min(ended.sessions.len());
            if slice.is_empty() {
                return;
            }
            let mut step = |index: usize| {
                let Some(session) = ended.sessions.get(index) else {
                    return ControlFlow::Break(());
                };
                let place = Place { start_ms: session.start_ms, row: row(index) };
                after = Some(place.row);
                look(place, session)
            };
            let walked = match order {
                Order::Ascending => slice.into_iter().try_for_each(&mut step),
                Order::Descending => slice.into_iter().rev().try_for_each(&mut step),
            };
            if walked.is_break() {
                return;
            }
        }
    }
}

impl History for Ring {
    fn minutes(
        &self,
        since_ms: i64,
        until_ms: i64,
        limit: usize,
    ) -> Result<Vec<MinuteRecord>, Unavailable> {
        Ok(self.minutes.between(since_ms, until_ms, limit))
    }

    fn one(&self, id: SessionId) -> Result<Option<Record>, Unavailable> {
        let mut found = None;
        self.walk(Order::Descending, None, |_, session| {
            if session.id == id {
                found = Some(Record::of(session, &self.node));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        Ok(found)
    }

    fn page(&self, query: &HistoryQuery) -> Result<HistoryPage, Unavailable> {
        let HistoryQuery { filter, order, limit, after } = query;
        let by_time = filter.is_by_time();
        // One more than the page has, to know whether it is the last.
        let mut best = Best::new(*order, after.map(|after| filter.rank(after)), limit + 1);
        let from = after.filter(|_| !by_time).map(|after| after.row);
        self.walk(*order, from, |place, session| {
            if filter.passes(session) {
                let key = filter.rank(place);
                if best.admits(&key) {
                    best.push(key, (place, session.clone()));
                }
            }
            // They come in the order of recording; by time, a later one may belong further ahead.
            if best.is_full() && !by_time {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let mut found = best.into_sorted();
        let more = found.len() > *limit;
        found.truncate(*limit);
        Ok(HistoryPage {
            next: found.last().filter(|_| more).map(|(_, (place, _))| *place),
            records: found.iter().map(|(_, (_, view))| Record::of(view, &self.node)).collect(),
            cut: false,
        })
    }

    fn total(&self, filter: &Filter) -> Result<Option<u64>, Unavailable> {
        let mut total = 0;
        self.walk(Order::Ascending, None, |_, session| {
            total += u64::from(filter.passes(session));
            ControlFlow::Continue(())
        });
        Ok(Some(total))
    }
}

/// Sessions looked at while the ring is locked.
const SLICE_SESSIONS: usize = 4096;
/// More than a process can record in a millisecond, so that rows of its successor are greater.
const ROWS_PER_MS: i64 = 1 << 20;
