//! One way out, as configured.

use std::net::IpAddr;

/// One way out. The default one is the kernel's own choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// Addresses of ours that sockets are bound to. An unspecified one (`0.0.0.0`, `::`) leaves the
    /// choice within its family to the kernel. With any, targets of a family that has none are out of
    /// reach; without any, the kernel chooses for both.
    pub addresses: Vec<IpAddr>,
    /// Which of several addresses a session has.
    pub spread: Spread,
    /// The interface that sockets leave by.
    pub interface: Option<String>,
    /// The mark that their packets bear.
    pub mark: Option<u32>,
}

impl Egress {
    /// Whether it is the kernel's own choice in everything.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.addresses.is_empty() && self.interface.is_none() && self.mark.is_none()
    }
}

/// How several addresses are dealt out to sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// By the client's address and the user: the same ones have the same address, so long as the list
    /// stays as it is.
    #[default]
    Client,
    /// One after the other, session by session.
    Turns,
}

/// A way out for some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What it is called.
    pub name: String,
    /// Users who leave by it.
    pub users: Vec<String>,
    /// Groups whose members leave by it.
    pub groups: Vec<String>,
    /// The way.
    pub egress: Egress,
}
