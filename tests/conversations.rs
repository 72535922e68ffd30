//! Wire conversations: what a client sends, what it is asked and told, and how it ends.
//!
//! Each conversation is held whole, octet by octet, and cut in two at every place, and those that
//! end in a request also with payload behind it, of which not one octet may be lost or looked at.

use rustsocks::socks::{
    Command, Handshake, Malformed, Method, MethodSet, Outbox, Progress, Reply, Request,
};
use rustsocks::target::BadName;

const NO_AUTH: MethodSet = MethodSet::NO_AUTH;
const USERPASS: MethodSet = MethodSet::USERPASS;
const BOTH: MethodSet = MethodSet::NO_AUTH.with(Method::UserPass);

/// One line of the table.
struct Conversation {
    /// The section of the RFC, and what is shown.
    name: &'static str,
    /// What the server accepts.
    methods: MethodSet,
    /// Everything the client sends, message by message.
    client: &'static [&'static [u8]],
    /// What the server must ask about the user, and is answered.
    login: Option<Login>,
    /// Everything the server sends, message by message, a failure reply included.
    server: &'static [&'static [u8]],
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Login {
    username: &'static [u8],
    password: &'static [u8],
    accepted: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum End {
    /// The request, its target as it is written.
    Requested(Command, &'static str),
    NoMethod,
    Rejected,
    Malformed(Malformed),
    /// The client has more to say.
    Open,
}

const ALICE: Login = Login { username: b"alice", password: b"wonderland", accepted: true };
const MALLORY: Login = Login { username: b"alice", password: b"guess", accepted: false };
const NOBODY: Login = Login { username: b"", password: b"", accepted: false };
const LONGEST: Login = Login { username: &[0xfe; 255], password: &[0; 255], accepted: true };

const ALICE_OCTETS: &[u8] = b"\x01\x05alice\x0awonderland";
const CONNECT_V4: &[u8] = &[5, 1, 0, 1, 192, 0, 2, 1, 0, 80];
const CONNECT_NAME: &[u8] = b"\x05\x01\x00\x03\x0bexample.com\x01\xbb";

#[rustfmt::skip]
const CONVERSATIONS: &[Conversation] = &[
    // RFC 1928 section 3: version and method.
    Conversation {
        name: "1928 §3: no authentication", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], CONNECT_V4], server: &[&[5, 0]],
        end: End::Requested(Command::Connect, "192.0.2.1:80"),
    },
    Conversation {
        name: "1928 §3: of two methods the one with a name is chosen", methods: BOTH, login: Some(ALICE),
        client: &[&[5, 2, 0, 2], ALICE_OCTETS, CONNECT_V4], server: &[&[5, 2], &[1, 0]],
        end: End::Requested(Command::Connect, "192.0.2.1:80"),
    },
    Conversation {
        name: "1928 §3: a server of both takes a client that has no password", methods: BOTH, login: None,
        client: &[&[5, 2, 0, 1], CONNECT_V4], server: &[&[5, 0]],
        end: End::Requested(Command::Connect, "192.0.2.1:80"),
    },
    Conversation {
        name: "1928 §3: GSSAPI and private methods are passed over", methods: NO_AUTH, login: None,
        client: &[&[5, 4, 1, 0x80, 0xfe, 0], CONNECT_V4], server: &[&[5, 0]],
        end: End::Requested(Command::Connect, "192.0.2.1:80"),
    },
    Conversation {
        name: "1928 §3: the longest offer", methods: NO_AUTH, login: None,
        client: &[&[5, 255], &[1; 254], &[0], CONNECT_V4], server: &[&[5, 0]],
        end: End::Requested(Command::Connect, "192.0.2.1:80"),
    },
    Conversation {
        name: "1928 §3: who must log in and offers no password is told so", methods: USERPASS, login: None,
        client: &[&[5, 2, 0, 1]], server: &[&[5, 0xff]],
        end: End::NoMethod,
    },
    Conversation {
        name: "1928 §3: a password is not asked where none is kept", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 2]], server: &[&[5, 0xff]],
        end: End::NoMethod,
    },
    Conversation {
        name: "1928 §3: no method offered", methods: BOTH, login: None,
        client: &[&[5, 0]], server: &[&[5, 0xff]],
        end: End::NoMethod,
    },
    Conversation {
        name: "1928 §3: X'FF' in an offer is no method", methods: BOTH, login: None,
        client: &[&[5, 1, 0xff]], server: &[&[5, 0xff]],
        end: End::NoMethod,
    },
    Conversation {
        name: "1928 §3: another protocol gets no answer", methods: BOTH, login: None,
        client: &[b"GET / HTTP/1.1\r\n\r\n"], server: &[],
        end: End::Malformed(Malformed::Version(b'G')),
    },
    Conversation {
        name: "1928 §3: a greeting that goes on", methods: BOTH, login: None,
        client: &[&[5, 3, 0, 2]], server: &[],
        end: End::Open,
    },

    // RFC 1929 section 2: user name and password.
    Conversation {
        name: "1929 §2: accepted", methods: USERPASS, login: Some(ALICE),
        client: &[&[5, 1, 2], ALICE_OCTETS, CONNECT_NAME], server: &[&[5, 2], &[1, 0]],
        end: End::Requested(Command::Connect, "example.com:443"),
    },
    Conversation {
        name: "1929 §2: rejected, and the pipelined request is not read", methods: USERPASS, login: Some(MALLORY),
        client: &[&[5, 1, 2], b"\x01\x05alice\x05guess", CONNECT_NAME], server: &[&[5, 2], &[1, 1]],
        end: End::Rejected,
    },
    Conversation {
        name: "1929 §2: empty name and password are judged like any", methods: USERPASS, login: Some(NOBODY),
        client: &[&[5, 1, 2], &[1, 0, 0]], server: &[&[5, 2], &[1, 1]],
        end: End::Rejected,
    },
    Conversation {
        name: "1929 §2: the longest of both, no text at all", methods: USERPASS, login: Some(LONGEST),
        client: &[&[5, 1, 2], &[1, 255], &[0xfe; 255], &[255], &[0; 255], CONNECT_V4], server: &[&[5, 2], &[1, 0]],
        end: End::Requested(Command::Connect, "192.0.2.1:80"),
    },
    Conversation {
        name: "1929 §2: a client that skips the password", methods: USERPASS, login: None,
        client: &[&[5, 1, 2], CONNECT_V4], server: &[&[5, 2]],
        end: End::Malformed(Malformed::UserPassVersion(5)),
    },
    Conversation {
        name: "1929 §2: a password that goes on", methods: USERPASS, login: None,
        client: &[&[5, 1, 2], b"\x01\x05alice\x0awonder"], server: &[&[5, 2]],
        end: End::Open,
    },
    Conversation {
        name: "1929 §2: after its status a client may wait", methods: USERPASS, login: Some(ALICE),
        client: &[&[5, 1, 2], ALICE_OCTETS], server: &[&[5, 2], &[1, 0]],
        end: End::Open,
    },

    // RFC 1928 section 4: the request.
    Conversation {
        name: "1928 §4: BIND", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], &[5, 2, 0, 1, 192, 0, 2, 7, 0, 21]], server: &[&[5, 0]],
        end: End::Requested(Command::Bind, "192.0.2.7:21"),
    },
    Conversation {
        name: "1928 §4: UDP ASSOCIATE from wherever", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], &[5, 3, 0, 1, 0, 0, 0, 0, 0, 0]], server: &[&[5, 0]],
        end: End::Requested(Command::UdpAssociate, "0.0.0.0:0"),
    },
    Conversation {
        name: "1928 §4: RSV is not looked at", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], &[5, 1, 0x7f, 1, 192, 0, 2, 1, 0, 80]], server: &[&[5, 0]],
        end: End::Requested(Command::Connect, "192.0.2.1:80"),
    },
    Conversation {
        name: "1928 §4: an unknown command gets X'07'", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], &[5, 4, 0, 1, 192, 0, 2, 1, 0, 80]],
        server: &[&[5, 0], &[5, 7, 0, 1, 0, 0, 0, 0, 0, 0]],
        end: End::Malformed(Malformed::Command(4)),
    },
    Conversation {
        name: "1928 §4: command zero gets X'07'", methods: USERPASS, login: Some(ALICE),
        client: &[&[5, 1, 2], ALICE_OCTETS, b"\x05\x00\x00\x03\x0bexample.com\x01\xbb"],
        server: &[&[5, 2], &[1, 0], &[5, 7, 0, 1, 0, 0, 0, 0, 0, 0]],
        end: End::Malformed(Malformed::Command(0)),
    },
    Conversation {
        name: "1928 §4: a request of another version gets X'01'", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], &[4, 1, 0, 80, 192, 0, 2, 1, 0]],
        server: &[&[5, 0], &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]],
        end: End::Malformed(Malformed::RequestVersion(4)),
    },
    Conversation {
        name: "1928 §4: a request that goes on", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], &[5, 1, 0, 1, 192, 0, 2, 1, 0]], server: &[&[5, 0]],
        end: End::Open,
    },

    // RFC 1928 section 5: addresses.
    Conversation {
        name: "1928 §5: IPv6", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], &[5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0xbb]],
        server: &[&[5, 0]],
        end: End::Requested(Command::Connect, "[2001:db8::1]:443"),
    },
    Conversation {
        name: "1928 §5: IPv4-mapped IPv6 stays as asked", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], &[5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1, 0, 80]],
        server: &[&[5, 0]],
        end: End::Requested(Command::Connect, "[::ffff:192.0.2.1]:80"),
    },
    Conversation {
        name: "1928 §5: a name in lower case, without the root's dot", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], b"\x05\x01\x00\x03\x0cExample.COM.\x01\xbb"], server: &[&[5, 0]],
        end: End::Requested(Command::Connect, "example.com:443"),
    },
    Conversation {
        name: "1928 §5: an IPv4 address sent as a name", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], b"\x05\x01\x00\x03\x09127.0.0.1\x00\x50"], server: &[&[5, 0]],
        end: End::Requested(Command::Connect, "127.0.0.1:80"),
    },
    Conversation {
        name: "1928 §5: an IPv6 address sent as a name", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], b"\x05\x01\x00\x03\x03::1\x00\x50"], server: &[&[5, 0]],
        end: End::Requested(Command::Connect, "[::1]:80"),
    },
    Conversation {
        name: "1928 §5: the longest name", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], &[5, 1, 0, 3, 255], &[b'a'; 255], &[0, 80]], server: &[&[5, 0]],
        end: End::Requested(Command::Connect, concat!(
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:80",
        )),
    },
    Conversation {
        name: "1928 §5: an unknown address type gets X'08'", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], &[5, 1, 0, 2, 192, 0, 2, 1, 0, 80]],
        server: &[&[5, 0], &[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]],
        end: End::Malformed(Malformed::AddressType(2)),
    },
    Conversation {
        name: "1928 §5: an empty name gets X'01'", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], &[5, 1, 0, 3, 0, 0, 80]],
        server: &[&[5, 0], &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]],
        end: End::Malformed(Malformed::Name(BadName::Empty)),
    },
    Conversation {
        name: "1928 §5: a name with a NUL gets X'01'", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], b"\x05\x01\x00\x03\x0cexample.com\x00\x01\xbb"],
        server: &[&[5, 0], &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]],
        end: End::Malformed(Malformed::Name(BadName::Octet(0))),
    },
    // SOCKS4 and 4a.
    Conversation {
        name: "4: an address", methods: NO_AUTH, login: None,
        client: &[&[4, 1, 0, 80, 192, 0, 2, 1, 0]], server: &[],
        end: End::Requested(Command::Connect, "192.0.2.1:80"),
    },
    Conversation {
        name: "4: a user is a claim, and no login", methods: BOTH, login: None,
        client: &[&[4, 2, 0, 80, 192, 0, 2, 1], b"fred\0"], server: &[],
        end: End::Requested(Command::Bind, "192.0.2.1:80"),
    },
    Conversation {
        name: "4a: a name", methods: NO_AUTH, login: None,
        client: &[&[4, 1, 1, 0xbb, 0, 0, 0, 9, 0], b"Example.COM\0"], server: &[],
        end: End::Requested(Command::Connect, "example.com:443"),
    },
    Conversation {
        name: "4: refused where users must log in", methods: USERPASS, login: None,
        client: &[&[4, 1, 0, 80, 192, 0, 2, 1, 0]], server: &[&[0, 91, 0, 0, 0, 0, 0, 0]],
        end: End::NoMethod,
    },
    Conversation {
        name: "4: an unknown command", methods: NO_AUTH, login: None,
        client: &[&[4, 3, 0, 80, 192, 0, 2, 1, 0]], server: &[&[0, 91, 0, 0, 0, 0, 0, 0]],
        end: End::Malformed(Malformed::Command(3)),
    },
    Conversation {
        name: "4a: an impossible name", methods: NO_AUTH, login: None,
        client: &[&[4, 1, 0, 80, 0, 0, 0, 1, 0, 0]], server: &[&[0, 91, 0, 0, 0, 0, 0, 0]],
        end: End::Malformed(Malformed::Name(BadName::Empty)),
    },
    Conversation {
        name: "1928 §5: a second trailing dot gets X'01'", methods: NO_AUTH, login: None,
        client: &[&[5, 1, 0], b"\x05\x01\x00\x03\x0dexample.com..\x01\xbb"],
        server: &[&[5, 0], &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]],
        end: End::Malformed(Malformed::Name(BadName::EmptyLabel)),
    },
];

