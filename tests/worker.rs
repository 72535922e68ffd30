//! One worker on a thread of the test, without a daemon: what it does when nobody takes what it
//! sends, and when nobody wakes it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crossbeam_channel::Receiver as Entries;
use harness::client::Client;
use harness::{PATIENCE, wait_for};
use mio::{Poll, Waker};
use rustsocks::acl::{Acl, Guard};
use rustsocks::clock;
use rustsocks::limit::Admission;
use rustsocks::linux::listener::{ListenerOptions, bind_listener};
use rustsocks::mailbox::{Letter, Post, mailbox};
use rustsocks::offload::Pool;
use rustsocks::policy::{Policy, Timeouts};
use rustsocks::proxy_protocol::Announcers;
use rustsocks::resolve::{Resolver, ResolverOptions, Source, System};
use rustsocks::session::{Entry, Ledger, Share, Table, journal};
use rustsocks::socks::{Command, CommandSet};
use rustsocks::stats::Counters;
use rustsocks::worker::token::{Role, Token};
use rustsocks::worker::{Fellow, Worker, WorkerParts};

/// A worker that runs on a thread, and the ends of what goes in and out of it.
struct Lone {
    address: SocketAddr,
    post: Post,
    entries: Entries<Entry>,
    ledger: Ledger,
    admission: Arc<Admission>,
    counters: Arc<Counters>,
    ended: Receiver<std::io::Result<()>>,
    /// Holds what an unheard waker would otherwise wake.
    _elsewhere: Poll,
}

impl Lone {
    /// A worker whose journal has room for so many entries. One that is not `woken` has a mailbox
    /// that rings somewhere else.
    fn start(entries_max: usize, woken: bool) -> Self {
        Self::start_beside(Vec::new(), entries_max, woken)
    }

