//! A policy that lets everybody have everything but this host's own addresses.

use std::sync::Arc;

use rustsocks::policy::Policy;
use rustsocks::socks::{Command, CommandSet};

/// The policy.
pub(crate) fn plain_policy() -> Arc<Policy> {
    Arc::new(Policy { commands: CommandSet::NONE.with(Command::Connect), ..Policy::plain() })
}
