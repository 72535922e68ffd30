//! Addresses from which passwords are tried: how many have failed, how many are being checked, and
//! which addresses are shut out for it. Shared by the workers.
//!
//! ```text
//! failures + checks under way < max_failures    a check may begin
//!                             ≥ max_failures    it waits: of many at once no more than that are wrong
//! checks of one kind          ≥ CHECKS_MAX      it waits: no client holds all who check
//! failures                    ≥ max_failures    the address is banned for `ban_for`
//! ```
//!
//! There are two kinds: those that we make, and those that the host does, whose modules may hang. One of the
//! host's that has been under way for longer than its client would wait counts for others of the host's
//! only: it holds up nobody whom we know. Where it fails after all, it is a failure beyond those that were
//! waited for.
//!
//! An IPv6 client has a /64 to choose its addresses from, so that is what is counted and banned; an IPv4
//! client has its address. Failures are forgotten when none has come for as long as a ban lasts. A right
//! password takes none of them back, or whoever has one could try others' for ever.
//!
//! The table has a bound. Where it is reached, those go who matter least: with no ban and the fewest
//! failures, or else the ban that is over first. A new address is counted all the same, or whoever fills
//! the table would have made room for everybody to guess.
//!
//! Nobody pays for this who does not log in: while no ban stands, a new client costs a look at that.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::block::block;
use crate::clock::Now;

/// When an address is banned, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanTerms {
    /// Wrong passwords after which it is; 0 is never.
    pub max_failures: u32,
    /// How long.
    pub ban_for: Duration,
    /// A failure is answered no earlier than this after the question.
    pub answer_after: Duration,
}

/// The addresses.
#[derive(Debug, Default)]
pub struct Bans {
    by_block: Mutex<HashMap<IpAddr, Entry>>,
    /// Where room can be made.
    room: Mutex<Room>,
    /// When the last ban is over.
    banned_until: RwLock<Option<Instant>>,
    /// Entries with a ban, over or not.
    banned: AtomicUsize,
    made: AtomicU64,
    uncounted: AtomicU64,
    put_off: AtomicU64,
    turned_away: AtomicU64,
    held_up: AtomicU64,
}

/// Who may go where a new address wants to come in.
#[derive(Debug, Default)]
struct Room {
    /// When it was last looked for.
    looked: Option<Instant>,
    /// Those who matter least come last, each with what it mattered then.
    least: Vec<(Weight, IpAddr)>,
}

/// What matters of an address, the weightiest first: a ban, how many failures, how long it is remembered.
type Weight = (bool, u32, Instant);

#[derive(Clone, Debug)]
struct Entry {
    failures: u32,
    /// Checks of ours that are under way.
    ours: usize,
    /// Of each of the host's, till when ours wait for it.
    of_host: Vec<Instant>,
    /// When it may be forgotten, if nothing is being checked.
    until: Instant,
    /// When the ban is over, in UTC milliseconds, too.
    banned: Option<(Instant, i64)>,
}

/// An address that is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The address, or the first one of its /64.
    pub address: IpAddr,
    /// Wrong passwords that came from it.
    pub failures: u32,
    /// When the ban ends, UTC milliseconds.
    pub until_ms: i64,
}

/// Whether a password may be checked for an address.
#[derive(Debug)]
pub enum MayCheck {
    /// It may.
    Yes(Check),
    /// Not before others from there have been checked.
    Later,
    /// The address is banned.
    Banned,
}

/// Who checks a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// We do, by what we have of the user.
    Us,
    /// The host does, whose modules may take as long as they like.
    Host {
        /// How long a client waits for that.
        patience: Duration,
    },
}

/// A password that is being checked. Dropped, the check is over.
#[derive(Debug)]
pub struct Check {
    bans: Arc<Bans>,
    client: IpAddr,
    asked: Asked,
    terms: BanTerms,
    since: Instant,
    /// Whether the address is in the table.
    counted: bool,
}

impl BanTerms {
    /// Bans nobody, and answers at once.
    pub const NONE: Self =
        Self { max_failures: 0, ban_for: Duration::ZERO, answer_after: Duration::ZERO };
}

impl Bans {
    /// Whether a client may come in at all. Cheap while nobody is banned.
    #[must_use]
    pub fn is_banned(&self, client: IpAddr, now: Instant) -> bool {
        if self.banned.load(Relaxed) == 0
            || self.banned_until.read().is_none_or(|until| now >= until)
        {
            return false;
        }
        let mut by_block = self.by_block.lock();
        let block = block(client);
        let Some((until, _)) = by_block.get(&block).and_then(|entry| entry.banned) else {
            return false;
        };
        if now < until {
            return true;
        }
        self.forget(&mut by_block, block);
        false
    }

