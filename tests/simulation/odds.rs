//! What the world is going to answer, and how late: names, passwords, targets and peers.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use rustsocks::auth::{Credentials, Identity, User, Users, Verdict, verify};
use rustsocks::connection::ConnectError;
use rustsocks::key::Key;
use rustsocks::resolve::{Addresses, LookupError};

use crate::agenda::Happening;
use crate::dice::Dice;
use crate::line::{Line, Wire};
use crate::script::{OTHER, PASSWORD, PUBLIC};
use crate::world::Kit;

/// A target answers: its side of a new connection, and what it is going to do.
pub(crate) fn connect(number: usize, kit: &mut Kit) -> Wire {
    let Kit { dice, agenda, parties, .. } = kit;
    let line = Line::new(dice.pick(&[1, 16, 300, 30_000]), dice);
    let wire = Wire::new(&line);
    parties[number].upstream = Some(line);
    agenda.plan(dice.below(300), Happening::TargetReads(number));
    if dice.chance(95) {
        agenda.plan(dice.below(1_000), Happening::TargetSends(number));
    }
    if dice.chance(8) {
        agenda.plan(dice.below(5_000), Happening::TargetResets(number));
    }
    if dice.chance(6) {
        agenda.plan(dice.below(5_000), Happening::ClientResets(number));
    }
    wire
}

/// The one who may log in, and who she is then.
pub(crate) fn alice() -> &'static (Arc<Users>, Identity) {
    static ALICE: OnceLock<(Arc<Users>, Identity)> = OnceLock::new();
    ALICE.get_or_init(|| {
        let hash = rustsocks::auth::hash(PASSWORD.as_bytes()).unwrap();
        let users = Users::new([User::new("alice", &hash, &[]).unwrap()]);
        let password = PASSWORD.as_bytes().to_vec();
        let login = Credentials::new(b"alice"[..].into(), password.into());
        match verify(&users, &login) {
            Verdict::Accepted(identity) => (Arc::new(users), identity),
            refused @ (Verdict::Rejected | Verdict::Banned | Verdict::Overloaded) => {
                panic!("{refused:?}")
            }
        }
    })
}

/// How long a password check takes, and what it says.
pub(crate) fn verdict(right: bool, dice: &mut Dice) -> (u64, Verdict) {
    let verdict = match right {
        true => Verdict::Accepted(alice().1.clone()),
        false => Verdict::Rejected,
    };
    match dice.below(20) {
        0..=5 => (0, verdict),
        6 => (0, Verdict::Overloaded),
        7 => (NEVER, verdict),
        8 => (dice.between(900, 12_000), verdict),
        _ => (dice.between(1, 300), verdict),
    }
}

/// Answers to a question about a name: late, twice, or never.
pub(crate) fn plan_answers(asker: (Key, usize), query: u32, kit: &mut Kit) {
    let Kit { dice, agenda, .. } = kit;
    for _ in 0..dice.pick(&[0, 1, 1, 1, 1, 1, 1, 1, 2, 2]) {
        let wait = match dice.below(8) {
            0 => 0,
            1 => dice.between(1_000, 12_000),
            _ => dice.between(1, 400),
        };
        let answer = answer(dice);
        // One family may be known before the other.
        if let Ok(all) = &answer
            && dice.chance(40)
        {
            let four = dice.chance(50);
            let half: Addresses = all.iter().filter(|ip| ip.is_ipv4() == four).copied().collect();
            if !half.is_empty() {
                let early = wait / 2;
                agenda.plan(early, Happening::Resolved { asker, query, answer: (Ok(half), true) });
            }
        }
        agenda.plan(wait, Happening::Resolved { asker, query, answer: (answer, false) });
    }
}

fn answer(dice: &mut Dice) -> Result<Addresses, LookupError> {
    match dice.below(16) {
        0 => return Err(LookupError::NotFound),
        1 => return Err(LookupError::TimedOut),
        2 => return Err(LookupError::Failed),
        3 => return Err(dice.pick(&[LookupError::Overloaded, LookupError::ClientOverloaded])),
        4 => return Ok(OTHER.iter().copied().take(3).collect()),
        _ => {}
    }
    let mut all: Vec<IpAddr> = PUBLIC.iter().chain(&OTHER[..2]).copied().collect();
    let count = dice.between(1, 4) as usize;
    let mut found = Addresses::new();
    for _ in 0..count {
        found.push(all.swap_remove(dice.below(all.len() as u64) as usize));
    }
    Ok(found)
}

pub(crate) fn attempt_result(dice: &mut Dice) -> Option<(u64, Result<(), ConnectError>)> {
    let wait = match dice.below(6) {
        0 => dice.between(300, 11_000),
        _ => dice.between(1, 200),
    };
    let result = match dice.below(20) {
        0 => return None,
        1 | 2 => Err(ConnectError::Refused),
        3 => Err(ConnectError::NetworkUnreachable),
        4 => Err(ConnectError::HostUnreachable),
        5 => Err(ConnectError::TimedOut),
        6 => Err(ConnectError::NoRoom),
        7 => Err(ConnectError::Other),
        _ => Ok(()),
    };
    Some((wait, result))
}

/// Who comes to the listener of a BIND.
pub(crate) fn plan_peers(asker: (Key, usize), towards: Option<IpAddr>, kit: &mut Kit) {
    let Kit { dice, agenda, .. } = kit;
    for _ in 0..dice.below(3) {
        let stranger = dice.pick(&OTHER[..3]);
        let from = SocketAddr::new(stranger, 20);
        agenda.plan(dice.below(2_000), Happening::PeerComes { asker, from });
    }
    if dice.chance(80) {
        let from = SocketAddr::new(towards.unwrap_or(PUBLIC[0]), 20);
        agenda.plan(dice.between(1, 3_000), Happening::PeerComes { asker, from });
    }
}

/// Milliseconds that stand for an answer which does not come.
pub(crate) const NEVER: u64 = u64::MAX;
