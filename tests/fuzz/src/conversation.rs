//! The whole control machine, driven as a worker drives it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustsocks::auth::{Identity, Verdict};
use rustsocks::connection::{Attempt, ConnectError, Input, Machine, Next};
use rustsocks::http::HEAD_OCTETS_MAX;
use rustsocks::session::Outcome;
use rustsocks::socks::{Command, Outbox};

use crate::said;
use crate::setup::{Setup, is_public, moment, reachable};

/// How a conversation ended.
#[derive(Clone, Copy, Debug, Eq)]
pub enum End {
    Relays,
    RelaysDatagrams,
    Refused(Outcome),
    Ended(Outcome),
}

impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        self.outcome() == other.outcome()
            && matches!(self, Self::Relays) == matches!(other, Self::Relays)
    }
}

impl End {
    /// Why it ended, unless it goes on as a relay.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Refused(outcome) | Self::Ended(outcome) => Some(outcome),
            Self::Relays | Self::RelaysDatagrams => None,
        }
    }
}

/// What is seen of a conversation from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The machine's questions, in order.
    pub asked: Vec<String>,
    /// All that the client got to read.
    pub said: Vec<u8>,
    /// What would be recorded.
    pub facts: String,
    pub command: Option<Command>,
    pub target: Option<rustsocks::target::Target>,
    pub userid: Option<Box<str>>,
    /// Whether the last words were still on their way when it broke off is a matter of how the octets
    /// came, so refused and ended are the same here.
    pub end: End,
    /// The payload; not compared where the client broke the protocol, since how much had come by then
    /// may differ.
    pub rest: Option<Vec<u8>>,
}

struct Driven<'a> {
    setup: &'a Setup,
    machine: Machine,
    now: Instant,
    inbox: Vec<u8>,
    fresh: bool,
    outbox: Outbox,
    said: Vec<u8>,
    asked: Vec<String>,
    opened: bool,
    /// Half of a name is known, and the rest will come.
    rest_of_name: bool,
}

/// Holds a conversation in which the octets come in pieces of these lengths, and then FIN.
pub fn converse(setup: &Setup, octets: &[u8], pieces: impl Iterator<Item = usize>) -> Seen {
    let machine = Machine::new(setup.client, Arc::clone(&setup.policy), moment());
    let mut driven = Driven {
        setup,
        machine: if setup.announced { machine.announced() } else { machine },
        now: moment(),
        inbox: Vec::new(),
        fresh: false,
        outbox: Outbox::new(),
        said: Vec::new(),
        asked: Vec::new(),
        opened: false,
        rest_of_name: false,
    };
    let (mut coming, mut pieces) = (octets, pieces);
    let end = loop {
        let room = HEAD_OCTETS_MAX - driven.inbox.len();
        let length = pieces.next().unwrap_or(1).min(coming.len()).min(room);
        let next = if length > 0 {
            let (piece, rest) = coming.split_at(length);
            driven.inbox.extend_from_slice(piece);
            driven.fresh = true;
            coming = rest;
            driven.feed()
        } else {
            assert!(room > 0, "an inbox that no message can fill is full");
            driven.tell(Input::Eof { early: !driven.inbox.is_empty() })
        };
        if let Some(end) = driven.perform(next) {
            break end;
        }
    };
    driven.into_seen(end, octets, coming)
}

