//! The control machine without a socket: conversations, each whole, octet by octet and cut in two at
//! every place, with payload behind the request.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustsocks::acl::{Acl, Guard, OwnListeners};
use rustsocks::auth::{Identity, User, Users, Verdict, verify};
use rustsocks::connection::{Attempt, ConnectError, Input, Machine, Next};
use rustsocks::policy::{AssociationPolicy, Policy, Timeouts};
use rustsocks::resolve::{Addresses, LookupError};
use rustsocks::session::Outcome;
use rustsocks::socks::{Command, CommandSet, MethodSet, Outbox};

/// What the world answers to a question of the machine.
#[derive(Clone, Debug)]
enum Step {
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

struct Conversation {
    name: &'static str,
    /// RFC 1929 login that is offered and checked, if any.
    login: Option<(&'static str, &'static str)>,
    request: &'static [u8],
    steps: &'static [Step],
    /// Everything the client gets to read.
    reads: &'static [u8],
    ends: Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Relays,
    RelaysDatagrams,
    Refuses(Outcome),
}

const NAME: &[u8] = b"\x05\x01\x00\x03\x0bexample.com\x01\xbb";
const V4: &[u8] = b"\x05\x01\x00\x01\x5d\xb8\xd8\x22\x01\xbb";

const CONVERSATIONS: &[Conversation] = &[
    Conversation {
        name: "an address literal is judged, opened, dialled and relayed (RFC 1928 §4)",
        login: None,
        request: V4,
        steps: &[Step::Opens, Step::DialConnects("93.184.216.34:443")],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34",
        ends: Ends::Relays,
    },
    Conversation {
        name: "a name is resolved; the first address refuses, the second answers",
        login: None,
        request: NAME,
        steps: &[
            Step::Resolves("example.com", Ok(&["203.0.113.1", "93.184.216.34"])),
            Step::Opens,
            Step::DialFails("203.0.113.1:443", ConnectError::Refused),
            Step::DialConnects("93.184.216.34:443"),
        ],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34",
        ends: Ends::Relays,
    },
    Conversation {
        name: "a silent address is joined by the next one, under one deadline",
        login: None,
        request: NAME,
        steps: &[
            Step::Resolves("example.com", Ok(&["203.0.113.1", "93.184.216.34"])),
            Step::Opens,
            Step::DialIsSilent("203.0.113.1:443"),
            Step::DialConnects("93.184.216.34:443"),
        ],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34",
        ends: Ends::Relays,
    },
    Conversation {
        name: "half of a name is enough to begin with; the rest alternates with what is left (RFC 8305 §3)",
        login: None,
        request: NAME,
        steps: &[
            Step::ResolvesInHalf("example.com", &["203.0.113.1", "203.0.113.2", "203.0.113.3"]),
            Step::Opens,
            Step::DialIsPending("203.0.113.1:443"),
            Step::RestComes(Ok(&["2001:db8::1", "203.0.113.1", "203.0.113.2", "203.0.113.3"])),
            Step::Fails(Attempt::A, ConnectError::Refused),
            Step::DialFails("[2001:db8::1]:443", ConnectError::NetworkUnreachable),
            Step::DialFails("203.0.113.2:443", ConnectError::Refused),
            Step::DialConnects("203.0.113.3:443"),
        ],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34",
        ends: Ends::Relays,
    },
    Conversation {
        name: "addresses that fail before the rest has come wait for it",
        login: None,
        request: NAME,
        steps: &[
            Step::ResolvesInHalf("example.com", &["2001:db8::1"]),
            Step::Opens,
            Step::DialFails("[2001:db8::1]:443", ConnectError::NetworkUnreachable),
            Step::RestComes(Ok(&["2001:db8::1", "93.184.216.34"])),
            Step::DialConnects("93.184.216.34:443"),
        ],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34",
        ends: Ends::Relays,
    },
    Conversation {
        name: "a rest that brings nothing ends the wait: reply 3",
        login: None,
        request: NAME,
        steps: &[
            Step::ResolvesInHalf("example.com", &["2001:db8::1"]),
            Step::Opens,
            Step::DialFails("[2001:db8::1]:443", ConnectError::NetworkUnreachable),
            Step::RestComes(Ok(&["2001:db8::1"])),
        ],
        reads: b"\x05\x00\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::NetworkUnreachable),
    },
    Conversation {
        name: "a rest that never comes is waited for until the one deadline: what failed is told",
        login: None,
        request: NAME,
        steps: &[
            Step::ResolvesInHalf("example.com", &["2001:db8::1"]),
            Step::Opens,
            Step::DialFails("[2001:db8::1]:443", ConnectError::Refused),
            Step::Waits,
        ],
        reads: b"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::ConnectionRefused),
    },
    Conversation {
        name: "a forbidden half waits for the other one",
        login: None,
        request: NAME,
        steps: &[
            Step::ResolvesInHalf("example.com", &["::1"]),
            Step::RestComes(Ok(&["::1", "93.184.216.34"])),
            Step::Opens,
            Step::DialConnects("93.184.216.34:443"),
        ],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34",
        ends: Ends::Relays,
    },
    Conversation {
        name: "two silent addresses do not keep the third from its turn",
        login: None,
        request: NAME,
        steps: &[
            Step::Resolves("example.com", Ok(&["2001:db8::1", "203.0.113.1", "93.184.216.34"])),
            Step::Opens,
            Step::DialIsSilent("[2001:db8::1]:443"),
            Step::DialIsSilent("203.0.113.1:443"),
            Step::DialConnects("93.184.216.34:443"),
        ],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34",
        ends: Ends::Relays,
    },
    Conversation {
        name: "a client with too many look-ups in flight: reply 1",
        login: None,
        request: NAME,
        steps: &[Step::Resolves("example.com", Err(LookupError::ClientOverloaded))],
        reads: b"\x05\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::OverLimit),
    },
    Conversation {
        name: "no address answers in time: reply 6",
        login: None,
        request: V4,
        steps: &[Step::Opens, Step::DialIsSilent("93.184.216.34:443")],
        reads: b"\x05\x00\x05\x06\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::ConnectTimeout),
    },
    Conversation {
        name: "a refusal says more than a missing route: reply 5",
        login: None,
        request: NAME,
        steps: &[
            Step::Resolves("example.com", Ok(&["203.0.113.1", "2001:db8::1"])),
            Step::Opens,
            Step::DialFails("203.0.113.1:443", ConnectError::Refused),
            Step::DialFails("[2001:db8::1]:443", ConnectError::NetworkUnreachable),
        ],
        reads: b"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::ConnectionRefused),
    },
    Conversation {
        name: "no route: reply 3",
        login: None,
        request: V4,
        steps: &[
            Step::Opens,
            Step::DialFails("93.184.216.34:443", ConnectError::NetworkUnreachable),
        ],
        reads: b"\x05\x00\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::NetworkUnreachable),
    },
    Conversation {
        name: "a name without address: reply 4",
        login: None,
        request: NAME,
        steps: &[Step::Resolves("example.com", Err(LookupError::NotFound))],
        reads: b"\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::NameNotFound),
    },
    Conversation {
        name: "name servers that fail: reply 1",
        login: None,
        request: NAME,
        steps: &[Step::Resolves("example.com", Err(LookupError::TimedOut))],
        reads: b"\x05\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::NameLookupFailed),
    },
    Conversation {
        name: "forbidden addresses of a name are skipped, the others dialled",
        login: None,
        request: NAME,
        steps: &[
            Step::Resolves("example.com", Ok(&["127.0.0.1", "10.0.0.1", "93.184.216.34"])),
            Step::Opens,
            Step::DialConnects("93.184.216.34:443"),
        ],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34",
        ends: Ends::Relays,
    },
    Conversation {
        name: "a name with forbidden addresses only is never dialled: reply 2",
        login: None,
        request: NAME,
        steps: &[Step::Resolves("example.com", Ok(&["127.0.0.1", "169.254.169.254"]))],
        reads: b"\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::AclDeniedAddress),
    },
    Conversation {
        name: "a forbidden literal is refused at once: reply 2",
        login: None,
        request: b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
        steps: &[],
        reads: b"\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::AclDenied),
    },
    Conversation {
        name: "an association is told where its datagrams are taken (RFC 1928 §7)",
        login: None,
        request: b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00",
        steps: &[Step::Associates(0, Some("192.0.2.1:4660"))],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34",
        ends: Ends::RelaysDatagrams,
    },
    Conversation {
        name: "an association without a socket: reply 1",
        login: Some(("alice", "secret")),
        request: b"\x05\x03\x00\x03\x01a\x12\x34",
        steps: &[Step::Associates(4660, None)],
        reads: b"\x05\x02\x01\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::ServerBusy),
    },
    Conversation {
        name: "BIND says where to come to, and who has come (RFC 1928 §6)",
        login: None,
        request: b"\x05\x02\x00\x01\x5d\xb8\xd8\x22\x00\x15",
        steps: &[
            Step::Opens,
            Step::Listens(Some("93.184.216.34"), "192.0.2.1:4660"),
            Step::StrangerComes("93.184.216.35:20"),
            Step::PeerComes("93.184.216.34:20"),
        ],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34\
                 \x05\x00\x00\x01\x5d\xb8\xd8\x22\x00\x14",
        ends: Ends::Relays,
    },
    Conversation {
        name: "BIND for anybody opens the session with the first who is allowed",
        login: None,
        request: b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00",
        steps: &[
            Step::Listens(None, "192.0.2.1:4660"),
            Step::StrangerComes("127.0.0.1:20"),
            Step::PeerComes("93.184.216.34:20"),
            Step::Opens,
        ],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34\
                 \x05\x00\x00\x01\x5d\xb8\xd8\x22\x00\x14",
        ends: Ends::Relays,
    },
    Conversation {
        name: "BIND to which nobody comes: reply 6 after the first",
        login: None,
        request: b"\x05\x02\x00\x03\x0bexample.com\x00\x15",
        steps: &[
            Step::Resolves("example.com", Ok(&["127.0.0.1", "93.184.216.34"])),
            Step::Opens,
            Step::Listens(Some("93.184.216.34"), "192.0.2.1:4660"),
            Step::NobodyComes,
        ],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34\
                 \x05\x06\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::ConnectTimeout),
    },
    Conversation {
        name: "BIND for anybody to which only forbidden ones come: reply 2 after the first",
        login: None,
        request: b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00",
        steps: &[
            Step::Listens(None, "192.0.2.1:4660"),
            Step::StrangerComes("10.0.0.1:20"),
            Step::NobodyComes,
        ],
        reads: b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34\
                 \x05\x02\x00\x01\x00\x00\x00\x00\x00\x00",
        ends: Ends::Refuses(Outcome::AclDenied),
    },
    Conversation {
        name: "a login, then the request (RFC 1929 §2)",
        login: Some(("alice", "secret")),
        request: V4,
        steps: &[Step::Opens, Step::DialConnects("93.184.216.34:443")],
        reads: b"\x05\x02\x01\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34",
        ends: Ends::Relays,
    },
    Conversation {
        name: "a wrong login ends it (RFC 1929 §2)",
        login: Some(("alice", "wrong")),
        request: V4,
        steps: &[],
        reads: b"\x05\x02\x01\x01",
        ends: Ends::Refuses(Outcome::AuthFailed),
    },
];