/// The server's side as its caller runs it: an inbox of what is not consumed, and answers to
/// questions.
struct Server {
    handshake: Handshake,
    login: Option<Login>,
    inbox: Vec<u8>,
    out: Outbox,
    end: Option<Ended>,
}

#[derive(Debug)]
enum Ended {
    Requested(Request),
    NoMethod,
    Rejected,
    Malformed(Malformed),
}

impl Server {
    fn new(methods: MethodSet, login: Option<Login>) -> Self {
        let handshake = Handshake::new(methods);
        Self { handshake, login, inbox: Vec::new(), out: Outbox::new(), end: None }
    }

    fn receive(&mut self, piece: &[u8], name: &str) {
        self.inbox.extend_from_slice(piece);
        while self.end.is_none() {
            let (consumed, progress) = match self.handshake.feed(&self.inbox, &mut self.out) {
                Ok(step) => step,
                Err(malformed) => {
                    if let Some(code) = malformed.reply() {
                        Reply::failure(code).write(self.handshake.version(), &mut self.out);
                    }
                    self.end = Some(Ended::Malformed(malformed));
                    return;
                }
            };
            self.inbox.drain(..consumed);
            match progress {
                Progress::NeedMore => {
                    assert!(self.inbox.len() < Handshake::MESSAGE_OCTETS_MAX, "{name}");
                    return;
                }
                Progress::Verify(claimed) => {
                    let Some(login) = self.login.take() else {
                        panic!("{name}: asked {claimed:?}")
                    };
                    assert_eq!(*claimed.username, *login.username, "{name}");
                    assert_eq!(*claimed.password, login.password, "{name}");
                    self.handshake.verdict(login.accepted, &mut self.out);
                    self.end = (!login.accepted).then_some(Ended::Rejected);
                }
                Progress::Requested { request, .. } => self.end = Some(Ended::Requested(request)),
                Progress::NoMethod { .. } => self.end = Some(Ended::NoMethod),
            }
        }
    }

