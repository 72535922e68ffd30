//! An association as a worker has it, with the agenda in place of its sockets.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustsocks::connection::{Facts, Patience, Standing};
use rustsocks::key::Key;
use rustsocks::policy::Policy;
use rustsocks::session::{Outcome, Traffic};
use rustsocks::socks::{Command, Datagram, Request};
use rustsocks::udp::{Association, Step};

use crate::agenda::{Answer, Happening};
use crate::connection::{Connection, Fate, Link, set_late_facts};
use crate::odds::plan_answers;
use crate::permits::may_reach;
use crate::world::Kit;

pub(crate) struct Associated {
    pub(crate) association: Association,
    pub(crate) facts: Facts,
    pub(crate) patience: Patience,
    traffic: Traffic,
    /// Where the client sends from, once it has.
    sender: Option<SocketAddr>,
    /// Hosts that were sent to.
    written: BTreeSet<IpAddr>,
}

impl Associated {
    pub(crate) fn new(
        association: Association,
        facts: Facts,
        idle: Duration,
        now: Instant,
    ) -> Self {
        Self {
            association,
            facts,
            patience: Patience::new(now, idle, idle),
            traffic: Traffic::default(),
            sender: None,
            written: BTreeSet::new(),
        }
    }

    /// Whether it may go on under another policy.
    pub(crate) fn renew(&mut self, opened: bool, policy: &Arc<Policy>, now: Instant) -> bool {
        let mut permitted = true;
        if opened && let (Some(target), Some(identity)) = (&self.facts.target, &self.facts.identity)
        {
            let request = Request { command: Command::UdpAssociate, target: target.clone() };
            let (client, identity) = (self.association.client(), identity.clone());
            let address = self.facts.resolved;
            let mut standing = Standing { identity, client, request, address, judged_at: None };
            permitted = standing.renew(policy, now).is_ok();
        }
        permitted && self.association.renew(policy, now)
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.patience.deadline()
    }

    pub(crate) const fn has_relayed(&self) -> bool {
        self.traffic.packets_sent > 0 || self.traffic.packets_received > 0
    }
}

