//! A client that listens to events: what waits for it, what it has missed, and how long we bear with it.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::limits::Limits;
use crate::admin::events::{Event, EventsQuery, Topic};
use crate::stats::Follower;

pub(super) struct Listening {
    query: EventsQuery,
    /// What waits to be written, from `sent` on.
    buffer: Vec<u8>,
    sent: usize,
    /// Events that found no room, and of which nothing was said yet.
    missed: u64,
    /// Since when there has been no room without a break.
    full_since: Option<Instant>,
    /// Since when something has been waiting without a break.
    behind_since: Option<Instant>,
    /// When anything was written last.
    progress: Instant,
    ends_at: Option<Instant>,
    discarded: usize,
    /// While it is here, there is something to be told.
    _follower: Follower,
}

/// What became of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// It goes on.
    GoesOn,
    /// It has heard what it wanted to.
    Enough,
    /// It has gone.
    Gone,
    /// It does not keep up.
    TooSlow,
}

impl Listening {
    /// It is told the health as it is now, `health`, and from here on all that it asks for.
    pub(super) fn new(
        query: EventsQuery,
        follower: Follower,
        health: &Event,
        now: Instant,
        limits: &Limits,
    ) -> Self {
        let ends_at = query.for_secs.map(|secs| now + Duration::from_secs(secs.into()));
        let mut listening = Self {
            query,
            buffer: HEAD.to_vec(),
            sent: 0,
            missed: 0,
            full_since: None,
            behind_since: Some(now),
            progress: now,
            ends_at,
            discarded: 0,
            _follower: follower,
        };
        listening.hear(health, now, limits);
        listening
    }

    /// Puts an event behind what waits, if it is one for this listener. Answers whether it had room.
    pub(super) fn hear(&mut self, event: &Event, now: Instant, limits: &Limits) -> bool {
        if !event.is_for(&self.query) {
            return true;
        }
        if self.room(limits) < event.text.len() + NOTICE_MAX {
            self.missed += 1;
            return false;
        }
        self.confess(now);
        self.put(&event.text, now);
        true
    }

    /// So many events about sessions were missed before they came to this listener. Answers whether it
    /// would have heard of them.
    pub(super) fn miss(&mut self, count: u64) -> bool {
        let wanted = self.query.only != Some(Topic::Health);
        self.missed += if wanted { count } else { 0 };
        wanted
    }

    /// Says how many were missed, if any were.
    fn confess(&mut self, now: Instant) {
        if self.missed > 0 {
            let notice = Event::missed(std::mem::take(&mut self.missed));
            self.put(&notice.text, now);
        }
    }

    const fn room(&self, limits: &Limits) -> usize {
        limits.listener_max.saturating_sub(self.buffer.len() - self.sent)
    }

    /// Whether so much waits that it is better written than added to.
    pub(super) const fn is_laden(&self, limits: &Limits) -> bool {
        self.room(limits) < limits.listener_max / 2
    }

    /// Whether others are to wait until it has room again: not for long, and not anew before it has
    /// caught up by half.
    pub(super) fn holds(&mut self, now: Instant, limits: &Limits) -> bool {
        if !self.is_laden(limits) {
            self.full_since = None;
        } else if self.room(limits) < EVENT_MAX.min(limits.listener_max / 4) {
            let since = *self.full_since.get_or_insert(now);
            return now < since + limits.listener_hold;
        }
        false
    }

    fn put(&mut self, text: &str, now: Instant) {
        // What was written goes when it is the greater part, so that no octet is moved twice.
        if self.sent > self.buffer.len() / 2 {
            self.buffer.drain(..self.sent);
            self.sent = 0;
        }
        self.buffer.extend_from_slice(text.as_bytes());
        self.behind_since.get_or_insert(now);
    }

    /// Writes as much as the client takes, and looks whether it has gone.
    pub(super) fn advance(
        &mut self,
        socket: &mut TcpStream,
        scratch: &mut [u8],
        now: Instant,
    ) -> Hearing {
        if !self.is_there(socket, scratch) {
            return Hearing::Gone;
        }
        loop {
            if self.sent == self.buffer.len() {
                // It has caught up: what it missed is told now, and not with what comes next, if ever.
                self.confess(now);
            }
            let Some(rest @ [_, ..]) = self.buffer.get(self.sent..) else { break };
            match socket.write(rest) {
                Ok(0) => return Hearing::Gone,
                Ok(count) => {
                    self.sent += count;
                    self.progress = now;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Hearing::GoesOn,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Hearing::Gone,
            }
        }
        self.buffer.clear();
        self.sent = 0;
        self.behind_since = None;
        Hearing::GoesOn
    }

    /// A client says nothing more; what it sends nevertheless is passed over, up to a bound.
    fn is_there(&mut self, socket: &mut TcpStream, scratch: &mut [u8]) -> bool {
        loop {
            match socket.read(scratch) {
                Ok(0) => return false,
                Ok(count) => {
                    self.discarded += count;
                    if self.discarded > DISCARDED_MAX {
                        return false;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// The moment at which [`Listening::expire`] has something to do.
    pub(super) fn deadline(&self, limits: &Limits) -> Instant {
        let patience = match self.behind_since {
            Some(since) => (since + limits.write_total).min(self.progress + limits.write_idle),
            None => self.progress + limits.listener_beat,
        };
        self.ends_at.map_or(patience, |ends_at| ends_at.min(patience))
    }

    /// What the deadline means. Who has nothing to hear is sent a comment, which finds out whether it is
    /// still there.
    pub(super) fn expire(&mut self, now: Instant, limits: &Limits) -> Hearing {
        if self.ends_at.is_some_and(|ends_at| ends_at <= now) {
            self.confess(now);
            return Hearing::Enough;
        }
        if let Some(since) = self.behind_since {
            let late =
                since + limits.write_total <= now || self.progress + limits.write_idle <= now;
            return if late { Hearing::TooSlow } else { Hearing::GoesOn };
        }
        if self.progress + limits.listener_beat <= now {
            self.progress = now;
            self.put(BEAT, now);
        }
        Hearing::GoesOn
    }

    /// What waits still, to be written at the end.
    pub(super) fn rest(mut self) -> Vec<u8> {
        self.buffer.split_off(self.sent)
    }
}

/// Whether others are to wait for any of these. Each is asked, so that the time of all that have no room
/// runs at once, and is not waited for one after another.
pub(super) fn any_holds<'a>(
    listeners: impl Iterator<Item = &'a mut Listening>,
    now: Instant,
    limits: &Limits,
) -> bool {
    listeners.filter_map(|listener| listener.holds(now, limits).then_some(())).count() > 0
}

/// The answer's head. What follows ends with the connection.
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
    X-Content-Type-Options: nosniff\r\nServer: rustsocks\r\nConnection: close\r\n\r\nretry: 2000\n\n";
/// A comment.
const BEAT: &str = ":\n\n";
/// An event with texts of the usual length.
const EVENT_MAX: usize = 8 * 1024;
/// Room that is kept for saying how much was missed.
const NOTICE_MAX: usize = 128;
const DISCARDED_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
