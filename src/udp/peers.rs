//! The hosts that a client has sent to: only they may answer, from any port of theirs.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// The hosts of one association, at most [`PEERS_MAX`]. The one that has been silent longest goes
/// first, and whoever has been silent for [`PEER_IDLE`] is forgotten.
#[derive(Debug, Default)]
pub(super) struct Peers {
    last: HashMap<IpAddr, Instant, foldhash::fast::RandomState>,
}

impl Peers {
    /// The client has sent something to this host.
    pub(super) fn wrote(&mut self, host: IpAddr, now: Instant) {
        if let Some(last) = self.last.get_mut(&host) {
            *last = now;
            return;
        }
        if self.last.len() >= PEERS_MAX {
            let silent = self.last.iter().min_by_key(|(_, last)| **last).map(|(host, _)| *host);
            if let Some(silent) = silent {
                self.last.remove(&silent);
            }
        }
        self.last.insert(host, now);
    }

    /// Whether this host may answer, if it does now.
    pub(super) fn has(&self, host: IpAddr, now: Instant) -> bool {
        let last = self.last.get(&host);
        last.is_some_and(|last| now.saturating_duration_since(*last) < PEER_IDLE)
    }

    /// Whether this host may answer. An answer is a sign of life.
    pub(super) fn may_answer(&mut self, host: IpAddr, now: Instant) -> bool {
        let Some(last) = self.last.get_mut(&host) else { return false };
        if now.saturating_duration_since(*last) >= PEER_IDLE {
            self.last.remove(&host);
            return false;
        }
        *last = now;
        true
    }
}

/// Hosts of one association at most.
const PEERS_MAX: usize = 256;
/// How long a host may answer after its last sign of life (RFC 4787 §4.3 recommends five minutes).
const PEER_IDLE: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn host(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn only_who_was_written_to_may_answer_and_not_for_ever() {
        let now = clock::mono();
        let mut peers = Peers::default();
        assert!(!peers.may_answer(host(1), now));
        peers.wrote(host(1), now);
        let later = now + PEER_IDLE - Duration::from_millis(1);
        assert!(peers.may_answer(host(1), later));
        assert!(!peers.may_answer(host(2), later));
        // The answer was a sign of life.
        assert!(peers.may_answer(host(1), later + PEER_IDLE / 2));
        assert!(!peers.may_answer(host(1), later + 2 * PEER_IDLE));
        peers.wrote(host(1), later + 2 * PEER_IDLE);
        assert!(peers.may_answer(host(1), later + 2 * PEER_IDLE));
    }

    #[test]
    fn the_one_that_was_silent_longest_goes_first() {
        let now = clock::mono();
        let mut peers = Peers::default();
        for number in 0..u32::try_from(PEERS_MAX).unwrap() {
            peers.wrote(host(number), now + Duration::from_millis(number.into()));
        }
        let later = now + Duration::from_secs(1);
        peers.wrote(host(0), later);
        peers.wrote(host(9999), later);
        assert_eq!(peers.last.len(), PEERS_MAX);
        assert!(peers.may_answer(host(0), later) && peers.may_answer(host(9999), later));
        assert!(!peers.may_answer(host(1), later));
    }
}