impl Driven<'_> {
    fn feed(&mut self) -> Next {
        assert!(self.machine.wants_bytes());
        self.fresh = false;
        let (used, next) =
            self.machine.handle(Input::Bytes(&self.inbox), self.now, &mut self.outbox);
        self.inbox.drain(..used);
        next
    }

    fn tell(&mut self, input: Input<'_>) -> Next {
        self.machine.handle(input, self.now, &mut self.outbox).1
    }

    fn send(&mut self) {
        self.said.extend_from_slice(self.outbox.pending());
        self.outbox.consume(usize::MAX);
    }

    /// Does what the machine asks until it wants more octets, or it is over.
    fn perform(&mut self, mut next: Next) -> Option<End> {
        loop {
            self.send();
            next = match next {
                Next::Read if self.fresh => self.feed(),
                Next::Read => return None,
                Next::Flush => self.tell(Input::Flushed),
                Next::Verify(credentials) => {
                    self.asked.push(format!("verify {credentials:?}"));
                    self.fresh = true;
                    let verdict = match self.setup.accepts_login() {
                        true => Verdict::Accepted(Identity::anonymous("alice")),
                        false => Verdict::Rejected,
                    };
                    self.tell(Input::Verdict(verdict))
                }
                Next::Resolve(name) => {
                    self.asked.push(format!("resolve {name}"));
                    self.resolve()
                }
                Next::Open => {
                    self.asked.push("open".to_owned());
                    assert!(!self.opened, "opened twice");
                    self.opened = true;
                    self.tell(Input::Opened)
                }
                Next::Dial { attempt, permit } => self.dial(attempt, permit.address()),
                Next::Associate { declared } => {
                    self.asked.push(format!("associate {declared}"));
                    match self.setup.makes_socket() {
                        true => self.tell(Input::Associated(ours())),
                        false => self.tell(Input::NoSocket(ConnectError::NoRoom)),
                    }
                }
                Next::Listen { towards } => {
                    self.asked.push(format!("listen towards {towards:?}"));
                    match self.setup.makes_socket() {
                        true => self.tell(Input::Listening(ours())),
                        false => self.tell(Input::NoSocket(ConnectError::NoRoom)),
                    }
                }
                Next::Wait => self.wait(),
                Next::TurnAway => Next::Wait,
                Next::Relay => return Some(End::Relays),
                Next::RelayDatagrams => return Some(End::RelaysDatagrams),
                Next::Refuse(outcome) => return Some(End::Refused(outcome)),
                Next::End(outcome) => return Some(End::Ended(outcome)),
            };
            assert!(self.asked.len() < QUESTIONS_MAX, "no end of questions: {:?}", self.asked);
        }
    }

    /// The answer to a question about a name, all at once or in two halves.
    fn resolve(&mut self) -> Next {
        match (self.setup.addresses(), self.setup.halves()) {
            (Ok(addresses), true) if addresses.len() > 1 => {
                self.rest_of_name = true;
                let answer = Ok(addresses.iter().copied().take(1).collect());
                self.tell(Input::Resolved { answer, more: true })
            }
            (answer, _) => self.tell(Input::Resolved { answer, more: false }),
        }
    }

    fn dial(&mut self, attempt: Attempt, address: SocketAddr) -> Next {
        self.asked.push(format!("dial {address}"));
        assert!(self.opened, "dialled before there was a session");
        let target = self.machine.facts().target.as_ref().expect("dialled without a target");
        assert_eq!(address.port(), target.port);
        let announced = self.machine.facts().client.map(|client| client.ip());
        let guarded = self.setup.guarded && is_public(announced.unwrap_or(self.setup.client));
        assert!(!guarded || reachable(address.ip()), "{address} is not for this client");
        match self.setup.attempt() {
            Some(Ok(())) => {
                self.tell(Input::Connected { attempt, reached: address, local: ours() })
            }
            Some(Err(error)) => self.tell(Input::Unreachable { attempt, error }),
            None => self.let_time_pass(),
        }
    }

    /// To a BIND a stranger comes, then one who may be the one, then nobody.
    fn wait(&mut self) -> Next {
        if std::mem::take(&mut self.rest_of_name) {
            return self.tell(Input::Resolved { answer: self.setup.addresses(), more: false });
        }
        self.asked.push("wait".to_owned());
        let waits = self.asked.iter().filter(|asked| *asked == "wait").count();
        match (self.machine.facts().command, waits) {
            (Some(Command::Bind), 1) => self.tell(Input::Accepted(([127, 0, 0, 1], 20).into())),
            (Some(Command::Bind), 2) => self.tell(Input::Accepted(([203, 0, 113, 9], 20).into())),
            _ => self.let_time_pass(),
        }
    }

    fn let_time_pass(&mut self) -> Next {
        self.now = self.machine.deadline().expect("whoever waits has a deadline");
        self.tell(Input::Deadline)
    }

    fn into_seen(mut self, end: End, octets: &[u8], coming: &[u8]) -> Seen {
        self.send();
        assert!(!self.machine.wants_bytes(), "it is over, and wants more");
        assert_eq!(self.machine.deadline(), None, "it is over, and has a deadline");
        let rest = [&self.inbox, coming].concat();
        assert!(octets.ends_with(&rest), "payload was changed");
        said::check(&self.said, end, self.machine.facts().command);
        let facts = self.machine.facts();
        if matches!(end, End::Relays) {
            assert!(self.opened, "it relays without a session");
        }
        if let Some(target) = &facts.target {
            let host = target.host.to_string();
            let again = rustsocks::target::Host::from_name(host.as_bytes());
            assert_eq!(again.as_ref(), Ok(&target.host), "a target is not a fixed point");
        }
        let broken = matches!(end, End::Refused(_) | End::Ended(_));
        Seen {
            asked: self.asked,
            said: self.said,
            facts: format!("{facts:?}"),
            command: facts.command,
            target: facts.target.clone(),
            userid: facts.claimed_user.clone(),
            end,
            rest: (!broken).then_some(rest),
        }
    }
}

fn ours() -> SocketAddr {
    "192.0.2.1:4660".parse().expect("an address")
}

/// More than any conversation has.
const QUESTIONS_MAX: usize = 64;
