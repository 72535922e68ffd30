//! What the table says of sessions that live. Pure.

use std::collections::HashMap;

use crate::session::{SessionId, SessionView, Traffic};
use crate::stats::Change;

/// The last committed traffic of each live session that has a row: one entry per ledger slot at
/// most.
#[derive(Debug, Default)]
pub struct Known(HashMap<SessionId, Traffic, foldhash::fast::RandomState>);

impl Known {
    /// What a commit of this session changes.
    #[must_use]
    pub fn change(&self, session: SessionView) -> Change {
        let before = self.0.get(&session.id).copied();
        Change { session, before }
    }

    /// Whether the session has a row.
    #[must_use]
    pub fn has(&self, id: SessionId) -> bool {
        self.0.contains_key(&id)
    }

    /// Whether the row of this session says something else than the session.
    #[must_use]
    pub fn differs(&self, session: &SessionView) -> bool {
        self.0.get(&session.id) != Some(&session.traffic)
    }

    /// A change was committed.
    pub fn committed(&mut self, change: &Change) {
        let session = &change.session;
        if session.ending.is_none() {
            self.0.insert(session.id, session.traffic);
        } else if change.before.is_some() {
            self.0.remove(&session.id);
        }
    }
}
