//! The SOCKS wire protocol as a pure machine: octets in, octets and one question at a time out.
//!
//! Nothing here knows sockets, clocks, users or rules. The caller owns the inbox (a client's octets
//! not yet consumed) and the [`Outbox`] (our octets not yet sent), and answers what
//! [`Handshake::feed`] asks.
//!
//! | section | what | file |
//! |---|---|---|
//! | RFC 1928 §3 | greeting, choice of the method | `method.rs` |
//! | RFC 1928 §4 | request: command and target | `request.rs` |
//! | RFC 1928 §5 | ATYP, address, port | `address.rs` |
//! | RFC 1928 §6 | reply, reply codes | `reply.rs` |
//! | RFC 1928 §7 | header of a datagram | `datagram.rs` |
//! | RFC 1929 §2 | user name, password, status | `userpass.rs` |
//! | SOCKS4, 4a | request and reply | `v4.rs` |
//! | all of them | the order of the messages | `handshake.rs` |
//! | all of them | which octet broke which rule | `malformed.rs` |
//!
//! `cursor.rs` reads messages and keeps "not all here yet" apart from "wrong"; `outbox.rs` holds
//! replies.
//!
//! GSSAPI (RFC 1961), which RFC 1928 §3 asks of every implementation, is not spoken.

#![forbid(unsafe_code)]

mod address;
mod cursor;
mod datagram;
mod handshake;
mod malformed;
mod method;
mod outbox;
mod reply;
mod request;
mod userpass;
mod v4;

pub use datagram::{BadDatagram, Datagram, HEADER_OCTETS_MAX as DATAGRAM_HEADER_OCTETS_MAX};
pub use handshake::{Handshake, Progress};
pub use malformed::Malformed;
pub use method::{Method, MethodSet};
pub use outbox::Outbox;
pub use reply::{Reply, ReplyCode};
pub use request::{Command, CommandSet, Request};
pub use userpass::UserPass;

/// VER of every message of RFC 1928.
const VERSION: u8 = 0x05;

/// The version of the protocol that a client speaks, known by its first octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// SOCKS4 or SOCKS4a.
    V4,
    /// RFC 1928.
    V5,
}