    fn ended_as(&self, end: &End) -> bool {
        match (&self.end, end) {
            (Some(Ended::Requested(request)), End::Requested(command, target)) => {
                request.command == *command && request.target.to_string() == *target
            }
            (Some(Ended::Malformed(malformed)), End::Malformed(expected)) => malformed == expected,
            (Some(Ended::NoMethod), End::NoMethod)
            | (Some(Ended::Rejected), End::Rejected)
            | (None, End::Open) => true,
            (
                None
                | Some(Ended::Requested(_) | Ended::NoMethod | Ended::Rejected | Ended::Malformed(_)),
                End::Requested(..) | End::NoMethod | End::Rejected | End::Malformed(_) | End::Open,
            ) => false,
        }
    }
}

/// Holds one conversation in these pieces; `early` is what the last of them carry beyond the
/// handshake.
fn hold(conversation: &Conversation, pieces: &[&[u8]], early: &[u8]) {
    let name = conversation.name;
    let mut server = Server::new(conversation.methods, conversation.login);
    for piece in pieces {
        server.receive(piece, name);
    }
    let cut: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
    assert!(server.ended_as(&conversation.end), "{name}: {:?}, cut {cut:?}", server.end);
    assert_eq!(server.out.pending(), conversation.server.concat(), "{name}, cut {cut:?}");
    assert_eq!(server.login, None, "{name}: never asked, cut {cut:?}");
    if matches!(conversation.end, End::Requested(..)) {
        assert_eq!(server.inbox, early, "{name}, cut {cut:?}");
    }
}

