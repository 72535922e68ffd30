//! A request on its way in: gathers octets until head and body are there, or are not to be.

use std::io::Write;

use mio::net::TcpStream;

use super::head::{self, Head, Vantage};
use super::refusal::Refusal;

#[derive(Default)]
pub(super) struct Reading {
    received: Vec<u8>,
    scanned: usize,
    /// Empty lines before the request, which RFC 9112 §2.2 wants ignored.
    skipped: usize,
    head: Option<Head>,
}

/// What has come so far amounts to. The flags say that the answer has no body.
pub(super) enum Judgement {
    More,
    /// The request as it goes inwards, body included.
    Whole(Vec<u8>, bool),
    Unlawful(Refusal, bool),
}

impl Reading {
    /// Whether nothing has come that would want an answer.
    pub(super) fn is_untouched(&self) -> bool {
        self.head.is_none() && self.received.is_empty()
    }

    /// Whether it is known to be a HEAD request.
    pub(super) fn is_bodyless(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.bodyless)
    }

    /// Adds what was read.
    pub(super) fn take(&mut self, mut fresh: &[u8]) {
        if self.is_untouched() {
            let blank = fresh.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
            self.skipped += blank;
            fresh = fresh.get(blank..).unwrap_or_default();
        }
        self.received.extend_from_slice(fresh);
    }

    /// Looks at what was added since the last time.
    pub(super) fn judge(&mut self, vantage: &Vantage<'_>, socket: &mut TcpStream) -> Judgement {
        if self.head.is_none() {
            let limit = vantage.limits.head_max;
            let length = head::length(&self.received, self.scanned);
            self.scanned = self.received.len();
            if length.unwrap_or(self.scanned) + self.skipped > limit {
                return Judgement::Unlawful(Refusal::HeadTooLarge, false);
            }
            let Some(length) = length else { return Judgement::More };
            let body = self.received.split_off(length);
            match head::check(&self.received, vantage) {
                Ok(head) => {
                    if head.expects_continue && body.is_empty() && !encourage(socket) {
                        return Judgement::Unlawful(Refusal::Late, head.bodyless);
                    }
                    self.received = body;
                    self.head = Some(head);
                }
                Err(unlawful) => {
                    return Judgement::Unlawful(unlawful.refusal, unlawful.bodyless);
                }
            }
        }
        match self.head.take() {
            Some(head) if self.received.len() >= head.body => {
                let mut request = head.onward;
                // What follows the body is another request, which nobody will read.
                request.extend_from_slice(self.received.get(..head.body).unwrap_or_default());
                Judgement::Whole(request, head.bodyless)
            }
            head => {
                self.head = head;
                Judgement::More
            }
        }
    }
}

/// Asks for the body. The socket's buffer is empty at this point, so it takes all of it or the
/// connection is broken.
fn encourage(socket: &mut TcpStream) -> bool {
    socket.write(CONTINUE).is_ok_and(|count| count == CONTINUE.len())
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
