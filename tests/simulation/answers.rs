//! What comes back from outside reaches the connection that asked, or is late.

use std::net::SocketAddr;

use rustsocks::auth::Verdict;
use rustsocks::connection::{Attempt, ConnectError, Input, Next};
use rustsocks::key::Key;

use crate::agenda::Answer;
use crate::connection::{Connection, Fate, Link};
use crate::odds::connect;
use crate::world::Kit;

impl Connection {
    pub(crate) fn attempt_ended(&mut self, attempt: Attempt, kit: &mut Kit) -> Option<Next> {
        let Link::Front(front) = &mut self.link else { return None };
        let dialling = front.attempts[attempt as usize].as_ref()?;
        let (result, address) = (dialling.result?, dialling.address);
        match result {
            Ok(()) => {
                // The other one has lost.
                front.attempts = [None, None];
                front.peer = Some(connect(self.number, kit));
                let local = "192.0.2.1:4660".parse().unwrap();
                Some(front.ask(Input::Connected { attempt, reached: address, local }, kit))
            }
            Err(error) => {
                front.attempts[attempt as usize] = None;
                Some(front.ask(Input::Unreachable { attempt, error }, kit))
            }
        }
    }

    pub(crate) fn dialled(
        &mut self,
        attempt: Attempt,
        serial: u32,
        result: Result<(), ConnectError>,
        kit: &mut Kit,
    ) {
        let Link::Front(front) = &mut self.link else {
            kit.told.stale += 1;
            return;
        };
        match &mut front.attempts[attempt as usize] {
            Some(dialling) if dialling.serial == serial => dialling.result = Some(result),
            // It was dropped, and perhaps another has its name.
            Some(_) | None => kit.told.stale += 1,
        }
    }

    pub(crate) fn resolved(
        &mut self,
        number: usize,
        query: u32,
        (answer, more): Answer,
        key: Key,
        kit: &mut Kit,
    ) -> Fate {
        if let Some(fate) = self.reached(number, key, kit) {
            return fate;
        }
        match &mut self.link {
            Link::Front(front) if front.query == query => {
                if !more {
                    front.query = query.wrapping_add(1);
                }
                let party = &mut kit.parties[number];
                party.resolved.extend(answer.iter().flatten());
                let next = front.ask(Input::Resolved { answer, more }, kit);
                self.perform(next, key, kit)
            }
            Link::Associated(_) => {
                self.resolved_for_datagrams(query, (answer, more), key, kit);
                Fate::Wait
            }
            Link::Front(_) | Link::Relaying(_) | Link::Parting(_) => {
                kit.told.stale += 1;
                Fate::Wait
            }
        }
    }

    pub(crate) fn verified(
        &mut self,
        number: usize,
        verdict: Verdict,
        key: Key,
        kit: &mut Kit,
    ) -> Fate {
        if let Some(fate) = self.reached(number, key, kit) {
            return fate;
        }
        match &mut self.link {
            Link::Front(front) if front.verifying => {
                front.verifying = false;
                front.inbox.refresh();
                let next = front.ask(Input::Verdict(verdict), kit);
                kit.parties[number].logged_in = front.is_logged_in();
                self.perform(next, key, kit)
            }
            Link::Front(_) | Link::Relaying(_) | Link::Associated(_) | Link::Parting(_) => {
                kit.told.stale += 1;
                Fate::Wait
            }
        }
    }

    pub(crate) fn peer_comes(
        &mut self,
        number: usize,
        from: SocketAddr,
        key: Key,
        kit: &mut Kit,
    ) -> Fate {
        if let Some(fate) = self.reached(number, key, kit) {
            return fate;
        }
        let Link::Front(front) = &mut self.link else { return Fate::Wait };
        if !front.awaiting {
            return Fate::Wait;
        }
        let next = front.ask(Input::Accepted(from), kit);
        if matches!(next, Next::TurnAway) {
            return Fate::Wait;
        }
        self.check_address(from, kit);
        let Link::Front(front) = &mut self.link else { return Fate::Wait };
        front.awaiting = false;
        front.peer = Some(connect(number, kit));
        self.perform(next, key, kit)
    }

    /// Something from outside has come that is meant for this party; what becomes of the connection if
    /// it cannot go on under the policy in force.
    fn reached(&mut self, number: usize, key: Key, kit: &mut Kit) -> Option<Fate> {
        assert_eq!(self.number, number, "what comes reaches another generation");
        self.renew_front(key, kit)
    }
}
