//! The only place that blocks on behalf of a connection: password checks and the system's
//! resolver, on threads of their own.
//!
//! Pools of their own, so that a password check never waits for a name, and no check of ours for the
//! modules of the host (PAM). A full queue is an answer too: the worker is told at once, and nothing grows.
//! Networks take turns in it, and in each of them its clients, however much each of them wants. A job that
//! ends in a panic is answered all the same.
//! Nothing here knows what a connection is; it has a [`Key`](crate::key::Key) to answer to.
#![forbid(unsafe_code)]

mod job;
mod pool;
mod turns;
mod waiters;
mod width;

pub use job::Job;
pub use pool::{Desk, Full, Pool, Task};