    /// Begins the check of a password, if it may begin.
    #[must_use]
    pub fn check(
        self: &Arc<Self>,
        client: IpAddr,
        asked: Asked,
        terms: BanTerms,
        now: Instant,
    ) -> MayCheck {
        let bans = Arc::clone(self);
        let mut check = Check { bans, client, asked, terms, since: now, counted: false };
        if terms.max_failures > 0 && self.is_banned(client, now) {
            return MayCheck::Banned;
        }
        let block = block(client);
        let mut by_block = self.by_block.lock();
        if let Some(entry) = by_block.get_mut(&block) {
            let ban_over = entry.banned.is_some_and(|(until, _)| until <= now);
            if ban_over {
                entry.banned = None;
                self.banned.fetch_sub(1, Relaxed);
            }
            if ban_over || entry.is_idle() && entry.until <= now {
                entry.failures = 0;
            }
        }
        if by_block.len() >= ADDRESSES_MAX
            && !by_block.contains_key(&block)
            && !self.make_room(&mut by_block, now)
        {
            self.uncounted.fetch_add(1, Relaxed);
            drop(by_block);
            return MayCheck::Yes(check);
        }
        let new = Entry { failures: 0, ours: 0, of_host: Vec::new(), until: now, banned: None };
        let entry = by_block.entry(block).or_insert(new);
        let may_fail = match terms.max_failures {
            0 => usize::MAX,
            // One may always be under way, so that whoever waits is served at last.
            most => most.saturating_sub(entry.failures).max(1) as usize,
        };
        if !entry.has_room(asked, may_fail, now) {
            self.put_off.fetch_add(1, Relaxed);
            return MayCheck::Later;
        }
        match asked {
            Asked::Us => entry.ours += 1,
            Asked::Host { patience } => entry.of_host.push(now + patience),
        }
        drop(by_block);
        check.counted = true;
        MayCheck::Yes(check)
    }

    /// Shows those who are banned, in no order, while nobody else gets at them.
    pub fn each(&self, now: Instant, show: impl FnMut(Ban)) {
        let by_block = self.by_block.lock();
        let banned = by_block.iter().filter_map(|(address, entry)| {
            let (until, until_ms) = entry.banned?;
            (now < until).then_some(Ban { address: *address, failures: entry.failures, until_ms })
        });
        banned.for_each(show);
    }

    /// How many are banned.
    #[must_use]
    pub fn count(&self, now: Instant) -> usize {
        let mut count = 0;
        self.each(now, |_| count += 1);
        count
    }

    /// Lifts the ban of an address and forgets its failures; whether there was one.
    #[must_use]
    pub fn lift(&self, address: IpAddr, now: Instant) -> bool {
        let is_banned = self.is_banned(address, now);
        if is_banned {
            self.forget(&mut self.by_block.lock(), block(address));
        }
        is_banned
    }

    /// Bans made so far.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// Checks whose failures were not counted, because too many addresses were.
    #[must_use]
    pub fn uncounted(&self) -> u64 {
        self.uncounted.load(Relaxed)
    }

    /// How often a check was told to wait for others from its address.
    #[must_use]
    pub fn put_off(&self) -> u64 {
        self.put_off.load(Relaxed)
    }

    /// Checks that waited and were not made, because their address had more of them than others.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Relaxed)
    }

    /// A login is not taken, because whoever is to be asked about it is held by others.
    pub fn note_held_up(&self) {
        self.held_up.fetch_add(1, Relaxed);
    }

    /// How many were not taken for that.
    #[must_use]
    pub fn held_up(&self) -> u64 {
        self.held_up.load(Relaxed)
    }

    fn forget(&self, by_block: &mut HashMap<IpAddr, Entry>, block: IpAddr) {
        let Some(entry) = by_block.get_mut(&block) else { return };
        if entry.banned.take().is_some() {
            self.banned.fetch_sub(1, Relaxed);
        }
        entry.failures = 0;
        if entry.is_idle() {
            by_block.remove(&block);
        }
    }

    /// Makes room for one more: all go whose time is over, or else the one that matters least. All are looked
    /// at once in a while, and those that matter least are known till then. Whether there is room.
    fn make_room(&self, by_block: &mut HashMap<IpAddr, Entry>, now: Instant) -> bool {
        let mut room = self.room.lock();
        let look = room.looked.is_none_or(|at| now >= at + LOOKED_EVERY);
        if look {
            room.looked = Some(now);
            by_block.retain(|_, entry| {
                let kept = !entry.is_idle() || now < entry.until;
                if !kept && entry.banned.is_some() {
                    self.banned.fetch_sub(1, Relaxed);
                }
                kept
            });
            room.least = least(by_block);
        }
        while by_block.len() >= ADDRESSES_MAX {
            let Some((weight, address)) = room.least.pop() else { return false };
            // It may have come to more since, a ban even, and then others go before it.
            let goes = |entry: &Entry| entry.is_idle() && entry.weight() <= weight;
            if by_block.get(&address).is_some_and(goes) {
                self.forget(by_block, address);
            }
        }
        true
    }
}

