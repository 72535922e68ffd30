//! Level-triggered epoll(7): for a load generator simpler than edges.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use socket2::{Domain, Socket, Type};

/// One epoll, and what it last heard.
pub(crate) struct Ears {
    epoll: OwnedFd,
    heard: Vec<Event>,
}

impl Ears {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, heard: Vec::with_capacity(1024) })
    }

    pub(crate) fn add(&self, source: &impl AsFd, token: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(token), flags)?)
    }

    pub(crate) fn change(
        &self,
        source: &impl AsFd,
        token: u64,
        flags: EventFlags,
    ) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, source, EventData::new_u64(token), flags)?)
    }

    /// Waits for something, at most for `most`; answers tokens and what happened to them.
    pub(crate) fn wait(&mut self, most: Option<Duration>) -> io::Result<Vec<(u64, EventFlags)>> {
        self.heard.clear();
        let most = most.map(|most| Timespec {
            tv_sec: most.as_secs().cast_signed(),
            tv_nsec: most.subsec_nanos().into(),
        });
        let room = rustix::buffer::spare_capacity(&mut self.heard);
        match epoll::wait(&self.epoll, room, most.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.heard.iter().map(|event| (event.data.u64(), event.flags)).collect())
    }
}

/// A listener on a free loopback port with a long queue.
pub(crate) fn listener() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}
