//! Who hears of sessions at once, while they are on their way to be stored.

use std::sync::Arc;

use crate::access_log::AccessLog;
use crate::session::{Entry, Kind, Ledger};
use crate::stats::News;

/// Those who hear of sessions.
#[derive(Debug, Default)]
pub struct Witness {
    /// Whoever listens to what happens.
    pub news: Arc<News>,
    /// The access log, if there is one.
    pub access_log: Option<AccessLog>,
}

impl Witness {
    /// Tells of an entry. Nothing is read, and nothing copied, where nobody wants to know.
    pub(super) fn tell(&self, entry: Entry, ledger: &Ledger) {
        let log = match entry.kind {
            Kind::Opened => None,
            Kind::Closed => self.access_log.as_ref(),
        };
        let followed = self.news.is_followed();
        if log.is_none() && !followed {
            return;
        }
        let Some(session) = ledger.view(entry.session) else { return };
        let ended = session.ending.is_some();
        if let Some(log) = log.filter(|_| ended) {
            log.write(session.clone());
        }
        if followed {
            self.news.tell(entry.kind == Kind::Opened, session);
        }
    }
}
