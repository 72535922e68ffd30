//! One client with its target: what they do, and what they know.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::client::Reader;
use crate::dice::Dice;
use crate::line::Far;
use crate::script::Script;

/// A client, its target, and what came of them.
pub(crate) struct Party {
    pub(crate) address: SocketAddr,
    pub(crate) through_balancer: bool,
    pub(crate) script: Script,
    pub(crate) reader: Reader,
    pub(crate) client: Option<Far>,
    pub(crate) upstream: Option<Far>,
    /// Octets of script and payload that the client has sent.
    pub(crate) client_sent: usize,
    /// Payload of both.
    pub(crate) client_payload: usize,
    pub(crate) target_payload: usize,
    pub(crate) target_sent: usize,
    pub(crate) target_got: u64,
    /// Whether the client sends its payload before it is granted anything.
    pub(crate) hasty: bool,
    /// Octets per reading; slow ones read little and seldom.
    pub(crate) appetite: (usize, u64),
    /// Until client and target read again.
    pub(crate) pauses: [u64; 2],
    pub(crate) ends: bool,
    pub(crate) target_ends: bool,
    /// A client of datagrams, once its association stands.
    pub(crate) datagrams_left: u64,
    pub(crate) accepted: Option<Instant>,
    pub(crate) turned_away: bool,
    pub(crate) done: Option<Done>,
    /// Addresses that may be dialled for it.
    pub(crate) resolved: Vec<IpAddr>,
    pub(crate) dialled: Vec<SocketAddr>,
    /// Octets of replies.
    pub(crate) replied: u64,
    /// Payload of datagrams, both ways.
    pub(crate) datagram_octets: [u64; 2],
    pub(crate) datagrams: [u64; 2],
    pub(crate) logged_in: bool,
    pub(crate) permitted_at: Option<Instant>,
}

/// How the proxy settled it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) at: Instant,
    pub(crate) outcome: rustsocks::session::Outcome,
    pub(crate) relayed: bool,
    pub(crate) opened: bool,
    pub(crate) recorded: bool,
    pub(crate) refused: bool,
}

/// A direction of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

/// The octet at this place of the payload of this party.
pub(crate) fn pattern(number: usize, way: Way, at: u64) -> u8 {
    let seed = number as u64 * 2 + u64::from(way == Way::Down);
    let word = (seed << 32 ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (word >> 56) as u8
}

impl Party {
    /// One of a world in which all move much, or of another.
    pub(crate) fn new(number: usize, much: bool, dice: &mut Dice) -> Self {
        let through_balancer = dice.chance(15);
        let script = Script::new(dice, through_balancer, number);
        let ip = match dice.below(10) {
            0..=5 => [198, 51, 100, 7],
            6..=7 => [10, 1, 2, 3],
            _ => [127, 0, 0, 1],
        };
        let payload = |dice: &mut Dice| match dice.below(10) {
            0..=1 => 0,
            2..=7 if much => dice.below(6_000) as usize,
            2..=7 => dice.below(400) as usize,
            _ => dice.below(9_000) as usize,
        };
        Self {
            address: SocketAddr::from((ip, 1000 + number as u16)),
            through_balancer,
            reader: Reader::new(script.speech, number),
            script,
            client: None,
            upstream: None,
            client_sent: 0,
            client_payload: payload(dice),
            target_payload: payload(dice),
            target_sent: 0,
            target_got: 0,
            hasty: dice.chance(50),
            appetite: match dice.below(5) {
                0 => (dice.between(1, 40) as usize, dice.between(50, 1500)),
                _ => (usize::MAX, dice.between(1, 30)),
            },
            pauses: [1, 1],
            ends: dice.chance(85),
            target_ends: dice.chance(85),
            datagrams_left: dice.below(20),
            accepted: None,
            turned_away: false,
            done: None,
            resolved: Vec::new(),
            dialled: Vec::new(),
            replied: 0,
            datagram_octets: [0; 2],
            datagrams: [0; 2],
            logged_in: false,
            permitted_at: None,
        }
    }

    /// Whom the record names.
    pub(crate) fn client_address(&self) -> SocketAddr {
        self.script.announced.filter(|_| self.through_balancer).unwrap_or(self.address)
    }

    /// What the client may send now and has not.
    pub(crate) fn next_octets(&self, number: usize, most: usize) -> Vec<u8> {
        let said = &self.script.octets;
        let all = said.len() + self.client_payload;
        let may = if self.hasty || self.reader.is_granted() { all } else { said.len() };
        (self.client_sent..may.min(self.client_sent.saturating_add(most)))
            .map(|at| match said.get(at) {
                Some(octet) => *octet,
                None => pattern(number, Way::Up, (at - said.len()) as u64),
            })
            .collect()
    }

    pub(crate) fn has_said_all(&self) -> bool {
        self.client_sent == self.script.octets.len() + self.client_payload
    }
}
