//! A connection that is recorded and not yet gone.
//!
//! A refused client must get its reply: closing a socket with unread octets sends a reset, which
//! destroys what was sent before it (RFC 2525 §2.17). So our side is shut down after the reply, and
//! what the client still sends is read and dropped until it closes, for a short while; for a longer
//! one if its kernel has not acknowledged the reply by then.
//!
//! A reset that is to be passed on must not overtake the octets before it: SO_LINGER with 0 throws
//! the send queue away. So the kernel is given a short while to send it, and is asked now and then
//! whether it has; epoll has no event for it.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use mio::event::Event;

use super::connection::{Connection, Fate, Link};
use super::front::flush;
use super::socket::Socket;
use crate::linux::socket::abort_on_close;
use crate::linux::tcp_info::TcpInfo;
use crate::relay::End;
use crate::socks::Outbox;

/// What is still to be done.
pub(super) struct Parting {
    business: Business,
    until: Instant,
}

enum Business {
    Nothing,
    /// Deliver the reply, then wait for the client to close.
    Reply {
        outbox: Box<Outbox>,
        shut: bool,
        /// When that is over at the latest.
        over_at: Instant,
    },
    /// Reset the client's socket when its send queue is empty.
    ResetClient {
        ask_at: Instant,
    },
    /// Reset the upstream socket when its send queue is empty.
    ResetUpstream {
        upstream: Socket,
        ask_at: Instant,
    },
}

impl Parting {
    pub(super) const fn nothing(until: Instant) -> Self {
        Self { business: Business::Nothing, until }
    }

    /// The client is given `linger` to close, and longer while the reply is on its way.
    pub(super) fn refused(outbox: Outbox, now: Instant, linger: Duration) -> Self {
        let (outbox, over_at) = (Box::new(outbox), now + linger.max(DELIVERY_MAX));
        Self { business: Business::Reply { outbox, shut: false, over_at }, until: now + linger }
    }

    pub(super) const fn reset_client(now: Instant, until: Instant) -> Self {
        Self { business: Business::ResetClient { ask_at: now }, until }
    }

    pub(super) const fn reset_upstream(upstream: Socket, now: Instant, until: Instant) -> Self {
        Self { business: Business::ResetUpstream { upstream, ask_at: now }, until }
    }

    /// Sockets beside the client's.
    pub(super) const fn sockets(&self) -> u32 {
        match &self.business {
            Business::ResetUpstream { .. } => 1,
            Business::Nothing | Business::Reply { .. } | Business::ResetClient { .. } => 0,
        }
    }

    pub(super) fn note(&mut self, event: &Event) {
        match &mut self.business {
            Business::ResetUpstream { upstream, .. } => upstream.note(event),
            Business::Nothing | Business::Reply { .. } | Business::ResetClient { .. } => {}
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        match &self.business {
            Business::ResetClient { ask_at } | Business::ResetUpstream { ask_at, .. } => {
                self.until.min(*ask_at)
            }
            Business::Nothing | Business::Reply { .. } => self.until,
        }
    }
}

impl Connection {
    pub(super) fn advance_parting(&mut self) -> Fate {
        let Link::Parting(parting) = &mut self.link else { return Fate::Again };
        match &mut parting.business {
            Business::Nothing => Fate::Release,
            Business::Reply { outbox, shut, .. } => {
                match flush(&mut self.client, outbox) {
                    Ok(true) => {}
                    Ok(false) => return Fate::Wait,
                    Err(_) => return Fate::Release,
                }
                if !*shut {
                    *shut = true;
                    if self.client.shutdown_write().is_err() {
                        return Fate::Release;
                    }
                }
                discard(&mut self.client)
            }
            Business::ResetClient { .. } | Business::ResetUpstream { .. } => {
                self.reset_if_sent(false)
            }
        }
    }

    pub(super) fn expire_parting(&mut self, now: Instant) -> Fate {
        let Link::Parting(parting) = &mut self.link else { return Fate::Again };
        let over = now >= parting.until;
        match &mut parting.business {
            Business::ResetClient { ask_at } | Business::ResetUpstream { ask_at, .. } => {
                *ask_at = now + ASKED_EVERY;
                self.reset_if_sent(over)
            }
            Business::Reply { outbox, over_at, .. } => {
                let delivered = outbox.pending().is_empty() && is_all_sent(&self.client);
                if delivered || now >= *over_at {
                    return Fate::Release;
                }
                parting.until = (*over_at).min(now + REPLY_ASKED_EVERY);
                Fate::Wait
            }
            Business::Nothing => Fate::Release,
        }
    }

    /// Resets the surviving socket if the kernel has sent everything, or at any rate if `over`.
    fn reset_if_sent(&self, over: bool) -> Fate {
        let Link::Parting(parting) = &self.link else { return Fate::Again };
        let survivor = match &parting.business {
            Business::ResetUpstream { upstream, .. } => upstream,
            Business::Nothing | Business::Reply { .. } | Business::ResetClient { .. } => {
                &self.client
            }
        };
        if !(over || is_all_sent(survivor)) {
            return Fate::Wait;
        }
        // If the option is refused the socket is closed by FIN instead; nothing else is left to do.
        let aborted = abort_on_close(survivor.stream());
        debug_assert!(aborted.is_ok(), "SO_LINGER on a TCP socket");
        Fate::Release
    }

    /// Makes all its sockets end by a reset when they are dropped: what is cut must not look complete.
    pub(super) fn abort_all(&self) {
        let upstream = match &self.link {
            Link::Relaying(relaying) => [Some(&relaying.upstream), None],
            Link::Front(front) => front.upstreams(),
            Link::Associated(_) | Link::Parting(_) => [None, None],
        };
        for socket in upstream.into_iter().flatten().chain([&self.client]) {
            let aborted = abort_on_close(socket.stream());
            debug_assert!(aborted.is_ok(), "SO_LINGER on a TCP socket");
        }
    }
}

/// Whether the peer's kernel has all that was written. A socket that cannot be asked is gone already.
fn is_all_sent(socket: &Socket) -> bool {
    TcpInfo::of(socket.stream()).map_or(true, |info| info.is_all_acknowledged())
}

/// Reads and drops what the client sends after its refusal; gone when it closes.
fn discard(client: &mut Socket) -> Fate {
    let mut dropped = [0u8; DISCARD_OCTETS];
    for _ in 0..DISCARDS_PER_TURN {
        match client.read(&mut dropped) {
            Ok(0) => return Fate::Release,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Fate::Wait,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Fate::Release,
        }
    }
    Fate::Again
}

/// How often the kernel is asked whether it has sent everything.
const ASKED_EVERY: Duration = Duration::from_millis(10);
/// The same of a reply that has not arrived by the time the client should have closed.
const REPLY_ASKED_EVERY: Duration = Duration::from_millis(250);
/// How long a reply may take to arrive. RFC 1928 §6 allows 10 s from the failure to the close.
const DELIVERY_MAX: Duration = Duration::from_secs(8);
/// Octets dropped at a time.
const DISCARD_OCTETS: usize = 4096;
/// Reads of that kind per turn.
const DISCARDS_PER_TURN: usize = 16;
