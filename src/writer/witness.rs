//! Who hears of sessions at once, while they are on their way to be stored.

use crate::access_log::AccessLog;
use crate::session::{Entry, Kind, Ledger};

/// Those who hear of sessions.
#[derive(Debug, Default)]
pub struct Witness {
    /// The access log, if there is one.
    pub access_log: Option<AccessLog>,
}

impl Witness {
    /// Tells of an entry. Nothing is read, and nothing copied, where nobody wants to know.
    pub(super) fn tell(&self, entry: Entry, ledger: &Ledger) {
        let Some(log) = &self.access_log else { return };
        if entry.kind == Kind::Closed
            && let Some(session) = ledger.view(entry.session)
            && session.ending.is_some()
        {
            log.write(session);
        }
    }
}
