//! HTTP CONNECT (RFC 9110 §9.3.6) as a pure machine, beside `socks/`: octets in, octets and one
//! question at a time out.
//!
//! ```text
//! CONNECT host:port HTTP/1.1          HTTP/1.1 200 Connection established
//! Host: host:port
//! Proxy-Authorization: Basic …        HTTP/1.1 407 Proxy Authentication Required
//!                                     Proxy-Authenticate: Basic realm="rustsocks"
//! payload …
//! ```
//!
//! Nothing else of HTTP is spoken: no other method is forwarded, and after a refusal the connection
//! is closed, so there is nothing to be told apart behind a message.
//!
//! | section | what | file |
//! |---|---|---|
//! | RFC 9110 §9.3.6, RFC 9112 §3 | the head: method, target, fields | `head.rs` |
//! | RFC 9112 §3.2.3, RFC 3986 §3.2 | `host:port` | `authority.rs` |
//! | RFC 7617 | Basic credentials | `basic.rs` |
//! | RFC 9110 §15 | what the client is told | `status.rs` |
//! | all of them | the order of the messages | `connect.rs` |

#![forbid(unsafe_code)]

mod authority;
mod basic;
mod connect;
mod head;
mod status;

pub use connect::{Connect, Progress};
pub use head::{BadHead, HEAD_OCTETS_MAX};
pub use status::Status;
