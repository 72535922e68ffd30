//! A portion of the datagrams of an association: what has come together is judged one by one, leaves
//! together, and is booked one by one, as far as the kernel has taken it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use smallvec::SmallVec;

use super::close;
use super::connection::{CLIENT_SOCKET, Connection, Fate, Link, Live};
use super::kit::Kit;
use super::passage::moved;
use super::udp::{Associated, drop_control};
use super::udp_leaving::{Leaving, Load};
use super::udp_targets::FAMILIES;
use crate::key::Key;
use crate::linux::batch::{BATCH_MAX, Batch, Parcel};
use crate::relay::Direction;
use crate::resolve::{ADDRESSES_MAX, Answered, Asker};
use crate::session::{Outcome, Traffic};
use crate::socks::{DATAGRAM_HEADER_OCTETS_MAX, Datagram};
use crate::udp::{Dropped, Limit, Question, Step};

/// The datagrams of a worker that have come together: one batch at a time.
pub(super) type Datagrams = Batch<DATAGRAM_HEADER_OCTETS_MAX>;

impl Connection {
    pub(super) fn advance_association(&mut self, key: Key, kit: &mut Kit) -> Fate {
        let control = match drop_control(&mut self.client) {
            Ok(more) => more,
            Err(outcome) => {
                self.settle(outcome, kit);
                return Fate::Release;
            }
        };
        let Link::Associated(associated) = &mut self.link else { return Fate::Again };
        if !associated.follow(&kit.policy, kit.now) {
            self.cut(Outcome::PolicyChanged, kit);
            return Fate::Release;
        }
        if associated.overflow_at <= kit.now.mono {
            associated.count_overflow(kit.now.mono, &kit.counters);
        }
        let Ok(allowed) = associated.allowed(kit.now) else {
            self.cut(Outcome::QuotaExceeded, kit);
            return Fate::Release;
        };
        let (before, named) = (associated.traffic, associated.limits.named());
        // One that a panic has lost is made anew.
        let mut batch = std::mem::take(&mut kit.datagrams);
        let upload = self.upload(allowed[0], &mut batch, key, kit);
        let mut download = false;
        // Nobody has asked one that was named just now how much may pass.
        let mut left = if self.has_named_beyond(named) { 0 } else { allowed[1] };
        for family in 0..FAMILIES {
            download |= self.download(family, &mut left, &mut batch, kit);
        }
        kit.datagrams = batch;
        let [upload, download] = self.publish(&before, [upload, download], kit);
        if control || upload || download { Fate::Again } else { Fate::Wait }
    }

    /// Carries a portion of the client's datagrams, until so many octets have come; whether there may be
    /// more.
    fn upload(&mut self, allowed: u64, batch: &mut Datagrams, key: Key, kit: &mut Kit) -> bool {
        let mut left = allowed;
        let mut count = 0;
        while count < DATAGRAMS_PER_TURN {
            let Link::Associated(associated) = &mut self.link else { return false };
            if left == 0 {
                return associated.client.may_read();
            }
            let named = associated.limits.named();
            // Where rules name limits, each may be the first that has to pay for one.
            let most = match kit.policy.acl.names_bandwidths() {
                true => 1,
                false => associated.most(left).min(DATAGRAMS_PER_TURN - count),
            };
            let Some(came) = associated.client.receive(most, batch) else { return false };
            count += came.max(1);
            left = left.saturating_sub(octets(batch));
            let datagrams = batch.sources().map(Some).zip(batch.datagrams());
            self.carry(datagrams, key, kit);
            if self.has_named_beyond(named) {
                return true;
            }
        }
        true
    }

    /// Whether rules have named a limit for it beyond so many.
    fn has_named_beyond(&self, count: usize) -> bool {
        matches!(&self.link, Link::Associated(associated) if associated.limits.named() > count)
    }

    /// Carries a portion of what came from targets, until no octets are `left`; whether there may be more.
    fn download(
        &mut self,
        family: usize,
        left: &mut u64,
        batch: &mut Datagrams,
        kit: &Kit,
    ) -> bool {
        let mut count = 0;
        while count < DATAGRAMS_PER_TURN {
            let Link::Associated(associated) = &mut self.link else { return false };
            let most = associated.most(*left).min(DATAGRAMS_PER_TURN - count);
            let Some(end) = associated.targets.end(family) else { return false };
            if *left == 0 {
                return end.may_read();
            }
            let Some(came) = end.receive(most, batch) else { return false };
            count += came.max(1);
            *left = left.saturating_sub(octets(batch));
            associated.deliver(batch, self.session.as_ref(), kit);
        }
        true
    }

