//! What is counted for limits, across workers and reloads: who is inside, who has come of late, whose
//! bucket is whose, and what has been used of which quota.
//!
//! Tables are locked when something begins or ends. What is asked for while octets move are words that a
//! session holds references to.

use std::collections::VecDeque;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use super::block::block;
use super::bucket::{Bucket, Rate};
use super::counts::Counts;
use super::former::Former;
use super::rates::Rates;
use super::stay::{Refusal, Stay};
use super::terms::{BandwidthTerms, LimitTerms, Per, QuotaTerms};
use super::throttle::{Metered, Own, Throttle};
use super::usage::{Subject, Usage};
use crate::auth::Identity;
use crate::clock::Now;

/// Limits as one policy has them, and what all policies count with.
#[derive(Clone, Debug, Default)]
pub struct LimitPolicy {
    /// What is limited.
    pub terms: Arc<LimitTerms>,
    /// What is counted.
    pub limits: Arc<Limits>,
}

/// The counts.
#[derive(Debug)]
pub struct Limits {
    users: Counts<Box<str>>,
    addresses: Counts<IpAddr>,
    rates: Rates,
    /// Buckets that are shared. There are no more than users and limits.
    buckets: Mutex<HashMap<Shared, Arc<Bucket>>>,
    /// The same holds for these.
    usages: Mutex<HashMap<Subject, Arc<Usage>>>,
    /// The terms in force, for those who are no workers.
    terms: RwLock<Arc<LimitTerms>>,
    /// In which groups those were who have been taken away since.
    former: Mutex<Former>,
    refused: [AtomicU64; Refusal::ALL.len()],
    news: Mutex<VecDeque<News>>,
    has_news: AtomicBool,
    warned: AtomicU64,
    exhausted: AtomicU64,
}

/// Whose bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shared {
    /// Of a limit on bandwidth: its name, the way, and the user who has it for himself.
    Bandwidth(Arc<str>, usize, Option<Box<str>>),
    /// What is left of a quota that is used up.
    Brake(Subject),
}

/// A quota has come to a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Whose.
    pub subject: Subject,
    /// Whether it is used up; else it is nearly.
    pub exhausted: bool,
}

/// A quota as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaState {
    /// What it is.
    pub terms: Arc<QuotaTerms>,
    /// Whose, where each user has it for himself.
    pub user: Option<Box<str>>,
    /// When its period began, milliseconds since the epoch.
    pub start_ms: i64,
    /// And when it ends.
    pub end_ms: i64,
    /// Octets since.
    pub used: u64,
}

impl QuotaState {
    /// Whether it is used up.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.used >= self.terms.octets
    }

    /// Whether that is told of which it is nearly.
    #[must_use]
    pub fn is_warned(&self) -> bool {
        self.used >= self.terms.warn_octets
    }
}

impl LimitPolicy {
    /// Takes a place for a connection from this address, where those are counted.
    ///
    /// # Errors
    /// [`Refusal`], counted.
    pub fn at_door(&self, client: IpAddr, now: Instant) -> Result<Option<Box<Stay>>, Refusal> {
        let LimitTerms { connections_per_address: most, connection_rate, .. } = &*self.terms;
        if *most == 0 && connection_rate.is_none() {
            return Ok(None);
        }
        let client = block(client);
        if let Some(rate) = connection_rate
            && !self.limits.rates.take(client, *rate, now)
        {
            return Err(self.limits.refuse(Refusal::AddressRate));
        }
        if *most == 0 {
            return Ok(None);
        }
        if !self.limits.addresses.enter(client, *most) {
            return Err(self.limits.refuse(Refusal::AddressConnections));
        }
        Ok(Some(self.stay(Some(client), None)))
    }

    /// Takes a place for a session of this client, where those are counted.
    ///
    /// # Errors
    /// [`Refusal`], counted; also when a quota of his is used up.
    pub fn enter(
        &self,
        identity: &Identity,
        utc_ms: impl Fn() -> i64,
    ) -> Result<Option<Box<Stay>>, Refusal> {
        let LimitTerms { connections_per_user: most, quotas, .. } = &*self.terms;
        for quota in quotas.iter().filter(|quota| quota.brake.is_none()) {
            if quota.whom.includes(identity) {
                let usage = self.limits.find_usage(&quota.subject(identity.user()));
                if usage.is_some_and(|usage| usage.used(utc_ms()) >= quota.octets) {
                    return Err(self.limits.refuse(Refusal::Quota));
                }
            }
        }
        if *most == 0 {
            return Ok(None);
        }
        if !self.limits.users.enter(identity.user().into(), *most) {
            return Err(self.limits.refuse(Refusal::UserSessions));
        }
        Ok(Some(self.stay(None, Some(identity.user().into()))))
    }