impl Conversation {
    /// Everything that the client sends, up to its payload.
    fn octets(&self) -> Vec<u8> {
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

#[test]
fn conversations_hold_whole_octet_by_octet_and_at_every_split() {
    let policies = Policies::new();
    for conversation in CONVERSATIONS {
        let octets = conversation.octets();
        let early = b"early data";
        let all: Vec<u8> = octets.iter().chain(early).copied().collect();
        policies.hold(conversation, &[&all], early);
        policies.hold(conversation, &octets.chunks(1).collect::<Vec<_>>(), b"");
        for at in 1..octets.len() {
            policies.hold(conversation, &[&octets[..at], &octets[at..]], b"");
        }
    }
}

#[test]
fn early_data_stays_whole_and_in_order_wherever_it_is_cut() {
    let policies = Policies::new();
    for conversation in CONVERSATIONS.iter().filter(|it| it.ends == Ends::Relays) {
        let octets = conversation.octets();
        let all: Vec<u8> = octets.iter().chain(b"payload").copied().collect();
        for at in 1..all.len() {
            policies.hold(conversation, &[&all[..at], &all[at..]], b"payload");
        }
    }
}

#[test]
fn a_command_that_is_switched_off_is_refused_and_nat_is_advertised() {
    let change = |change: fn(&mut Policy)| {
        let mut policies = Policies::new();
        change(Arc::get_mut(&mut policies.open).unwrap());
        policies
    };
    let request = b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00";
    let off = change(|policy| policy.commands = CommandSet::NONE.with(Command::Connect));
    let mut driven = off.driven(None);
    driven.give(b"\x05\x01\x00");
    let next = driven.give(request);
    assert!(matches!(next, Next::Refuse(Outcome::UnsupportedCommand)), "{next:?}");
    let off = change(|policy| policy.commands = CommandSet::NONE.with(Command::UdpAssociate));
    let bind = b"\x05\x02\x00\x01\x5d\xb8\xd8\x22\x01\xbb";
    for request in [V4, bind] {
        let mut driven = off.driven(None);
        driven.give(b"\x05\x01\x00");
        let next = driven.give(request);
        assert!(matches!(next, Next::Refuse(Outcome::UnsupportedCommand)), "{next:?}");
        assert!(driven.read.starts_with(b"\x05\x00\x05\x07"));
    }

    let nat = change(|policy| policy.associations.advertised = Some([203, 0, 113, 9].into()));
    let mut driven = nat.driven(None);
    driven.give(b"\x05\x01\x00");
    let next = driven.give(request);
    assert!(matches!(next, Next::Associate { declared: 0 }), "{next:?}");
    let next = driven.tell(Input::Associated("10.0.0.1:4660".parse().unwrap()));
    assert!(matches!(next, Next::Flush), "{next:?}");
    assert!(driven.read.ends_with(b"\x05\x00\x00\x01\xcb\x00\x71\x09\x12\x34"));
}

#[test]
fn a_client_may_close_its_sending_side_behind_the_request_but_not_before_it() {
    let policies = Policies::new();
    let mut driven = policies.driven(None);
    driven.give(b"\x05\x01\x00");
    let next = driven.give(NAME);
    assert!(matches!(next, Next::Resolve(_)), "{next:?}");
    let next = driven.tell(Input::Eof { early: false });
    assert!(matches!(next, Next::Wait), "{next:?}");
    let mut driven = policies.driven(None);
    driven.give(b"\x05\x01\x00");
    let next = driven.tell(Input::Eof { early: false });
    assert!(matches!(next, Next::End(Outcome::ClientGone)), "{next:?}");
}

#[test]
fn a_client_that_closes_and_leaves_nothing_is_given_a_moment_for_its_target() {
    let policies = Policies::new();
    let asking = || {
        let mut driven = policies.driven(None);
        driven.give(b"\x05\x01\x00");
        driven.give(NAME);
        driven
    };
    let ahead = |driven: &Driven<'_>| driven.machine.deadline().map(|until| until - driven.now);
    let mut hung_up = asking();
    hung_up.tell(Input::Eof { early: false });
    let gone_at = hung_up.machine.deadline();
    assert_eq!(gone_at, Some(hung_up.now + Duration::from_secs(1)));
    hung_up.now = gone_at.unwrap();
    let next = hung_up.tell(Input::Deadline);
    assert!(matches!(next, Next::Refuse(Outcome::ClientGone)), "{next:?}");
    assert!(hung_up.read.ends_with(b"\x05\x01\x00\x01\0\0\0\0\0\0"), "{:?}", hung_up.read);

    let mut half_closed = asking();
    half_closed.give(b"payload");
    half_closed.tell(Input::Eof { early: true });
    assert_eq!(ahead(&half_closed), ahead(&asking()));

    // The close is seen while the password is being checked, and the request is read after it.
    let mut driven = policies.driven(Some(("alice", "pw")));
    driven.give(b"\x05\x01\x02");
    driven.give(b"\x01\x05alice\x02pw");
    driven.give(NAME);
    driven.tell(Input::Eof { early: true });
    driven.tell(Input::Verdict(Verdict::Accepted(Identity::anonymous("alice"))));
    let next = driven.tell(Input::Flushed);
    assert!(matches!(next, Next::Resolve(_)), "{next:?}");
    assert_eq!(ahead(&driven), Some(Duration::from_secs(1)));
}

#[test]
fn the_handshake_has_one_deadline_from_accept_that_octets_do_not_move() {
    let policies = Policies::new();
    let mut driven = policies.driven(None);
    let deadline = driven.machine.deadline().unwrap();
    assert_eq!(deadline, driven.now + Duration::from_secs(10));
    driven.now += Duration::from_secs(9);
    driven.give(b"\x05\x01\x00");
    assert_eq!(driven.machine.deadline(), Some(deadline));
    driven.now = deadline;
    let next = driven.tell(Input::Deadline);
    assert!(matches!(next, Next::End(Outcome::HandshakeTimeout)), "{next:?}");
    assert_eq!(driven.machine.deadline(), None);
}

struct Policies {
    open: Arc<Policy>,
    login: Arc<Policy>,
}

impl Policies {
    fn new() -> Self {
        let hash = rustsocks::auth::hash(b"secret").unwrap();
        let users = Arc::new(Users::new([User::new("alice", &hash, &[]).unwrap()]));
        let policy = |methods| {
            Arc::new(Policy {
                generation: 1,
                methods,
                commands: CommandSet::NONE
                    .with(Command::Connect)
                    .with(Command::Bind)
                    .with(Command::UdpAssociate),
                associations: AssociationPolicy::default(),
                users: Arc::clone(&users),
                anonymous: Identity::anonymous("anonymous"),
                acl: Acl::new(Guard::Auto(OwnListeners::default())),
                egress: Arc::default(),
                bans: rustsocks::limit::BanTerms::NONE,
                timeouts: Timeouts {
                    handshake: Duration::from_secs(10),
                    connect: Duration::from_secs(10),
                    attempt: Duration::from_secs(2),
                    idle: Duration::from_secs(600),
                    half_close: Duration::from_secs(120),
                    linger: Duration::from_secs(2),
                    keepalive_secs: 0,
                },
            })
        };
        Self { open: policy(MethodSet::NO_AUTH), login: policy(MethodSet::USERPASS) }
    }

    fn driven(&self, login: Option<(&str, &str)>) -> Driven<'_> {
        let policy = if login.is_some() { &self.login } else { &self.open };
        // A client with a public address, so that the guard has something to forbid.
        let client = IpAddr::from([198, 51, 100, 7]);
        let now = Instant::now();
        Driven {
            machine: Machine::new(client, Arc::clone(policy), now),
            policy,
            now,
            outbox: Outbox::new(),
            inbox: Vec::new(),
            read: Vec::new(),
        }
    }

    #[track_caller]
    fn hold(&self, conversation: &Conversation, parts: &[&[u8]], early: &[u8]) {
        let mut driven = self.driven(conversation.login);
        let mut steps = conversation.steps.iter();
        let mut end = None;
        for part in parts {
            let mut next = driven.give(part);
            while end.is_none() {
                next = match next {
                    Next::Wait | Next::TurnAway => {
                        match driven.await_peer(&mut steps, conversation) {
                            Some(next) => next,
                            None => break,
                        }
                    }
                    Next::Listen { towards } => match steps.next() {
                        Some(Step::Listens(expected, bound)) => {
                            let expected = expected.map(|host| host.parse().unwrap());
                            assert_eq!(towards, expected, "{}", conversation.name);
                            driven.tell(Input::Listening(bound.parse().unwrap()))
                        }
                        other => panic!("{}: listens, not {other:?}", conversation.name),
                    },
                    Next::Read => break,
                    Next::Flush => driven.tell(Input::Flushed),
                    Next::Relay => {
                        end = Some(Ends::Relays);
                        break;
                    }
                    Next::RelayDatagrams => {
                        end = Some(Ends::RelaysDatagrams);
                        break;
                    }
                    Next::Associate { declared } => match steps.next() {
                        Some(Step::Associates(expected, bound)) => {
                            assert_eq!(declared, *expected, "{}", conversation.name);
                            driven.tell(match bound {
                                Some(bound) => Input::Associated(bound.parse().unwrap()),
                                None => Input::NoSocket,
                            })
                        }
                        other => panic!("{}: associates, not {other:?}", conversation.name),
                    },
                    Next::Refuse(outcome) => {
                        end = Some(Ends::Refuses(outcome));
                        break;
                    }
                    Next::Verify(credentials) => {
                        let verdict = verify_once(&driven.policy.users, &credentials);
                        driven.tell(Input::Verdict(verdict))
                    }
                    Next::Resolve(name) => match steps.next() {
                        Some(Step::Resolves(expected, answer)) => {
                            assert_eq!(name.as_str(), *expected, "{}", conversation.name);
                            let answer = answer.map(addresses);
                            driven.tell(Input::Resolved { answer, more: false })
                        }
                        Some(Step::ResolvesInHalf(expected, half)) => {
                            assert_eq!(name.as_str(), *expected, "{}", conversation.name);
                            let answer = Ok(addresses(half));
                            driven.tell(Input::Resolved { answer, more: true })
                        }
                        other => panic!("{}: resolves {name}, not {other:?}", conversation.name),
                    },
                    Next::Open => match steps.next() {
                        Some(Step::Opens) => driven.tell(Input::Opened),
                        other => panic!("{}: opens, not {other:?}", conversation.name),
                    },
                    Next::Dial { attempt, permit } => {
                        driven.dial(attempt, permit.address(), steps.next(), conversation.name)
                    }
                    Next::End(outcome) => panic!("{}: ends {outcome:?}", conversation.name),
                };
            }
        }
        driven.collect();
        assert_eq!(driven.read, conversation.reads, "{}", conversation.name);
        assert_eq!(end, Some(conversation.ends), "{}", conversation.name);
        assert!(steps.next().is_none(), "{}: a step was not reached", conversation.name);
        if conversation.ends == Ends::Relays {
            assert_eq!(driven.inbox, early, "{}", conversation.name);
        }
    }
}

/// A machine with the buffers that a worker would give it.
struct Driven<'a> {
    machine: Machine,
    policy: &'a Policy,
    now: Instant,
    outbox: Outbox,
    inbox: Vec<u8>,
    read: Vec<u8>,
}

