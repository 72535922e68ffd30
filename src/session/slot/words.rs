//! How addresses, text and kinds lie in the words of a slot.

use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::TEXT_WORDS;
use crate::session::detail::{ip_from, ip_words};
use crate::session::facts::{Command, Decision};

pub(super) fn store_ip(words: &[AtomicU64; 2], ip: IpAddr) {
    store_pair(words, ip_words(ip));
}

pub(super) fn load_ip(words: &[AtomicU64; 2]) -> IpAddr {
    ip_from(load_pair(words))
}

pub(super) fn store_pair(words: &[AtomicU64; 2], values: [u64; 2]) {
    words[0].store(values[0], Relaxed);
    words[1].store(values[1], Relaxed);
}

pub(super) fn load_pair(words: &[AtomicU64; 2]) -> [u64; 2] {
    [words[0].load(Relaxed), words[1].load(Relaxed)]
}

pub(super) fn store_words(words: &[AtomicU64; TEXT_WORDS], octets: &[u8]) {
    for (word, chunk) in words.iter().zip(octets.chunks(8)) {
        let mut padded = [0u8; 8];
        padded[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_le_bytes(padded), Relaxed);
    }
}

pub(super) fn load_words(words: &[AtomicU64; TEXT_WORDS], octets: &mut [u8]) {
    for (word, chunk) in words.iter().zip(octets.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&word.load(Relaxed).to_le_bytes());
    }
}

/// The generation of a policy, and the number of the rule on trial that would have blocked, if one would.
pub(super) fn judged_word(generation: u64, shadow: Option<u32>) -> u64 {
    // Rules are counted from 1, up to a million.
    let shadow = shadow.map_or(0, u64::from).min(u64::MAX >> GENERATION_BITS);
    shadow << GENERATION_BITS | generation & GENERATION_MAX
}

pub(super) fn judged_from(word: u64) -> (u64, Option<u32>) {
    let shadow = u32::try_from(word >> GENERATION_BITS).ok().filter(|shadow| *shadow > 0);
    (word & GENERATION_MAX, shadow)
}

/// Bits of a generation, which are more than there will be.
const GENERATION_BITS: u32 = 40;
const GENERATION_MAX: u64 = (1 << GENERATION_BITS) - 1;

pub(super) const fn command_number(command: Command) -> u32 {
    match command {
        Command::Connect => 1,
        Command::Bind => 2,
        Command::UdpAssociate => 3,
    }
}

pub(super) const fn command_from(number: u32) -> Option<Command> {
    match number & 0xff {
        1 => Some(Command::Connect),
        2 => Some(Command::Bind),
        3 => Some(Command::UdpAssociate),
        _ => None,
    }
}

pub(super) const fn decision_number(decision: Decision) -> u32 {
    match decision {
        Decision::Allow => 1,
        Decision::Block => 2,
    }
}

pub(super) const fn decision_from(number: u32) -> Option<Decision> {
    match number & 0xff {
        1 => Some(Decision::Allow),
        2 => Some(Decision::Block),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_and_a_rule_on_trial_are_told_apart_again() {
        for judged in [(0, None), (1, None), (7, Some(1)), (GENERATION_MAX, Some(1_000_000))] {
            let (generation, shadow) = judged;
            assert_eq!(judged_from(judged_word(generation, shadow)), judged);
        }
    }
}
