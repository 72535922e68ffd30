//! What holds an association back: what its client is under, for all of its datagrams, and each limit
//! that a rule has named, for the datagrams to the targets of that rule.
//!
//! Datagrams wait in the kernel, where nobody knows yet where they are to go: all of them wait for the
//! slowest of these, but each pays only for its own. Which rule an answer belongs to cannot be told, as
//! any port of a host may answer: answers pay for each limit that a rule has named.

use std::time::Instant;

use smallvec::SmallVec;

use crate::clock::Now;
use crate::limit::{Exhausted, Throttle};

/// Of one association.
#[derive(Debug, Default)]
pub(super) struct UdpLimits {
    /// What all datagrams are under.
    whole: Option<Box<Throttle>>,
    /// What rules have named, as the association numbers it.
    named: SmallVec<[Named; 1]>,
    /// When a direction that waits has its turn.
    resumes_at: Option<Instant>,
}

/// A limit that a rule has named.
#[derive(Debug)]
struct Named {
    /// `None` where all datagrams are under it.
    throttle: Option<Box<Throttle>>,
    /// Octets to its targets that are not paid for.
    sent: u64,
}

impl UdpLimits {
    pub(super) fn new(whole: Option<Box<Throttle>>) -> Self {
        Self { whole, ..Self::default() }
    }

    /// A rule has named a limit; it has the next number.
    pub(super) fn name(&mut self, throttle: Option<Box<Throttle>>) {
        self.named.push(Named { throttle, sent: 0 });
    }

    /// Goes on with what the session had for itself under the policy before, as full as it was.
    pub(super) fn take_over(&mut self, before: &Self) {
        let named = self.named.iter_mut().filter_map(|named| named.throttle.as_deref_mut());
        for throttle in self.whole.as_deref_mut().into_iter().chain(named) {
            before.throttles().for_each(|old| throttle.take_over(old));
        }
    }

    /// How many have been named.
    pub(super) fn named(&self) -> usize {
        self.named.len()
    }

    /// Whether anything holds it back.
    pub(super) fn hold(&self) -> bool {
        self.throttles().next().is_some()
    }

    /// So many octets went to a target under this limit.
    pub(super) fn sent(&mut self, number: usize, octets: usize) {
        if let Some(named) = self.named.get_mut(number) {
            named.sent += octets as u64;
        }
    }

    /// Octets that may be taken of each way now, `most` at most, as [`Throttle::allow`].
    pub(super) fn allow(
        &mut self,
        most: u64,
        wants: [bool; 2],
        now: Now,
    ) -> Result<[u64; 2], Exhausted> {
        let mut allowed = [most; 2];
        let named = self.named.iter_mut().filter_map(|named| named.throttle.as_mut());
        for throttle in self.whole.iter_mut().chain(named) {
            // Where one has to wait already, the others need not give anything out.
            let wants = [0, 1].map(|way| wants[way] && allowed[way] > 0);
            let of_this = throttle.allow(most, wants, now)?;
            allowed = [0, 1].map(|way| allowed[way].min(of_this[way]));
        }
        Ok(allowed)
    }

    /// Pays for what has passed. A direction that has `more` and has to wait is left alone till its turn.
    pub(super) fn charge(&mut self, passed: [u64; 2], more: &mut [bool; 2], now: Now) {
        let asked = *more;
        if let Some(throttle) = &mut self.whole {
            throttle.charge(passed, asked, now);
        }
        for Named { throttle, sent } in &mut self.named {
            let sent = std::mem::take(sent);
            if let Some(throttle) = throttle {
                throttle.charge([sent, passed[1]], asked, now);
            }
        }
        let turns = [0, 1]
            .map(|way| self.throttles().filter_map(|throttle| throttle.turn(way, now.mono)).max());
        for (more, turn) in more.iter_mut().zip(turns) {
            *more &= turn.is_none();
        }
        self.resumes_at = turns.into_iter().flatten().min();
    }

    /// When a direction that waits has its turn.
    pub(super) const fn resumes_at(&self) -> Option<Instant> {
        self.resumes_at
    }

    /// It has its turn; whether it waited for one.
    pub(super) const fn take_turn(&mut self) -> bool {
        self.resumes_at.take().is_some()
    }

    /// Whether a quota is used up that ends it, though nothing passes.
    pub(super) fn are_exhausted(&self, now: Now) -> bool {
        self.throttles().any(|throttle| throttle.is_exhausted(now))
    }

    fn throttles(&self) -> impl Iterator<Item = &Throttle> {
        let named = self.named.iter().filter_map(|named| named.throttle.as_deref());
        self.whole.as_deref().into_iter().chain(named)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::auth::Identity;
    use crate::clock;
    use crate::limit::{BandwidthTerms, LimitPolicy, LimitTerms, Per, Rate, Whom};

    /// A kilobyte a second each way, four at once.
    fn throttle(now: Now) -> Option<Box<Throttle>> {
        let rate = Some(Rate { per_second: 1000, burst: 4000 });
        let name = Arc::from("slow");
        let whom = Whom::default();
        let slow = BandwidthTerms { name, whom, per: Per::Session, rates: [rate; 2] };
        let terms = Arc::new(LimitTerms { bandwidths: vec![slow], ..LimitTerms::default() });
        let policy = LimitPolicy { terms, ..LimitPolicy::default() };
        policy.throttle_of_rule(&Identity::anonymous("anonymous"), "slow", now)
    }

    #[test]
    fn each_pays_for_what_went_to_its_own_targets() {
        let now = Now { mono: clock::mono(), utc_ms: 0 };
        let mut limits = UdpLimits::new(None);
        assert!(!limits.hold());
        limits.name(throttle(now));
        assert!(limits.hold());
        let mut more = [true, false];
        limits.charge([1_000_000, 0], &mut more, now);
        assert_eq!((more, limits.resumes_at()), ([true, false], None), "all to others");
        limits.sent(0, 3000);
        limits.sent(0, 3000);
        limits.charge([1_000_000, 0], &mut more, now);
        let turn = limits.resumes_at().unwrap() - now.mono;
        assert!(!more[0] && turn > Duration::from_secs(3) && turn < Duration::from_secs(5));
        assert_eq!(limits.allow(10, [true; 2], now), Ok([0, 10]));
        assert!(limits.take_turn() && !limits.take_turn());
        let later = Now { mono: now.mono + turn, ..now };
        assert_eq!(limits.allow(10, [true; 2], later), Ok([10, 10]));
    }

    #[test]
    fn answers_pay_for_each() {
        let now = Now { mono: clock::mono(), utc_ms: 0 };
        let mut limits = UdpLimits::new(None);
        limits.name(None);
        limits.name(throttle(now));
        let mut more = [false, true];
        limits.charge([0, 6000], &mut more, now);
        assert_eq!(more, [false; 2]);
        assert!(limits.resumes_at().is_some());
    }
}
