//! What clients and targets do at their ends of the lines.

use std::net::{IpAddr, SocketAddr};

use crate::agenda::Happening;
use crate::connection::Fate;
use crate::dice::Dice;
use crate::party::{Way, pattern};
use crate::script::{PUBLIC, Speech, Wish};
use crate::world::{Kit, World};

impl World {
    /// A client's intentions.
    pub(crate) fn plan_client(&mut self, number: usize) {
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

    pub(crate) fn client_sends(&mut self, number: usize) {
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

    pub(crate) fn client_reads(&mut self, number: usize) {
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

    pub(crate) fn client_ends(&mut self, number: usize) {
        if let Some(line) = &self.kit.parties[number].client
            && !line.borrow().has_far_ended()
        {
            line.borrow_mut().send_fin();
            self.note(number);
        }
    }

    pub(crate) fn target_sends(&mut self, number: usize) {
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

    pub(crate) fn target_reads(&mut self, number: usize) {
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

    pub(crate) fn client_datagram(&mut self, number: usize) {
        let Some(key) = self.key_of(number) else { return };
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

    pub(crate) fn target_datagram(&mut self, number: usize) {
        let Some(key) = self.key_of(number) else { return };
        self.with(key, |connection, _, kit| {
            connection.answer_datagram(kit);
            Fate::Wait
        });
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

/// Milliseconds between two looks at a socket at which nothing happens.
const PAUSE_MAX: u64 = 5_000;