    /// The place at the door of one who is inside already: he is counted however many there are.
    #[must_use]
    pub fn counted_at_door(&self, client: IpAddr) -> Option<Box<Stay>> {
        let client = block(client);
        let counts = self.terms.connections_per_address > 0;
        (counts && self.limits.addresses.enter(client, u32::MAX))
            .then(|| self.stay(Some(client), None))
    }

    /// The same of his session.
    #[must_use]
    pub fn counted(&self, identity: &Identity) -> Option<Box<Stay>> {
        let user = identity.user();
        let counts = self.terms.connections_per_user > 0;
        (counts && self.limits.users.enter(user.into(), u32::MAX))
            .then(|| self.stay(None, Some(user.into())))
    }

    /// What holds a session of this client back, which a rule may have named a limit for; `None` if
    /// nothing does.
    #[must_use]
    pub fn throttle(
        &self,
        identity: &Identity,
        named: Option<&str>,
        now: Now,
    ) -> Option<Box<Throttle>> {
        let LimitTerms { bandwidths, quotas, .. } = &*self.terms;
        if bandwidths.is_empty() && quotas.is_empty() {
            return None;
        }
        let mut throttle = Throttle::new(Arc::clone(&self.limits));
        for bandwidth in bandwidths {
            if named == Some(&*bandwidth.name) || bandwidth.whom.includes(identity) {
                self.draw(&mut throttle, bandwidth, identity, now.mono);
            }
        }
        for quota in quotas.iter().filter(|quota| quota.whom.includes(identity)) {
            let subject = quota.subject(identity.user());
            let brake = quota
                .brake
                .map(|rate| self.limits.bucket(Shared::Brake(subject.clone()), rate, now.mono));
            throttle.count_for(Metered {
                usage: self.limits.usage(subject, now.utc_ms),
                counted: quota.counted,
                octets: quota.octets,
                warn_octets: quota.warn_octets,
                brake,
                braked: false,
            });
        }
        (!throttle.is_idle()).then(|| Box::new(throttle))
    }

    /// What holds back, beside [that](Self::throttle), the part of a session of this client for which a
    /// rule has named this limit; `None` if nothing does, or if all of the session is under it.
    #[must_use]
    pub fn throttle_of_rule(
        &self,
        identity: &Identity,
        named: &str,
        now: Now,
    ) -> Option<Box<Throttle>> {
        let mut bandwidths = self.terms.bandwidths.iter();
        let bandwidth = bandwidths.find(|bandwidth| *bandwidth.name == *named)?;
        if bandwidth.whom.includes(identity) {
            return None;
        }
        let mut throttle = Throttle::new(Arc::clone(&self.limits));
        self.draw(&mut throttle, bandwidth, identity, now.mono);
        (!throttle.is_idle()).then(|| Box::new(throttle))
    }

    /// Has a session of this client draw from the buckets of a limit, of each way that it limits.
    fn draw(
        &self,
        throttle: &mut Throttle,
        bandwidth: &BandwidthTerms,
        identity: &Identity,
        now: Instant,
    ) {
        let name = || Arc::clone(&bandwidth.name);
        let user = (bandwidth.per == Per::User).then(|| identity.user().into());
        for (way, rate) in bandwidth.rates.into_iter().enumerate() {
            let Some(rate) = rate else { continue };
            match bandwidth.per {
                Per::Session => {
                    let bucket = Arc::new(Bucket::new(rate, now));
                    throttle.draw_from(way, Arc::clone(&bucket));
                    throttle.owns(Own { name: name(), way, rate, bucket });
                }
                Per::User | Per::All => {
                    let shared = Shared::Bandwidth(name(), way, user.clone());
                    throttle.draw_from(way, self.limits.bucket(shared, rate, now));
                }
            }
        }
    }

