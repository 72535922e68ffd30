//! The conversations that a machine is held to.

use rustsocks::connection::{Attempt, ConnectError};
use rustsocks::resolve::LookupError;
use rustsocks::session::Outcome;

use crate::script::{Conversation, Ends, Step};

pub(crate) const NAME: &[u8] = b"\x05\x01\x00\x03\x0bexample.com\x01\xbb";

pub(crate) const V4: &[u8] = b"\x05\x01\x00\x01\x5d\xb8\xd8\x22\x01\xbb";

/// What a client reads that needs no login and is given a socket at 192.0.2.1:4660 (RFC 1928 §6).
const GRANTED: &[u8] = b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34";

pub(crate) const CONVERSATIONS: &[Conversation] = &[
    Conversation {
        name: "an address literal is judged, opened, dialled and relayed (RFC 1928 §4)",
        login: None,
        request: V4,
        steps: &[Step::Opens, Step::DialConnects("93.184.216.34:443")],
        reads: GRANTED,
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
        reads: GRANTED,
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
        reads: GRANTED,
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
        reads: GRANTED,
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
        reads: GRANTED,
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
        reads: &refused(0x03),
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
        reads: &refused(0x05),
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
        reads: GRANTED,
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
        reads: GRANTED,
        ends: Ends::Relays,
    },
    Conversation {
        name: "a client with too many look-ups in flight: reply 1",
        login: None,
        request: NAME,
        steps: &[Step::Resolves("example.com", Err(LookupError::ClientOverloaded))],
        reads: &refused(0x01),
        ends: Ends::Refuses(Outcome::OverLimit),
    },
    Conversation {
        name: "no address answers in time: reply 6",
        login: None,
        request: V4,
        steps: &[Step::Opens, Step::DialIsSilent("93.184.216.34:443")],
        reads: &refused(0x06),
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
        reads: &refused(0x05),
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
        reads: &refused(0x03),
        ends: Ends::Refuses(Outcome::NetworkUnreachable),
    },
    Conversation {
        name: "a name without address: reply 4",
        login: None,
        request: NAME,
        steps: &[Step::Resolves("example.com", Err(LookupError::NotFound))],
        reads: &refused(0x04),
        ends: Ends::Refuses(Outcome::NameNotFound),
    },
    Conversation {
        name: "name servers that fail: reply 1",
        login: None,
        request: NAME,
        steps: &[Step::Resolves("example.com", Err(LookupError::Failed))],
        reads: &refused(0x01),
        ends: Ends::Refuses(Outcome::NameLookupFailed),
    },
    Conversation {
        name: "name servers that do not answer: reply 6",
        login: None,
        request: NAME,
        steps: &[Step::Resolves("example.com", Err(LookupError::TimedOut))],
        reads: &refused(0x06),
        ends: Ends::Refuses(Outcome::ConnectTimeout),
    },
    Conversation {
        name: "a look-up that is not over by the one deadline: reply 6",
        login: None,
        request: NAME,
        steps: &[Step::ResolvesInHalf("example.com", &["::1"]), Step::Waits],
        reads: &refused(0x06),
        ends: Ends::Refuses(Outcome::ConnectTimeout),
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
        reads: GRANTED,
        ends: Ends::Relays,
    },
    Conversation {
        name: "a name with forbidden addresses only is never dialled: reply 2",
        login: None,
        request: NAME,
        steps: &[Step::Resolves("example.com", Ok(&["127.0.0.1", "169.254.169.254"]))],
        reads: &refused(0x02),
        ends: Ends::Refuses(Outcome::AclDeniedAddress),
    },
    Conversation {
        name: "a forbidden literal is refused at once: reply 2",
        login: None,
        request: b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
        steps: &[],
        reads: &refused(0x02),
        ends: Ends::Refuses(Outcome::AclDenied),
    },
    Conversation {
        name: "an association is told where its datagrams are taken (RFC 1928 §7)",
        login: None,
        request: b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00",
        steps: &[Step::Associates(0, Some("192.0.2.1:4660"))],
        reads: GRANTED,
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
        name: "BIND for a host without a route: reply 3",
        login: None,
        request: b"\x05\x02\x00\x01\x5d\xb8\xd8\x22\x00\x15",
        steps: &[Step::Opens, Step::ListenFails(ConnectError::NetworkUnreachable)],
        reads: &refused(0x03),
        ends: Ends::Refuses(Outcome::NetworkUnreachable),
    },
    Conversation {
        name: "BIND for which we have no descriptor: reply 1",
        login: None,
        request: b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00",
        steps: &[Step::ListenFails(ConnectError::NoRoom)],
        reads: &refused(0x01),
        ends: Ends::Refuses(Outcome::ServerBusy),
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

/// What such a client reads when the reply says why not.
const fn refused(reply: u8) -> [u8; 12] {
    [5, 0, 5, reply, 0, 1, 0, 0, 0, 0, 0, 0]
}