impl Entry {
    const fn is_idle(&self) -> bool {
        self.ours == 0 && self.of_host.is_empty()
    }

    /// Whether one more may be under way where so many may still fail.
    fn has_room(&self, asked: Asked, may_fail: usize, now: Instant) -> bool {
        let (of_kind, of_host) = match asked {
            Asked::Us => {
                let waited_for = self.of_host.iter().filter(|until| now < **until);
                (self.ours, waited_for.count())
            }
            Asked::Host { .. } => (self.of_host.len(), self.of_host.len()),
        };
        of_kind < CHECKS_MAX && self.ours + of_host < may_fail
    }

    const fn weight(&self) -> Weight {
        (self.banned.is_some(), self.failures, self.until)
    }
}

/// Those who matter least and of whom nothing is under way, the least of them last.
fn least(by_block: &HashMap<IpAddr, Entry>) -> Vec<(Weight, IpAddr)> {
    let mut all: Vec<_> = by_block
        .iter()
        .filter(|(_, entry)| entry.is_idle())
        .map(|(address, entry)| (entry.weight(), *address))
        .collect();
    if all.len() > LEAST_MAX {
        all.select_nth_unstable(LEAST_MAX);
        all.truncate(LEAST_MAX);
    }
    all.sort_unstable_by(|a, b| b.cmp(a));
    all
}

impl Check {
    /// For whom it is.
    #[must_use]
    pub const fn client(&self) -> IpAddr {
        self.client
    }

    /// Who counts as that client.
    #[must_use]
    pub fn block(&self) -> IpAddr {
        block(self.client)
    }

    /// It is not made after all, because others had waited for fewer.
    pub fn turn_away(self) {
        self.bans.turned_away.fetch_add(1, Relaxed);
    }

    /// Since when it is wanted.
    #[must_use]
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// The password was wrong. Whether the address is banned from now on for it.
    pub fn failed(&self, now: Now) -> bool {
        if !self.counted || self.terms.max_failures == 0 {
            return false;
        }
        let mut by_block = self.bans.by_block.lock();
        let Some(entry) = by_block.get_mut(&block(self.client)) else { return false };
        entry.failures = entry.failures.saturating_add(1);
        let until = now.mono + self.terms.ban_for;
        entry.until = until;
        if entry.failures < self.terms.max_failures || entry.banned.is_some() {
            return false;
        }
        let ban_ms = i64::try_from(self.terms.ban_for.as_millis()).unwrap_or(i64::MAX);
        entry.banned = Some((until, now.utc_ms.saturating_add(ban_ms)));
        let mut last = self.bans.banned_until.write();
        *last = Some(last.map_or(until, |last| last.max(until)));
        drop(last);
        self.bans.banned.fetch_add(1, Relaxed);
        self.bans.made.fetch_add(1, Relaxed);
        true
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        let block = block(self.client);
        let mut by_block = self.bans.by_block.lock();
        if let Some(entry) = by_block.get_mut(&block) {
            match self.asked {
                Asked::Us => entry.ours = entry.ours.saturating_sub(1),
                Asked::Host { patience } => {
                    let until = self.since + patience;
                    if let Some(at) = entry.of_host.iter().position(|other| *other == until) {
                        entry.of_host.swap_remove(at);
                    }
                }
            }
            if entry.is_idle() && entry.failures == 0 {
                by_block.remove(&block);
            }
        }
    }
}

/// Checks of one client and one kind that are under way at most, those that wait for a thread included: what
/// others wait for behind it.
const CHECKS_MAX: usize = 16;
/// Addresses whose failures are counted at most.
const ADDRESSES_MAX: usize = 65_536;
/// Of those who matter least so many are known after a look.
const LEAST_MAX: usize = 4096;
/// Between two looks for room; each looks at all of them.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
