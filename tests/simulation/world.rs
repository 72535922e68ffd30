//! The world: who acts outside, and the turns of the worker.

use std::collections::{BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustsocks::clock;
use rustsocks::connection::Machine;
use rustsocks::key::Key;
use rustsocks::limit::{Admission, Noted, Why};
use rustsocks::policy::Policy;
use rustsocks::relay::Carrier;
use rustsocks::session::{IdSource, Journal, Ledger, Outcome, Share, Table, journal};
use rustsocks::worker::deadlines::{Alarm, Deadlines};
use rustsocks::worker::inbox::Inbox;
use rustsocks::worker::slots::Slots;

use crate::agenda::{Agenda, Happening};
use crate::connection::{Connection, Fate, Front, Link};
use crate::dice::Dice;
use crate::limits::Limited;
use crate::line::{Closed, Line, Wire};
use crate::party::Party;
use crate::policies::policy;
use crate::rows::Rows;
use crate::told::Told;

/// What a worker lends to its connections, and what answers them.
pub(crate) struct Kit {
    pub(crate) dice: Dice,
    pub(crate) agenda: Agenda,
    pub(crate) policy: Arc<Policy>,
    pub(crate) limited: Limited,
    pub(crate) deadlines: Deadlines,
    pub(crate) ready: VecDeque<Key>,
    pub(crate) carrier: Carrier,
    pub(crate) ids: IdSource,
    pub(crate) share: Share,
    pub(crate) table: Arc<Table>,
    pub(crate) journal: Journal,
    pub(crate) parties: Vec<Party>,
    pub(crate) told: Told,
}

pub(crate) struct World {
    pub(crate) kit: Kit,
    pub(crate) slots: Slots<Connection>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) rows: Rows,
    pub(crate) accepted: usize,
    pub(crate) released: usize,
    draining: Option<Instant>,
    over_limit: u64,
}

impl World {
    pub(crate) fn new(mut dice: Dice) -> Self {
        let ledger = Arc::new(Ledger::new(1));
        let mut share = Share::new();
        share.add(ledger.grow().unwrap());
        let entries = dice.pick(&[1, 4, 64, 1024]);
        let (journal, receiver) = journal(entries);
        let table = Arc::new(Table::new(1));
        let mut agenda = Agenda::new(clock::mono());
        let count = dice.between(10, 50) as usize;
        let span = dice.pick(&[300, 5_000, 40_000]);
        let limited = Limited::new(&mut dice);
        let party = |number| Party::new(number, limited.is_any(), &mut dice);
        let parties: Vec<Party> = (0..count).map(party).collect();
        for number in 0..count {
            agenda.plan(dice.below(span), Happening::Arrives(number));
        }
        for _ in 0..dice.below(6) {
            agenda.plan(dice.below(span + 5_000), Happening::LookForVictim);
        }
        for _ in 0..dice.pick(&[0, 1, 12]) {
            agenda.plan(dice.below(span), Happening::Reload);
        }
        for _ in 0..dice.below(3) {
            let step = dice.between(0, 7_200_000) as i64 - 3_600_000;
            agenda.plan(dice.below(span), Happening::ClockSteps(step));
        }
        if dice.chance(30) {
            let at = dice.below(span);
            agenda.plan(at, Happening::WriterRests(true));
            agenda.plan(at + dice.below(20_000), Happening::WriterRests(false));
        }
        if dice.chance(30) {
            agenda.plan(dice.below(span + 5_000), Happening::Drain);
        }
        let seats = dice.pick(&[3, 8, 40, 100]);
        let sockets = dice.pick(&[seats * 4, seats * 2, seats]);
        let rows = Rows::new(receiver, Arc::clone(&ledger), Arc::clone(&table), &mut dice);
        let policy = policy(1, &limited, &mut dice);
        Self {
            kit: Kit {
                dice,
                agenda,
                policy,
                limited,
                deadlines: Deadlines::new(),
                ready: VecDeque::new(),
                carrier: Carrier::new(),
                ids: IdSource::new(),
                share,
                table,
                journal,
                parties,
                told: Told::default(),
            },
            slots: Slots::new(seats),
            admission: Admission::new(seats, sockets),
            ledger,
            rows,
            accepted: 0,
            released: 0,
            draining: None,
            over_limit: 0,
        }
    }