impl Connection {
    /// What comes on the control connection means nothing, but its end.
    pub(crate) fn advance_control(&mut self, kit: &mut Kit) -> Fate {
        let mut dropped = [0; 64];
        let outcome = loop {
            match self.client.read(&mut dropped) {
                Ok(0) => break Outcome::ClientClosed,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Wait,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    break Outcome::ClientReset;
                }
                Err(_) => break Outcome::ClientLost,
            }
        };
        let refusal = match &mut self.link {
            Link::Associated(associated) if !self.opened => {
                let refusal = associated.association.refusal().cloned();
                if let Some(refusal) = &refusal {
                    associated.facts.target = Some(refusal.target.clone());
                    associated.facts.ruling.clone_from(&refusal.ruling);
                }
                refusal
            }
            Link::Front(_) | Link::Relaying(_) | Link::Associated(_) | Link::Parting(_) => None,
        };
        self.settle(refusal.map_or(outcome, |refusal| refusal.outcome), false, kit);
        Fate::Release
    }

    /// A datagram of the client, or one that was kept.
    pub(crate) fn datagram(
        &mut self,
        source: Option<SocketAddr>,
        octets: &[u8],
        key: Key,
        kit: &mut Kit,
    ) {
        let now = kit.agenda.now;
        // Once for each address that a name can have.
        for _ in 0..16 {
            let Link::Associated(associated) = &mut self.link else { return };
            // As a worker does before each portion: it may have been made under another policy.
            if !associated.association.renew(&kit.policy, kit.agenda.now) {
                return;
            }
            if associated.sender.is_none() && Datagram::split(octets).is_ok() {
                associated.sender = source;
            }
            let step = match source {
                Some(source) => associated.association.upload(source, octets, now),
                None => associated.association.upload_kept(octets, now),
            };
            let (to, length, opening) = match step {
                Step::Send { permit, target, ruling, payload, beside, .. } => {
                    if let Some(question) = beside {
                        plan_answers((key, self.number), question.query, kit);
                    }
                    let mut facts = associated.facts.clone();
                    facts.target = Some(target.clone());
                    facts.ruling = Some(ruling.clone());
                    facts.resolved = Some(permit.address().ip());
                    (permit.address(), payload.len(), facts)
                }
                Step::Ask(question) => {
                    return plan_answers((key, self.number), question.query, kit);
                }
                Step::Kept | Step::Drop(_) => return,
            };
            let first = source.is_none() || source == associated.sender;
            assert!(first, "a datagram of another port than the first is sent");
            let client = self.address.ip();
            let far = SocketAddr::from(([127, 0, 0, 1], 1));
            let request = Request { command: Command::UdpAssociate, target: far.into() };
            let nobody = IpAddr::from([198, 51, 100, 1]);
            let identity = kit.policy.anonymous.clone();
            let guarded = kit.policy.acl.on_request(&identity, nobody, &request, now).is_err();
            assert!(!guarded || may_reach(client, to.ip()), "{client} may not reach {to}");
            if !self.opened {
                self.open(&opening, key, kit);
                let live = self.session.as_ref().expect("just opened");
                set_late_facts(&live.slot, &opening);
            }
            let Link::Associated(associated) = &mut self.link else { return };
            // The session's target is that of its first datagram that was permitted.
            if associated.facts.target.is_none() {
                associated.facts = opening;
            }
            // The kernel has no way to it now and then.
            if kit.dice.chance(10) {
                if associated.association.pass_over(octets, to.ip(), now) {
                    continue;
                }
                return;
            }
            associated.association.wrote(to.ip(), now);
            associated.written.insert(to.ip());
            associated.patience.progressed(now);
            associated.traffic.packets_sent += 1;
            associated.traffic.bytes_sent += length as u64;
            kit.parties[self.number].datagrams[0] += 1;
            kit.parties[self.number].datagram_octets[0] += length as u64;
            kit.told.datagrams += 1;
            kit.agenda.plan(kit.dice.below(500), Happening::TargetDatagram(self.number));
            self.publish(kit);
            return;
        }
        panic!("a name has more addresses than a name can have");
    }

    pub(crate) fn resolved_for_datagrams(
        &mut self,
        query: u32,
        (answer, more): Answer,
        key: Key,
        kit: &mut Kit,
    ) {
        let Link::Associated(associated) = &mut self.link else { return };
        for kept in associated.association.answered(query, answer, more, kit.agenda.now) {
            self.datagram(None, &kept, key, kit);
        }
    }

    /// Somebody sends to the association: a host that was sent to, or a stranger.
    pub(crate) fn answer_datagram(&mut self, kit: &mut Kit) {
        let Link::Associated(associated) = &mut self.link else { return };
        let mut hosts: Vec<IpAddr> = associated.written.iter().copied().collect();
        hosts.push([192, 0, 2, 66].into());
        let source = SocketAddr::new(kit.dice.pick(&hosts), 53);
        let length = kit.dice.below(60);
        match associated.association.download(source, kit.agenda.now) {
            Ok(client) => {
                assert!(associated.written.contains(&source.ip()), "{source} was not sent to");
                assert_eq!(Some(client), associated.sender);
                associated.patience.progressed(kit.agenda.now);
                associated.traffic.packets_received += 1;
                associated.traffic.bytes_received += length;
                kit.parties[self.number].datagrams[1] += 1;
                kit.parties[self.number].datagram_octets[1] += length;
                self.publish(kit);
            }
            Err(_) => {
                // Five minutes are more than a world has, but not than one that waits for its end.
                assert!(!associated.written.contains(&source.ip()), "{source} may answer");
            }
        }
    }

    fn publish(&self, kit: &Kit) {
        let Link::Associated(associated) = &self.link else { return };
        if let Some(live) = &self.session {
            let now_ms = kit.agenda.clocks().utc_ms;
            live.slot.reference().publish(associated.traffic, now_ms);
        }
    }
}
