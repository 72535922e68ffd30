//! Everything that a reload may change, as one immutable value. A worker holds it in an `Arc`; a
//! connection keeps the one that it started its handshake with.
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::RwLock;

use crate::acl::{Acl, Guard, OwnListeners, Ruling};
use crate::auth::{Identity, Users};
use crate::clock::Now;
use crate::egress::Egresses;
use crate::limit::{BanTerms, LimitPolicy, Limits, Throttle};
use crate::socks::{CommandSet, Method, MethodSet};

/// One policy.
#[derive(Debug)]
pub struct Policy {
    /// Counted from 1; each reload makes a greater one.
    pub generation: u64,
    /// The methods that we accept (RFC 1928 §3).
    pub methods: MethodSet,
    /// The commands that we serve (RFC 1928 §4).
    pub commands: CommandSet,
    /// Where datagrams are taken.
    pub associations: AssociationPolicy,
    /// Who may log in.
    pub users: Arc<Users>,
    /// Who a client is that need not log in.
    pub anonymous: Identity,
    /// The rules.
    pub acl: Acl,
    /// Which way sockets towards targets leave.
    pub egress: Arc<Egresses>,
    /// What becomes of addresses from which passwords are tried.
    pub bans: BanTerms,
    /// How much of everything.
    pub limits: LimitPolicy,
    /// Limits of patience.
    pub timeouts: Timeouts,
}

impl Policy {
    /// The first policy of a proxy that nobody has configured: no logins, every command, the guard alone
    /// and no listener that it knows of, no limit but those of patience ([`Timeouts::PLAIN`]).
    #[must_use]
    pub fn plain() -> Self {
        Self {
            generation: 1,
            methods: MethodSet::NO_AUTH,
            commands: CommandSet::ALL,
            associations: AssociationPolicy::default(),
            users: Arc::default(),
            anonymous: Identity::anonymous("anonymous"),
            acl: Acl::new(Guard::Auto(OwnListeners::default())),
            egress: Arc::default(),
            bans: BanTerms::NONE,
            limits: LimitPolicy::default(),
            timeouts: Timeouts::PLAIN,
        }
    }

    /// The same policy, whose limits count with these counts.
    #[must_use]
    pub fn counting_in(mut self, limits: &Arc<Limits>) -> Self {
        self.limits.limits = Arc::clone(limits);
        self
    }

    /// Whether a client may come under this name: of a user who may log in, as far as we know, or of those
    /// who need not.
    #[must_use]
    pub fn knows(&self, user: &str) -> bool {
        let may_log_in =
            || self.users.has(user) || self.users.service_for(user.as_bytes()).is_some();
        user == self.anonymous.user() || self.methods.contains(Method::UserPass) && may_log_in()
    }

    /// What holds a session of this client back that was decided on so; `None` if nothing does.
    #[must_use]
    pub fn throttle(
        &self,
        identity: &Identity,
        ruling: Option<&Ruling>,
        now: Now,
    ) -> Option<Box<Throttle>> {
        let named = ruling.and_then(|ruling| self.acl.bandwidth_of(ruling));
        self.limits.throttle(identity, named.map(|name| &**name), now)
    }

    /// The same client under this policy; `None` if nobody by that name may use us any more, or if
    /// everybody has to log in now and this one has not.
    #[must_use]
    pub fn renewed(&self, identity: &Identity) -> Option<Identity> {
        if identity.is_authenticated() {
            return self.users.renewed(identity);
        }
        self.methods.contains(Method::NoAuth).then(|| self.anonymous.clone())
    }
}

/// The policy in force, for those who are not workers: those have it by letter.
#[derive(Debug, Default)]
pub struct InForce {
    policy: RwLock<Option<Arc<Policy>>>,
    behind: RwLock<Option<String>>,
    applied: AtomicU64,
    refused: AtomicU64,
}

impl InForce {
    /// The policy; `None` before there is any.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Policy>> {
        self.policy.read().clone()
    }

    /// A reload was applied.
    pub fn reload_applied(&self) {
        self.applied.fetch_add(1, Relaxed);
    }

    /// A reload was refused, and nothing has changed.
    pub fn reload_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Reloads that were applied, and those that were refused.
    #[must_use]
    pub fn reloads(&self) -> (u64, u64) {
        (self.applied.load(Relaxed), self.refused.load(Relaxed))
    }

    /// Which watched file it is not made of as that is now, and why; `None` if there is none.
    #[must_use]
    pub fn behind(&self) -> Option<String> {
        self.behind.read().clone()
    }

    /// What [`InForce::behind`] says from here on.
    pub fn is_behind(&self, why: Option<String>) {
        *self.behind.write() = why;
    }

    /// Another one is in force.
    pub fn set(&self, policy: Arc<Policy>) {
        *self.policy.write() = Some(policy);
    }
}

/// Limits of patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to a complete request; never re-armed by octets.
    pub handshake: Duration,
    /// Over name look-up and all addresses of a target.
    pub connect: Duration,
    /// Until an address that does not answer is joined by the next one.
    pub attempt: Duration,
    /// Without an octet in either direction.
    pub idle: Duration,
    /// Without an octet after one side has closed.
    pub half_close: Duration,
    /// For the last reply or the last octets to leave before the connection is cut.
    pub linger: Duration,
    /// Seconds of silence after which the kernel asks the target's host whether it is still there; 0
    /// is never. (Clients' sockets inherit this from their listener.)
    pub keepalive_secs: u32,
}

impl Timeouts {
    /// Those of a configuration that says nothing of them, but without probes.
    pub const PLAIN: Self = Self {
        handshake: Duration::from_secs(10),
        connect: Duration::from_secs(10),
        attempt: Duration::from_millis(250),
        idle: Duration::from_secs(600),
        half_close: Duration::from_secs(120),
        linger: Duration::from_secs(2),
        keepalive_secs: 0,
    };
}

/// Where the datagrams of associations are taken (RFC 1928 §7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssociationPolicy {
    /// The address that clients are told to send to, where it is another than the one that they reached
    /// us at: that of the NAT before us. It is for those that reached us by its family.
    pub advertised: Option<IpAddr>,
    /// The ports to choose from, or any.
    pub ports: Option<RangeInclusive<u16>>,
}
