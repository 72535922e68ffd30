//! A case: what it needs, what the client does, and what must come of it.

use std::net::{IpAddr, SocketAddr};

use super::places::Places;
use crate::harness::client::{self, Asked};
use crate::harness::datagrams::wrapped;

/// One line of a specification, as a conversation.
pub(crate) struct Case {
    pub(crate) section: &'static str,
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    pub(crate) steps: fn(&Scene<'_>) -> Vec<Step>,
}

/// A case that any server can be held to.
pub(crate) const fn case(
    section: &'static str,
    name: &'static str,
    steps: fn(&Scene<'_>) -> Vec<Step>,
) -> Case {
    Case { section, name, needs: Needs::Any, steps }
}

impl Case {
    /// The same for servers that have this.
    pub(crate) const fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }
}

/// What a case needs of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Any server; its clients log in if it wants that.
    Any,
    /// One that lets clients in without a login.
    Open,
    /// One that wants a login.
    Login,
    /// One on a machine without a route to [`Places::NO_NETWORK`] and [`Places::NO_HOST`].
    NoRoutes,
    /// Ours with all commands, a name server of the test's, and a short patience with targets.
    Ours,
    /// The same with users.
    OursLogin,
    /// Ours as it comes.
    OursPlain,
}

/// What the client does, or what must happen next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The client sends.
    Send(Vec<u8>),
    /// The client closes its sending side.
    Finish,
    /// The client resets the connection.
    Reset,
    /// Exactly these octets come.
    Receive(Vec<u8>),
    /// One octet comes, and none of these.
    ReceiveNot(&'static [u8]),
    /// A SOCKS5 reply with one of these codes.
    Reply(&'static [u8]),
    /// A SOCKS5 reply of success; "command not supported" says that the server lacks it.
    Offered,
    /// The second SOCKS5 reply to a BIND: its address is the peer's.
    SecondReply,
    /// A SOCKS4 reply.
    Reply4 { granted: bool },
    /// A SOCKS4 reply that grants a BIND; a rejection says that the server lacks it.
    Offered4,
    /// The head of an HTTP response with one of these statuses.
    Answer(&'static [u16]),
    /// The last head has this field.
    Field(&'static str),
    /// The last head has neither a length nor a coding.
    NoBody,
    /// Whatever is left: of the last response its body, and the end, if it says that there will be one;
    /// where there was none, everything to the end.
    Rest,
    /// The target tells the client who has connected to it: the address of the last reply.
    BoundIsTrue,
    /// The address of the last reply is one that can be connected or sent to.
    BoundIsUsable,
    /// Nothing more comes, and the connection ends, by FIN or by a reset.
    Closed,
    /// Nothing more comes, and the server has closed its sending side.
    Eof,
    /// A target that hears to the end has heard this.
    Heard(Vec<u8>),
    /// Nobody has connected to this target.
    Untouched(SocketAddr),
    /// Somebody is connecting to this target.
    Dialled(SocketAddr),
    /// Nobody is connecting to this target any more.
    Abandoned(SocketAddr),
    /// The client sends a datagram to the address of the reply.
    Datagram(Vec<u8>),
    /// Somebody else does, from this address.
    ForeignDatagram(IpAddr, Vec<u8>),
    /// The client's next datagram is this, from this target.
    DatagramFrom(SocketAddr, Vec<u8>),
    /// Somebody else has got none.
    NoForeignDatagram,
    /// The address of the reply takes no datagrams any more.
    PortIsFree,
    /// A peer connects from this address to the one of the last reply.
    Peer(IpAddr),
    /// The peer sends.
    PeerSends(Vec<u8>),
    /// Exactly these octets come to the peer.
    PeerReceives(Vec<u8>),
}

/// What a case is made for: who is there, and how a client is let in.
pub(crate) struct Scene<'a> {
    pub(crate) places: &'a Places,
    pub(crate) login: Option<&'a (String, String)>,
    /// Whether the server is ours.
    pub(crate) ours: bool,
}

impl Scene<'_> {
    /// Greets, and logs in where that is wanted.
    pub(crate) fn enter(&self) -> Vec<Step> {
        match self.login {
            None => vec![Step::Send(vec![5, 1, 0]), Step::Receive(vec![5, 0])],
            Some((user, password)) => vec![
                Step::Send(vec![5, 1, 2]),
                Step::Receive(vec![5, 2]),
                Step::Send(client::userpass(user, password)),
                Step::Receive(vec![1, 0]),
            ],
        }
    }

    /// Enters, and goes on.
    pub(crate) fn then(&self, steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
        self.enter().into_iter().chain(steps).collect()
    }

    /// Enters, sends this request, is refused with one of these codes, and the connection ends.
    pub(crate) fn refused(&self, request: Vec<u8>, codes: &'static [u8]) -> Vec<Step> {
        self.then([Step::Send(request), Step::Reply(codes), Step::Closed])
    }

    /// Enters, connects to this target that sends back what it receives, and speaks with it.
    pub(crate) fn echoes(&self, request: Vec<u8>) -> Vec<Step> {
        self.then([
            Step::Send(request),
            Step::Reply(&[0]),
            Step::Send(b"there and back".to_vec()),
            Step::Receive(b"there and back".to_vec()),
            Step::Finish,
            Step::Eof,
        ])
    }

    /// Enters, gets an association, and goes on.
    pub(crate) fn associated(&self, steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
        let request = client::request(3, SocketAddr::from(([0, 0, 0, 0], 0)));
        self.then([Step::Send(request), Step::Offered].into_iter().chain(steps))
    }

    /// A reply code: what we say, and what else another server may say with as much right.
    pub(crate) const fn code(&self, ours: &'static [u8], others: &'static [u8]) -> &'static [u8] {
        if self.ours { ours } else { others }
    }
}

/// The client sends a datagram through the association to this target, and its echo comes back.
pub(crate) fn echoed<'a>(
    target: impl Into<Asked<'a>>,
    from: SocketAddr,
    payload: &[u8],
) -> [Step; 2] {
    [Step::Datagram(wrapped(target, payload)), Step::DatagramFrom(from, payload.to_vec())]
}

/// Stands for every status of success.
pub(crate) const ANY_SUCCESS: u16 = 200;
