//! The sockets that a connection dials, and what becomes of them.

use std::io;
use std::net::SocketAddr;

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

/// Whether an attempt has succeeded or failed by now, and what the machine says to it.
pub(super) fn attempt_ended(front: &mut Front, attempt: Attempt, kit: &Kit) -> Option<Next> {
    let Dialled { socket, address } = front.attempts[attempt as usize].as_ref()?;
    let peer = *address;
    let result = socket.connected()?.and_then(|()| socket.stream().local_addr());
    Some(match result {
        Ok(local) => {
            // The other attempt, if there is one, has lost.
            let other = match attempt {
                Attempt::A => Attempt::B,
                Attempt::B => Attempt::A,
            };
            front.attempts[other as usize] = None;
            front.ask(Input::Connected { attempt, peer, local }, kit.now.mono)
        }
        Err(error) => {
            front.attempts[attempt as usize] = None;
            let error = ConnectError::from(&error);
            front.ask(Input::Unreachable { attempt, error }, kit.now.mono)
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
