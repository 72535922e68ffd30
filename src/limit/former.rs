//! Who has been taken away of late, and in which groups they were: their last octets are stored after that.

use hashbrown::HashMap;

use crate::auth::{Identity, Users};

/// Users who are gone, without what they logged in by.
#[derive(Debug, Default)]
pub(super) struct Former {
    /// With the moment from which on they are not remembered, milliseconds since the epoch.
    by_name: HashMap<Box<str>, (i64, Identity)>,
    /// The first of these moments.
    next_ms: i64,
}

impl Former {
    /// Remembers those who were among the users and are not any more.
    pub(super) fn take_leave(&mut self, before: &Users, after: &Users, utc_ms: i64) {
        self.forget(utc_ms);
        for name in before.names().filter(|name| !after.has(name)) {
            if self.by_name.len() >= FORMER_MAX {
                break;
            }
            let gone = (utc_ms + REMEMBERED_MS, before.supposed(name, &[]));
            self.by_name.insert(name.into(), gone);
        }
        self.look_ahead();
    }

    /// Who this was, if it is somebody who is gone.
    pub(super) fn find(&mut self, name: &str, utc_ms: i64) -> Option<Identity> {
        self.forget(utc_ms);
        self.by_name.get(name).map(|(_, identity)| identity.clone())
    }

    fn forget(&mut self, utc_ms: i64) {
        if utc_ms >= self.next_ms && !self.by_name.is_empty() {
            self.by_name.retain(|_, (until_ms, _)| utc_ms < *until_ms);
            self.by_name.shrink_to_fit();
            self.look_ahead();
        }
    }

    fn look_ahead(&mut self) {
        self.next_ms =
            self.by_name.values().map(|(until_ms, _)| *until_ms).min().unwrap_or(i64::MAX);
    }
}

/// How long they are remembered: what a session moved is stored at its checkpoint, of which the longest
/// interval is an hour.
pub(super) const REMEMBERED_MS: i64 = 3_600_000;
/// How many at most. What those beyond it moved last is missing from their groups after a restart; a process
/// that runs has counted it while it moved.
const FORMER_MAX: usize = 100_000;