    /// Lets it all happen.
    pub(crate) fn run(mut self) -> Told {
        let mut turns = 0;
        loop {
            let deadlines = self.kit.deadlines.next().filter(|_| !self.slots.is_empty());
            let drain = self.draining.filter(|_| !self.slots.is_empty());
            let unsent = (self.kit.journal.backlog_len() > 0)
                .then(|| self.kit.agenda.now + Duration::from_millis(10));
            let waits = [self.kit.agenda.next(), deadlines, drain, unsent, self.rows.next()];
            let Some(at) = waits.into_iter().flatten().min() else { break };
            // A loop comes a little late now and then.
            let late = if self.kit.dice.chance(10) { self.kit.dice.below(3) } else { 0 };
            self.kit.agenda.now = self.kit.agenda.now.max(at) + Duration::from_millis(late);
            while let Some(what) = self.kit.agenda.pop_due() {
                self.happen(what);
            }
            self.kit.limited.see(self.kit.agenda.clocks().utc_ms);
            self.turn();
            turns += 1;
            assert!(turns < TURNS_MAX, "no end of turns");
        }
        self.check_the_end();
        assert_eq!(self.over_limit, self.turned_away(), "clients over the limit are counted");
        self.kit.told.worlds = 1;
        self.kit.told.turns = turns;
        self.kit.told
    }

