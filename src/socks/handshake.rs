//! The order of the messages, from the first octet to the request.
//!
//! ```text
//! Version ─┬─ 5: Greeting ─┬─ no method suits ───────────────────────────────▶ Done
//!          │               ├─ no authentication ──────────────────▶ Request ─▶ Done
//!          │               └─ UserPass ─▶ Verifying ─┬─ accepted ──▶ Request ─▶ Done
//!          │                                         └─ rejected ─────────────▶ Done
//!          └─ 4: RequestV4, refused where users must log in ──────────────────▶ Done
//! anywhere: a malformed message ───────────────────────────────▶ Done
//! ```
//!
//! A client need not wait for our answers: greeting, password, request and payload may come in one
//! segment, or each octet in its own. Messages are consumed whole; the caller keeps what was not
//! consumed and offers it again.

use super::cursor::{Cursor, Stop};
use super::malformed::Malformed;
use super::method::{self, Method, MethodSet};
use super::outbox::Outbox;
use super::reply::Reply;
use super::request::Request;
use super::userpass::{self, UserPass};
use super::{VERSION, Version, v4};

/// The server's side of one client's handshake. Holds no octets and no secret; five octets in size.
#[derive(Clone, Debug)]
pub struct Handshake {
    accepted: MethodSet,
    agreed: Option<Method>,
    version: Version,
    started: bool,
    stage: Stage,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Version,
    Greeting,
    UserPass,
    Verifying,
    Request,
    RequestV4,
    Done,
}

/// How far the handshake has come, and what it asks of the caller.
#[derive(Debug)]
pub enum Progress {
    /// Send what is in the outbox, read, and feed again.
    NeedMore,
    /// Is this client who it claims to be? Answer with [`Handshake::verdict`], then feed the rest.
    Verify(UserPass),
    /// The handshake is over. Every octet not consumed is payload for the target. Answer with a
    /// [`Reply`].
    Requested {
        /// What is asked for.
        request: Request,
        /// What a SOCKS4 client says it is; empty if it says nothing, or speaks version 5.
        userid: Box<[u8]>,
    },
    /// The handshake is over: no method suits both sides, and the client has been told so. Send and
    /// close.
    NoMethod {
        /// What a SOCKS4 client says it is; empty if it says nothing, or speaks version 5.
        userid: Box<[u8]>,
    },
}

impl Handshake {
    /// The longest message of a client, in octets. An inbox of at least this size can always go on.
    pub const MESSAGE_OCTETS_MAX: usize =
        if v4::OCTETS_MAX > UserPass::OCTETS_MAX { v4::OCTETS_MAX } else { UserPass::OCTETS_MAX };

    /// A handshake that has not begun, of a server that accepts these methods.
    #[must_use]
    pub const fn new(methods: MethodSet) -> Self {
        Self {
            accepted: methods,
            agreed: None,
            version: Version::V5,
            started: false,
            stage: Stage::Version,
        }
    }

    /// Consumes whole messages from the front of `input`, appends the answers to `out`, and stops
    /// at the first question. Returns how many octets were consumed and what comes next.
    ///
    /// While a verdict is due, and after the end, it consumes nothing and answers
    /// [`Progress::NeedMore`].
    ///
    /// # Errors
    ///
    /// [`Malformed`], when the client broke a rule. The handshake is over. Earlier answers may be
    /// in `out`; append what [`Malformed::reply`] says, send, and close.
    pub fn feed(&mut self, input: &[u8], out: &mut Outbox) -> Result<(usize, Progress), Malformed> {
        self.started |= !input.is_empty();
        let mut cursor = Cursor::new(input);
        loop {
            let consumed = cursor.used();
            match self.message(&mut cursor, out) {
                Ok(None) => {}
                Ok(Some(question)) => return Ok((cursor.used(), question)),
                Err(Stop::Incomplete) => return Ok((consumed, Progress::NeedMore)),
                Err(Stop::Malformed(malformed)) => {
                    self.stage = Stage::Done;
                    return Err(malformed);
                }
            }
        }
    }

    /// Answers [`Progress::Verify`]: tells the client, and goes on to its request, or ends when it
    /// was rejected. Then send and close (RFC 1929 §2).
    ///
    /// Without a question this is a defect of the caller, and changes nothing.
    pub fn verdict(&mut self, accepted: bool, out: &mut Outbox) {
        if self.stage != Stage::Verifying {
            debug_assert!(false, "a verdict without a question, at {:?}", self.stage);
            return;
        }
        userpass::write_status(accepted, out);
        self.stage = if accepted { Stage::Request } else { Stage::Done };
    }

    /// The version that the client speaks; 5 until it is known.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether the client has sent anything at all.
    #[must_use]
    pub const fn has_started(&self) -> bool {
        self.started
    }

    /// The method both sides agreed on, once they did.
    #[must_use]
    pub const fn method(&self) -> Option<Method> {
        self.agreed
    }

    /// Reads one message, answers it, and steps to the next stage; `None` where there is nothing to
    /// ask.
    fn message(
        &mut self,
        cursor: &mut Cursor<'_>,
        out: &mut Outbox,
    ) -> Result<Option<Progress>, Stop> {
        match self.stage {
            Stage::Version => {
                self.stage = match cursor.peek()? {
                    VERSION => Stage::Greeting,
                    v4::VERSION => {
                        self.version = Version::V4;
                        Stage::RequestV4
                    }
                    other => return Err(Malformed::Version(other).into()),
                };
                Ok(None)
            }
            Stage::Greeting => {
                let offered = MethodSet::parse_greeting(cursor)?;
                self.agreed = self.accepted.choose(offered);
                method::write_choice(self.agreed, out);
                self.stage = match self.agreed {
                    Some(Method::NoAuth) => Stage::Request,
                    Some(Method::UserPass) => Stage::UserPass,
                    None => Stage::Done,
                };
                Ok(self.agreed.is_none().then(|| Progress::NoMethod { userid: Box::default() }))
            }
            Stage::UserPass => {
                let claimed = UserPass::parse(cursor)?;
                self.stage = Stage::Verifying;
                Ok(Some(Progress::Verify(claimed)))
            }
            Stage::Request => {
                let request = Request::parse(cursor)?;
                self.stage = Stage::Done;
                Ok(Some(Progress::Requested { request, userid: Box::default() }))
            }
            Stage::RequestV4 => {
                let (request, userid) = v4::parse(cursor)?;
                self.stage = Stage::Done;
                if self.accepted.choose(MethodSet::NO_AUTH).is_none() {
                    v4::write_rejected(out);
                    return Ok(Some(Progress::NoMethod { userid: userid.into() }));
                }
                self.agreed = Some(Method::NoAuth);
                Ok(Some(Progress::Requested { request, userid: userid.into() }))
            }
            Stage::Verifying | Stage::Done => Ok(Some(Progress::NeedMore)),
        }
    }
}

/// All that can be pending when a client pipelines everything and reads nothing: the choice of the
/// method, the status, and two replies (BIND has two).
const ANSWERS_OCTETS_MAX: usize =
    method::CHOICE_OCTETS + userpass::STATUS_OCTETS + 2 * Reply::OCTETS_MAX;

const _: () = assert!(ANSWERS_OCTETS_MAX <= Outbox::CAPACITY);
const _: () = assert!(Request::OCTETS_MAX <= Handshake::MESSAGE_OCTETS_MAX);
const _: () = assert!(v4::REPLY_OCTETS <= Reply::OCTETS_MAX);
const _: () = assert!(size_of::<Handshake>() == 5);

#[cfg(test)]
mod tests;
