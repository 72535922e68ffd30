//! Listening sockets that the service manager has opened for us (sd_listen_fds(3)): ports below 1024
//! without privilege, and clients that wait instead of being refused while the service is restarted.
//!
//! A socket is that of the listener, or of the API, whose configured address it has; one whose address is
//! not configured is an error, because what holds for an address (users, guard, token) is looked up by it.
//!
//! Workers share it: each has a descriptor of its own, but it is one queue. `SO_REUSEPORT` would need one
//! socket for each worker, which only its owner's user may open, and that is the service manager. The
//! price is that a client wakes every worker, of which one gets it.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use super::start::Failure;

/// Those that nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct Passed(Vec<(SocketAddr, TcpListener)>);

impl Passed {
    /// What the environment says was passed to this very process. To be asked once, before there are
    /// threads: the variables are taken away, so that no child believes that they mean it.
    pub(super) fn take_from_environment() -> Result<Self, Failure> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let socket = passed.take_tcp_listener(index).map_err(|error| {
                Failure::Configuration(format!(
                    "the service manager passes a socket that is no TCP listener (LISTEN_FDS, number \
                     {index}): {error}"
                ))
            })?;
            let Some(socket) = socket else { continue };
            let address = socket
                .local_addr()
                .map_err(|error| Failure::io("a socket of the service manager", &error))?;
            sockets.push((address, socket));
        }
        Ok(Self(sockets))
    }

    /// The one that has this address.
    pub(super) fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.0.iter().position(|(passed, _)| *passed == address)?;
        Some(self.0.swap_remove(at).1)
    }

    /// That none is left over.
    pub(super) fn expect_none(&self) -> Result<(), Failure> {
        let Some((address, _)) = self.0.first() else { return Ok(()) };
        Err(Failure::Configuration(format!(
            "the service manager passes a socket that listens on {address}, where neither a listener nor \
             the API is configured (server.bind_address and bind_port, server.listen, \
             sessions.stats_api_bind_address and stats_api_port)"
        )))
    }
}
