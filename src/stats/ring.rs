//! The history of the memory mode: the last ended sessions, bounded in number.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::best::Best;
use super::history::{Filter, HistoryPage, HistoryQuery, Order, Place};
use super::record::Record;
use super::report::{History, TopDestination, TopUser, Unavailable, WindowSums, destination};
use crate::clock;
use crate::session::{Ledger, SessionId, SessionView, Status, Table};

/// The last ended sessions; the live ones are looked up in the table.
#[derive(Debug)]
pub struct Ring {
    ended: Mutex<Ended>,
    sessions_max: usize,
    table: Arc<Table>,
    ledger: Arc<Ledger>,
    node: String,
}

#[derive(Debug, Default)]
struct Ended {
    sessions: VecDeque<SessionView>,
    /// The number of the first of them in the order of recording.
    first_row: i64,
    /// The latest start of those that had to go.
    forgotten_ms: Option<i64>,
}

impl Ring {
    /// A ring for the last `sessions_max` sessions of the node of this name.
    #[must_use]
    pub fn new(sessions_max: usize, table: Arc<Table>, ledger: Arc<Ledger>, node: &str) -> Self {
        // A place that a client has kept from before a restart lies before everything that is here.
        let first_row = clock::utc_ms().saturating_mul(ROWS_PER_MS).max(1);
        let ended = Mutex::new(Ended { first_row, ..Ended::default() });
        Self { ended, sessions_max, table, ledger, node: node.to_owned() }
    }

    /// Remembers a session that has ended.
    pub fn push(&self, session: SessionView) {
        let mut ended = self.ended.lock();
        ended.sessions.push_back(session);
        while ended.sessions.len() > self.sessions_max
            && let Some(oldest) = ended.sessions.pop_front()
        {
            ended.first_row += 1;
            let forgotten = ended.forgotten_ms.unwrap_or(i64::MIN);
            ended.forgotten_ms = Some(forgotten.max(oldest.start_ms));
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

    fn live(&self) -> Vec<SessionView> {
        let mut page = Vec::new();
        for worker in 0..self.table.workers() {
            let mut after = None;
            loop {
                after = self.table.page(worker, after, &mut page);
                if after.is_none() {
                    break;
                }
            }
        }
        let views = page.into_iter().filter_map(|session| self.ledger.view(session));
        views.filter(|view| view.ending.is_none()).collect()
    }
}

impl History for Ring {
    fn one(&self, id: SessionId) -> Result<Option<Record>, Unavailable> {
        let ended = self.ended.lock();
        let found = ended.sessions.iter().rev().find(|session| session.id == id);
        Ok(found.map(|session| Record::of(session, &self.node)))
    }

    fn page(&self, query: &HistoryQuery) -> Result<HistoryPage, Unavailable> {
        let HistoryQuery { filter, order, limit, after } = query;
        let by_time = filter.is_by_time();
        // One more than the page has, to know whether it is the last.
        let mut best = Best::new(filter, *order, *after, limit + 1);
        let from = after.filter(|_| !by_time).map(|after| after.row);
        self.walk(*order, from, |place, session| {
            if filter.passes(session) {
                best.push(place, session.clone());
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
            next: found.last().filter(|_| more).map(|(place, _)| *place),
            records: found.iter().map(|(_, view)| Record::of(view, &self.node)).collect(),
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

    fn sums(&self, window_start_ms: i64, top: u32) -> Result<WindowSums, Unavailable> {
        let mut live = self.live();
        let ended = self.ended.lock();
        // One that has ended since stands in both, and its ending counts.
        let newest = ended.sessions.iter().rev().take(live.len().max(ENDED_MEANWHILE_MAX));
        let just_ended: HashSet<_> = newest.map(|session| session.id).collect();
        live.retain(|session| !just_ended.contains(&session.id));
        let mut sums = WindowSums {
            complete: ended.forgotten_ms.is_none_or(|forgotten| forgotten < window_start_ms),
            ..WindowSums::default()
        };
        let mut users: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let mut destinations: BTreeMap<(&str, u16), (u64, u64)> = BTreeMap::new();
        let within = ended.sessions.iter().chain(&live).filter(|it| it.start_ms >= window_start_ms);
        for session in within {
            let bytes = session.traffic.bytes_sent + session.traffic.bytes_received;
            sums.sessions += 1;
            sums.bytes_sent += session.traffic.bytes_sent;
            sums.bytes_received += session.traffic.bytes_received;
            match session.status() {
                Status::Active => {}
                Status::Closed => sums.closed += 1,
                Status::Failed => sums.failed += 1,
                Status::RejectedByAcl => sums.rejected += 1,
            }
            let user = users.entry(&session.user).or_default();
            *user = (user.0 + 1, user.1 + bytes);
            if !session.target_host.is_empty() {
                let key = (&*session.target_host, session.target_port);
                let target = destinations.entry(key).or_default();
                *target = (target.0 + 1, target.1 + bytes);
            }
        }
        let mut users: Vec<_> = users.into_iter().collect();
        users.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
        let mut destinations: Vec<_> = destinations.into_iter().collect();
        destinations.sort_by_key(|(_, (sessions, _))| std::cmp::Reverse(*sessions));
        let users = users.into_iter().take(top as usize);
        sums.top_users = users
            .map(|(user, (sessions, bytes))| TopUser { user: user.to_owned(), sessions, bytes })
            .collect();
        let destinations = destinations.into_iter().take(top as usize);
        sums.top_destinations = destinations
            .map(|((host, port), (sessions, bytes))| TopDestination {
                dest: destination(host, port),
                sessions,
                bytes,
            })
            .collect();
        Ok(sums)
    }
}

/// Sessions looked at while the ring is locked.
const SLICE_SESSIONS: usize = 4096;
/// More than a process can record in a millisecond, so that rows of its successor are greater.
const ROWS_PER_MS: i64 = 1 << 20;
/// Sessions that may end while the live ones are copied, at least.
const ENDED_MEANWHILE_MAX: usize = 4096;
