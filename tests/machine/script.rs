//! The script of a conversation: what the client sends, what the world answers, what the client reads.

use rustsocks::connection::{Attempt, ConnectError};
use rustsocks::resolve::LookupError;
use rustsocks::session::Outcome;

/// What the world answers to a question of the machine.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It asks for a name, and gets these addresses.
    Resolves(&'static str, Result<&'static [&'static str], LookupError>),
    /// It asks for a name, and gets half of what there is.
    ResolvesInHalf(&'static str, &'static [&'static str]),
    /// The other half comes while it waits.
    RestComes(Result<&'static [&'static str], LookupError>),
    /// Nothing comes until the machine's deadline.
    Waits,
    /// A pending attempt fails.
    Fails(Attempt, ConnectError),
    /// It opens the session.
    Opens,
    /// It dials an address, which fails.
    DialFails(&'static str, ConnectError),
    /// It dials an address, which answers.
    DialConnects(&'static str),
    /// It wants a listener for a peer, towards this host if any, and gets one at this address.
    Listens(Option<&'static str>, &'static str),
    /// It wants a listener for a peer, and there is none.
    ListenFails(ConnectError),
    /// A peer comes, and is not the one.
    StrangerComes(&'static str),
    /// A peer comes, and is the one.
    PeerComes(&'static str),
    /// No peer comes in time.
    NobodyComes,
    /// It wants a socket for datagrams from this port, and gets one at this address, or none.
    Associates(u16, Option<&'static str>),
    /// It dials an address, which is silent until the machine's deadline.
    DialIsSilent(&'static str),
    /// It dials an address, which is silent; what comes next is another step.
    DialIsPending(&'static str),
}

pub(crate) struct Conversation {
    pub(crate) name: &'static str,
    /// RFC 1929 login that is offered and checked, if any.
    pub(crate) login: Option<(&'static str, &'static str)>,
    pub(crate) request: &'static [u8],
    pub(crate) steps: &'static [Step],
    /// Everything the client gets to read.
    pub(crate) reads: &'static [u8],
    pub(crate) ends: Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    Relays,
    RelaysDatagrams,
    Refuses(Outcome),
}

impl Conversation {
    /// Everything that the client sends, up to its payload.
    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        match self.login {
            None => octets.extend(b"\x05\x01\x00"),
            Some((user, password)) => {
                octets.extend(b"\x05\x01\x02\x01");
                octets.push(u8::try_from(user.len()).unwrap());
                octets.extend(user.as_bytes());
                octets.push(u8::try_from(password.len()).unwrap());
                octets.extend(password.as_bytes());
            }
        }
        octets.extend(self.request);
        octets
    }
}
