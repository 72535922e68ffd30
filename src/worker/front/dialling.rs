//! The sockets that a connection dials, and what becomes of them.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::Front;
use crate::acl::Permit;
use crate::connection::{Attempt, ConnectError, Input, Next};
use crate::key::Key;
use crate::linux;
use crate::linux::outgoing::Outgoing;
use crate::worker::connection::{Connection, Link};
use crate::worker::kit::Kit;
use crate::worker::socket::Socket;
use crate::worker::token::{Role, Token};

/// A socket that connects to `address`.
pub(super) struct Dialled {
    pub(super) socket: Socket,
    address: SocketAddr,
}

impl Connection {
    /// Begins to connect to the permitted address.
    pub(super) fn dial(
        &mut self,
        permit: &Permit,
        attempt: Attempt,
        key: Key,
        kit: &Kit,
    ) -> Result<(), ConnectError> {
        if let Link::Front(front) = &mut self.link {
            // One of that name that is pending has had its time.
            front.attempts[attempt as usize] = None;
        }
        if !self.may_open_socket(kit) {
            return Err(ConnectError::NoRoom);
        }
        let Link::Front(front) = &mut self.link else { return Err(ConnectError::Other) };
        let Some(out) = front.machine.outlet().towards(permit.address().ip()) else {
            return Err(ConnectError::NetworkUnreachable);
        };
        match dial(permit, &out, attempt, key, kit) {
            Ok(socket) => {
                let address = permit.address();
                front.attempts[attempt as usize] = Some(Dialled { socket, address });
                Ok(())
            }
            Err(error) => {
                count_lost_source(&error, kit);
                Err(ConnectError::from(&error))
            }
        }
    }
}

/// Whether an attempt has succeeded or failed by now, and what the machine says to it. It is an attempt
/// no more then: the success reply may have to wait for the client, and what is made of it is said once.
pub(super) fn attempt_ended(front: &mut Front, attempt: Attempt, now: Instant) -> Option<Next> {
    let ended = front.attempts[attempt as usize].as_ref()?.socket.connected()?;
    let Dialled { socket, address } = front.attempts[attempt as usize].take()?;
    Some(match ended.and_then(|()| socket.stream().local_addr()) {
        Ok(local) => {
            // The other one, if there is one, has lost.
            front.attempts = [None, None];
            front.reached = Some(socket);
            front.ask(Input::Connected { attempt, reached: address, local }, now)
        }
        Err(error) => {
            let error = ConnectError::from(&error);
            front.ask(Input::Unreachable { attempt, error }, now)
        }
    })
}

fn dial(
    permit: &Permit,
    out: &Outgoing<'_>,
    attempt: Attempt,
    key: Key,
    kit: &Kit,
) -> io::Result<Socket> {
    let stream = linux::socket::dial(permit.address(), out)?;
    let role = match attempt {
        Attempt::A => Role::UpstreamA,
        Attempt::B => Role::UpstreamB,
    };
    let mut socket = Socket::dialled(stream);
    socket.register(&kit.registry, Token::of(key, role))?;
    Ok(socket)
}

/// Counts that an address of ours could not be had: it is gone from this host, or has no port left.
pub(in crate::worker) fn count_lost_source(error: &io::Error, kit: &Kit) {
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        kit.counters.sources_lost.add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::Arc;

    use super::*;
    use crate::clock;
    use crate::connection::Machine;
    use crate::policy::Policy;

    #[test]
    fn what_has_connected_is_said_once_however_long_its_reply_waits_for_the_client() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, now) = (listener.local_addr().unwrap(), clock::mono());
        let policy = Arc::new(Policy::plain());
        let mut front = Front::new(Machine::new(address.ip(), policy, now));
        let request =
            [&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1][..], &address.port().to_be_bytes()].concat();
        let next = front.ask(Input::Bytes(&request), now);
        assert!(matches!(next, Next::Open), "{next:?}");
        let next = front.ask(Input::Opened, now);
        let Next::Dial { attempt, .. } = next else { panic!("{next:?}") };
        let stream = linux::socket::dial(address, &Outgoing::default()).unwrap();
        // As if an event had said that it may be written to.
        let socket = Socket::accepted(stream);
        front.attempts[attempt as usize] = Some(Dialled { socket, address });
        let next = attempt_ended(&mut front, attempt, now);
        assert!(matches!(next, Some(Next::Flush)), "{next:?}");
        let replies = front.outbox.pending().to_vec();
        // The client takes nothing, and its turn comes again for some other reason.
        for attempt in [Attempt::A, Attempt::B] {
            let next = attempt_ended(&mut front, attempt, now);
            assert!(next.is_none(), "{next:?}");
        }
        assert_eq!(front.outbox.pending(), replies);
        assert_eq!(front.sockets(), 1);
        assert!(matches!(front.ask(Input::Flushed, now), Next::Relay));
    }
}
