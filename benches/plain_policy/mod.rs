//! A policy that lets everybody have everything but this host's own addresses.

use std::sync::Arc;
use std::time::Duration;

use rustsocks::acl::{Acl, Guard, OwnListeners};
use rustsocks::auth::{Identity, Users};
use rustsocks::policy::{AssociationPolicy, Policy, Timeouts};
use rustsocks::socks::{Command, CommandSet, MethodSet};

/// The policy.
pub(crate) fn plain_policy() -> Arc<Policy> {
    Arc::new(Policy {
        generation: 1,
        methods: MethodSet::NO_AUTH,
        commands: CommandSet::NONE.with(Command::Connect),
        associations: AssociationPolicy::default(),
        users: Arc::new(Users::default()),
        anonymous: Identity::anonymous("anonymous"),
        acl: Acl::new(Guard::Auto(OwnListeners::default())),
        egress: Arc::default(),
        bans: rustsocks::limit::BanTerms::NONE,
        limits: rustsocks::limit::LimitPolicy::default(),
        timeouts: Timeouts {
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            attempt: Duration::from_secs(2),
            idle: Duration::from_secs(600),
            half_close: Duration::from_secs(120),
            linger: Duration::from_secs(2),
            keepalive_secs: 0,
        },
    })
}
