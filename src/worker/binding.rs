//! BIND: the listener of one connection, and the peers that come to it.
//!
//! A peer for whom there is no descriptor stays in the listener's queue, and the edge that told of it has
//! been used up: after a pause the listener is asked again, without one.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Instant;

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Interest, Registry};

use super::accept::{ACCEPT_PAUSE, out_of_descriptors};
use super::connection::{Connection, Fate, Link};
use super::front::count_lost_source;
use super::kit::Kit;
use super::socket::Socket;
use super::token::{Role, Token};
use crate::connection::{ConnectError, Input, Next};
use crate::egress::Outlet;
use crate::key::Key;
use crate::linux::listener::{ListenerOptions, bind_listener_by};
use crate::linux::socket::source_towards;

/// A listener for the peer of one connection.
#[derive(Debug)]
pub(super) struct Awaiting {
    listener: TcpListener,
    /// There may be somebody in its queue.
    ready: bool,
    /// It is not asked before, because descriptors had run out.
    paused_until: Option<Instant>,
}

impl Awaiting {
    /// Listens at any free port of the address from which `towards` would be reached; for anybody, at
    /// that of the way out, or else at `ours`.
    fn bind(
        towards: Option<IpAddr>,
        ours: SocketAddr,
        outlet: &Outlet,
        registry: &Registry,
        token: Token,
    ) -> io::Result<(SocketAddr, Self)> {
        let anybody = outlet.at(ours.ip());
        let Some(out) = outlet.towards(towards.unwrap_or(anybody)) else {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        };
        let mut address = match towards {
            Some(host) => source_towards(beside(ours, host), &out)?,
            // Whole: a link-local address is none without its scope.
            None if anybody == ours.ip() => ours,
            None => SocketAddr::new(anybody, 0),
        };
        address.set_port(0);
        let options =
            ListenerOptions { reuse_port: false, backlog: BACKLOG, ..ListenerOptions::default() };
        let mut listener = bind_listener_by(address, options, &out)?;
        registry.register(&mut listener, token.into(), Interest::READABLE)?;
        Ok((listener.local_addr()?, Self { listener, ready: true, paused_until: None }))
    }

    pub(super) fn note(&mut self, event: &Event) {
        self.ready |= event.is_readable() || event.is_error();
    }

    /// When it is to be asked again, though no event has come.
    pub(super) const fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// The next one in the queue.
    fn accept(&mut self, kit: &Kit) -> Option<(Socket, SocketAddr)> {
        if self.paused_until.is_some_and(|until| kit.now.mono < until) {
            return None;
        }
        self.paused_until = None;
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.ready {
                return None;
            }
            match self.listener.accept() {
                Ok((stream, peer)) => return Some((Socket::accepted(stream), peer)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.ready = false,
                Err(error) if out_of_descriptors(&error) => {
                    kit.counters.accept_pauses.add(1);
                    self.paused_until = Some(kit.now.mono + ACCEPT_PAUSE);
                    return None;
                }
                // It has gone from the queue.
                Err(_) => {}
            }
        }
        None
    }
}

impl Connection {
    /// Makes the listener; its address.
    pub(super) fn listen_for_peer(
        &mut self,
        towards: Option<IpAddr>,
        key: Key,
        kit: &Kit,
    ) -> Result<SocketAddr, ConnectError> {
        if !self.may_open_socket(kit) {
            return Err(ConnectError::NoRoom);
        }
        let Link::Front(front) = &mut self.link else { return Err(ConnectError::Other) };
        let token = Token::of(key, Role::Awaiting);
        let outlet = front.machine.outlet();
        let made = self
            .client
            .stream()
            .local_addr()
            .and_then(|ours| Awaiting::bind(towards, ours, outlet, &kit.registry, token));
        match made {
            Ok((bound, awaiting)) => {
                front.awaiting = Some(awaiting);
                Ok(bound)
            }
            Err(error) => {
                count_lost_source(&error, kit);
                tracing::debug!("no listener for the peer of a client: {error}");
                Err(ConnectError::from(&error))
            }
        }
    }

    /// Shows the machine who has come; whoever it does not want is gone again. `None` when it still
    /// waits.
    pub(super) fn peer_came(&mut self, key: Key, kit: &mut Kit) -> Option<Fate> {
        for _ in 0..ACCEPTS_PER_TURN {
            let Link::Front(front) = &mut self.link else { return None };
            let (mut socket, peer) = front.awaiting.as_mut()?.accept(kit)?;
            if socket.register(&kit.registry, Token::of(key, Role::UpstreamA)).is_err() {
                continue;
            }
            let next = front.ask(Input::Accepted(peer), kit.now.mono);
            if matches!(next, Next::TurnAway) {
                continue;
            }
            // One peer is all there is to a BIND.
            front.awaiting = None;
            front.reached = Some(socket);
            return match self.perform(next, key, kit) {
                Fate::Wait => None,
                fate @ (Fate::Again | Fate::Release) => Some(fate),
            };
        }
        // Others first.
        Some(Fate::Again)
    }
}

/// The host where it is seen from `ours`: a request can name no scope of a link-local address, and the
/// link by which the client has come is the only one that it knows of.
fn beside(ours: SocketAddr, host: IpAddr) -> SocketAddr {
    match (host, ours) {
        (IpAddr::V6(host), SocketAddr::V6(ours)) if host.is_unicast_link_local() => {
            SocketAddrV6::new(host, 0, 0, ours.scope_id()).into()
        }
        (IpAddr::V6(_) | IpAddr::V4(_), _) => SocketAddr::new(host, 0),
    }
}

/// Peers that may wait to be looked at.
const BACKLOG: u32 = 16;
/// Peers that are looked at per turn.
const ACCEPTS_PER_TURN: usize = 16;
