//! What a worker lends to each of its connections in turn.

use std::sync::Arc;

use mio::Registry;

use super::deadlines::Deadlines;
use super::defects::Defects;
use super::ready::Ready;
use super::udp_portion::Datagrams;
use crate::auth::Recent;
use crate::clock::Now;
use crate::mailbox::Post;
use crate::offload::{Desk, Job};
use crate::policy::Policy;
use crate::relay::Carrier;
use crate::resolve::Resolver;
use crate::session::{IdSource, Journal, Share, Table};
use crate::stats::Counters;

/// Everything of a worker but its connections.
pub(super) struct Kit {
    pub(super) index: usize,
    pub(super) now: Now,
    pub(super) registry: Registry,
    pub(super) policy: Arc<Policy>,
    pub(super) resolver: Resolver,
    pub(super) hashes: Desk<Job>,
    pub(super) pam: Option<Desk<Job>>,
    pub(super) post: Post,
    pub(super) recent: Recent,
    pub(super) carrier: Carrier,
    /// Where datagrams pass through.
    pub(super) datagrams: Datagrams,
    /// Counts on through the ports for clients' datagrams.
    pub(super) next_port: u32,
    pub(super) deadlines: Deadlines,
    pub(super) ready: Ready,
    pub(super) ids: IdSource,
    pub(super) share: Share,
    pub(super) table: Arc<Table>,
    pub(super) journal: Journal,
    pub(super) counters: Arc<Counters>,
    pub(super) defects: Defects,
    /// Transfers after which a relay stores its counters, at the latest.
    pub(super) publish_every: u32,
    /// Whether single sessions are kept; if not, clients over the limit are in the counters alone.
    pub(super) records: bool,
}