    /// Does what the association says about datagrams of the client: those that came from somewhere, or
    /// some that it had kept.
    fn carry<'b>(
        &mut self,
        datagrams: impl Iterator<Item = (Option<SocketAddr>, &'b [u8])>,
        key: Key,
        kit: &mut Kit,
    ) {
        let mut leaving = Leaving::default();
        for (source, whole) in datagrams {
            let Some(load) = self.judge(source, whole, key, kit) else { continue };
            if !leaving.fits(&load) {
                self.send(&mut leaving, key, kit);
            }
            leaving.put(load);
        }
        self.send(&mut leaving, key, kit);
    }

    /// Does what the association says about a datagram of the client, unless it is to be sent.
    fn judge<'b>(
        &mut self,
        source: Option<SocketAddr>,
        whole: &'b [u8],
        key: Key,
        kit: &mut Kit,
    ) -> Option<Load<'b>> {
        let now = kit.now.mono;
        let Link::Associated(associated) = &mut self.link else { return None };
        // Once for each address that a name can have.
        for _ in 0..ADDRESSES_MAX {
            let step = match source {
                Some(source) => associated.association.upload(source, whole, now),
                None => associated.association.upload_kept(whole, now),
            };
            let load = match step {
                Step::Send { permit, target, ruling, limit, payload, beside } => {
                    if !self.opened {
                        self.opened = true;
                        let facts = &mut associated.facts;
                        facts.target = Some(target.clone());
                        facts.ruling = Some(ruling.clone());
                        facts.resolved = Some(permit.address().ip());
                        facts.policy_generation = kit.policy.generation;
                        facts.judged_at = Some(now);
                        let came = (self.address, self.accepted.utc_ms);
                        let anonymous = &associated.policy.anonymous;
                        self.session = Live::open(facts, anonymous, came, key, kit);
                        if let Some(live) = &self.session {
                            close::set_late_facts(&live.slot, facts);
                        }
                    }
                    let number = limit.map(|limit| limit.number);
                    let load = Load::new(permit, whole, payload.len(), number);
                    if let Some(Limit { number, name }) = limit
                        && number >= associated.limits.named()
                    {
                        let name = Arc::clone(name);
                        associated.name_limit(&name, kit.now);
                    }
                    if let Some(question) = beside {
                        ask(&question, associated.association.client(), key, kit);
                    }
                    load
                }
                Step::Ask(question) => {
                    ask(&question, associated.association.client(), key, kit);
                    return None;
                }
                Step::Kept => return None,
                Step::Drop(dropped) => {
                    count(dropped, kit);
                    return None;
                }
            };
            // The client's two have theirs.
            let seat = (&mut self.seat, CLIENT_SOCKET + 1);
            match associated.targets.make(load.to(), seat, key, kit) {
                Ok(()) => return Some(load),
                Err(Dropped::Unreachable)
                    if associated.association.pass_over(whole, load.to().ip(), now) => {}
                Err(dropped) => {
                    count(dropped, kit);
                    return None;
                }
            }
        }
        count(Dropped::Unreachable, kit);
        None
    }

    /// Sends what leaves together, and whatever there is no way for once more by itself, to the other
    /// addresses of its target.
    fn send(&mut self, leaving: &mut Leaving<'_>, key: Key, kit: &mut Kit) {
        let Link::Associated(associated) = &mut self.link else { return };
        let results = leaving.send(&associated.targets);
        for (load, result) in leaving.loads().iter().zip(results) {
            match result {
                Ok(()) => self.sent(load, kit),
                Err(Dropped::Unreachable) => self.send_round(*load, key, kit),
                Err(dropped) => count(dropped, kit),
            }
        }
        leaving.clear();
    }

    fn send_round(&mut self, mut load: Load<'_>, key: Key, kit: &mut Kit) {
        for _ in 0..ADDRESSES_MAX {
            let Link::Associated(associated) = &mut self.link else { return };
            let (whole, to) = (load.whole(), load.to().ip());
            if !associated.association.pass_over(whole, to, kit.now.mono) {
                break;
            }
            let Some(next) = self.judge(None, whole, key, kit) else { return };
            let Link::Associated(associated) = &mut self.link else { return };
            match associated.targets.send(next.to(), &[next.parcel()]).pop() {
                Some(Ok(())) => return self.sent(&next, kit),
                Some(Err(Dropped::Unreachable)) | None => load = next,
                Some(Err(dropped)) => return count(dropped, kit),
            }
        }
        count(Dropped::Unreachable, kit);
    }

    /// The kernel has taken a datagram.
    fn sent(&mut self, load: &Load<'_>, kit: &Kit) {
        let Link::Associated(associated) = &mut self.link else { return };
        associated.association.wrote(load.to().ip(), kit.now.mono);
        kit.counters.datagrams_sent.add(1);
        if !associated.has_relayed() {
            associated.first_byte_since = Some(kit.now.mono);
        }
        let (session, octets) = (self.session.as_ref(), load.payload().len());
        if let Some(number) = load.limit() {
            associated.limits.sent(number, octets);
        }
        associated.book(Direction::Upload, octets, session, kit);
    }

    /// The answer to a look-up of the association.
    pub(super) fn resolved_for_datagrams(&mut self, answered: Answered, kit: &mut Kit) -> Fate {
        let Answered { key, query, answer, more } = answered;
        let Link::Associated(associated) = &mut self.link else { return Fate::Again };
        // What was kept is judged by the policy in force, by which this one may not have been judged yet;
        // whoever may not go on is ended when it is.
        if !associated.follow(&kit.policy, kit.now) {
            return Fate::Wait;
        }
        // It ends in its next turn, and so do those that were kept.
        if associated.is_exhausted(kit.now) {
            return Fate::Again;
        }
        let (before, may_read) = (associated.traffic, associated.may_read());
        let kept = associated.association.answered(query, answer, more, kit.now.mono);
        self.carry(kept.iter().map(|whole| (None, &**whole)), key, kit);
        // What has come and waits for its turn still does, and no event tells of it if that is here or
        // another policy has taken away what it waited for.
        let [upload, download] = self.publish(&before, may_read, kit);
        if upload || download { Fate::Again } else { Fate::Wait }
    }

    /// At the end of each portion in which anything moved, so that a session that has gone quiet never
    /// shows old figures. Which directions have `more` that need not wait.
    fn publish(&mut self, before: &Traffic, mut more: [bool; 2], kit: &Kit) -> [bool; 2] {
        let Link::Associated(associated) = &mut self.link else { return more };
        let passed = moved(before, &associated.traffic);
        close::count_traffic(&kit.counters, &passed);
        associated.charge(&passed, &mut more, kit.now);
        let shadowed = associated.association.count_judged(kit.index);
        if shadowed > 0 {
            kit.counters.shadow_blocks.add(shadowed);
        }
        if associated.unpublished > 0 {
            associated.unpublished = 0;
            if let Some(live) = &self.session {
                live.slot.reference().publish(associated.traffic, kit.now.utc_ms);
            }
        }
        more
    }
}