/// Holds one conversation whole, octet by octet, and cut in two at every place.
fn hold_in_every_way(conversation: &Conversation, early: &[u8]) {
    let whole = [conversation.client.concat().as_slice(), early].concat();
    hold(conversation, &[&whole], early);
    hold(conversation, &whole.chunks(1).collect::<Vec<_>>(), early);
    for cut in 1..whole.len() {
        let (first, second) = whole.split_at(cut);
        hold(conversation, &[first, second], early);
    }
}

#[test]
fn every_conversation_goes_the_same_way_however_it_is_cut() {
    for conversation in CONVERSATIONS {
        hold_in_every_way(conversation, &[]);
    }
}

#[test]
fn early_data_behind_a_request_is_left_untouched() {
    // The first looks like another handshake, and must not be taken for one.
    let payloads: [&[u8]; 3] = [&[5, 1, 0], b"GET / HTTP/1.1\r\n\r\n", &[0; 600]];
    for conversation in CONVERSATIONS {
        if matches!(conversation.end, End::Requested(..)) {
            for early in payloads {
                hold_in_every_way(conversation, early);
            }
        }
    }
}

#[test]
fn a_prefix_of_a_good_conversation_is_never_malformed() {
    for conversation in CONVERSATIONS {
        if !matches!(conversation.end, End::Requested(..)) {
            continue;
        }
        let whole = conversation.client.concat();
        for length in 0..whole.len() {
            let mut server = Server::new(conversation.methods, conversation.login);
            server.receive(&whole[..length], conversation.name);
            assert!(server.ended_as(&End::Open), "{}: {:?}", conversation.name, server.end);
            assert!(conversation.server.concat().starts_with(server.out.pending()));
        }
    }
}
