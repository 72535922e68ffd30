//! Rolling windows: sums, top users and top targets of what started in the last hours.
//!
//! ```text
//! writer: what each commit changes ──▶ ┌──────────────────────────────────────────┐
//!                                      │ minutes ─▶ hours ‥ days   (Timeline)     │ ─▶ answers
//! a predecessor's rows, in slices ───▶ │ the default window, as a running sum     │
//!                                      └──────────────────────────────────────────┘
//! ```
//!
//! The writer alone feeds them, in the commit that writes a row, with the difference between the
//! row and what it said before; so they equal the table as of the last commit, to the octet. After
//! a start the rows of the past are added from one snapshot of the table that was taken before the
//! writer's first commit, while the writer's differences come in: additions commute.
//!
//! Sums are always exact, and so are the lists unless a bound was reached; then the answer says by
//! how much any name may be short.

mod answer;
mod leaders;
mod level;
mod limits;
mod names;
mod packed;
mod past;
mod span;
mod tally;
mod timeline;
mod total;
mod upkeep;
mod weight;

use parking_lot::{Mutex, MutexGuard};

use self::answer::Recent;
pub use self::answer::{Answer, Shortfall, TOP_MAX};
use self::limits::Limits;
pub use self::past::Past;
use self::past::put_target;
use self::span::Step;
use self::timeline::Timeline;
pub use self::weight::Sums;
use super::change::Change;
use super::report::window_start;

/// The rolling windows.
#[derive(Debug)]
pub struct Windows {
    hours: u32,
    hours_max: u32,
    book: Mutex<Book>,
    recent: Mutex<Recent>,
}

/// What the lock guards.
#[derive(Debug)]
struct Book {
    /// The default window.
    hours: u32,
    timeline: Timeline,
    /// When the last commit was, or the snapshot before the first one; milliseconds since the Unix
    /// epoch.
    as_of_ms: Option<i64>,
    /// Grows with everything that changes an answer.
    version: u64,
    /// Whether rows of the past are still to come.
    loading: bool,
    /// A target's name in the making; kept for its memory.
    name: Vec<u8>,
}

impl Windows {
    /// Empty windows of up to `hours_max` hours, of which the one of `hours` is always at hand.
    #[must_use]
    pub fn new(hours: u32, hours_max: u32) -> Self {
        Self::with(hours, hours_max, Limits::new(hours_max))
    }

    fn with(hours: u32, hours_max: u32, limits: Limits) -> Self {
        Self {
            hours,
            hours_max,
            book: Mutex::new(Book {
                hours,
                timeline: Timeline::new(limits),
                as_of_ms: None,
                version: 0,
                loading: false,
                name: Vec::new(),
            }),
            recent: Mutex::default(),
        }
    }

    /// Books what a commit at `now_ms` (milliseconds since the Unix epoch) has changed.
    pub fn commit<'a>(&self, now_ms: i64, changes: impl IntoIterator<Item = &'a Change>) {
        let mut book = self.book.lock();
        for change in changes {
            book.add(change);
        }
        book.as_of_ms = Some(now_ms);
        book.version += 1;
        book.keep_up(now_ms);
    }

    /// Rows of the past will be loaded; answers are not complete until then.
    pub fn begin_loading(&self) {
        self.book.lock().loading = true;
    }

    /// The snapshot of the table whose rows will be loaded was taken at `now_ms` (milliseconds
    /// since the Unix epoch), before the first commit.
    pub fn snapshot_taken(&self, now_ms: i64) {
        let mut book = self.book.lock();
        book.as_of_ms = book.as_of_ms.or(Some(now_ms));
        book.keep_up(now_ms);
    }

    /// Adds rows of the snapshot.
    pub fn load(&self, past: &Past) {
        let mut book = self.book.lock();
        book.load(past);
        book.version += 1;
        // The minute of the last commit, or of the snapshot.
        let now_ms = book.as_of_ms.unwrap_or_default();
        book.keep_up(now_ms);
    }

    /// All rows of the snapshot were added. Longer spans are added up now, the lock being given
    /// up in between.
    pub fn finish_loading(&self) {
        self.book.lock().timeline.measure();
        let more = |book: &mut MutexGuard<'_, Book>| {
            book.loading = false;
            let now_ms = book.as_of_ms.unwrap_or_default();
            book.keep_up(now_ms)
        };
        while more(&mut self.book.lock()) {}
        self.book.lock().version += 1;
    }

    /// Where the longest window begins that can be asked for at `now_ms`, milliseconds since the
    /// Unix epoch.
    #[must_use]
    pub fn reach_ms(&self, now_ms: i64) -> i64 {
        window_start(now_ms, self.hours_max)
    }

    /// How they are doing.
    #[must_use]
    pub fn state(&self) -> WindowsState {
        let book = self.book.lock();
        WindowsState {
            complete: !book.loading,
            memory: book.timeline.memory() as u64,
            names: (book.timeline.users.len() + book.timeline.targets.len()) as u64,
            dropped: book.timeline.dropped,
        }
    }
}

/// How the windows are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowsState {
    /// Whether the rows of the past are all there.
    pub complete: bool,
    /// Octets of memory, about.
    pub memory: u64,
    /// Users and targets that are known by name.
    pub names: u64,
    /// Entries of the lists that were dropped because a bound was reached.
    pub dropped: u64,
}

impl Book {
    fn add(&mut self, change: &Change) {
        let session = &change.session;
        let target = (&*session.target_host, session.target_port);
        self.name.clear();
        if !target.0.is_empty() {
            put_target(target.0.as_bytes(), target.1, &mut self.name);
        }
        let target = (!self.name.is_empty()).then(|| self.timeline.targets.intern(&self.name));
        let step = Step {
            minute: session.start_ms.div_euclid(MINUTE_MS),
            sums: Sums::of(change),
            user: self.timeline.users.intern(session.user.as_bytes()),
            target,
        };
        self.timeline.add(&step);
    }

    fn load(&mut self, past: &Past) {
        for (minute, sums, user, target) in past.rows() {
            let step = Step {
                minute,
                sums: *sums,
                user: self.timeline.users.intern(user),
                target: target.map(|name| self.timeline.targets.intern(name)),
            };
            self.timeline.add(&step);
        }
    }

    /// Answers whether more is due.
    fn keep_up(&mut self, now_ms: i64) -> bool {
        let front = window_start(now_ms, self.hours).div_euclid(MINUTE_MS);
        self.timeline.move_front(front);
        // While rows come in for all minutes, sums of them would only slow it down.
        let relieving = self.timeline.keep_up(now_ms.div_euclid(MINUTE_MS));
        !self.loading && (relieving || self.timeline.roll_up())
    }
}

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

#[cfg(test)]
mod tests;