    fn stay(&self, address: Option<IpAddr>, user: Option<Box<str>>) -> Box<Stay> {
        Box::new(Stay { limits: Arc::clone(&self.limits), address, user })
    }
}

impl Limits {
    /// These terms are in force from now on (milliseconds since the epoch). Quotas of users who are
    /// named are shown from here on, used or not; one that is used up by now and was not before is told.
    pub fn adopt(&self, terms: &Arc<LimitTerms>, utc_ms: i64) {
        let before = mem::replace(&mut *self.terms.write(), Arc::clone(terms));
        if !Arc::ptr_eq(&before.users, &terms.users) {
            self.former.lock().take_leave(&before.users, &terms.users, utc_ms);
        }
        for quota in &terms.quotas {
            if !quota.per_user {
                self.usage(quota.subject(""), utc_ms);
            }
            for user in quota.whom.users.iter().filter(|_| quota.per_user) {
                self.usage(quota.subject(user), utc_ms);
            }
        }
        if before.quotas != terms.quotas {
            self.tell_what_is_lowered(&before, terms, utc_ms);
        }
        // What nobody holds any more and nobody will find again.
        let named = |name: &str| terms.bandwidths.iter().any(|known| *known.name == *name);
        self.buckets.lock().retain(|shared, bucket| {
            Arc::strong_count(bucket) > 1
                || match shared {
                    Shared::Bandwidth(name, ..) => named(name),
                    Shared::Brake(subject) => terms.quotas.iter().any(|it| it.is_of(subject)),
                }
        });
    }

    /// Tells of quotas that have come to a mark because that has come to them.
    fn tell_what_is_lowered(&self, before: &LimitTerms, after: &LimitTerms, utc_ms: i64) {
        let usages: Vec<_> = self.usages.lock().values().cloned().collect();
        for usage in usages {
            let (subject, used) = (usage.subject(), usage.used(utc_ms));
            let Some(quota) = after.quota_of(subject) else { continue };
            let is_about = |user: &str| quota.whom.includes(&after.users.supposed(user, &[]));
            if !subject.user.as_deref().is_none_or(is_about) {
                continue;
            }
            let was = |mark: fn(&QuotaTerms) -> u64| {
                before.quota_of(subject).is_some_and(|quota| used >= mark(quota))
            };
            if used >= quota.octets {
                if !was(|quota| quota.octets) {
                    self.passed(&usage, true);
                }
            } else if used >= quota.warn_octets && !was(|quota| quota.warn_octets) {
                self.passed(&usage, false);
            }
        }
    }

    /// Adds what an earlier process has counted for a subject in the period that began at `start_ms`, if
    /// that is the running one; both in milliseconds since the epoch.
    pub fn restore(&self, subject: &str, start_ms: i64, octets: u64, utc_ms: i64) {
        let Ok(subject) = subject.parse::<Subject>() else { return };
        if subject.period.number(start_ms) == subject.period.number(utc_ms) {
            self.usage(subject, utc_ms).add(octets, utc_ms);
        }
    }

    /// What so many octets of a user count for, at this moment (milliseconds since the epoch): subjects,
    /// the beginnings of their periods, and what counts.
    #[must_use]
    pub fn booked(
        &self,
        user: &str,
        (sent, received): (u64, u64),
        utc_ms: i64,
    ) -> Vec<(Subject, i64, u64)> {
        let terms = self.terms();
        if terms.quotas.is_empty() {
            return Vec::new();
        }
        // The last octets of somebody who has been taken away are his group's still.
        let is_known = terms.users.has(user) || terms.users.service_for(user.as_bytes()).is_some();
        let former = if is_known { None } else { self.former.lock().find(user, utc_ms) };
        let identity = former.unwrap_or_else(|| terms.users.supposed(user, &[]));
        let quotas = terms.quotas.iter().filter(|quota| quota.whom.includes(&identity));
        let booked = quotas.filter_map(|quota| {
            let octets = quota.counted.of(sent, received);
            let start_ms = quota.period.start_ms(quota.period.number(utc_ms));
            (octets > 0).then(|| (quota.subject(user), start_ms, octets))
        });
        booked.collect()
    }

    /// Whether there are quotas at all.
    #[must_use]
    pub fn has_quotas(&self) -> bool {
        !self.terms.read().quotas.is_empty()
    }