impl Driven<'_> {
    /// The client sends.
    fn give(&mut self, octets: &[u8]) -> Next {
        self.inbox.extend(octets);
        if self.machine.wants_bytes() { self.feed() } else { Next::Wait }
    }

    fn feed(&mut self) -> Next {
        let input = Input::Bytes(&self.inbox);
        let (used, next) = self.machine.handle(input, self.now, &mut self.outbox);
        self.inbox.drain(..used);
        self.collect();
        next
    }

    /// Something happens; after a flush what is left of the client's octets is shown again.
    fn tell(&mut self, input: Input<'_>) -> Next {
        let next = self.machine.handle(input, self.now, &mut self.outbox).1;
        self.collect();
        if matches!(next, Next::Read) && !self.inbox.is_empty() { self.feed() } else { next }
    }

    /// What becomes of the wait for a peer; `None` where nothing comes of it now.
    fn await_peer(
        &mut self,
        steps: &mut std::slice::Iter<'_, Step>,
        conversation: &Conversation,
    ) -> Option<Next> {
        let (peer, wanted) = match steps.as_slice().first()? {
            Step::PeerComes(peer) => (peer, true),
            Step::StrangerComes(peer) => (peer, false),
            Step::NobodyComes => {
                steps.next();
                self.now = self.machine.deadline().unwrap();
                return Some(self.tell(Input::Deadline));
            }
            Step::RestComes(answer) => {
                steps.next();
                let answer = answer.map(addresses);
                return Some(self.tell(Input::Resolved { answer, more: false }));
            }
            Step::Waits => {
                steps.next();
                self.now = self.machine.deadline().unwrap();
                return Some(self.tell(Input::Deadline));
            }
            Step::Fails(attempt, error) => {
                steps.next();
                return Some(self.tell(Input::Unreachable { attempt: *attempt, error: *error }));
            }
            Step::Resolves(..)
            | Step::ResolvesInHalf(..)
            | Step::DialIsPending(_)
            | Step::Opens
            | Step::DialFails(..)
            | Step::DialConnects(_)
            | Step::DialIsSilent(_)
            | Step::Listens(..)
            | Step::Associates(..) => return None,
        };
        steps.next();
        let next = self.tell(Input::Accepted(peer.parse().unwrap()));
        assert_eq!(!matches!(next, Next::TurnAway), wanted, "{}: {peer}", conversation.name);
        Some(next)
    }

    fn collect(&mut self) {
        self.read.extend(self.outbox.pending());
        self.outbox.consume(self.outbox.pending().len());
    }

    fn dial(&mut self, attempt: Attempt, to: SocketAddr, step: Option<&Step>, name: &str) -> Next {
        match step {
            Some(Step::DialFails(address, error)) => {
                assert_eq!(to.to_string(), *address, "{name}");
                self.tell(Input::Unreachable { attempt, error: *error })
            }
            Some(Step::DialConnects(address)) => {
                assert_eq!(to.to_string(), *address, "{name}");
                let local = "192.0.2.1:4660".parse().unwrap();
                self.tell(Input::Connected { attempt, peer: to, local })
            }
            Some(Step::DialIsSilent(address)) => {
                assert_eq!(to.to_string(), *address, "{name}");
                self.now = self.machine.deadline().unwrap();
                self.tell(Input::Deadline)
            }
            Some(Step::DialIsPending(address)) => {
                assert_eq!(to.to_string(), *address, "{name}");
                Next::Wait
            }
            other => panic!("{name}: dials {to}, not {other:?}"),
        }
    }
}

fn addresses(texts: &[&str]) -> Addresses {
    texts.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect()
}

/// Checks each login once: hashing at every split of every conversation would take minutes.
fn verify_once(users: &Users, credentials: &rustsocks::auth::Credentials) -> Verdict {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use rustsocks::auth::{Recent, RecentKey};
    thread_local! {
        static RECENT: Recent = Recent::new();
        static KNOWN: RefCell<HashMap<RecentKey, Verdict>> = RefCell::default();
    }
    let key = RECENT.with(|recent| recent.key(credentials));
    KNOWN.with_borrow_mut(|known| {
        known.entry(key).or_insert_with(|| verify(users, credentials)).clone()
    })
}
