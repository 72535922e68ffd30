//! What always holds.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustsocks::relay::Direction;
use rustsocks::session::{Outcome, SessionView, Status};

use crate::connection::{Connection, Link};
use crate::line::Closed;
use crate::party::{Done, Party};
use crate::policies::{CONNECT_MAX, HANDSHAKE_MAX, LINGER_MAX};
use crate::script::{Speech, Wish};
use crate::world::World;

impl World {
    /// After each turn.
    pub(crate) fn check_the_turn(&mut self) {
        let now = self.kit.agenda.now;
        let live = self.slots.len();
        assert_eq!(self.admission.taken() as usize, live, "seats are not the connections");
        assert_eq!(self.accepted, live + self.released, "a connection is lost");
        let sockets: u32 =
            self.slots.keys().map(|key| self.slots.get(key).unwrap().sockets()).sum();
        assert_eq!(self.admission.sockets(), sockets, "the count is not the sockets");
        assert!(sockets <= self.admission.sockets_max());
        let mut earliest: Option<Instant> = None;
        let (mut stashed, mut listed, mut relays) = (0, 0, false);
        for key in self.slots.keys() {
            let connection = self.slots.get(key).unwrap();
            let deadline = connection.deadline().expect("whoever lives has a deadline");
            let number = connection.number;
            assert!(deadline > now, "{number} outlives its deadline in {}", connection.stage());
            earliest = Some(earliest.map_or(deadline, |before| before.min(deadline)));
            listed += usize::from(connection.session.is_some());
            relays |= matches!(connection.link, Link::Relaying(_));
            stashed += connection.check_nobody_waits_in_vain(now);
            connection.check_turns(now + self.kit.limited.patience(self.kit.parties.len()), now);
            connection.check_patience(now);
            connection.check_who_has_asked_is_understood(&self.kit.parties[number]);
        }
        if let Some(earliest) = earliest {
            let next = self.kit.deadlines.next();
            assert!(next.is_some_and(|next| next <= earliest), "a deadline is lost");
        }
        let lent = self.kit.carrier.pool().lent();
        assert_eq!(lent > 0, stashed > 0, "{lent} blocks for {stashed} octets");
        assert_eq!(self.kit.table.len(), listed, "the table is not the live sessions");
        let (mut read, mut delivered, mut written) = (0, 0, 0);
        for party in &self.kit.parties {
            if let (Some(upstream), Some(client)) = (&party.upstream, &party.client) {
                read += upstream.borrow().read;
                written += upstream.borrow().written;
                delivered += client.borrow().written - party.replied;
            }
        }
        if relays || read > 0 {
            self.kit.limited.check(read, delivered, now);
            self.kit.limited.check_upload(written, self.kit.parties.len() as u64, now);
        }
    }

    /// When everybody has gone.
    pub(crate) fn check_the_end(&mut self) {
        assert!(self.slots.is_empty(), "somebody is left");
        assert_eq!((self.admission.taken(), self.admission.sockets()), (0, 0), "a seat is left");
        assert!(self.kit.table.is_empty(), "a session is left in the table");
        assert_eq!(self.kit.journal.backlog_len(), 0, "an ending was not sent");
        assert!(self.rows.is_done(), "an ending was not stored");
        assert_eq!(self.ledger.held(), 0, "a slot is left");
        assert_eq!(self.kit.carrier.pool().lent(), 0, "a block is left");
        let mut by_client: HashMap<SocketAddr, Vec<&SessionView>> = HashMap::new();
        for row in self.rows.rows.values() {
            assert!(row.ending.is_some(), "a row is left open");
            by_client.entry(row.client).or_default().push(row);
        }
        let mut recorded = 0;
        for (number, party) in self.kit.parties.iter().enumerate() {
            if party.accepted.is_none() {
                continue;
            }
            let done = party.done.expect("accepted, and never settled");
            let found = by_client.get(&party.client_address()).map_or(0, Vec::len);
            // Whoever announces a client and then breaks off is recorded as itself.
            let found = found.max(by_client.get(&party.address).map_or(0, Vec::len));
            assert_eq!(found, usize::from(done.recorded), "records of {number}");
            recorded += found;
            let heard = party.client.as_ref().unwrap().borrow().read;
            if heard > party.script.header as u64 || done.opened {
                assert!(done.recorded, "{number} said something, and is not recorded: {done:?}");
            }
            self.check_party(number, party, done);
        }
        assert_eq!(recorded, self.rows.rows.len(), "a record of nobody");
    }

