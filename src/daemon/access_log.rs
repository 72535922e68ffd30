//! The access log's thread.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::start::{Failure, Shared};
use crate::access_log::{self, Place};
use crate::config::AccessLogSettings;
use crate::linux::calls::Duty;
use crate::linux::volume::{may_append_to, may_write_to};

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
        try_place(place)?;
        let (node, tally) = (shared.node.clone(), Arc::clone(&shared.access_tally));
        let opened =
            access_log::AccessLog::open(place.clone(), format.clone(), node, orders, tally);
        let (log, scribe) = opened.map_err(|error| failure(place, &error))?;
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

/// Looks whether it could be opened, by our rights: nothing is made, nor written.
pub(super) fn try_place(place: &Place) -> Result<(), Failure> {
    let found = match place {
        Place::Stderr => Ok(()),
        Place::Journal(path) => UnixDatagram::unbound().and_then(|socket| socket.connect(path)),
        Place::File(path) if path.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Place::File(path) if path.exists() => may_append_to(path),
        Place::File(path) => match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => may_write_to(folder),
            Some(_) | None => may_write_to(Path::new(".")),
        },
    };
    found.map_err(|error| failure(place, &error))
}

fn failure(place: &Place, error: &io::Error) -> Failure {
    let what = match place {
        Place::File(path) => {
            format!("logging.access_log: {} cannot be opened", path.display())
        }
        Place::Stderr => "logging.access_log: stderr cannot be opened".to_owned(),
        Place::Journal(path) => {
            format!("logging.access_log: there is no journal at {}", path.display())
        }
    };
    // No second try makes a folder or a journal.
    let absent = [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::IsADirectory];
    if absent.contains(&error.kind()) {
        return Failure::Configuration(format!("{what}: {error}"));
    }
    Failure::io(&what, error)
}

/// How long the last lines may take; a file may hang.
const PATIENCE: Duration = Duration::from_secs(2);
