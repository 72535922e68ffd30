//! The control machine of one connection: from the first octet to the relay or the refusal. It
//! decides and touches nothing; the worker performs what it asks for.
//!
//! It must never know a socket, a clock or a thread.
//!
//! ```text
//! Negotiating ──Verify──▶ Verifying ──verdict──▶ Negotiating
//!      │ request
//!      ▼ judged by name
//! Resolving (a name) ──addresses, judged one by one──▶ Opening ──Opened──▶ Dialing
//!      │                                                                     │ connected
//!      ▼ Refuse (reply is in the outbox) or End                              ▼
//!                                                    Answering ──Flushed──▶ Relay
//! ```
//!
//! A BIND has one stage for all it does until its second reply, `Binding`; an association is told where
//! its datagrams are taken (`Associating`), and then `RelayDatagrams` follows in place of `Relay`.
//!
//! With `Next::Relay`, `Next::RelayDatagrams`, `Next::Refuse` and `Next::End` the machine is done and
//! dropped; while octets are relayed only [`Patience`] is asked.
#![forbid(unsafe_code)]

mod bind;
mod dial;
mod exit;
mod facts;
mod input;
mod machine;
mod negotiation;
mod next;
mod patience;
mod stage;
mod standing;

pub use dial::{Attempt, ConnectError};
pub use facts::Facts;
pub use input::Input;
pub use machine::Machine;
pub use next::Next;
pub use patience::Patience;
pub use standing::{Forbidden, Standing};
