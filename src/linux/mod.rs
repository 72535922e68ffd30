//! Every Linux call that std and mio lack, behind safe functions.
//!
//! rustix and socket2 make nearly all of them safe. What is left is one `unsafe` in [`tcp_info`] and one in
//! [`mapping`]; no other folder of the crate may have any.

pub mod affinity;
pub mod host_name;
pub mod interfaces;
pub mod listener;
pub mod mapping;
pub mod nofile;
pub mod private;
pub mod socket;
pub mod tcp_info;
