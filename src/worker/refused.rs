//! Records of clients that were turned away at the door: one per address and minute, by the worker
//! that turned away the first of them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::kit::Kit;
use crate::limit::{MINUTE, Noted, TurnedAway, Why};
use crate::session::{Detail, Ending, Opening, Outcome};

/// Addresses whose record is this worker's business, in the order in which their minutes end.
#[derive(Debug, Default)]
pub(super) struct Refused {
    due: VecDeque<(Instant, IpAddr, Why)>,
}

impl Refused {
    /// Counts a client that was turned away.
    pub(super) fn note(&mut self, client: SocketAddr, why: Why, book: &TurnedAway, kit: &Kit) {
        kit.counters.outcomes[outcome(why).index()].add(1);
        if !kit.records {
            return;
        }
        match book.note(client, why, kit.now) {
            Noted::First => self.due.push_back((kit.now.mono + MINUTE, client.ip(), why)),
            Noted::Again => {}
            Noted::Unlisted => kit.counters.over_limit_unlisted.add(1),
        }
    }

    /// When the next minute ends.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.front().map(|(at, ..)| *at)
    }

    /// Records those whose minute is over, a portion of them.
    pub(super) fn record_due(&mut self, book: &TurnedAway, kit: &mut Kit) {
        for _ in 0..RECORDS_PER_TURN {
            let Some((address, why)) = self.pop_due(kit.now.mono) else { return };
            record(address, why, book, kit);
        }
    }

    /// Records all, because the worker leaves.
    pub(super) fn record_all(&mut self, book: &TurnedAway, kit: &mut Kit) {
        while let Some((_, address, why)) = self.due.pop_front() {
            record(address, why, book, kit);
        }
    }

    fn pop_due(&mut self, now: Instant) -> Option<(IpAddr, Why)> {
        self.due.pop_front_if(|(at, ..)| *at <= now).map(|(_, address, why)| (address, why))
    }
}

fn record(address: IpAddr, why: Why, book: &TurnedAway, kit: &mut Kit) {
    let Some(count) = book.take(address, why) else { return };
    let policy = &kit.policy;
    let opening = Opening {
        id: kit.ids.next(count.first.utc_ms),
        start_ms: count.first.utc_ms,
        client: SocketAddr::new(address, count.port),
        user: policy.anonymous.user(),
        claimed_user: None,
        target: None,
        command: None,
        ruling: None,
        policy_generation: policy.generation,
        accepted: false,
    };
    let Some(slot) = kit.share.open(&opening) else {
        kit.counters.attempts_unrecorded.add(1);
        return;
    };
    slot.reference().set_detail(Detail::Clients(count.clients));
    let lasted = count.last.mono.saturating_duration_since(count.first.mono);
    let ending = Ending {
        outcome: outcome(why),
        relayed: false,
        duration_ms: u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
    };
    kit.journal.closed(kit.share.settle(slot, &ending, kit.now.utc_ms));
}

const fn outcome(why: Why) -> Outcome {
    match why {
        Why::NoRoom | Why::AddressLimit => Outcome::OverLimit,
        Why::Banned => Outcome::Banned,
    }
}

/// Records written per turn.
const RECORDS_PER_TURN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn each_is_due_once_when_its_minute_is_over() {
        let now = clock::mono();
        let (first, second) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let mut refused = Refused::default();
        assert_eq!((refused.next(), refused.pop_due(now)), (None, None));
        refused.due.push_back((now + MINUTE, first, Why::NoRoom));
        refused.due.push_back((now + 2 * MINUTE, second, Why::Banned));
        assert_eq!(refused.next(), Some(now + MINUTE));
        assert_eq!(refused.pop_due(now), None);
        assert_eq!(refused.pop_due(now + MINUTE), Some((first, Why::NoRoom)));
        assert_eq!(refused.pop_due(now + MINUTE), None);
        assert_eq!(refused.pop_due(now + 3 * MINUTE), Some((second, Why::Banned)));
    }
}
