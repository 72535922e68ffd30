//! Conformance: the cases of a specification, each with the section that it checks, held against a
//! server over real sockets in three ways: whole messages, octet by octet, and everything that need
//! not wait in one write.
//!
//! The server is the real binary of this package. With `RUSTSOCKS_TEST_PROXY=host:port` it is whatever
//! listens there, and with `RUSTSOCKS_TEST_LOGIN=user:password` its clients log in; nothing of ours is
//! started then, cases that need our configuration are skipped, and a table says how each case went:
//!
//! ```sh
//! RUSTSOCKS_TEST_PROXY=127.0.0.1:1080 cargo test --test rfc1928 -- --nocapture
//! ```
//!
//! Our own server is tested in a network namespace without a route to anywhere, so that unreachable
//! networks and hosts are to be had; where the kernel allows none, those cases are skipped. Another
//! server can be started in such a namespace together with the test.

#![allow(dead_code, reason = "each specification uses its part of it")]

pub(crate) mod case;
mod conversation;
mod namespace;
pub(crate) mod places;
mod report;
mod subject;
mod table;

pub(crate) use case::{Case, Needs, Step};
pub(crate) use table::hold;
