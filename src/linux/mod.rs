//! Every Linux call that std and mio lack, behind safe functions.
//!
//! rustix and socket2 make nearly all of them safe. What is left is one `unsafe` in `socket_option` and
//! one in [`mapping`], and tests count allocations by some; no other folder of the crate may have any.

pub mod affinity;
#[cfg(test)]
mod allocations;
pub mod batch;
pub mod calls;
pub mod datagram;
pub mod heir;
pub mod host_name;
pub mod interfaces;
pub mod listener;
pub mod mapping;
pub mod nofile;
pub mod outgoing;
pub mod paths;
pub mod pipe;
pub mod private;
pub mod privileges;
pub mod socket;
mod socket_option;
pub mod tcp_info;
pub mod usage;
pub mod volume;
