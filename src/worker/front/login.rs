//! A password on its way to its verdict: known from before, in the pool, or held back for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Front;
use crate::auth::{Credentials, Verdict};
use crate::connection::Input;
use crate::key::Key;
use crate::limit::{Asked, Bans, MayCheck};
use crate::offload::Job;
use crate::worker::connection::{Connection, Fate, Link};
use crate::worker::kit::Kit;

/// A login that goes on by itself at a time.
pub(super) enum Held {
    Nothing,
    /// Others from the same address are being checked.
    Unchecked {
        credentials: Credentials,
        until: Instant,
    },
    /// A failure is not answered at once.
    Answer {
        verdict: Verdict,
        until: Instant,
    },
}

impl Held {
    pub(super) const fn until(&self) -> Option<Instant> {
        match self {
            Self::Nothing => None,
            Self::Unchecked { until, .. } | Self::Answer { until, .. } => Some(*until),
        }
    }
}

impl Connection {
    /// The answer to a password check.
    pub(in crate::worker) fn verified(
        &mut self,
        verdict: Verdict,
        key: Key,
        kit: &mut Kit,
    ) -> Fate {
        if let Some(fate) = self.renew_front(key, kit) {
            return fate;
        }
        match &mut self.link {
            Link::Front(front) if front.recent.is_some() => {
                if let (Some(recent), Verdict::Accepted(identity)) = (front.recent.take(), &verdict)
                    && front.asked_under == kit.policy.generation
                {
                    kit.recent.put(recent, identity.clone(), kit.now.mono);
                }
                let (now, delay) = (kit.now.mono, front.machine.policy().bans.answer_after);
                let until = front.asked_at.map_or(now, |asked| asked + delay);
                if verdict == Verdict::Rejected && now < until {
                    front.held = Held::Answer { verdict, until };
                    return Fate::Wait;
                }
                self.hear(verdict, key, kit)
            }
            Link::Front(_) | Link::Relaying(_) | Link::Associated(_) | Link::Parting(_) => {
                kit.counters.stale.add(1);
                Fate::Wait
            }
        }
    }

    /// Tells the machine the answer to a password check.
    pub(super) fn hear(&mut self, verdict: Verdict, key: Key, kit: &mut Kit) -> Fate {
        let Link::Front(front) = &mut self.link else { return Fate::Again };
        front.inbox.refresh();
        let next = front.ask(Input::Verdict(verdict), kit.now.mono);
        self.perform(next, key, kit)
    }
}

/// A verdict that is known at once, or `None` when the pool was asked, or is to be asked later.
pub(super) fn verify(
    front: &mut Front,
    credentials: Credentials,
    key: Key,
    bans: &Arc<Bans>,
    kit: &Kit,
) -> Option<Verdict> {
    let now = kit.now.mono;
    // The door has not seen whom a load balancer speaks for; and what is remembered lifts no ban.
    if bans.is_banned(front.machine.client(), now) {
        return Some(Verdict::Banned);
    }
    let recent = kit.recent.key(&credentials);
    if let Some(identity) = kit.recent.get(&recent, now) {
        return Some(Verdict::Accepted(identity));
    }
    front.asked_at.get_or_insert(now);
    let policy = Arc::clone(front.machine.policy());
    let users = Arc::clone(&policy.users);
    let patience = policy.timeouts.handshake;
    let (asked, desk) = match users.service_for(credentials.username()) {
        Some(_) => (Asked::Host { patience }, kit.pam.as_ref()),
        None => (Asked::Us, Some(&kit.hashes)),
    };
    // A module may hang. Whoever waits behind it would wait in vain.
    if asked != Asked::Us && desk.is_some_and(|desk| desk.is_held_up(patience, now)) {
        bans.note_held_up();
        return Some(Verdict::Overloaded);
    }
    let check = match bans.check(front.machine.client(), asked, policy.bans, now) {
        MayCheck::Yes(check) => check,
        MayCheck::Later => {
            front.held = Held::Unchecked { credentials, until: now + CHECKED_AGAIN };
            return None;
        }
        MayCheck::Banned => return Some(Verdict::Banned),
    };
    front.asked_under = policy.generation;
    front.recent = Some(recent);
    let job = Job::Verify { check, users, credentials, key, patience, post: kit.post.clone() };
    match desk.map(|desk| desk.submit(job)) {
        Some(Ok(())) => None,
        Some(Err(_)) | None => {
            front.recent = None;
            Some(Verdict::Overloaded)
        }
    }
}

/// When a login is looked at again that waits for others from its address.
const CHECKED_AGAIN: Duration = Duration::from_millis(100);