    /// A worker's turn, and the writer's.
    fn turn(&mut self) {
        while let Some((at, key)) = self.kit.deadlines.pop_due(self.kit.agenda.now) {
            self.with(key, |connection, key, kit| {
                if connection.alarm.rings(at) { connection.expire(key, kit) } else { Fate::Wait }
            });
        }
        let slots = &self.slots;
        self.kit.deadlines.thin_out(slots.len(), |key| slots.get(key).is_some());
        let mut rounds = 0;
        while let Some(key) = self.kit.ready.pop_front() {
            if let Some(connection) = self.slots.get_mut(key) {
                connection.queued = false;
            }
            self.with(key, |connection, key, kit| connection.advance(key, kit));
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "a connection spins");
        }
        if self.draining.is_some_and(|until| until <= self.kit.agenda.now) {
            for slot in 0..self.slots.span() {
                if let Some(key) = self.slots.key_at(slot) {
                    self.with(key, |connection, _, kit| connection.cut(Outcome::Shutdown, kit));
                }
            }
        }
        self.kit.journal.flush();
        let now = self.kit.agenda.now;
        self.rows.turn(now, &self.kit.parties, &mut self.kit.told);
        self.check_the_turn();
    }

    pub(crate) fn with(
        &mut self,
        key: Key,
        work: impl FnOnce(&mut Connection, Key, &mut Kit) -> Fate,
    ) {
        let Some(connection) = self.slots.get_mut(key) else { return };
        let fate = work(connection, key, &mut self.kit);
        connection.seat.keep(connection.sockets());
        match fate {
            fate @ (Fate::Wait | Fate::Again) => {
                if let Some(deadline) = connection.deadline() {
                    connection.alarm.arm(deadline, key, &mut self.kit.deadlines);
                }
                if fate == Fate::Again {
                    self.queue(key);
                }
            }
            Fate::Release => {
                let connection = self.slots.remove(key).unwrap();
                connection.release(&mut self.kit);
                self.released += 1;
            }
        }
    }

    fn queue(&mut self, key: Key) {
        if let Some(connection) = self.slots.get_mut(key)
            && !connection.queued
        {
            connection.queued = true;
            self.kit.ready.push_back(key);
        }
    }

    /// The connection that serves this party, while there is one.
    pub(crate) fn key_of(&self, number: usize) -> Option<Key> {
        self.slots
            .keys()
            .find(|key| self.slots.get(*key).is_some_and(|connection| connection.number == number))
    }

    /// Whoever serves this party is told that a socket has changed.
    pub(crate) fn note(&mut self, number: usize) {
        if let Some(key) = self.key_of(number) {
            self.queue(key);
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrives(number) => self.arrive(number),
            Happening::ClientSends(number) => self.client_sends(number),
            Happening::ClientReads(number) => self.client_reads(number),
            Happening::ClientEnds(number) => self.client_ends(number),
            Happening::ClientResets(number) => {
                if let Some(line) = &self.kit.parties[number].client {
                    let kind =
                        self.kit.dice.pick(&[ErrorKind::ConnectionReset, ErrorKind::TimedOut]);
                    line.borrow_mut().reset(kind);
                    self.note(number);
                }
            }
            Happening::TargetSends(number) => self.target_sends(number),
            Happening::TargetReads(number) => self.target_reads(number),
            Happening::TargetEnds(number) => {
                if let Some(line) = &self.kit.parties[number].upstream
                    && !line.borrow().has_far_ended()
                {
                    line.borrow_mut().send_fin();
                    self.note(number);
                }
            }
            Happening::TargetResets(number) => {
                if let Some(line) = &self.kit.parties[number].upstream {
                    let kind =
                        self.kit.dice.pick(&[ErrorKind::ConnectionReset, ErrorKind::TimedOut]);
                    line.borrow_mut().reset(kind);
                    self.note(number);
                }
            }
            Happening::Resolved { asker: (key, number), query, answer } => {
                self.with(key, |connection, key, kit| {
                    connection.resolved(number, query, answer, key, kit)
                });
            }
            Happening::Verified { asker: (key, number), verdict } => {
                self.with(key, |connection, key, kit| {
                    connection.verified(number, verdict, key, kit)
                });
            }
            Happening::Dialled { asker: (key, number), attempt, serial, result } => {
                if let Some(connection) = self.slots.get_mut(key) {
                    assert_eq!(connection.number, number, "an answer reaches another generation");
                    connection.dialled(attempt, serial, result, &mut self.kit);
                    self.queue(key);
                }
            }
            Happening::PeerComes { asker: (key, number), from } => {
                self.with(key, |connection, key, kit| {
                    connection.peer_comes(number, from, key, kit)
                });
            }
            Happening::ClientDatagram(number) => self.client_datagram(number),
            Happening::TargetDatagram(number) => self.target_datagram(number),
            Happening::LookForVictim => {
                let live: Vec<_> = self
                    .slots
                    .keys()
                    .filter_map(|key| Some((key, self.slots.get(key)?.session.as_ref()?.id)))
                    .collect();
                if !live.is_empty() {
                    let (key, id) = self.kit.dice.pick(&live);
                    let listed = self.kit.table.find(id).expect("a live session is in the table");
                    assert_eq!(listed.key, key);
                    let late = self.kit.dice.pick(&[0, 0, 3_000]);
                    self.kit.agenda.plan(late, Happening::Kill(key, id));
                }
            }
            Happening::Kill(key, id) => {
                self.with(key, |connection, _, kit| connection.kill(id, kit));
            }
            Happening::Reload => {
                let generation = self.kit.policy.generation + 1;
                self.kit.policy = policy(generation, &self.kit.limited, &mut self.kit.dice);
                let live: Vec<Key> = self.slots.keys().collect();
                for key in live {
                    self.with(key, |connection, key, kit| connection.renew(key, kit));
                }
            }
            Happening::ClockSteps(ms) => self.kit.agenda.stepped_ms += ms,
            Happening::WriterRests(rests) => self.rows.rest(rests, self.kit.agenda.now),
            Happening::Drain => {
                let grace = Duration::from_millis(self.kit.dice.pick(&[0, 1_000, 10_000]));
                self.draining = Some(self.kit.agenda.now + grace);
            }
        }
    }

    fn arrive(&mut self, number: usize) {
        if self.draining.is_some() {
            return;
        }
        let dice = &mut self.kit.dice;
        let room = dice.pick(&[1, 7, 64, 512, 20_000]);
        let line = Line::new(room, dice);
        let now = self.kit.agenda.clocks();
        let address = self.kit.parties[number].address;
        self.kit.parties[number].client = Some(std::rc::Rc::clone(&line));
        let wire = Wire::new(&line);
        let Some(seat) = self.admission.seat() else {
            drop(wire);
            self.over_limit += 1;
            self.kit.parties[number].turned_away = true;
            assert_ne!(
                self.admission.turned_away().note(address, Why::NoRoom, now),
                Noted::Unlisted
            );
            return;
        };
        self.accepted += 1;
        self.kit.parties[number].accepted = Some(now.mono);
        let machine = Machine::new(address.ip(), Arc::clone(&self.kit.policy), now.mono);
        let announced = self.kit.parties[number].through_balancer;
        let machine = if announced { machine.announced() } else { machine };
        let connection = Connection {
            number,
            client: wire,
            address,
            accepted: now,
            session: None,
            opened: false,
            settled: false,
            link: Link::Front(Box::new(Front::new(machine, Inbox::new()))),
            alarm: Alarm::default(),
            queued: false,
            seat,
        };
        let Ok(key) = self.slots.insert(connection) else { panic!("a seat without a slot") };
        self.with(key, |_, _, _| Fate::Again);
        self.plan_client(number);
    }

    /// Sums up those for whom there was no seat.
    fn turned_away(&self) -> u64 {
        let addresses: BTreeSet<IpAddr> =
            self.kit.parties.iter().map(|party| party.address.ip()).collect();
        let book = self.admission.turned_away();
        addresses
            .into_iter()
            .filter_map(|ip| book.take(ip, Why::NoRoom))
            .map(|count| count.clients)
            .sum()
    }

    /// How the client's side of a party was closed, if it was.
    pub(crate) fn closed(&self, number: usize) -> Option<Closed> {
        self.kit.parties[number].client.as_ref()?.borrow().closed()
    }
}

/// More than any world has.
const TURNS_MAX: u64 = 1_000_000;
/// Portions of work in one turn.
const ROUNDS_MAX: u32 = 100_000;
