//! The access log's thread.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::start::{Failure, Shared};
use crate::access_log::{self, Place};
use crate::config::AccessLogSettings;
use crate::linux::calls::Duty;

/// The thread that writes it, or its absence.
pub(super) struct AccessLog {
    reopen: Sender<()>,
    ended: Option<Receiver<()>>,
}

impl AccessLog {
    /// Opens it, and starts its thread, where there is to be one. Beside it stands what takes sessions.
    pub(super) fn start(
        settings: Option<&AccessLogSettings>,
        shared: &Shared,
    ) -> Result<(Self, Option<access_log::AccessLog>), Failure> {
        let (reopen, orders) = bounded(1);
        let Some(AccessLogSettings { place, format }) = settings else {
            return Ok((Self { reopen, ended: None }, None));
        };
        let (place, format) = (place.clone(), format.clone());
        let (node, tally) = (shared.node.clone(), Arc::clone(&shared.access_tally));
        let what = match &place {
            Place::File(path) => format!("the access log {} cannot be opened", path.display()),
            Place::Stderr => "the access log cannot be opened".to_owned(),
            Place::Journal(path) => format!(
                "the access log cannot be opened: there is no journal at {}",
                path.display()
            ),
        };
        let opened = access_log::AccessLog::open(place, format, node, orders, tally);
        let (log, scribe) = opened.map_err(|error| Failure::io(&what, &error))?;
        let (alive, ended) = bounded::<()>(0);
        shared.sandbox.spawn("access-log", Duty::Api, move || {
            scribe.run();
            drop(alive);
        })?;
        Ok((Self { reopen, ended: Some(ended) }, Some(log)))
    }

    /// What has its file opened anew.
    pub(super) fn reopener(&self) -> Sender<()> {
        self.reopen.clone()
    }

    /// Waits until the last line is written; whoever told of sessions has ended before.
    pub(super) fn wait(self) {
        if let Some(ended) = self.ended
            && ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout)
        {
            tracing::warn!("the access log did not take its last lines in time");
        }
    }
}

/// How long the last lines may take; a file may hang.
const PATIENCE: Duration = Duration::from_secs(2);
