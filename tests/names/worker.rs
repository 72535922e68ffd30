//! What a worker is to its resolver, and a few words to speak of names.
#![allow(dead_code, reason = "each test program uses its part")]

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::RawFd;
use std::time::Duration;

use mio::{Events, Poll, Token};
use rustsocks::clock;
use rustsocks::key::Key;
use rustsocks::resolve::{
    Addresses, Answered, Asker, Cares, LookupError, Resolver, ResolverOptions, Source,
};
use rustsocks::target::{Host, HostName};

use crate::server::NameServer;

pub(crate) const KEY: Key = Key { slot: 1, generation: 7 };
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn name(text: &str) -> HostName {
    Host::from_name(text.as_bytes()).unwrap().name().unwrap().clone()
}

pub(crate) fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub(crate) fn found(texts: &[&str]) -> Result<Addresses, LookupError> {
    Ok(Addresses::from_vec(ips(texts)))
}

/// A worker's poll with nothing on it but a resolver.
pub(crate) struct Worker {
    pub(crate) resolver: Resolver,
    poll: Poll,
}

impl Worker {
    pub(crate) fn new(options: &ResolverOptions) -> Self {
        let poll = Poll::new().unwrap();
        let registry = poll.registry().try_clone().unwrap();
        let cares = Cares::new(options, registry, token).unwrap();
        Self { resolver: Resolver::new(Source::Cares(cares), options), poll }
    }

    pub(crate) fn ask(&mut self, text: &str, query: u32) {
        let asker = Asker { key: KEY, query, client: CLIENT };
        self.resolver.ask(&name(text), asker, clock::mono());
    }

    fn drain(&mut self) -> Vec<Answered> {
        std::iter::from_fn(|| self.resolver.drain(clock::mono())).collect()
    }

    /// One turn of the loop, and what it brought.
    fn turn(&mut self) -> Vec<Answered> {
        let mut events = Events::with_capacity(64);
        let longest = Duration::from_secs(1);
        let wait = self.resolver.timeout(clock::mono()).map_or(longest, |wait| wait.min(longest));
        self.poll.poll(&mut events, Some(wait)).unwrap();
        for event in &events {
            self.resolver.on_event(fd(event.token()), event.is_readable(), event.is_writable());
        }
        self.resolver.tend(clock::mono());
        self.drain()
    }

    /// Turns until `count` questions are answered whole; what was said before is left out.
    pub(crate) fn answers(&mut self, count: usize) -> Vec<Answered> {
        let whole = |answered: &Answered| !answered.more;
        let deadline = clock::mono() + PATIENCE;
        let mut answers: Vec<_> = self.drain().into_iter().filter(whole).collect();
        while answers.len() < count {
            assert!(clock::mono() < deadline, "{} of {count} answers", answers.len());
            answers.extend(self.turn().into_iter().filter(whole));
        }
        answers
    }

    /// Turns until something is said.
    pub(crate) fn first_answer(&mut self) -> Answered {
        let deadline = clock::mono() + PATIENCE;
        loop {
            assert!(clock::mono() < deadline, "no answer");
            if let Some(answered) = self.turn().into_iter().next() {
                return answered;
            }
        }
    }

    pub(crate) fn look_up(&mut self, text: &str) -> Result<Addresses, LookupError> {
        self.ask(text, 1);
        let mut answers = self.answers(1);
        assert_eq!((answers.len(), self.resolver.in_flight()), (1, 0));
        let answered = answers.remove(0);
        assert_eq!((answered.key, answered.query), (KEY, 1));
        answered.answer
    }
}

fn token(fd: RawFd) -> Token {
    Token(usize::try_from(fd).unwrap() + 1000)
}

fn fd(token: Token) -> RawFd {
    RawFd::try_from(token.0 - 1000).unwrap()
}

pub(crate) fn options(server: &NameServer) -> ResolverOptions {
    ResolverOptions {
        servers: vec![server.address()],
        // Far above what a busy machine makes of a loopback answer.
        timeout: Duration::from_secs(5),
        tries: 2,
        per_client_max: usize::MAX,
        ..ResolverOptions::default()
    }
}

/// For a server that does not answer.
pub(crate) fn impatient(server: &NameServer) -> ResolverOptions {
    ResolverOptions { timeout: Duration::from_millis(250), tries: 1, ..options(server) }
}