    /// All quotas as they stand at this moment, sorted by name and user.
    #[must_use]
    pub fn quotas(&self, utc_ms: i64) -> Vec<QuotaState> {
        let mut states = Vec::new();
        self.each_quota(utc_ms, None, |quota| states.push(quota));
        states.sort_unstable_by(|a, b| (&a.terms.name, &a.user).cmp(&(&b.terms.name, &b.user)));
        states
    }

    /// Shows all quotas as they stand at this moment, or those that a user has for himself, in no order.
    pub fn each_quota(&self, utc_ms: i64, user: Option<&str>, mut show: impl FnMut(QuotaState)) {
        let terms = self.terms();
        let is_asked_for =
            |usage: &&Arc<Usage>| user.is_none() || user == usage.subject().user.as_deref();
        let usages: Vec<_> = self.usages.lock().values().filter(is_asked_for).cloned().collect();
        for usage in usages {
            let Some(quota) = terms.quota_of(usage.subject()) else { continue };
            let number = quota.period.number(utc_ms);
            show(QuotaState {
                terms: Arc::clone(quota),
                user: usage.subject().user.clone(),
                start_ms: quota.period.start_ms(number),
                end_ms: quota.period.start_ms(number + 1),
                used: usage.used(utc_ms),
            });
        }
    }

    /// What quotas have come to since this was asked last.
    #[must_use]
    pub fn news(&self) -> Vec<News> {
        if !self.has_news.swap(false, Relaxed) {
            return Vec::new();
        }
        self.news.lock().drain(..).collect()
    }

    /// Who was not let in, in the order of [`Refusal::ALL`].
    #[must_use]
    pub fn refused(&self) -> [u64; Refusal::ALL.len()] {
        std::array::from_fn(|index| self.refused[index].load(Relaxed))
    }

    /// How often a quota was nearly used up, and how often it was used up.
    #[must_use]
    pub fn marks(&self) -> (u64, u64) {
        (self.warned.load(Relaxed), self.exhausted.load(Relaxed))
    }

    /// Clients whose rate was forgotten before its time, because too many had come of late.
    #[must_use]
    pub fn rates_pushed_out(&self) -> u64 {
        self.rates.pushed_out()
    }

    /// A quota has come to a mark.
    pub(super) fn passed(&self, usage: &Usage, exhausted: bool) {
        (if exhausted { &self.exhausted } else { &self.warned }).fetch_add(1, Relaxed);
        let mut news = self.news.lock();
        if news.len() < NEWS_MAX {
            news.push_back(News { subject: usage.subject().clone(), exhausted });
            self.has_news.store(true, Relaxed);
        }
    }

    pub(super) fn leave(&self, address: Option<IpAddr>, user: Option<&str>) {
        if let Some(address) = address {
            self.addresses.leave(&address);
        }
        if let Some(user) = user {
            self.users.leave(user);
        }
    }

    fn refuse(&self, why: Refusal) -> Refusal {
        self.refused[why as usize].fetch_add(1, Relaxed);
        why
    }

    fn terms(&self) -> Arc<LimitTerms> {
        Arc::clone(&self.terms.read())
    }

    fn bucket(&self, shared: Shared, rate: Rate, now: Instant) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(shared).or_insert_with(|| Arc::new(Bucket::new(rate, now)));
        bucket.change(rate);
        Arc::clone(bucket)
    }

    fn find_usage(&self, subject: &Subject) -> Option<Arc<Usage>> {
        self.usages.lock().get(subject).cloned()
    }

    fn usage(&self, subject: Subject, utc_ms: i64) -> Arc<Usage> {
        let mut usages = self.usages.lock();
        let new = || Arc::new(Usage::new(subject.clone(), utc_ms));
        Arc::clone(usages.entry(subject.clone()).or_insert_with(new))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            users: Counts::new(),
            addresses: Counts::new(),
            rates: Rates::new(),
            buckets: Mutex::default(),
            usages: Mutex::default(),
            terms: RwLock::default(),
            former: Mutex::default(),
            refused: Default::default(),
            news: Mutex::default(),
            has_news: AtomicBool::new(false),
            warned: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
        }
    }
}

/// News that wait to be told at most; what comes beyond is counted and not told.
const NEWS_MAX: usize = 1024;

#[cfg(test)]
mod tests;
