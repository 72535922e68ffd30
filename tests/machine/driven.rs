//! A machine with the policies and the buffers that a worker would give it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use rustsocks::auth::{User, Users};
use rustsocks::connection::{Input, Machine, Next};
use rustsocks::policy::Policy;
use rustsocks::socks::{MethodSet, Outbox};

pub(crate) struct Policies {
    pub(crate) open: Arc<Policy>,
    pub(crate) login: Arc<Policy>,
    /// Who may log in by the latter.
    pub(crate) alice: User,
}

impl Policies {
    pub(crate) fn new() -> Self {
        let hash = rustsocks::auth::hash(b"secret").unwrap();
        let alice = User::new("alice", &hash, &[]).unwrap();
        let users = Arc::new(Users::new([alice.clone()]));
        let policy =
            |methods| Arc::new(Policy { methods, users: Arc::clone(&users), ..Policy::plain() });
        Self { open: policy(MethodSet::NO_AUTH), login: policy(MethodSet::USERPASS), alice }
    }

    pub(crate) fn driven(&self, login: Option<(&str, &str)>) -> Driven<'_> {
        let policy = if login.is_some() { &self.login } else { &self.open };
        // A client with a public address, so that the guard has something to forbid.
        let client = IpAddr::from([198, 51, 100, 7]);
        let now = Instant::now();
        Driven {
            machine: Machine::new(client, Arc::clone(policy), now),
            policy,
            now,
            outbox: Outbox::new(),
            inbox: Vec::new(),
            read: Vec::new(),
        }
    }

    /// A client that needs no login, and what becomes of its request.
    pub(crate) fn asked(&self, request: &[u8]) -> (Driven<'_>, Next) {
        let mut driven = self.driven(None);
        driven.give(b"\x05\x01\x00");
        let next = driven.give(request);
        (driven, next)
    }
}

/// A machine with the buffers that a worker would give it.
pub(crate) struct Driven<'a> {
    pub(crate) machine: Machine,
    pub(crate) policy: &'a Policy,
    pub(crate) now: Instant,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Vec<u8>,
    pub(crate) read: Vec<u8>,
}

impl Driven<'_> {
    /// The client sends.
    pub(crate) fn give(&mut self, octets: &[u8]) -> Next {
        self.inbox.extend(octets);
        if self.machine.wants_bytes() { self.feed() } else { Next::Wait }
    }

    fn feed(&mut self) -> Next {
        let input = Input::Bytes(&self.inbox);
        let (used, next) = self.machine.handle(input, self.now, &mut self.outbox);
        self.inbox.drain(..used);
        self.collect();
        next
    }

    /// Something happens; after a flush what is left of the client's octets is shown again.
    pub(crate) fn tell(&mut self, input: Input<'_>) -> Next {
        let next = self.machine.handle(input, self.now, &mut self.outbox).1;
        self.collect();
        if matches!(next, Next::Read) && !self.inbox.is_empty() { self.feed() } else { next }
    }

    pub(crate) fn collect(&mut self) {
        self.read.extend(self.outbox.pending());
        self.outbox.consume(self.outbox.pending().len());
    }
}