impl Associated {
    /// How many datagrams may be taken together when so many octets may pass: where its client has to
    /// pay for them, no more than one beyond that.
    fn most(&self, left: u64) -> usize {
        if !self.is_throttled() {
            return BATCH_MAX;
        }
        let whole = usize::try_from(left / DATAGRAM_OCTETS_MAX).unwrap_or(BATCH_MAX);
        (whole + 1).min(BATCH_MAX)
    }

    /// Sends the client what came from targets.
    fn deliver(&mut self, batch: &mut Datagrams, session: Option<&Live>, kit: &Kit) {
        batch.head(Datagram::write_header);
        let mut parcels: SmallVec<[Parcel<'_>; BATCH_MAX]> = SmallVec::new();
        let mut payloads: SmallVec<[usize; BATCH_MAX]> = SmallVec::new();
        for ((source, octets), length) in
            batch.sources().zip(batch.datagrams()).zip(batch.lengths())
        {
            match self.association.download(source, kit.now.mono) {
                Ok(to) => {
                    parcels.push(Parcel { to, octets });
                    payloads.push(length);
                }
                Err(dropped) => count(dropped, kit),
            }
        }
        for (result, length) in self.client.send(&parcels).into_iter().zip(&payloads) {
            match result {
                Ok(()) => {
                    kit.counters.datagrams_received.add(1);
                    self.book(Direction::Download, *length, session, kit);
                }
                Err(dropped) => count(dropped, kit),
            }
        }
    }
}

fn ask(question: &Question, client: IpAddr, key: Key, kit: &mut Kit) {
    let asker = Asker { key, query: question.query, client };
    kit.resolver.ask(&question.name, asker, kit.now.mono);
}

/// Octets that came in a batch.
fn octets(batch: &Datagrams) -> u64 {
    batch.datagrams().map(|datagram| datagram.len() as u64).sum()
}

fn count(dropped: Dropped, kit: &Kit) {
    kit.counters.datagrams_dropped[dropped.index()].add(1);
}

/// Datagrams of one association carried per turn, from each side.
const DATAGRAMS_PER_TURN: usize = 64;
/// The longest datagram that there can be (RFC 768).
const DATAGRAM_OCTETS_MAX: u64 = 65_535;
