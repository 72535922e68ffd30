//! The order of the messages: one head, perhaps one question about who asks.
//!
//! ```text
//! Head ─┬─ credentials not wanted ────────────────────────────▶ Done
//!       ├─ wanted and shown ─▶ Verifying ─┬─ accepted ─▶ Ready ▶ Done
//!       │                                 └─ rejected ─────────▶ Done
//!       └─ wanted and not shown ──────────────────────────────▶ Done
//! ```

use std::mem;

use super::head::{self, BadHead};
use super::status::Status;
use crate::socks::{Command, Method, MethodSet, Outbox, Request, UserPass};

/// The server's side of one client's CONNECT.
#[derive(Debug)]
pub struct Connect {
    accepted: MethodSet,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Head,
    Verifying(Request),
    /// The verdict was good; the request is to be handed out.
    Ready(Request),
    Done,
}

/// How far it has come, and what it asks of the caller.
#[derive(Debug)]
pub enum Progress {
    /// Read, and feed again.
    NeedMore,
    /// Is this client who it claims to be? Answer with [`Connect::verdict`], then feed the rest.
    Verify(UserPass),
    /// It is over. Every octet not consumed is payload for the target. Answer with a [`Status`].
    Requested(Request),
    /// It is over: credentials are wanted, and the client has been told so. Send and close.
    NoCredentials,
}

impl Connect {
    /// One that has not begun, of a server that accepts these methods.
    #[must_use]
    pub const fn new(methods: MethodSet) -> Self {
        Self { accepted: methods, stage: Stage::Head }
    }

    /// Consumes the head from the front of `input`, appends answers to `out`, and stops at the first
    /// question. Returns how many octets were consumed and what comes next.
    ///
    /// # Errors
    /// [`BadHead`]. It is over; what [`BadHead::status`] says is in `out`.
    pub fn feed(&mut self, input: &[u8], out: &mut Outbox) -> Result<(usize, Progress), BadHead> {
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Head => {
                let read = head::parse(input).inspect_err(|bad| bad.status().write(out))?;
                let Some((head, length)) = read else {
                    self.stage = Stage::Head;
                    return Ok((0, Progress::NeedMore));
                };
                let request = Request { command: Command::Connect, target: head.target };
                let open = self.accepted.choose(MethodSet::NO_AUTH).is_some();
                let userpass = self.accepted.choose(MethodSet::USERPASS) == Some(Method::UserPass);
                let next = match head.credentials {
                    Some(credentials) if userpass => {
                        self.stage = Stage::Verifying(request);
                        Progress::Verify(credentials)
                    }
                    Some(_) | None if open => Progress::Requested(request),
                    Some(_) | None => {
                        Status::AuthenticationRequired.write(out);
                        Progress::NoCredentials
                    }
                };
                Ok((length, next))
            }
            Stage::Ready(request) => Ok((0, Progress::Requested(request))),
            stage @ (Stage::Verifying(_) | Stage::Done) => {
                self.stage = stage;
                Ok((0, Progress::NeedMore))
            }
        }
    }

    /// Answers [`Progress::Verify`]: goes on, or tells the client this status and ends. Without a
    /// question this is a defect of the caller, and ends too.
    pub fn verdict(&mut self, verdict: Result<(), Status>, out: &mut Outbox) {
        match (mem::replace(&mut self.stage, Stage::Done), verdict) {
            (Stage::Verifying(request), Ok(())) => self.stage = Stage::Ready(request),
            (Stage::Verifying(_), Err(status)) => status.write(out),
            (Stage::Head | Stage::Ready(_) | Stage::Done, _) => {
                debug_assert!(false, "a verdict without a question");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\
        Proxy-Authorization: Basic YWxpY2U6cHc=\r\n\r\npayload";
    const LENGTH: usize = HEAD.len() - 7;

    #[test]
    fn it_asks_who_it_is_and_hands_out_the_request_afterwards() {
        for cut in 0..=LENGTH {
            let (mut connect, mut out) = (Connect::new(MethodSet::USERPASS), Outbox::new());
            if cut < LENGTH {
                let fed = connect.feed(&HEAD[..cut], &mut out);
                assert!(matches!(fed, Ok((0, Progress::NeedMore))), "at {cut}");
            }
            let (used, next) = connect.feed(HEAD, &mut out).unwrap();
            let Progress::Verify(claimed) = next else { panic!("{next:?}") };
            assert_eq!(
                (used, &*claimed.username, &**claimed.password),
                (LENGTH, &b"alice"[..], &b"pw"[..])
            );
            assert!(matches!(connect.feed(b"payload", &mut out), Ok((0, Progress::NeedMore))));
            connect.verdict(Ok(()), &mut out);
            let (used, next) = connect.feed(b"payload", &mut out).unwrap();
            assert!(matches!(next, Progress::Requested(_)));
            assert_eq!((used, out.pending()), (0, &[][..]));
        }
    }

    #[test]
    fn wrong_and_missing_credentials_are_a_407() {
        let (mut connect, mut out) = (Connect::new(MethodSet::USERPASS), Outbox::new());
        connect.feed(HEAD, &mut out).unwrap();
        connect.verdict(Err(Status::AuthenticationRequired), &mut out);
        assert!(out.pending().starts_with(b"HTTP/1.1 407 "));
        let (mut connect, mut out) = (Connect::new(MethodSet::USERPASS), Outbox::new());
        let fed = connect.feed(b"CONNECT a:1 HTTP/1.0\r\n\r\n", &mut out).unwrap();
        assert!(matches!(fed.1, Progress::NoCredentials));
        assert!(out.pending().starts_with(b"HTTP/1.1 407 "));
    }

    #[test]
    fn credentials_that_nobody_wants_are_passed_over() {
        let (mut connect, mut out) = (Connect::new(MethodSet::NO_AUTH), Outbox::new());
        let (used, next) = connect.feed(HEAD, &mut out).unwrap();
        assert!(matches!(next, Progress::Requested(_)));
        assert_eq!(&HEAD[used..], b"payload");
    }
}
