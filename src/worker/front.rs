//! A connection up to its success reply: the machine, what was read and is to be written, and the
//! sockets that wait beside the client's.

mod advance;
mod association;
mod dialling;
mod login;
mod perform;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use mio::event::Event;

use self::dialling::Dialled;
pub(super) use self::dialling::count_lost_source;
use self::login::Held;
use super::binding::Awaiting;
use super::inbox::Inbox;
use super::kit::Kit;
use super::socket::Socket;
use super::udp_end::UdpEnd;
use crate::auth::RecentKey;
use crate::connection::{Attempt, Input, Machine, Next};
use crate::policy::Policy;
use crate::session::Outcome;
use crate::socks::Outbox;
use crate::udp::Association;

/// The machine with its buffers, and the sockets that it is dialling.
pub(super) struct Front {
    pub(super) machine: Machine,
    inbox: Inbox,
    outbox: Outbox,
    attempts: [Option<Dialled>; 2],
    /// The look-up that is being waited for; answers to others are late.
    query: u32,
    /// What the verdict that is being waited for is remembered under.
    recent: Option<RecentKey>,
    /// The policy under which it was asked for.
    asked_under: u64,
    /// When it was first asked for.
    asked_at: Option<Instant>,
    /// What a login waits for that is no verdict.
    held: Held,
    /// BIND: where the peer is awaited.
    pub(super) awaiting: Option<Awaiting>,
    /// The upstream socket, once there is one: the attempt that has won, or the peer of a BIND. Its
    /// relay begins when the success reply has left.
    pub(super) reached: Option<Socket>,
    /// The association that is to begin, with its socket towards the client.
    association: Option<(UdpEnd, Association)>,
    /// The machine waits for the outbox to leave.
    flushing: bool,
    /// What the rules said of the attempt is counted.
    counted: bool,
}

impl Front {
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            machine,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            attempts: [None, None],
            query: 0,
            recent: None,
            asked_under: 0,
            asked_at: None,
            held: Held::Nothing,
            awaiting: None,
            reached: None,
            association: None,
            flushing: false,
            counted: false,
        }
    }

    pub(super) fn note(&mut self, attempt: Attempt, event: &Event) {
        if let Some(dialled) = &mut self.attempts[attempt as usize] {
            dialled.socket.note(event);
        } else if let Some(upstream) = &mut self.reached {
            upstream.note(event);
        }
    }

    /// The sockets that it is dialling, or the one that it has reached.
    pub(super) fn upstreams(&self) -> [Option<&Socket>; 2] {
        let [a, b] = self.attempts.each_ref().map(|attempt| Some(&attempt.as_ref()?.socket));
        [self.reached.as_ref().or(a), b]
    }

    /// Sockets beside the client's.
    pub(super) fn sockets(&self) -> u32 {
        let attempts: u32 = self.attempts.iter().flatten().map(|_| 1).sum();
        attempts
            + u32::from(self.awaiting.is_some())
            + u32::from(self.reached.is_some())
            + u32::from(self.association.is_some())
    }

    /// Judges by another policy from now on.
    fn renew(&mut self, policy: &Arc<Policy>, now: Instant) -> Option<Next> {
        self.machine.renew(policy, now, &mut self.outbox)
    }

    /// Counts what the rules said about the attempt, once: when something was reached, or when it ends
    /// before that.
    pub(super) fn count_ruling(&mut self, kit: &Kit) {
        if std::mem::replace(&mut self.counted, true) {
            return;
        }
        let (facts, policy) = (self.machine.facts(), self.machine.policy());
        let Some(ruling) = &facts.ruling else { return };
        // The rules of an older policy have other numbers, and its counts are gone with it.
        if let Some(ruling) = facts.ruling_of(policy.generation) {
            policy.acl.count(kit.index, ruling);
        }
        if ruling.shadow.is_some() {
            kit.counters.shadow_blocks.add(1);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = self.machine.deadline()?;
        let paused = self.awaiting.as_ref().and_then(Awaiting::paused_until);
        [self.held.until(), paused].into_iter().flatten().chain([until]).min()
    }

    pub(super) fn ask(&mut self, input: Input<'_>, now: Instant) -> Next {
        self.machine.handle(input, now, &mut self.outbox).1
    }

    /// Shows the machine what the client sent.
    fn feed(&mut self, now: Instant) -> Next {
        let octets = Input::Bytes(self.inbox.show());
        let (used, next) = self.machine.handle(octets, now, &mut self.outbox);
        self.inbox.consume(used);
        next
    }

    /// The connection to the client broke. What it had said before is heard all the same, so that it is
    /// recorded; nothing of it is begun.
    fn broken(&mut self, outcome: Outcome, now: Instant) -> Next {
        if self.machine.wants_bytes() && self.inbox.is_fresh() {
            let next = self.feed(now);
            if matches!(next, Next::Refuse(_) | Next::End(_)) {
                return next;
            }
        }
        self.ask(Input::Gone(outcome), now)
    }

    /// Reads what the client sends, as far as there is room for it.
    fn fill(&mut self, client: &mut Socket) -> Result<(), Outcome> {
        while client.is_readable() && !self.inbox.has_ended() {
            let room = self.inbox.room();
            if room.is_empty() {
                // A reset is not to be read as long as octets are in front of it.
                return if client.is_broken() { Err(Outcome::ClientReset) } else { Ok(()) };
            }
            match client.read(room) {
                Ok(read) => self.inbox.filled(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Outcome::ClientReset);
                }
                Err(_) => return Err(Outcome::ClientLost),
            }
        }
        Ok(())
    }
}

/// Writes the outbox; whether it is empty now.
pub(super) fn flush(client: &mut Socket, outbox: &mut Outbox) -> io::Result<bool> {
    while !outbox.pending().is_empty() {
        match client.write(outbox.pending()) {
            Ok(written) => outbox.consume(written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
