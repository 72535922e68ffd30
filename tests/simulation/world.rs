//! The world: who acts outside, and the turns of the worker.

use std::collections::VecDeque;
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustsocks::acl::{Acl, Guard, OwnListeners};
use rustsocks::auth::Identity;
use rustsocks::clock;
use rustsocks::connection::Machine;
use rustsocks::key::Key;
use rustsocks::limit::{Admission, BanTerms, Noted, Why};
use rustsocks::policy::{AssociationPolicy, Policy, Timeouts};
use rustsocks::relay::Carrier;
use rustsocks::session::{IdSource, Journal, Ledger, Outcome, Share, Table, journal};
use rustsocks::socks::{Command, CommandSet, Method, MethodSet};
use rustsocks::worker::deadlines::{Alarm, Deadlines};
use rustsocks::worker::inbox::Inbox;
use rustsocks::worker::slots::Slots;

use crate::agenda::{Agenda, Happening};
use crate::connection::{Connection, Fate, Front, Link};
use crate::dice::Dice;
use crate::line::{Closed, Line, Wire};
use crate::party::{Party, Way, pattern};
use crate::perform::alice;
use crate::rows::Rows;
use crate::script::{PUBLIC, Speech, Wish};

/// What a worker lends to its connections, and what answers them.
pub(crate) struct Kit {
    pub(crate) dice: Dice,
    pub(crate) agenda: Agenda,
    pub(crate) policy: Arc<Policy>,
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
        let parties: Vec<Party> = (0..count).map(|number| Party::new(number, &mut dice)).collect();
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
        let policy = policy(1, &mut dice);
        Self {
            kit: Kit {
                dice,
                agenda,
                policy,
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

    fn with(&mut self, key: Key, work: impl FnOnce(&mut Connection, Key, &mut Kit) -> Fate) {
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

    /// Whoever serves this party is told that a socket has changed.
    fn note(&mut self, number: usize) {
        let found = self
            .slots
            .keys()
            .find(|key| self.slots.get(*key).is_some_and(|connection| connection.number == number));
        if let Some(key) = found {
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
                self.kit.policy = policy(generation, &mut self.kit.dice);
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

    /// A client's intentions.
    fn plan_client(&mut self, number: usize) {
        let Kit { dice, agenda, parties, .. } = &mut self.kit;
        match dice.below(40) {
            // Says nothing at all, and perhaps hangs up.
            0 => {
                if dice.chance(50) {
                    agenda.plan(dice.below(12_000), Happening::ClientEnds(number));
                }
            }
            1 => {
                agenda.plan(dice.below(200), Happening::ClientSends(number));
                agenda.plan(dice.below(3_000), Happening::ClientResets(number));
            }
            // Changes its mind in the middle.
            2 => {
                agenda.plan(dice.below(200), Happening::ClientSends(number));
                agenda.plan(dice.below(3_000), Happening::ClientEnds(number));
            }
            _ => agenda.plan(dice.below(200), Happening::ClientSends(number)),
        }
        agenda.plan(parties[number].appetite.1, Happening::ClientReads(number));
    }

    fn client_sends(&mut self, number: usize) {
        let Kit { dice, agenda, parties, .. } = &mut self.kit;
        let party = &mut parties[number];
        let Some(line) = &party.client else { return };
        if line.borrow().has_far_ended() || line.borrow().closed().is_some() {
            return;
        }
        let most = match dice.below(4) {
            0 => 1,
            1 => dice.between(1, 30) as usize,
            _ => usize::MAX,
        };
        let octets = party.next_octets(number, most);
        let taken = line.borrow_mut().send(&octets);
        party.client_sent += taken;
        let all = party.has_said_all();
        if all {
            if party.ends {
                agenda.plan(dice.below(2_000), Happening::ClientEnds(number));
            }
        } else if !octets.is_empty() {
            let pause = match dice.below(20) {
                0 => dice.below(4_000),
                _ => dice.below(40),
            };
            agenda.plan(pause, Happening::ClientSends(number));
        }
        self.note(number);
    }

    fn client_reads(&mut self, number: usize) {
        let Kit { dice, agenda, parties, .. } = &mut self.kit;
        let party = &mut parties[number];
        let Some(line) = party.client.clone() else { return };
        if line.borrow().is_broken() {
            return;
        }
        let (most, pause) = party.appetite;
        // Whoever finds nothing looks less and less often.
        party.pauses[0] = match line.borrow().unread_by_far() {
            0 => (party.pauses[0] * 2).clamp(pause, PAUSE_MAX),
            _ => pause,
        };
        let was_granted = party.reader.is_granted();
        let octets = line.borrow_mut().receive(most);
        party.reader.read(&octets);
        if party.reader.is_granted() && !was_granted {
            if !party.hasty {
                agenda.plan(dice.below(100), Happening::ClientSends(number));
            }
            if party.wants() == Some(Wish::Associate) {
                agenda.plan(dice.below(100), Happening::ClientDatagram(number));
            }
        }
        if line.borrow().is_at_end() {
            if party.ends && !line.borrow().has_far_ended() && line.borrow().closed().is_none() {
                agenda.plan(dice.below(500), Happening::ClientEnds(number));
            }
        } else {
            agenda.plan(party.pauses[0], Happening::ClientReads(number));
        }
        self.note(number);
    }

    fn client_ends(&mut self, number: usize) {
        if let Some(line) = &self.kit.parties[number].client
            && !line.borrow().has_far_ended()
        {
            line.borrow_mut().send_fin();
            self.note(number);
        }
    }

    fn target_sends(&mut self, number: usize) {
        let Kit { dice, agenda, parties, .. } = &mut self.kit;
        let party = &mut parties[number];
        let Some(line) = &party.upstream else { return };
        if line.borrow().has_far_ended() || line.borrow().closed().is_some() {
            return;
        }
        let most = dice.between(1, 3_000) as usize;
        let end = party.target_payload.min(party.target_sent + most);
        let octets: Vec<u8> =
            (party.target_sent..end).map(|at| pattern(number, Way::Down, at as u64)).collect();
        party.target_sent += line.borrow_mut().send(&octets);
        if party.target_sent == party.target_payload {
            if party.target_ends {
                agenda.plan(dice.below(3_000), Happening::TargetEnds(number));
            }
        } else {
            let pause = if dice.chance(5) { dice.below(8_000) } else { dice.below(60) };
            agenda.plan(pause, Happening::TargetSends(number));
        }
        self.note(number);
    }

    fn target_reads(&mut self, number: usize) {
        let Kit { dice, agenda, parties, .. } = &mut self.kit;
        let party = &mut parties[number];
        let Some(line) = &party.upstream else { return };
        if line.borrow().is_broken() {
            return;
        }
        let most = if dice.chance(20) { 5 } else { usize::MAX };
        party.pauses[1] = match line.borrow().unread_by_far() {
            0 => (party.pauses[1] * 2).clamp(1, PAUSE_MAX),
            _ => dice.between(1, 100),
        };
        let octets = line.borrow_mut().receive(most);
        for octet in octets {
            let expected = pattern(number, Way::Up, party.target_got);
            // Where a damaged request ends nobody knows.
            let noise = party.script.speech == Speech::Noise;
            assert!(noise || octet == expected, "payload is changed at {}", party.target_got);
            party.target_got += 1;
        }
        if line.borrow().is_at_end() {
            if !line.borrow().has_far_ended() && line.borrow().closed().is_none() {
                agenda.plan(dice.below(2_000), Happening::TargetEnds(number));
            }
        } else {
            agenda.plan(party.pauses[1], Happening::TargetReads(number));
        }
        self.note(number);
    }

    /// Sums up those for whom there was no seat.
    fn turned_away(&self) -> u64 {
        let addresses: std::collections::BTreeSet<IpAddr> =
            self.kit.parties.iter().map(|party| party.address.ip()).collect();
        let book = self.admission.turned_away();
        addresses
            .into_iter()
            .filter_map(|ip| book.take(ip, Why::NoRoom))
            .map(|count| count.clients)
            .sum()
    }

    fn client_datagram(&mut self, number: usize) {
        let found = self
            .slots
            .keys()
            .find(|key| self.slots.get(*key).is_some_and(|connection| connection.number == number));
        let Some(key) = found else { return };
        let Kit { dice, agenda, parties, .. } = &mut self.kit;
        let party = &mut parties[number];
        if party.datagrams_left == 0 {
            return;
        }
        party.datagrams_left -= 1;
        agenda.plan(dice.below(2_000), Happening::ClientDatagram(number));
        let octets = datagram(dice);
        let port = if dice.chance(90) { 7000 } else { 7001 };
        let source = SocketAddr::new(party.address.ip(), port);
        self.with(key, |connection, key, kit| {
            connection.datagram(Some(source), &octets, key, kit);
            Fate::Wait
        });
    }

    fn target_datagram(&mut self, number: usize) {
        let found = self
            .slots
            .keys()
            .find(|key| self.slots.get(*key).is_some_and(|connection| connection.number == number));
        let Some(key) = found else { return };
        self.with(key, |connection, _, kit| {
            connection.answer_datagram(kit);
            Fate::Wait
        });
    }

    /// How the client's side of a party was closed, if it was.
    pub(crate) fn closed(&self, number: usize) -> Option<Closed> {
        self.kit.parties[number].client.as_ref()?.borrow().closed()
    }
}

/// A datagram of a client: mostly to somebody, now and then nonsense.
fn datagram(dice: &mut Dice) -> Vec<u8> {
    let mut octets = vec![0, 0, u8::from(dice.chance(5))];
    match dice.below(6) {
        0 => octets.extend([1, 127, 0, 0, 1]),
        1 | 2 => octets.extend(b"\x03\x06a.test"),
        3 => octets.extend(b"\x03\x06b.test"),
        _ => match dice.pick(&PUBLIC) {
            IpAddr::V4(ip) => {
                octets.push(1);
                octets.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                octets.push(4);
                octets.extend(ip.octets());
            }
        },
    }
    octets.extend([0, 53]);
    octets.extend((0..dice.below(40)).map(|_| dice.next() as u8));
    if dice.chance(5) {
        octets.truncate(dice.below(12) as usize);
    }
    octets
}

fn policy(generation: u64, dice: &mut Dice) -> Arc<Policy> {
    let commands = CommandSet::NONE.with(Command::Connect).with(Command::UdpAssociate);
    let guard = match dice.chance(80) {
        true => Guard::Auto(OwnListeners::default()),
        false => Guard::Off,
    };
    let ms = Duration::from_millis;
    Arc::new(Policy {
        generation,
        methods: dice.pick(&[
            MethodSet::NO_AUTH,
            MethodSet::USERPASS,
            MethodSet::NO_AUTH.with(Method::UserPass),
            MethodSet::NO_AUTH.with(Method::UserPass),
            MethodSet::NO_AUTH.with(Method::UserPass),
            MethodSet::NO_AUTH.with(Method::UserPass),
        ]),
        commands: if dice.chance(80) { commands.with(Command::Bind) } else { commands },
        associations: AssociationPolicy::default(),
        // Now and then a reload takes her away.
        egress: Arc::default(),
        users: if dice.chance(85) { Arc::clone(&alice().0) } else { Arc::default() },
        anonymous: Identity::anonymous("anonymous"),
        bans: BanTerms::NONE,
        acl: Acl::new(guard),
        timeouts: Timeouts {
            handshake: dice.pick(&[ms(1_000), HANDSHAKE_MAX]),
            connect: dice.pick(&[ms(2_000), CONNECT_MAX]),
            attempt: ms(dice.pick(&[100, 250, 3_000])),
            idle: ms(dice.pick(&[6_000, 30_000])),
            half_close: ms(dice.pick(&[1_000, 12_000])),
            linger: dice.pick(&[ms(500), LINGER_MAX]),
            keepalive_secs: 0,
        },
    })
}

/// What happened, so that nobody believes a simulation in which nothing does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) worlds: u64,
    pub(crate) turns: u64,
    pub(crate) outcomes: std::collections::BTreeMap<&'static str, u64>,
    pub(crate) octets: u64,
    pub(crate) datagrams: u64,
    pub(crate) commits: u64,
    pub(crate) failed_commits: u64,
    pub(crate) checkpoints: u64,
    pub(crate) openings_left_out: u64,
    pub(crate) backlog: u64,
    pub(crate) stale: u64,
    pub(crate) sockets_refused: u64,
}

impl Told {
    pub(crate) fn add(&mut self, world: &Self) {
        self.worlds += world.worlds;
        self.turns += world.turns;
        for (outcome, count) in &world.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.octets += world.octets;
        self.datagrams += world.datagrams;
        self.commits += world.commits;
        self.failed_commits += world.failed_commits;
        self.checkpoints += world.checkpoints;
        self.openings_left_out += world.openings_left_out;
        self.backlog += world.backlog;
        self.stale += world.stale;
        self.sockets_refused += world.sockets_refused;
    }

    /// Every ending that the machines and passages know, and every trouble.
    pub(crate) fn assert_everything_happened(&self) {
        // What only a worker, an operator's rules or a crash can bring about.
        let elsewhere = ["banned", "crash", "internal_error", "quota_exceeded"];
        for outcome in Outcome::ALL {
            let code = outcome.close_code();
            let seen = self.outcomes.contains_key(code);
            assert_eq!(seen, !elsewhere.contains(&code), "{code} in {self}");
        }
        for (what, count) in [
            ("datagrams", self.datagrams),
            ("failed commits", self.failed_commits),
            ("checkpoints", self.checkpoints),
            ("openings left out", self.openings_left_out),
            ("endings that waited for room", self.backlog),
            ("stale answers", self.stale),
            ("sockets refused", self.sockets_refused),
        ] {
            assert!(count > 0, "there were no {what}: {self}");
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} worlds, {} turns, {} sessions, {} octets, {} datagrams, {} commits ({} failed), {} \
             checkpoints, {} openings left out, {} endings delayed, {} stale answers; endings: {:?}",
            self.worlds,
            self.turns,
            self.outcomes.values().sum::<u64>(),
            self.octets,
            self.datagrams,
            self.commits,
            self.failed_commits,
            self.checkpoints,
            self.openings_left_out,
            self.backlog,
            self.stale,
            self.outcomes,
        )
    }
}

/// The longest limits of any policy.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(10);
pub(crate) const LINGER_MAX: Duration = Duration::from_secs(2);
/// Milliseconds between two looks at a socket at which nothing happens.
const PAUSE_MAX: u64 = 5_000;
/// More than any world has.
const TURNS_MAX: u64 = 1_000_000;
/// Portions of work in one turn.
const ROUNDS_MAX: u32 = 100_000;