    /// The same beside other workers.
    fn start_beside(fellows: Vec<Fellow>, entries_max: usize, woken: bool) -> Self {
        let (poll, elsewhere) = (Poll::new().unwrap(), Poll::new().unwrap());
        let registry = if woken { poll.registry() } else { elsewhere.registry() };
        let waker = Waker::new(registry, Token::own(Role::Waker, 0).into()).unwrap();
        let (post, mailbox) = mailbox(waker, 16);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = bind_listener(any, ListenerOptions::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let ledger = Ledger::new(1);
        let mut share = Share::new();
        share.add(ledger.grow().unwrap());
        let (journal, entries) = journal(entries_max);
        let hashes = Pool::start("hash", 1, 1).unwrap();
        let counters = Arc::new(Counters::new());
        let admission = Admission::new(256, 1024);
        let worker = Worker::new(WorkerParts {
            index: 0,
            poll,
            listeners: vec![(listener, Announcers::default())],
            mailbox,
            fellows,
            post: post.clone(),
            resolver: Resolver::new(
                Source::System(System::new(Box::new(|_, _, _| false))),
                &ResolverOptions::default(),
            ),
            hashes: hashes.desk(),
            pam: None,
            policy: Arc::new(policy()),
            admission: Arc::clone(&admission),
            table: Arc::new(Table::new(1)),
            journal,
            share,
            counters: Arc::clone(&counters),
            publish_every: 1,
            records: true,
            pipes_max: 4,
        })
        .unwrap();
        let (sender, ended) = channel();
        std::thread::spawn(move || sender.send(worker.run()).unwrap());
        Self { address, post, entries, ledger, admission, counters, ended, _elsewhere: elsewhere }
    }

    /// A client that speaks nothing we know, which is one record.
    fn strange_client(&self) {
        let mut client = Client::to(self.address);
        client.send(b"\x16\x03\x01 hello");
        assert_eq!(client.receive_all(), b"");
    }

    /// It, as another worker knows it.
    fn as_fellow(&self) -> Fellow {
        Fellow { post: self.post.clone(), counters: Arc::clone(&self.counters) }
    }

    fn drain(&self, leave_after: Duration) {
        let until = clock::mono();
        let letter = Letter::Drain { until, leave_at: until + leave_after };
        self.post.order(letter).unwrap();
    }
}

#[test]
fn a_client_goes_to_the_worker_that_has_clearly_fewer_and_is_served_there() {
    let other = Lone::start(16, true);
    let lone = Lone::start_beside(vec![other.as_fellow()], 16, true);
    let mut clients = Vec::new();
    // All come to the same one.
    for many in 1..=8 {
        clients.push(Client::to(lone.address));
        let here = || lone.counters.connections() + other.counters.connections();
        wait_for("the client", || (here() == many).then_some(()));
    }
    assert_eq!((lone.counters.connections(), other.counters.connections()), (5, 3));
    assert_eq!((lone.counters.taken_over.get(), other.counters.taken_over.get()), (0, 3));
    for client in &mut clients {
        client.send(b"\x05\x01\x00");
        assert_eq!(client.receive(2), b"\x05\x00");
    }
    drop(clients);
    for worker in [&lone, &other] {
        wait_for("the end", || (worker.counters.connections() == 0).then_some(()));
    }
}

#[test]
fn clients_wait_until_the_process_has_proved_that_it_asks_for_logins() {
    let lone = Lone::start(256, true);
    let proofs = lone.admission.proofs();
    proofs.announce();
    let mut clients: Vec<_> = (0..200).map(|_| Client::to(lone.address)).collect();
    for client in &mut clients {
        client.send(b"\x05\x01\x00");
    }
    // Behind them in the queue.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    proofs.begin(socket.local_addr().unwrap().as_socket().unwrap());
    socket.connect(&lone.address.into()).unwrap();
    let mut proof = std::net::TcpStream::from(socket);
    proof.write_all(b"\x05\x01\x00").unwrap();
    let mut answer = [0; 2];
    proof.read_exact(&mut answer).unwrap();
    assert_eq!((answer, lone.counters.connections()), ([5, 0], 1));
    for client in &clients {
        client.stream.set_nonblocking(true).unwrap();
        let early = client.stream.peek(&mut answer).unwrap_err();
        assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
        client.stream.set_nonblocking(false).unwrap();
    }
    proofs.end();
    for client in &mut clients {
        assert_eq!(client.receive(2), [5, 0]);
    }
    assert_eq!(lone.counters.over_limit.get(), 0);
}

#[test]
fn a_client_is_kept_where_the_other_worker_has_left() {
    let other = Lone::start(16, true);
    let lone = Lone::start_beside(vec![other.as_fellow()], 16, true);
    other.drain(Duration::ZERO);
    other.ended.recv_timeout(PATIENCE).unwrap().unwrap();
    let clients: Vec<_> = (0..8).map(|_| Client::to(lone.address)).collect();
    wait_for("the clients", || (lone.counters.connections() == 8).then_some(()));
    drop(clients);
}

fn policy() -> Policy {
    let second = Duration::from_secs(1);
    Policy {
        commands: CommandSet::NONE.with(Command::Connect),
        acl: Acl::new(Guard::Off),
        timeouts: Timeouts {
            handshake: 600 * second,
            connect: second,
            attempt: second,
            half_close: 600 * second,
            linger: second,
            ..Timeouts::PLAIN
        },
        ..Policy::plain()
    }
}

#[test]
fn a_worker_leaves_in_time_though_nobody_takes_its_endings_and_does_not_spin_till_then() {
    let lone = Lone::start(1, true);
    for _ in 0..3 {
        lone.strange_client();
    }
    wait_for("a backlog", || (lone.counters.journal_backlog.get() == 2).then_some(()));
    let turns = lone.counters.turns.get();
    lone.drain(Duration::from_millis(500));
    lone.ended.recv_timeout(PATIENCE).unwrap().unwrap();
    let turns = lone.counters.turns.get() - turns;
    assert!(turns < 500, "{turns} turns while there was nothing to do");
    assert_eq!(lone.entries.try_iter().count(), 1);
    assert_eq!(lone.ledger.held(), 3, "what was not sent is still in the ledger");
}

#[test]
fn a_worker_that_is_draining_sends_its_backlog_as_soon_as_there_is_room() {
    let lone = Lone::start(1, true);
    for _ in 0..3 {
        lone.strange_client();
    }
    wait_for("a backlog", || (lone.counters.journal_backlog.get() == 2).then_some(()));
    lone.drain(10 * PATIENCE);
    for _ in 0..3 {
        lone.entries.recv_timeout(PATIENCE).unwrap();
    }
    lone.ended.recv_timeout(PATIENCE).unwrap().unwrap();
}

#[test]
fn a_letter_that_could_not_be_announced_is_read_all_the_same() {
    let lone = Lone::start(1, false);
    lone.drain(Duration::ZERO);
    lone.ended.recv_timeout(PATIENCE).unwrap().unwrap();
}
