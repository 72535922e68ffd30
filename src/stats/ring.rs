//! The history of the memory mode: the last ended sessions, bounded in number.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::record::Record;
use super::report::{History, TopDestination, TopUser, Unavailable, WindowSums, destination};
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
    /// The latest start of those that had to go.
    forgotten_ms: Option<i64>,
}

impl Ring {
    /// A ring for the last `sessions_max` sessions of the node of this name.
    #[must_use]
    pub fn new(sessions_max: usize, table: Arc<Table>, ledger: Arc<Ledger>, node: &str) -> Self {
        Self { ended: Mutex::default(), sessions_max, table, ledger, node: node.to_owned() }
    }

    /// Remembers a session that has ended.
    pub fn push(&self, session: SessionView) {
        let mut ended = self.ended.lock();
        if ended.sessions.len() >= self.sessions_max
            && let Some(oldest) = ended.sessions.pop_front()
        {
            let forgotten = ended.forgotten_ms.unwrap_or(i64::MIN);
            ended.forgotten_ms = Some(forgotten.max(oldest.start_ms));
        }
        ended.sessions.push_back(session);
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

/// Sessions that may end while the live ones are copied, at least.
const ENDED_MEANWHILE_MAX: usize = 4096;
