//! From settings and rules to the [`Policy`] that workers judge by.

use std::sync::Arc;
use std::time::Duration;

use super::error::ConfigError;
use super::rules::load_rules;
use super::settings::{AclSettings, Settings};
use crate::acl::{Acl, Guard, OwnListeners, Rules};
use crate::auth::Identity;
use crate::egress::Egresses;
use crate::policy::{Policy, Timeouts};
use crate::socks::MethodSet;

impl AclSettings {
    /// The rules of the configured file; `None` where there are to be none.
    ///
    /// # Errors
    /// One line that says what is wrong, where, and what was expected.
    pub fn load_rules(&self) -> Result<Option<Arc<Rules>>, ConfigError> {
        self.rule_file.as_deref().map(|path| load_rules(path).map(Arc::new)).transpose()
    }
}

impl Settings {
    /// The policy of this number, with rules, and with counts for so many workers.
    #[must_use]
    pub fn policy(
        &self,
        generation: u64,
        own: OwnListeners,
        rules: Option<Arc<Rules>>,
        workers: usize,
    ) -> Policy {
        let server = &self.server;
        let guard = if self.acl.guard { Guard::Auto(own) } else { Guard::Off };
        let acl = match rules {
            Some(rules) => Acl::with_rules(guard, rules),
            None => Acl::new(guard),
        };
        Policy {
            generation,
            methods: if self.auth.required { MethodSet::USERPASS } else { MethodSet::NO_AUTH },
            commands: server.commands,
            associations: server.associations.clone(),
            users: Arc::clone(&self.auth.users),
            anonymous: Identity::anonymous(&self.acl.anonymous_user),
            acl: acl.counting_for(workers),
            egress: Arc::new(Egresses::new(&self.egress.default, &self.egress.named)),
            timeouts: Timeouts {
                handshake: server.handshake_timeout,
                connect: server.connect_timeout,
                attempt: server.attempt_delay,
                idle: server.idle_timeout,
                half_close: server.half_close_timeout,
                linger: LINGER,
                keepalive_secs: server.keepalive_secs,
            },
        }
    }
}

/// How long a refused client's reply, or the octets before a reset, may take to leave.
const LINGER: Duration = Duration::from_secs(2);