    /// What the two ends have seen is what the proxy says.
    fn check_party(&self, number: usize, party: &Party, done: Done) {
        let line = party.client.as_ref().unwrap();
        assert!(self.closed(number).is_some(), "a client's socket is left open");
        let broken = line.borrow().is_broken();
        let mut reader_left = line.borrow().unread_by_far();
        if !broken && self.closed(number) == Some(Closed::Whole) {
            // What is on its way arrives.
            reader_left = 0;
        }
        let command = party.wants();
        let cut = matches!(
            done.outcome,
            Outcome::TerminatedByAdmin
                | Outcome::Shutdown
                | Outcome::ClientReset
                | Outcome::QuotaExceeded
        );
        // Whoever asks properly is answered, unless it was cut or hung up itself.
        let complete = line.borrow().read >= party.script.octets.len() as u64;
        if command.is_some() && complete && !cut && !broken && reader_left == 0 {
            let silent = matches!(
                done.outcome,
                Outcome::HandshakeTimeout | Outcome::ClientGone | Outcome::Malformed
            );
            if done.refused && done.at > party.accepted.unwrap() {
                assert!(
                    !silent || party.reader.is_refused() || done.outcome == Outcome::ClientGone
                );
            }
            if done.relayed && command != Some(Wish::Associate) {
                assert!(!party.reader.is_refused(), "{number} is refused, and relayed");
            }
        }
    }
}

/// A row says what has happened.
pub(crate) fn check_row(row: &SessionView, parties: &[Party]) {
    let found = parties
        .iter()
        .find(|party| party.client_address() == row.client || party.address == row.client);
    let party = found.expect("a record of nobody");
    let upstream = party.upstream.as_ref().map_or(0, |line| line.borrow().written);
    let client = party.client.as_ref().map_or(0, |line| line.borrow().written);
    let Some(ending) = row.ending else {
        assert!(row.accepted, "an attempt without permit is in the table");
        return;
    };
    let done = party.done.expect("a row has an ending, and its connection has none");
    assert!(done.recorded);
    assert_eq!((ending.outcome, ending.relayed), (done.outcome, done.relayed));
    assert_eq!(row.accepted, done.opened);
    let lived = done.at - party.accepted.unwrap();
    assert_eq!(u128::from(ending.duration_ms), lived.as_millis(), "by the monotonic clock");
    let status = ending.outcome.status(ending.relayed);
    assert_eq!(status == Status::Closed, done.relayed);
    if status == Status::RejectedByAcl {
        assert!(!done.relayed);
    }
    if party.wants() == Some(Wish::Associate) {
        let [up, down] = party.datagram_octets;
        assert_eq!((row.traffic.bytes_sent, row.traffic.bytes_received), (up, down));
        let [up, down] = party.datagrams;
        assert_eq!((row.traffic.packets_sent, row.traffic.packets_received), (up, down));
    } else if done.relayed {
        assert_eq!(row.traffic.bytes_sent, upstream, "octets sent are not octets moved");
        assert_eq!(row.traffic.bytes_received, client - party.replied, "nor those received");
    } else {
        assert_eq!((row.traffic.bytes_sent, row.traffic.bytes_received), (0, 0));
    }
    assert_eq!(&*row.user == "alice", party.logged_in, "another user");
    if let Some(address) = row.resolved
        && party.wants() == Some(Wish::Connect)
    {
        assert!(party.dialled.iter().any(|dialled| dialled.ip().to_canonical() == address));
    }
}

