//! The queue of sessions to be written, and the thread that writes them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};

use super::format::Format;
use super::pen::{Pen, Place, Unwritten};
use crate::clock;
use crate::session::SessionView;
use crate::stats::Record;

/// Takes sessions that have ended. The log ends when the last of these is dropped.
#[derive(Debug)]
pub struct AccessLog {
    sessions: Sender<SessionView>,
    tally: Arc<AccessTally>,
}

/// What became of lines. All only grow.
#[derive(Debug, Default)]
pub struct AccessTally {
    /// Written.
    pub written: AtomicU64,
    /// Given up because too many were waiting.
    pub dropped: AtomicU64,
    /// Given up because the place did not take them.
    pub failed: AtomicU64,
}

/// What writes; its [`Scribe::run`] wants a thread of its own.
#[derive(Debug)]
pub struct Scribe {
    sessions: Receiver<SessionView>,
    reopen: Receiver<()>,
    pen: Pen,
    format: Format,
    node: String,
    tally: Arc<AccessTally>,
    complain_at: Option<Instant>,
}

impl AccessLog {
    /// Opens `place`. Lines name this `node`; each message of `reopen` has the place opened anew.
    ///
    /// # Errors
    /// When the place cannot be opened.
    pub fn open(
        place: Place,
        format: Format,
        node: String,
        reopen: Receiver<()>,
        tally: Arc<AccessTally>,
    ) -> io::Result<(Self, Scribe)> {
        let pen = Pen::new(place)?;
        let (sender, receiver) = bounded(WAITING_MAX);
        let log = Self { sessions: sender, tally: Arc::clone(&tally) };
        let scribe =
            Scribe { sessions: receiver, reopen, pen, format, node, tally, complain_at: None };
        Ok((log, scribe))
    }

    /// Has the line of a session written, unless too many are waiting.
    pub fn write(&self, session: SessionView) {
        if self.sessions.try_send(session).is_err() {
            self.tally.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Scribe {
    /// Writes until nobody is left who tells of sessions, and all is written.
    pub fn run(mut self) {
        let mut lines = String::new();
        loop {
            select! {
                recv(self.sessions) -> session => match session {
                    Ok(session) => self.write(&session, &mut lines),
                    Err(_) => return,
                },
                recv(self.reopen) -> order => match order {
                    Ok(()) => self.reopen(),
                    // Nobody is left who could order it.
                    Err(_) => self.reopen = never(),
                },
            }
        }
    }

    /// Writes the line of this session, together with those that wait behind it.
    fn write(&mut self, first: &SessionView, lines: &mut String) {
        lines.clear();
        let mut count = 1;
        self.format.write(&Record::of(first, &self.node), lines);
        while lines.len() < PORTION {
            let Ok(session) = self.sessions.try_recv() else { break };
            self.format.write(&Record::of(&session, &self.node), lines);
            count += 1;
        }
        let unwritten = match self.pen.write(lines.as_bytes()) {
            Ok(()) => 0,
            Err(Unwritten { lines, why }) => {
                self.complain(lines, &why);
                lines
            }
        };
        self.tally.failed.fetch_add(unwritten, Relaxed);
        self.tally.written.fetch_add(count - unwritten.min(count), Relaxed);
    }

    fn complain(&mut self, lines: u64, why: &io::Error) {
        let now = clock::mono();
        if self.complain_at.is_none_or(|at| now >= at) {
            tracing::error!("{lines} lines of the access log are lost: {why}");
            self.complain_at = Some(now + BETWEEN_COMPLAINTS);
        }
    }

    fn reopen(&mut self) {
        match self.pen.reopen() {
            Ok(()) => tracing::info!("the access log is open anew"),
            Err(error) => {
                tracing::error!(
                    "the access log cannot be opened anew, the old one is kept: {error}"
                );
            }
        }
    }
}

/// Sessions that wait to be written at most: about 6 MiB.
const WAITING_MAX: usize = 8192;
/// Octets after which lines are written although more are waiting.
const PORTION: usize = 64 * 1024;
/// Between two lines about a failure that lasts.
const BETWEEN_COMPLAINTS: Duration = Duration::from_mins(1);
