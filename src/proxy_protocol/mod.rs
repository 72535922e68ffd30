//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): what a load balancer says
//! before a client's own octets, so that we know the client and not the balancer. Pure.
//!
//! ```text
//! v1   PROXY TCP4 203.0.113.7 192.0.2.1 40000 1080 CR LF          at most 107 octets
//! v2   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A  VER/CMD  FAM  LENGTH  addresses, further fields
//! ```
//!
//! Whoever may say it can pretend to be anybody, so it is read from configured networks alone
//! ([`Announcers`]), and from them it must come first.
#![forbid(unsafe_code)]

mod announcement;
mod announcers;

pub use announcement::{ANNOUNCEMENT_OCTETS_MAX, Announcement, BadAnnouncement, parse};
pub use announcers::Announcers;
