//! What happens to sessions, told at once to whoever listens: the way from the writer to
//! `/api/events`.
//!
//! Nobody waits for a listener. While there is none nothing is told, at the price of one load; what
//! finds no room is counted, and the listeners are told how much they have missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::session::SessionView;

/// The way. One thread takes from it for all listeners.
#[derive(Debug)]
pub struct News {
    followers: AtomicUsize,
    sender: Sender<NewsItem>,
    receiver: Receiver<NewsItem>,
    missed: AtomicU64,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct NewsItem {
    /// What.
    pub kind: NewsKind,
    /// The session as it was then.
    pub session: SessionView,
}

/// What can happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewsKind {
    /// It was given its permit.
    Opened,
    /// It was given its permit before, and has ended.
    Closed,
    /// It has ended without a permit: a rule, a login, a limit or its own mistake was in the way.
    Refused,
}

impl NewsKind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Refused => "refused",
        }
    }
}

/// Somebody who listens, until it is dropped.
#[derive(Debug)]
pub struct Follower(Arc<News>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.followers.fetch_sub(1, Relaxed);
    }
}

impl Default for News {
    fn default() -> Self {
        let (sender, receiver) = bounded(NEWS_MAX);
        Self { followers: AtomicUsize::new(0), sender, receiver, missed: AtomicU64::new(0) }
    }
}

impl News {
    /// Whether anybody listens.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.followers() > 0
    }

    /// How many listen.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.followers.load(Relaxed)
    }

    /// One more listens. The first hears nothing of what was told to those before.
    #[must_use]
    pub fn follow(self: &Arc<Self>) -> Follower {
        if self.followers.fetch_add(1, Relaxed) == 0 {
            while self.take().is_some() {}
            self.take_missed();
        }
        Follower(Arc::clone(self))
    }

    /// Tells that a session was `opened`, or has ended.
    pub fn tell(&self, opened: bool, session: SessionView) {
        let kind = match (opened, session.accepted) {
            (true, _) => NewsKind::Opened,
            (false, true) => NewsKind::Closed,
            (false, false) => NewsKind::Refused,
        };
        if self.sender.try_send(NewsItem { kind, session }).is_err() {
            self.missed.fetch_add(1, Relaxed);
        }
    }

    /// The oldest item that nobody has taken.
    #[must_use]
    pub fn take(&self) -> Option<NewsItem> {
        self.receiver.try_recv().ok()
    }

    /// How many items nobody has taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.receiver.len()
    }

    /// How many items found no room since this was asked last.
    pub fn take_missed(&self) -> u64 {
        self.missed.swap(0, Relaxed)
    }
}

/// Items on their way at most: about 3 MiB.
pub const NEWS_MAX: usize = 4096;