impl Connection {
    pub(crate) fn stage(&self) -> &'static str {
        match &self.link {
            Link::Front(_) => "front",
            Link::Relaying(_) => "relaying",
            Link::Associated(_) => "associated",
            Link::Parting(_) => "parting",
        }
    }

    /// What could be done is done when a turn is over. Answers how much is stashed.
    fn check_nobody_waits_in_vain(&self, now: Instant) -> usize {
        let number = self.number;
        let client = self.client.line();
        match &self.link {
            Link::Front(front) => {
                let room = front.inbox.unused().len() < 1024;
                let deaf = front.machine.wants_bytes() && client.is_readable() && room;
                assert!(
                    !deaf,
                    "{number} is not listened to: {:?} {} {} {} {}",
                    front.machine,
                    front.inbox.unused().len(),
                    front.inbox.has_ended(),
                    front.flushing,
                    client.unread_by_proxy()
                );
                let mute = !front.outbox.is_empty() && client.is_writable();
                assert!(!mute, "{number} is not answered");
                0
            }
            Link::Relaying(relaying) => {
                let upstream = relaying.upstream.line();
                let passage = &relaying.passage;
                let mut stashed = 0;
                for (direction, source, sink) in [
                    (Direction::Upload, &client, &upstream),
                    (Direction::Download, &upstream, &client),
                ] {
                    let held = passage.held(direction);
                    stashed += held;
                    let waits = passage.turn(direction, now).is_some();
                    let early = if direction == Direction::Upload { passage.early() } else { 0 };
                    assert!(early == 0 || waits, "{number} waits, and not for its turn");
                    let stuck = held > early && sink.is_writable();
                    assert!(!stuck, "{number}: {direction:?} is stuck");
                    if waits {
                        continue;
                    }
                    let more = source.unread_by_proxy() > 0 && sink.is_writable();
                    assert!(!more, "{number}: {direction:?} stands still");
                    let fin = held == 0 && source.ends_before(sink) && !sink.is_broken();
                    assert!(!fin, "{number}: the FIN of {direction:?} is kept");
                }
                stashed
            }
            Link::Associated(_) => {
                assert!(!client.is_readable(), "{number} is not listened to");
                0
            }
            Link::Parting(parting) => {
                let silent = !parting.outbox.is_empty() && client.is_writable();
                assert!(!silent, "{number} gets no reply");
                0
            }
        }
    }

    /// Whoever is held back is looked at when its turn comes, and that is soon.
    fn check_turns(&self, soon: Instant, now: Instant) {
        let Link::Relaying(relaying) = &self.link else { return };
        for direction in [Direction::Upload, Direction::Download] {
            if let Some(turn) = relaying.passage.turn(direction, now) {
                let number = self.number;
                let deadline = relaying.passage.deadline();
                assert!(deadline <= turn, "{number}: {direction:?} is not looked at in its turn");
                assert!(turn <= soon, "{number}: {direction:?} waits for ever");
            }
        }
    }

    /// Whoever has said all that a request takes is not listened to for more of it, but while a reply is on
    /// its way. (What is being verified is not listened to either.)
    fn check_who_has_asked_is_understood(&self, party: &Party) {
        let Link::Front(front) = &self.link else { return };
        let said = self.client.line().read >= party.script.octets.len() as u64;
        let waits = front.flushing || !front.outbox.is_empty();
        if said && !waits && party.wants().is_some() {
            assert!(
                !front.machine.wants_bytes(),
                "{} has asked, and is waited for: {:?} {:?}",
                self.number,
                front.machine,
                front.inbox.unused()
            );
        }
    }

    /// No stage is longer than its limits, whatever its own deadline says.
    fn check_patience(&self, now: Instant) {
        let age = now - self.accepted.mono;
        match &self.link {
            Link::Front(front) => {
                // Of all policies, since one may have followed another meanwhile.
                let most = match front.machine.facts().command {
                    None => HANDSHAKE_MAX,
                    // A BIND waits for the name, and then for its peer.
                    Some(_) => HANDSHAKE_MAX + 2 * CONNECT_MAX + LINGER_MAX,
                };
                assert!(age <= most + LATE, "{} is in its handshake for {age:?}", self.number);
            }
            Link::Parting(parting) => {
                assert!(parting.until <= now + LINGER_MAX, "it parts for ever");
            }
            Link::Relaying(_) | Link::Associated(_) => {}
        }
    }
}

impl Party {
    /// What it asks for, if it asks for anything.
    pub(crate) fn wants(&self) -> Option<Wish> {
        match self.script.speech {
            Speech::Socks5 { command, .. } | Speech::Socks4 { command } => Some(command),
            Speech::Http => Some(Wish::Connect),
            Speech::Noise => None,
        }
    }

    pub(crate) fn asked_port(&self) -> Option<u16> {
        self.wants().map(|_| self.script.port)
    }
}

/// A turn may begin a little late.
const LATE: Duration = Duration::from_millis(3);
